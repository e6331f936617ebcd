//! Folds the lines of the journal into a state.

use crate::{
    disk::journal::{Damage, Replay},
    journal::{HoldCause, JournalLine, JournalState, MachineEvent, MachineId},
    model::Timestamp,
    serve::site_id::UNKNOWN,
};

/// Folds the lines of a journal into a state. If lines are lost, the machines that they may concern are held. The second value
/// is a list of warnings.
pub(crate) fn fold(replay: Replay, now: Timestamp) -> anyhow::Result<(JournalState, Vec<String>)> {
    let mut found = replay.warnings;
    let mut state = match replay
        .checkpoint
        .as_deref()
        .map(serde_json::from_slice::<JournalState>)
    {
        Some(Ok(state)) => state,
        // The lines before the checkpoint were not read, so they would be lost.
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
    // If the damaged part names no machines, or a machine without identity, it may concern any machine, even one of which no
    // line is left.
    let may_concern_any = named
        .as_ref()
        .is_none_or(|ids| ids.iter().any(|id| !is_known(state, *id)));
    if may_concern_any {
        state.lost.get_or_insert_with(|| {
            format!(
                "part of the journal is lost ({}): {UNKNOWN}",
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

/// Returns whether the rest of the journal identifies a machine.
fn is_known(state: &JournalState, id: MachineId) -> bool {
    state
        .machine(id)
        .is_some_and(|machine| machine.node.is_some() || !machine.identity.is_empty())
}
