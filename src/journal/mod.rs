//! What has happened to each machine.
//!
//! The journal is a list of [`JournalLine`]s that only grows. A [`Machine`] is never stored: it is the fold of
//! its lines ([`JournalState::apply`]), so the log is the one source of truth, and a checkpoint is only a fold
//! that somebody kept. What follows from a state is decided in [`crate::control`]; files are written in
//! the shell.

mod stage;
mod id;
mod machine_map;
mod parts;
mod event;
mod event_table;
mod line;
mod machine;
mod absorb;
mod attempt;
mod delivery_queue;
mod state;
mod describe;

pub use attempt::{Attempt, AttemptId};
pub use delivery_queue::{DeliveryQueue, PendingDelivery};
pub(crate) use describe::identities;
pub use describe::{EventDescription, describe};
pub use event::{DeliveryEvent, Event, LeaseEvent, MachineEvent, SiteEvent};
pub use event_table::{EventSeverity, EventTraits};
pub use id::MachineId;
pub use line::{JournalLine, JournalLineError, ParsedLine};
pub use machine::{Binding, Machine, installs_of};
pub use machine_map::MachineMap;
pub use parts::{BootAnswer, DhcpOutcome, HoldCause, LogLevel};
pub use stage::Stage;
pub use state::{JournalState, Lease};
