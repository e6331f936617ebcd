//! Logs the events of the journal.

use crate::{
    control::ServerState,
    journal::{JournalLine, describe},
};

/// Logs an event, unless other log lines already describe it.
pub(crate) fn log(line: &JournalLine, server: &ServerState) {
    if !line.event.traits().logged {
        return;
    }
    let described = describe(line);
    let machine = line.machine.and_then(|id| server.state.machine(id));
    let name = machine.map_or_else(String::new, |machine| {
        let mac = machine.identity.mac.first();
        machine.node.as_ref().map_or_else(
            || mac.map_or_else(|| machine.id.to_string(), |mac| mac.hyphens()),
            ToString::to_string,
        )
    });
    tracing::info!(target: "bootwright::event", "{name:<12}  {:<10} {}", described.kind, described.detail);
}
