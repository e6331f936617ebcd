//! Whether the state of a server is as old as its machines, and what shows that it is older.

use std::path::Path;

use crate::{
    control::{SealAuthority, ServerState},
    disk::{
        state::StateDirectory,
        witness::{Testimony, Witness, WitnessedPosition},
    },
    journal::JournalState,
    model::{ServerConfig, TimeSpan, Timestamp},
    serve::{
        Options,
        site_id::{StateOwner, UNKNOWN, is_in},
    },
};

/// Why the state may be an old copy, although nothing proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doubt(pub(crate) String);

impl Doubt {
    /// A virtual machine that was set back to an earlier time has not stopped its server, and its clock is ahead of all that the
    /// state contains.
    pub(crate) fn of(
        journal: &JournalState,
        state: &StateDirectory,
        config: &ServerConfig,
        now: Timestamp,
    ) -> Option<Doubt> {
        let last = journal.latest.max(state.alive().unwrap_or_default());
        let gap = now.since(last);
        let is_doubtful = journal.is_running && gap > config.journal.effective().gap;
        is_doubtful.then(|| {
            Doubt(format!(
                "the server did not stop normally, and was last known to run {} ago ({last}): if its state was set back to an \
                 earlier time since, machines that were installed meanwhile look new; if not: `bootwright release --all`",
                TimeSpan(gap)
            ))
        })
    }
}

/// Returns the witness of a server; none for a demonstration, and for temporary state.
pub(crate) fn witness(
    options: &Options,
    root: &Path,
    config: &ServerConfig,
    state: &StateDirectory,
    warnings: &mut Vec<String>,
) -> Option<Witness> {
    if options.throwaway || config.site_id.is_none() {
        return None;
    }
    let configured = config.paths.witness.as_ref();
    let configured = configured.map(|witness| root.join(&witness.value));
    let path = configured.or_else(|| options.witness.clone())?;
    if is_in(&path, state.path()) {
        warnings.push(format!(
            "`{}` is in the state directory, so there is no witness: set `witness` in `[paths]` to a directory elsewhere",
            path.display()
        ));
        return None;
    }
    Some(Witness::new(&path))
}

/// Adds what makes and checks the seals of disks.
pub(crate) fn with_seals(
    server: ServerState,
    config: &ServerConfig,
    state: &StateDirectory,
    witness: Option<&Witness>,
    warnings: &mut Vec<String>,
) -> anyhow::Result<ServerState> {
    let Some(id) = &config.site_id else {
        return Ok(server);
    };
    let key = match witness {
        Some(witness) => {
            let (key, warning) = witness.seal_key(state)?;
            warnings.extend(warning);
            key
        }
        None => state.seal_key()?,
    };
    Ok(server.with_seals(SealAuthority::new(&id.value, key.0)))
}

/// Returns the owner of the state directory. If the directory is older than its witness, it is that of nobody.
pub(crate) fn testified(
    owner: StateOwner,
    journal: &JournalState,
    state: &StateDirectory,
    witness: Option<&Witness>,
    warnings: &mut Vec<String>,
) -> anyhow::Result<StateOwner> {
    let Some(witness) = witness.filter(|_| owner == StateOwner::Yes) else {
        return Ok(owner);
    };
    let position = WitnessedPosition {
        generation: state.generation()?,
        decisions: journal.decisions,
        at: journal.latest,
    };
    match witness.compare(&position) {
        Ok(Testimony::Current | Testimony::Missing) => Ok(owner),
        Ok(Testimony::Behind(reason)) => Ok(StateOwner::No(format!("{reason}: {UNKNOWN}"))),
        Err(error) => {
            warnings.push(format!(
                "the witness cannot be read ({error}): an old copy of the state directory would not be detected"
            ));
            Ok(owner)
        }
    }
}
