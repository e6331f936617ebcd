//! What has happened to each machine.
//!
//! The journal is a list of [`Line`]s that only grows. A [`Machine`] is never stored: it is the fold of
//! its lines ([`State::apply`]), so the log is the one source of truth, and a checkpoint is only a fold
//! that somebody kept. What follows from a state is decided in [`crate::control`]; files are written in
//! the shell.

mod stage;
mod id;
mod by_machine;
mod parts;
mod event;
mod line;
mod machine;
mod attempt;
mod due;
mod state;
mod words;

pub use attempt::{Attempt, AttemptId};
pub use by_machine::ByMachine;
pub use due::{Deliveries, Due};
pub use event::Event;
pub use id::MachineId;
pub use line::{Line, LineError, Parsed};
pub use machine::{Binding, Machine};
pub use parts::{DhcpGiven, Given, HoldCause, Level};
pub use stage::Stage;
pub use state::{Lease, State};
pub(crate) use words::identities;
pub use words::{Words, words};
