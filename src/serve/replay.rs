//! The journal's lines, folded into a state.

use crate::{
    disk::journal::{Damage, Replay},
    journal::{Event, HoldCause, Line, MachineId, State},
    model::Timestamp,
};

/// Folds what a journal holds. What is lost holds the machines it may concern; the second value says what was
/// found, for people.
pub(crate) fn fold(replay: Replay, now: Timestamp) -> anyhow::Result<(State, Vec<String>)> {
    let mut found = replay.warnings;
    let mut state = match replay
        .checkpoint
        .as_deref()
        .map(serde_json::from_slice::<State>)
    {
        Some(Ok(state)) => state,
        // The lines before it are not read again here, so a checkpoint that cannot be read loses them.
        Some(Err(error)) => anyhow::bail!(
            "the journal's checkpoint cannot be read ({error}): delete the file `checkpoint` in the journal's directory"
        ),
        None => State::default(),
    };
    for line in replay.lines {
        let line = line?;
        match Line::parse(&line) {
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

fn hold(state: &mut State, damage: &Damage, now: Timestamp) {
    let ids: Vec<MachineId> = match &damage.machines {
        Some(machines) => machines.iter().map(|id| MachineId(*id)).collect(),
        None => {
            // Who is in it is not known: it may be anybody, also one of whom nothing is left.
            state.lost.get_or_insert_with(|| {
                format!(
                    "part of the journal is lost ({}): what is installed is not known; say `bootwright init --state new` \
                     or `bootwright init --state installed`",
                    damage.segment
                )
            });
            state.machines.keys().copied().collect()
        }
    };
    for id in ids {
        let reason = format!(
            "part of the journal is lost ({}): {}",
            damage.segment, damage.why
        );
        let event = Event::Held {
            cause: HoldCause::Journal,
            reason,
        };
        state.apply(&Line {
            at: now,
            machine: Some(id),
            event,
            revision: None,
        });
    }
}
