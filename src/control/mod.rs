//! The use cases: what a request is answered with, and what has happened by it.
//!
//! A [`Turn`] is one request's: it sees one [`Snapshot`] and both clocks, reads the [`World`], and changes
//! it through events alone, which it collects. The shell makes the events durable, then sends the answer.
//! Nothing here opens a socket or a file, and nothing is rendered: a decision names what is to be handed
//! out.
//!
//! [`who`] tells machines apart and [`history`] whose past is whose, [`boot`] decides network boots and
//! [`open`] what opens an attempt, [`checkin`] tells machines in the microkernel what to do, [`document`] and
//! [`callback`] follow an installation, [`deadline`] watches the clock for people, [`delivery`] says which of the operator's programs hear of what,
//! [`diagnose`] says where a boot has stopped, [`operate`] does what operators ask, and
//! [`status`] says how things stand.

mod snapshot;
mod token;
mod pool;
mod stranger;
mod run;
mod world;
mod turn;
mod ask;
mod address;
mod history;
mod who;
mod binding;
mod report;
mod naming;
mod asker;
mod lease;
mod signature;
mod trail;
mod dhcp;
mod diagnose;
mod boot;
mod open;
mod retry;
mod confirm;
mod document;
mod callback;
mod checkin;
mod deadline;
mod delivery;
mod operate;
mod reload;
mod status;
mod check;
#[cfg(test)]
mod never_twice;

pub use ask::{BootAsk, Decision, Disk, Opening, Report};
pub use binding::{Bound, Layers, Unbound};
pub use callback::{Callback, Heard};
pub use check::{Checked, Examined, shown_address};
pub use checkin::CheckedIn;
pub use delivery::{Telling, Tries};
pub use dhcp::{Broken, DhcpAsk, Fetched};
pub use document::{Handed, Refusal};
pub use operate::{Operation, OperationError};
pub use report::{LONGEST_REPORT, ReportError, Reported};
pub use signature::Signature;
pub use snapshot::{Snapshot, Traits};
pub use status::{Standing, Status};
pub use token::{Token, TokenKey};
pub use turn::Turn;
pub use world::World;
