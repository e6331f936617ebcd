//! A server that runs, until it is told to end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};

use super::{
    Banner, backend::Server, engine::Engine, listeners::Listeners, load::Loader, probe, reload,
};
use crate::{
    disk::{
        state::State,
        watch::{Seen, Watch},
    },
    journal::Event,
    net::http::{self, Machines, Operators, Stop},
};

/// Between two checkpoints.
const CHECKPOINT: Duration = Duration::from_secs(300);

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
    watch: Watch,
}

#[derive(Clone)]
struct EngineHandle(Arc<Engine>);

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

/// What follows the site.
pub(crate) struct Following {
    pub(crate) loader: Loader,
    pub(crate) state: State,
    pub(crate) seen: watch::Receiver<Seen>,
    pub(crate) watch: Watch,
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
        let server = Arc::new(Server(engine.clone()));
        let machines = listeners.machines.address();
        let operators = listeners.operators.address();
        let Following {
            loader,
            state,
            seen,
            watch,
        } = following;
        let told = Machines {
            advertise: listeners.advertise,
            limits: listeners.limits,
        };
        let admitted = Operators {
            guard: listeners.guard,
            limits: listeners.limits,
        };
        let stop_of_machines = Stop::new(stopped.clone());
        let listening = vec![
            tokio::spawn(http::machines(
                listeners.machines,
                server.clone(),
                told,
                stop_of_machines,
            )),
            tokio::spawn(http::operators(
                listeners.operators,
                server,
                admitted,
                Stop::new(stopped),
            )),
        ];
        let background = vec![
            tokio::spawn(reload::follow(engine.clone(), loader, state, seen)),
            tokio::spawn(tick(engine.clone())),
            tokio::spawn(checkpoints(engine.clone())),
            tokio::spawn(probe::run(engine.clone())),
        ];
        Running {
            machines,
            operators,
            banner,
            stop,
            listeners: listening,
            background,
            engine: EngineHandle(engine),
            watch,
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
                _ = hangup.recv() => self.watch.look_now(),
            }
        }
        self.stop().await
    }

    /// Ends the server in order.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        for listener in self.listeners {
            listener.await?;
        }
        self.background.iter().for_each(JoinHandle::abort);
        let engine = self.engine.0;
        let ((), ticket) = engine.turn(|turn| turn.record_site(Event::Stopped {}));
        ticket.durable().await?;
        engine.checkpoint()?.durable().await?;
        Ok(())
    }
}

/// Every second: deadlines, and documents of attempts that have ended.
async fn tick(engine: Arc<Engine>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        // What a deadline says is no answer to anybody: nothing waits for it.
        let ((), _ticket) = engine.turn(|turn| turn.tick());
        engine.sweep().await;
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
