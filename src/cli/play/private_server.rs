//! A temporary server for `play` and `try`: on loopback, with free ports and temporary state.

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

pub(in crate::cli) struct PrivateServer {
    runtime: Runtime,
    running: Running,
    _state: ScratchDir,
}

impl PrivateServer {
    /// Starts a server for the site.
    pub(in crate::cli) fn start(site: &Path) -> CliResult<PrivateServer> {
        let state = ScratchDir::new().context("cannot create a directory for temporary state")?;
        // With the site's id the server accepts the empty state; without it, it would hold all installations.
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
            http_only: true,
            throwaway: true,
            probe_interval: None,
        }))?;
        if running.banner.errors > 0 {
            return Err(Failure::refused(anyhow!("the site has errors"))
                .help("fix them first: `bootwright check` shows them"));
        }
        Ok(PrivateServer {
            runtime,
            running,
            _state: state,
        })
    }

    /// The URL for machines.
    pub(in crate::cli) fn machines(&self) -> String {
        format!("http://{}", self.running.machines)
    }

    /// The address of the operator API.
    pub(in crate::cli) fn operators(&self) -> SocketAddr {
        self.running.operators
    }

    pub(in crate::cli) fn stop(self) -> CliResult {
        Ok(self.runtime.block_on(self.running.stop())?)
    }
}

/// A temporary directory that is removed when dropped.
pub(in crate::cli) struct ScratchDir(PathBuf);

impl ScratchDir {
    /// Creates it; only this user can read it.
    pub(in crate::cli) fn new() -> io::Result<ScratchDir> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let name = format!("bootwright-{:016x}", u64::from_ne_bytes(seed));
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(ScratchDir(path))
    }

    pub(in crate::cli) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!("cannot remove `{}`: {error}", self.0.display());
        }
    }
}
