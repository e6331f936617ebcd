//! Renders and stores the files of an attempt while the state is not locked.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::{
    control::{
        Blocked, BootFromDisk, Preparation, RenderError, RenderJob, Snapshot, Transaction,
        Unconfirmed,
    },
    disk::journal::Ticket,
    journal::AttemptId,
    serve::{
        boot::{Boot, BootResult},
        engine::{Engine, documents},
        reload::check_process::{CheckFailure, try_job},
    },
};

/// An installer whose files are to be rendered and stored. Its reservation ends when it is dropped.
pub(super) struct PendingInstaller {
    engine: Arc<Engine>,
    snapshot: Arc<Snapshot>,
    preparation: Preparation,
    job: RenderJob,
    /// Whether the request comes from the machine.
    is_confirmed: bool,
    /// Whether the reservation has ended: the attempt is open, or has failed.
    has_ended: bool,
}

/// Why an attempt has no files.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    #[error("{}", Blocked::NoMicrokernel)]
    NoMicrokernel,
    #[error(transparent)]
    Unrendered(#[from] RenderError),
    #[error("its documents cannot be rendered: {}", .0.reason())]
    Unbounded(#[from] CheckFailure),
    #[error("{0}")]
    NoScript(String),
    #[error("{}", Unconfirmed::Secret)]
    Secret,
    #[error("its documents cannot be stored: {0}")]
    Unstored(#[from] std::io::Error),
}

impl Engine {
    pub(super) fn reserve(
        self: &Arc<Self>,
        transaction: &mut Transaction<'_>,
        snapshot: &Arc<Snapshot>,
        boot: &Boot,
        preparation: Preparation,
    ) -> Option<PendingInstaller> {
        let job = transaction.reserve(&preparation, &boot.request, &boot.base)?;
        Some(PendingInstaller {
            engine: self.clone(),
            snapshot: snapshot.clone(),
            is_confirmed: transaction.is_from_machine(&preparation, &boot.request),
            preparation,
            job,
            has_ended: false,
        })
    }

    /// Answers with the installer of an open attempt. Its files are rendered again if the site has changed, or if the machine
    /// reaches the server at another URL than before. Returns `None` if the boot has to be decided again.
    pub(super) async fn repeat(
        self: &Arc<Self>,
        boot: &Boot,
        attempt: AttemptId,
        is_stale: bool,
        ticket: Ticket,
    ) -> Option<(BootResult, Ticket)> {
        if !is_stale {
            match self.script(attempt).await {
                Ok(script) if has_url(&script, boot.base.as_bytes()) => {
                    return Some((BootResult::Installer(attempt, script), ticket));
                }
                Ok(_) => {}
                Err(reason) => return Some((unavailable(boot, attempt, reason), ticket)),
            }
        }
        let (pending, _) = self.transaction_at(|transaction, snapshot| {
            self.reserve(transaction, snapshot, boot, Preparation::Again(attempt))
        });
        pending?.finish(boot).await
    }
}

impl PendingInstaller {
    /// Renders and stores the files, then opens the attempt. Returns `None` if the boot has to be decided again.
    pub(super) async fn finish(self, boot: &Boot) -> Option<(BootResult, Ticket)> {
        self.engine.remove_cached_script(self.preparation.attempt());
        let stored = spawn_blocking(move || {
            let stored = self.store();
            (self, stored)
        });
        // A panic is logged by its thread, and the boot is decided again.
        match stored.await.ok()? {
            (pending, Ok(script)) => pending.open(boot, script).await,
            (pending, Err(error)) => Some(pending.fail(boot, &error)),
        }
    }

    async fn open(mut self, boot: &Boot, script: Vec<u8>) -> Option<(BootResult, Ticket)> {
        let attempt = self.preparation.attempt();
        let (is_open, ticket) = self
            .engine
            .transaction_with_images(|transaction, snapshot| {
                Arc::ptr_eq(snapshot, &self.snapshot)
                    && transaction.complete(&self.preparation, &boot.request)
            });
        if is_open {
            self.has_ended = true;
            self.engine.cache_script(attempt, script.clone());
            return Some((BootResult::Installer(attempt, script), ticket));
        }
        if let Preparation::New(_) = self.preparation {
            // The reservation ends afterwards, so that the files of another attempt are not removed.
            spawn_blocking(move || self.remove_files()).await.ok()?;
        }
        None
    }

    fn remove_files(&self) {
        let attempt = self.preparation.attempt();
        if let Err(error) = self.engine.attempts.remove(documents::key(attempt)) {
            // The next attempt, or the next start of the server, removes them.
            tracing::warn!(
                "cannot remove the files of attempt {}: {error}",
                attempt.number
            );
        }
    }

    fn store(&self) -> Result<Vec<u8>, PrepareError> {
        if let Preparation::New(opening) = &self.preparation {
            let task = self.snapshot.library.task(&opening.task);
            if task.is_some_and(|task| task.spec.microkernel) && !self.engine.has_microkernel() {
                return Err(PrepareError::NoMicrokernel);
            }
        }
        try_job(&self.engine.check_program, &self.job, &self.snapshot)?;
        let rendered = self.job.run(&self.snapshot)?;
        if rendered.uses_secrets && !self.is_confirmed {
            return Err(PrepareError::Secret);
        }
        let script = documents::script_of(&rendered).map_err(PrepareError::NoScript)?;
        documents::store(&self.engine.attempts, self.preparation.attempt(), rendered)?;
        Ok(script)
    }

    fn fail(mut self, boot: &Boot, error: &PrepareError) -> (BootResult, Ticket) {
        let reason = error.to_string();
        let attempt = self.preparation.attempt();
        let (disk, ticket) = self
            .engine
            .transaction(|transaction| transaction.fail(&self.preparation, reason.clone()));
        self.has_ended = true;
        let Some(disk) = disk else {
            return (unavailable(boot, attempt, reason), ticket);
        };
        let blocked = match error {
            PrepareError::NoMicrokernel => Some(Blocked::NoMicrokernel),
            PrepareError::Secret => Some(Blocked::Unconfirmed(Unconfirmed::Secret)),
            // This is no hold: the next boot installs the machine once the disk has space.
            PrepareError::Unstored(_) => Some(Blocked::Unstored(reason)),
            PrepareError::Unrendered(_)
            | PrepareError::Unbounded(_)
            | PrepareError::NoScript(_) => None,
        };
        let reason = blocked.or(disk.reason);
        let disk = BootFromDisk { reason, ..disk };
        (BootResult::Disk(disk), ticket)
    }
}

impl Drop for PendingInstaller {
    fn drop(&mut self) {
        if !self.has_ended {
            let ((), _ticket) = self.engine.transaction(|transaction| {
                transaction.cancel(&self.preparation);
            });
        }
        self.engine.prepared.send_modify(|count| *count += 1);
    }
}

fn unavailable(boot: &Boot, attempt: AttemptId, reason: String) -> BootResult {
    tracing::error!("attempt {}: {reason}", attempt.number);
    boot.disk(Blocked::DocumentsUnavailable(reason))
}

/// Returns whether a script contains a URL that starts with `base`.
fn has_url(script: &[u8], base: &[u8]) -> bool {
    let after = |at: usize| script.get(at + base.len());
    let mut places = script.windows(base.len()).enumerate();
    places.any(|(at, found)| found == base && after(at) == Some(&b'/'))
}
