//! Logs the events of the journal.

use crate::{
    control::{ServerState, name_of},
    journal::{JournalLine, describe},
};

/// Logs an event, unless other log lines already describe it.
pub(crate) fn log(line: &JournalLine, server: &ServerState) {
    if !line.event.traits().logged {
        return;
    }
    let described = describe(line);
    let machine = line.machine.and_then(|id| server.state.machine(id));
    let name = name_of(machine, None);
    tracing::info!(target: "bootwright::event", "{name:<12}  {:<10} {}", described.kind, described.detail);
}
