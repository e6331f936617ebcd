//! The running server.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    api::PageLink,
    disk::{
        state::StateDirectory,
        watch::{ObservedSite, SiteWatch},
    },
    journal::SiteEvent,
    model::List,
    net::{
        http::{self, MachineListenerConfig, OperatorListenerConfig, Stop, tls::Tls},
        tftp,
    },
    serve::{
        Banner,
        background::{
            addresses, compaction, deliveries, dhcp_silence, follow_site, images, probe,
            rogue_dhcp,
            witness::{self, WitnessTask},
        },
        engine::Engine,
        listen::{
            dhcp, operator_tls,
            sockets::{self, Listeners},
            tftp::TftpTree,
        },
        memory,
        reload::load::SiteLoader,
        server::Server,
    },
};

/// The interval between checkpoints.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);

/// The interval between attempts to bind the TFTP port.
const TFTP_RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// The address for machines.
    pub machines: SocketAddr,
    /// The address for operators.
    pub operators: SocketAddr,
    pub banner: Banner,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
    guard: http::Guard,
    tls: Option<Arc<Tls>>,
    engine: EngineHandle,
    watch: SiteWatch,
    tftp: Tftp,
}

/// The TFTP server, once its port is bound.
type Tftp = Arc<Mutex<Option<tftp::TftpHandle>>>;

#[derive(Clone)]
struct EngineHandle(Arc<Engine>);

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

/// What the tasks of a running server need besides the engine and the listeners.
pub(crate) struct RunParts {
    pub(crate) loader: SiteLoader,
    pub(crate) witness: Arc<WitnessTask>,
    pub(crate) state: StateDirectory,
    pub(crate) site_changes: watch::Receiver<ObservedSite>,
    pub(crate) watch: SiteWatch,
    /// See [`Options::http_only`](crate::serve::Options::http_only).
    pub(crate) http_only: bool,
    /// See [`Options::throwaway`](crate::serve::Options::throwaway).
    pub(crate) throwaway: bool,
    /// The interval between probes of machines that cannot report that they are finished.
    pub(crate) probe_interval: Duration,
}

impl Running {
    /// Starts the listeners and the background tasks.
    pub(crate) fn begin(
        engine: Arc<Engine>,
        listeners: Listeners,
        parts: RunParts,
        banner: Banner,
    ) -> Running {
        let (stop, stopped) = watch::channel(false);
        if !parts.http_only {
            // The links have to be known before the first request.
            engine.find_links();
        }
        engine.find_loaders();
        let machines = listeners.machines.address();
        let operators = listeners.operators.address();
        let dhcp_config = dhcp::DhcpListenerConfig {
            advertise: listeners.advertise.clone(),
            port: machines.port(),
        };
        let tree = Arc::new(TftpTree {
            engine: engine.clone(),
            advertise: dhcp_config.advertise.clone(),
            port: dhcp_config.port,
            fetched: Mutex::default(),
        });
        let tftp = Tftp::default();
        let mut background = background(&engine, &parts, dhcp_config);
        let wants_tftp = !parts.http_only && engine.started_with.tftp.effective().enabled;
        match listeners.tftp {
            Ok(server) => serve_tftp(server, tree, &tftp),
            Err(_) if wants_tftp => {
                let ports = sockets::tftp_ports(&engine.started_with);
                background.push(tokio::spawn(tftp_when_free(tree, tftp.clone(), ports)));
            }
            Err(_) => {}
        }
        let follow = follow_site::follow(
            engine.clone(),
            parts.loader,
            parts.state,
            parts.site_changes,
        );
        background.push(tokio::spawn(follow));
        let names = engine.started_with.http.names.iter();
        let machine_config = MachineListenerConfig {
            advertise: listeners.advertise,
            names: names.flat_map(List::values).cloned().collect(),
            limits: listeners.limits,
        };
        if let Some(tls) = &listeners.tls {
            background.push(tokio::spawn(operator_tls::follow(tls.clone())));
        }
        let tls = listeners.tls;
        let operator_config = OperatorListenerConfig {
            guard: listeners.guard.clone(),
            tls: tls.clone(),
            limits: listeners.limits,
        };
        let guard = listeners.guard;
        let server = Arc::new(Server(engine.clone()));
        let listeners = vec![
            tokio::spawn(http::serve_machines(
                listeners.machines,
                server.clone(),
                machine_config,
                Stop::new(stopped.clone()),
            )),
            tokio::spawn(http::serve_operators(
                listeners.operators,
                server,
                operator_config,
                Stop::new(stopped),
            )),
        ];
        Running {
            machines,
            operators,
            banner,
            stop,
            listeners,
            background,
            guard,
            tls,
            engine: EngineHandle(engine),
            watch: parts.watch,
            tftp,
        }
    }

