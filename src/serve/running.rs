//! A server that runs, until it is told to end.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    disk::{
        state::StateDirectory,
        watch::{ObservedSite, SiteWatch},
    },
    journal::SiteEvent,
    net::{
        http::{self, MachineListenerConfig, OperatorListenerConfig, Stop},
        tftp,
    },
    serve::{
        Banner,
        background::{addresses, deliveries, dhcp_silence, follow_site, images, probe, rogue_dhcp},
        engine::Engine,
        listen::{
            dhcp,
            sockets::{self, Listeners},
            tftp::Tree,
        },
        reload::load::SiteLoader,
        server::Server,
    },
};

/// Between two checkpoints.
const CHECKPOINT: Duration = Duration::from_secs(300);

/// TFTP's port is tried again after this when it could not be had.
const TFTP_AGAIN: Duration = Duration::from_secs(10);

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    /// Where machines are served.
    pub machines: SocketAddr,
    /// Where operators are.
    pub operators: SocketAddr,
    /// What is said at the start.
    pub banner: Banner,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
    engine: EngineHandle,
    watch: SiteWatch,
    tftp: Tftp,
}

/// TFTP's server, as soon as it has its port.
type Tftp = Arc<Mutex<Option<tftp::TftpHandle>>>;

#[derive(Clone)]
struct EngineHandle(Arc<Engine>);

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

/// What follows the site.
pub(crate) struct Following {
    pub(crate) loader: SiteLoader,
    pub(crate) state: StateDirectory,
    pub(crate) seen: watch::Receiver<ObservedSite>,
    pub(crate) watch: SiteWatch,
    /// Whether DHCP is left alone.
    pub(crate) http_alone: bool,
    /// Whether nobody is to hear of what happens.
    pub(crate) throwaway: bool,
    /// Between two probes of machines that cannot report that they are finished.
    pub(crate) probe_interval: Duration,
}

impl Running {
    /// Begins to answer.
    pub(crate) fn begin(
        engine: Arc<Engine>,
        listeners: Listeners,
        following: Following,
        banner: Banner,
    ) -> Running {
        let (stop, stopped) = watch::channel(false);
        if !following.http_alone {
            // Known before the first machine asks.
            engine.find_links();
        }
        let server = Arc::new(Server(engine.clone()));
        let machines = listeners.machines.address();
        let operators = listeners.operators.address();
        let Following {
            loader,
            state,
            seen,
            watch,
            http_alone,
            throwaway,
            probe_interval,
        } = following;
        let setting = dhcp::Setting {
            advertise: listeners.advertise.clone(),
            port: machines.port(),
        };
        engine.find_loaders();
        let tree = Tree {
            engine: engine.clone(),
            advertise: setting.advertise.clone(),
            port: setting.port,
            fetched: Mutex::default(),
        };
        let tree = Arc::new(tree);
        let tftp = Arc::new(Mutex::new(None));
        let tftp_enabled = engine.started_with.tftp.enabled.as_ref();
        let wants_tftp = !http_alone && tftp_enabled.is_none_or(|at| at.value);
        let waits_for_tftp = listeners.tftp.is_err() && wants_tftp;
        if let Ok(server) = listeners.tftp {
            serve_tftp(server, tree.clone(), &tftp);
        }
        let told = MachineListenerConfig {
            advertise: listeners.advertise,
            limits: listeners.limits,
        };
        let admitted = OperatorListenerConfig {
            guard: listeners.guard,
            limits: listeners.limits,
        };
        let stop_of_machines = Stop::new(stopped.clone());
        let listening = vec![
            tokio::spawn(http::serve_machines(
                listeners.machines,
                server.clone(),
                told,
                stop_of_machines,
            )),
            tokio::spawn(http::serve_operators(
                listeners.operators,
                server,
                admitted,
                Stop::new(stopped),
            )),
        ];
        let mut background = vec![
            tokio::spawn(follow_site::follow(engine.clone(), loader, state, seen)),
            tokio::spawn(tick(engine.clone())),
            tokio::spawn(checkpoints(engine.clone())),
            tokio::spawn(probe::run(engine.clone(), probe_interval)),
            tokio::spawn(images::run(engine.clone())),
            tokio::spawn(loaders(engine.clone())),
        ];
        if !throwaway {
            background.push(tokio::spawn(deliveries::run(engine.clone())));
        }
        if waits_for_tftp {
            background.push(tokio::spawn(tftp_when_free(tree, tftp.clone())));
        }
        if !http_alone {
            background.push(tokio::spawn(addresses::run(engine.clone())));
            background.push(tokio::spawn(dhcp::run(engine.clone(), setting)));
            background.push(tokio::spawn(dhcp_silence::run(engine.clone())));
            background.push(tokio::spawn(rogue_dhcp::run(engine.clone())));
        }
        Running {
            machines,
            operators,
            banner,
            stop,
            listeners: listening,
            background,
            engine: EngineHandle(engine),
            watch,
            tftp,
        }
    }

    /// Waits until the server is told to end, by a signal or by [`Running::stop`].
    pub async fn wait(self) -> anyhow::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    self.watch.refresh();
                    self.engine.0.rogue_dhcp.probe_all_now(Instant::now());
                }
            }
        }
        self.stop().await
    }

    /// Ends the server in order.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        drop(lock(&self.tftp).take());
        for listener in self.listeners {
            listener.await?;
        }
        self.background.iter().for_each(JoinHandle::abort);
        let engine = self.engine.0;
        let ((), ticket) =
            engine.transaction(|transaction| transaction.record_site(SiteEvent::Stopped {}));
        ticket.durable().await?;
        engine.checkpoint()?.durable().await?;
        Ok(())
    }
}

fn serve_tftp(server: tftp::TftpServer, tree: Arc<Tree>, place: &Tftp) {
    match server.serve(tree) {
        Ok(handle) => *lock(place) = Some(handle),
        Err(error) => tracing::error!("TFTP is off: {error}"),
    }
}

/// Another program had the port at the start, and may leave it.
async fn tftp_when_free(tree: Arc<Tree>, place: Tftp) {
    loop {
        tokio::time::sleep(TFTP_AGAIN).await;
        if let Ok(server) = sockets::tftp_by_default() {
            tracing::info!("TFTP answers on port {}", tftp::PORT);
            return serve_tftp(server, tree, &place);
        }
    }
}

fn lock(place: &Tftp) -> std::sync::MutexGuard<'_, Option<tftp::TftpHandle>> {
    place
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Every second: deadlines, and documents of attempts that have ended.
async fn tick(engine: Arc<Engine>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        // What a deadline says is no answer to anybody: nothing waits for it.
        let ((), _ticket) = engine.transaction(|transaction| transaction.tick());
        engine.sweep().await;
    }
}

/// Loaders come with packages, which may be installed while the server runs.
async fn loaders(engine: Arc<Engine>) {
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    loop {
        minute.tick().await;
        engine.find_loaders();
    }
}

async fn checkpoints(engine: Arc<Engine>) {
    let mut events = engine.appended.subscribe();
    loop {
        tokio::time::sleep(CHECKPOINT).await;
        if !events.has_changed().unwrap_or(false) {
            continue;
        }
        events.mark_unchanged();
        match engine.checkpoint() {
            Ok(ticket) => {
                if let Err(error) = ticket.durable().await {
                    tracing::warn!("no checkpoint was written: {error}");
                }
            }
            Err(error) => tracing::error!("no checkpoint was written: {error:#}"),
        }
    }
}
