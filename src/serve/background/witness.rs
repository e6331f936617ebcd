//! Keeps the witness of the state directory up to date, and stores that the server runs.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    disk::{
        state::StateDirectory,
        witness::{Witness, WitnessedPosition},
    },
    serve::engine::Engine,
};

/// The interval between checks whether there are new decisions.
const INTERVAL: Duration = Duration::from_secs(1);

/// The interval at which the server stores that it runs.
const ALIVE_INTERVAL: Duration = Duration::from_secs(300);

/// The time until a problem is logged again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(3_600);

/// What the witness of a running server needs.
#[derive(Debug, Clone)]
pub(crate) struct WitnessTask {
    pub(crate) state: StateDirectory,
    pub(crate) generation: String,
    /// None for a demonstration, and for a server with temporary state.
    pub(crate) witness: Option<Witness>,
}

/// Stores each decision within a second or two, and once a problem is gone.
pub(crate) async fn run(engine: Arc<Engine>, task: Arc<WitnessTask>) {
    let mut stored: Option<u64> = None;
    let mut alive: Option<Instant> = None;
    let mut logged: Option<Instant> = None;
    loop {
        let is_due = alive.is_none_or(|at| at.elapsed() >= ALIVE_INTERVAL);
        let position = position(&engine, &task);
        let result = match () {
            () if is_due => task.store_alive(&engine).await,
            () => Ok(()),
        };
        if is_due {
            alive = Some(Instant::now());
        }
        let result = match (result, position) {
            (Ok(()), Some(position)) if stored != Some(position.decisions) => {
                let done = task.store(&engine, &position).await;
                done.map(|()| stored = Some(position.decisions))
            }
            (result, _) => result,
        };
        if let Err(error) = result
            && logged.is_none_or(|at| at.elapsed() >= REPEAT_INTERVAL)
        {
            logged = Some(Instant::now());
            tracing::warn!(
                "{error}: an old copy of the state directory would not be detected; it is tried again every second"
            );
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Returns how far the state has got; none while it is not known whether it is an old copy.
pub(crate) fn position(engine: &Engine, task: &WitnessTask) -> Option<WitnessedPosition> {
    engine.read(|transaction| {
        let state = &transaction.server.state;
        state.lost.is_none().then(|| WitnessedPosition {
            generation: task.generation.clone(),
            decisions: state.decisions,
            at: state.latest,
        })
    })
}

impl WitnessTask {
    async fn store_alive(self: &Arc<Self>, engine: &Engine) -> io::Result<()> {
        let (task, now) = (self.clone(), engine.now().wall);
        blocking(move || task.state.write_alive(now)).await
    }

    /// Stores a position once everything up to it is in the journal.
    async fn store(
        self: &Arc<Self>,
        engine: &Engine,
        position: &WitnessedPosition,
    ) -> io::Result<()> {
        let Some(witness) = self.witness.clone() else {
            return Ok(());
        };
        // A journal that cannot be written is reported elsewhere, and the witness must not be ahead of it.
        if engine.journal.append(Vec::new()).durable().await.is_err() {
            return Ok(());
        }
        let position = position.clone();
        let path = witness.path().display().to_string();
        let stored = blocking(move || witness.store(&position)).await;
        stored.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("the witness `{path}` cannot be written ({error})"),
            )
        })
    }
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)),
    }
}