    /// Creates a link to the page for operators, which can be opened once.
    pub fn page_link(&self) -> std::io::Result<PageLink> {
        self.guard.page_link()
    }

    /// Runs the server until SIGTERM or SIGINT, then stops it. SIGHUP rereads the site and the certificate, and probes for other DHCP servers.
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
                    self.tls.iter().for_each(|tls| operator_tls::refresh(tls));
                    self.engine.0.rogue_dhcp.probe_all_now(Instant::now());
                }
            }
        }
        self.stop().await
    }

    /// Stops the server: closes the listeners, then writes a checkpoint.
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

/// Starts the background tasks.
fn background(
    engine: &Arc<Engine>,
    parts: &RunParts,
    dhcp_config: dhcp::DhcpListenerConfig,
) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![
        tokio::spawn(tick(engine.clone())),
        tokio::spawn(checkpoints(engine.clone())),
        tokio::spawn(compaction::run(engine.clone())),
        tokio::spawn(witness::run(engine.clone(), parts.witness.clone())),
        tokio::spawn(memory::release_regularly()),
        tokio::spawn(probe::run(engine.clone(), parts.probe_interval)),
        tokio::spawn(images::run(engine.clone())),
        tokio::spawn(loaders(engine.clone())),
    ];
    if !parts.throwaway {
        tasks.push(tokio::spawn(deliveries::run(engine.clone())));
    }
    if !parts.http_only {
        tasks.push(tokio::spawn(addresses::run(engine.clone())));
        tasks.push(tokio::spawn(dhcp::run(engine.clone(), dhcp_config)));
        tasks.push(tokio::spawn(dhcp_silence::run(engine.clone())));
        tasks.push(tokio::spawn(rogue_dhcp::run(engine.clone())));
    }
    tasks
}

fn serve_tftp(server: tftp::TftpServer, tree: Arc<TftpTree>, shared: &Tftp) {
    match server.serve(tree) {
        Ok(handle) => *lock(shared) = Some(handle),
        Err(error) => tracing::error!("TFTP cannot be started: {error}"),
    }
}

/// Starts TFTP once its port is free.
async fn tftp_when_free(tree: Arc<TftpTree>, handle: Tftp, ports: Option<RangeInclusive<u16>>) {
    loop {
        tokio::time::sleep(TFTP_RETRY_INTERVAL).await;
        if let Ok(server) = sockets::tftp_by_default(ports.clone()) {
            tracing::info!("TFTP: listening on port {}", tftp::PORT);
            return serve_tftp(server, tree, &handle);
        }
    }
}

fn lock(handle: &Tftp) -> std::sync::MutexGuard<'_, Option<tftp::TftpHandle>> {
    handle
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Checks deadlines and removes the documents of ended attempts, every second.
async fn tick(engine: Arc<Engine>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        // No answer depends on these events.
        let ((), _ticket) = engine.transaction(|transaction| transaction.tick());
        engine.sweep().await;
    }
}

/// Searches for loaders every minute, since their packages may be installed while the server runs.
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
        tokio::time::sleep(CHECKPOINT_INTERVAL).await;
        if !events.has_changed().unwrap_or(false) {
            continue;
        }
        events.mark_unchanged();
        match engine.checkpoint() {
            Ok(ticket) => {
                if let Err(error) = ticket.durable().await {
                    tracing::warn!("cannot write a checkpoint: {error}");
                }
            }
            Err(error) => tracing::error!("cannot write a checkpoint: {error:#}"),
        }
    }
}
