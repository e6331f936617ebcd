//! What happens, as it happens, on the server's own log.

use crate::{
    control::ServerState,
    journal::{JournalLine, describe},
};

/// Logs a line of the journal, unless another line shows the same.
pub(crate) fn tell(line: &JournalLine, server: &ServerState) {
    if !line.event.traits().logged {
        return;
    }
    let describe = describe(line);
    let machine = line.machine.and_then(|id| server.state.machine(id));
    let name = machine.map_or_else(String::new, |machine| {
        let mac = machine.identity.mac.first();
        machine.node.as_ref().map_or_else(
            || mac.map_or_else(|| machine.id.to_string(), |mac| mac.hyphens()),
            ToString::to_string,
        )
    });
    tracing::info!(target: "bootwright::event", "{name:<12}  {:<10} {}", describe.kind, describe.detail);
}
