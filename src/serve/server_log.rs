//! What happens, as it happens, on the server's own log.

use crate::{
    control::ServerState,
    journal::{Event, JournalLine, describe},
};

/// Tells one line, unless it only repeats what others tell better.
pub(crate) fn tell(line: &JournalLine, server: &ServerState) {
    // What the server says of itself it says in words of its own.
    if matches!(
        line.event,
        Event::Serving { .. }
            | Event::HandOut { .. }
            | Event::Seen { .. }
            | Event::Facts { .. }
            | Event::Named { .. }
            | Event::Started { .. }
            | Event::Reloaded { .. }
    ) {
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
