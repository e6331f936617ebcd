//! The journal's lines, folded into a state.

use crate::{
    disk::journal::{Damage, Replay},
    journal::{HoldCause, JournalLine, JournalState, MachineEvent, MachineId},
    model::Timestamp,
};

/// Folds what a journal holds. What is lost holds the machines it may concern; the second value says what was
/// found, for people.
pub(crate) fn fold(replay: Replay, now: Timestamp) -> anyhow::Result<(JournalState, Vec<String>)> {
    let mut found = replay.warnings;
    let mut state = match replay
        .checkpoint
        .as_deref()
        .map(serde_json::from_slice::<JournalState>)
    {
        Some(Ok(state)) => state,
        // The lines before it are not read again here, so a checkpoint that cannot be read loses them.
        Some(Err(error)) => anyhow::bail!(
            "the journal's checkpoint cannot be read ({error}): delete the file `checkpoint` in the journal's directory"
        ),
        None => JournalState::default(),
    };
    for line in replay.lines {
        let line = line?;
        match JournalLine::parse(&line) {
            Ok(parsed) => state.take(&parsed),
            Err(error) => found.push(format!("a line of the journal is skipped: {error}")),
        }
    }
    for damage in &replay.damage {
        found.push(format!("{}: {}", damage.segment, damage.why));
        if !damage.covered {
            hold(&mut state, damage, now);
        }
    }
    Ok((state, found))
}

fn hold(state: &mut JournalState, damage: &Damage, now: Timestamp) {
    let named = damage.machines.as_ref();
    let named = named.map(|ids| ids.iter().map(|id| MachineId(*id)).collect::<Vec<_>>());
    // Who is in it may not be known, or not who that is: then it may be anybody, also one of whom nothing is left.
    let is_anybody = named
        .as_ref()
        .is_none_or(|ids| ids.iter().any(|id| !is_known(state, *id)));
    if is_anybody {
        state.lost.get_or_insert_with(|| {
            format!(
                "part of the journal is lost ({}): what is installed is not known; say `bootwright init --state new` \
                 or `bootwright init --state installed`",
                damage.segment
            )
        });
    }
    let ids = named.unwrap_or_else(|| state.machines.ids());
    for id in ids
        .into_iter()
        .filter(|id| is_known(state, *id))
        .collect::<Vec<_>>()
    {
        let reason = format!(
            "part of the journal is lost ({}): {}",
            damage.segment, damage.why
        );
        let event = MachineEvent::Held {
            cause: HoldCause::Journal,
            reason,
        };
        state.apply(&JournalLine {
            at: now,
            machine: Some(id),
            event: event.into(),
            revision: None,
        });
    }
}

/// Whether what is left of the journal says who a machine is.
fn is_known(state: &JournalState, id: MachineId) -> bool {
    state
        .machine(id)
        .is_some_and(|machine| machine.node.is_some() || !machine.identity.is_empty())
}
