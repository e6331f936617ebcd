//! What has happened to each machine.
//!
//! The journal is an append-only list of [`JournalLine`]s. The state of a [`Machine`] is the fold of its lines
//! ([`JournalState::apply`]), so the journal is the only source of truth. A checkpoint is a stored fold, which makes the start
//! fast. [`crate::control`] decides what follows from a state. The shell writes the files.

mod stage;
mod id;
mod machine_map;
mod parts;
mod event;
mod event_table;
mod line;
mod machine;
mod apply;
mod merge;
mod attempt;
mod delivery_queue;
mod state;
mod retention;
mod describe;

pub use attempt::{Attempt, AttemptId};
pub use delivery_queue::{DeliveryQueue, PendingDelivery};
pub(crate) use describe::identities;
pub use describe::{EventDescription, describe};
pub use event::{DeliveryEvent, Event, LeaseEvent, MachineEvent, SiteEvent};
pub use event_table::{EventRole, EventSeverity, EventTraits};
pub use id::MachineId;
pub use line::{JournalLine, JournalLineError, ParsedLine};
pub use machine::{Binding, Machine, installs_of};
pub use machine_map::MachineMap;
pub use parts::{BootAnswer, DhcpOutcome, HoldCause, LogLevel};
pub use retention::{retained, time_of};
pub use stage::Stage;
pub use state::{FROM_MACHINES, JournalState, Lease};
