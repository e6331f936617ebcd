//! A server of the virtual machine's own: loopback, ports that are free, state that is thrown away.

use std::{
    fs::{self, DirBuilder},
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use tokio::runtime::Runtime;

use crate::{
    cli::{
        client::config,
        failure::{CliResult, Failure},
    },
    disk::state::StateDirectory,
    serve::{Options, Running, start},
};

/// A server and the directory of its state.
pub(in crate::cli) struct PrivateServer {
    runtime: Runtime,
    running: Running,
    _state: ScratchDir,
}

impl PrivateServer {
    /// Starts a server for the site.
    pub(in crate::cli) fn start(site: &Path) -> CliResult<PrivateServer> {
        let state = ScratchDir::new().context("no directory for throwaway state can be made")?;
        // Its state is new and empty, and nothing is held for that.
        if let Some(id) = config(site)?.site_id {
            StateDirectory::open(&state.0)?.write_site_id(&id.value)?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let running = runtime.block_on(start(Options {
            site: site.into(),
            state: Some(state.0.clone()),
            listen: Some(loopback),
            operator: Some(loopback),
            http_alone: true,
            throwaway: true,
        }))?;
        if running.banner.errors > 0 {
            return Err(
                Failure::refused(anyhow!("the site has errors, so it is not served"))
                    .help("`bootwright check` shows them"),
            );
        }
        Ok(PrivateServer {
            runtime,
            running,
            _state: state,
        })
    }

    /// Where machines are served.
    pub(in crate::cli) fn machines(&self) -> String {
        format!("http://{}", self.running.machines)
    }

    /// Where operators are.
    pub(in crate::cli) fn operators(&self) -> SocketAddr {
        self.running.operators
    }

    /// Ends the server.
    pub(in crate::cli) fn stop(self) -> CliResult {
        Ok(self.runtime.block_on(self.running.stop())?)
    }
}

/// A directory that goes when it is no longer needed.
pub(in crate::cli) struct ScratchDir(PathBuf);

impl ScratchDir {
    /// Makes one that nobody else can look into.
    pub(in crate::cli) fn new() -> io::Result<ScratchDir> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let name = format!("bootwright-{:016x}", u64::from_ne_bytes(seed));
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(ScratchDir(path))
    }

    /// Where it is.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!("`{}` is left behind: {error}", self.0.display());
        }
    }
}
