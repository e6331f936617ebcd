//! A temporary server for `play` and `try`: on loopback, with free ports and temporary state.

use std::{
    convert::Infallible,
    fs::{self, DirBuilder},
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use anyhow::{Context, anyhow};
use tokio::sync::oneshot;

use crate::{
    cli::{
        client::{ApiClient, config},
        failure::{CliResult, Failure},
    },
    disk::state::StateDirectory,
    serve::{CheckProgram, Options, start},
};

/// Dropping it stops the server.
pub(in crate::cli) struct PrivateServer {
    addresses: Addresses,
    thread: ServerThread,
    state: ScratchDir,
}

struct Addresses {
    machines: SocketAddr,
    operators: SocketAddr,
    site_errors: usize,
}

impl PrivateServer {
    /// Starts a server for the site.
    pub(in crate::cli) fn start(site: &Path) -> CliResult<PrivateServer> {
        let state = ScratchDir::new().context("cannot create a directory for temporary state")?;
        // With the site's id the server accepts the empty state; without it, it would hold all installations.
        if let Some(id) = config(site)?.site_id {
            StateDirectory::open(&state.0)?.write_site_id(&id.value)?;
        }
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let (thread, addresses) = ServerThread::start(Options {
            site: site.into(),
            state: Some(state.0.clone()),
            witness: None,
            listen: Some(loopback),
            operator: Some(loopback),
            http_only: true,
            throwaway: true,
            probe_interval: None,
            check_program: CheckProgram::default(),
        })?;
        if addresses.site_errors > 0 {
            return Err(Failure::refused(anyhow!("the site has errors"))
                .help("fix them first: `bootwright check` shows them"));
        }
        Ok(PrivateServer {
            addresses,
            thread,
            state,
        })
    }

    /// The URL for machines.
    pub(in crate::cli) fn machines(&self) -> String {
        format!("http://{}", self.addresses.machines)
    }

    /// A client of the operator API.
    pub(in crate::cli) fn client(&self) -> ApiClient {
        ApiClient::of_temporary(self.addresses.operators, self.state.path())
    }

    pub(in crate::cli) fn stop(mut self) -> CliResult {
        Ok(self.thread.stop()?)
    }
}

/// The server's thread, which stops the server once `stop` is dropped.
struct ServerThread {
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl ServerThread {
    fn start(options: Options) -> anyhow::Result<(ServerThread, Addresses)> {
        let (started, addresses) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let mut thread = ServerThread {
            stop: Some(stop),
            thread: Some(thread::spawn(move || serve(options, &started, stopped))),
        };
        match addresses.recv() {
            Ok(addresses) => Ok((thread, addresses)),
            Err(mpsc::RecvError) => {
                thread.stop()?;
                Err(anyhow!("the server stopped at once"))
            }
        }
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => resume_unwind(panic),
        }
    }
}

impl Drop for ServerThread {
    fn drop(&mut self) {
        if !thread::panicking()
            && let Err(error) = self.stop()
        {
            tracing::warn!("cannot stop the temporary server: {error:#}");
        }
    }
}

/// Runs a server until the sender of `stopped` is dropped.
fn serve(
    options: Options,
    started: &mpsc::Sender<Addresses>,
    stopped: oneshot::Receiver<Infallible>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let running = start(options).await?;
        let addresses = Addresses {
            machines: running.machines,
            operators: running.operators,
            site_errors: running.banner.errors,
        };
        if started.send(addresses).is_ok() {
            let Err(_) = stopped.await;
        }
        running.stop().await
    })
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
