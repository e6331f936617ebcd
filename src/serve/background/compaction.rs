//! Compacts the journal, as `[journal]` of the site sets.

use std::{sync::Arc, time::Duration};

use crate::{
    disk::journal::{Compaction, JournalError, Retention},
    journal::{retained, time_of},
    model::ByteSize,
    serve::engine::Engine,
};

/// The interval between checks whether a segment is due.
const INTERVAL: Duration = Duration::from_secs(60);
/// The pause after a segment, so that other work continues.
const PAUSE: Duration = Duration::from_secs(1);

/// Compacts segments that are due, one at a time, on a thread of its own.
pub(crate) async fn run(engine: Arc<Engine>) {
    let mut is_logged = false;
    loop {
        let of_step = engine.clone();
        let step = tokio::task::spawn_blocking(move || step(&of_step)).await;
        let Ok(step) = step else {
            tracing::error!(
                "the compaction of the journal panicked; it is off until the next start"
            );
            return;
        };
        let pause = match &step {
            Ok(Compaction::Compacted { .. }) => PAUSE,
            Ok(Compaction::NotDue { .. }) | Err(_) => INTERVAL,
        };
        let is_problem = report(&engine, &step, is_logged);
        is_logged = is_problem;
        tokio::time::sleep(pause).await;
    }
}

fn step(engine: &Engine) -> Result<Compaction, JournalError> {
    let settings = engine.started_with.journal.effective();
    let now = engine.now().wall;
    let is_expired = |last: &str| time_of(last).is_none_or(|at| now.since(at) > settings.keep);
    engine.journal.compact(&Retention {
        max: settings.max.0,
        is_expired: &is_expired,
        retained: &retained,
    })
}

/// Logs a step. A problem that was logged before is not logged again. Returns whether there is one.
fn report(engine: &Engine, step: &Result<Compaction, JournalError>, is_logged: bool) -> bool {
    let max = engine.started_with.journal.effective().max;
    match step {
        Ok(Compaction::Compacted {
            segment,
            before,
            after,
        }) => {
            let (before, after) = (ByteSize(*before), ByteSize(*after));
            tracing::info!(
                "the journal's segment {segment} was compacted from {before} to {after}"
            );
            false
        }
        Ok(Compaction::NotDue { bytes }) if *bytes > max.0 => {
            if !is_logged {
                tracing::warn!(
                    "the journal has {}, more than `max` in `[journal]` ({}): what remains decides about machines, or is \
                     recent; set a larger `max`",
                    ByteSize(*bytes),
                    max.written()
                );
            }
            true
        }
        Ok(Compaction::NotDue { .. }) => false,
        // The journal's own state says so.
        Err(JournalError::Closed | JournalError::Full) => false,
        Err(error) => {
            if !is_logged {
                tracing::warn!("the journal cannot be compacted: {error}");
            }
            true
        }
    }
}
