//! The use cases: how a request is answered, and which events it records.
//!
//! A [`Transaction`] handles one request. It reads one [`Snapshot`] of the site, both clocks and the [`ServerState`], and changes
//! the state only through events, which it collects. The shell makes the events durable, then sends the answer.
//! Nothing here opens a socket or a file, and nothing is rendered: a decision names what to render.
//!
//! `identity` finds the machine of a report, `install` holds everything about one installation, `dhcp` answers DHCP,
//! `checkin` serves machines in the microkernel, `diagnosis` reports where a boot has stopped, [`delivery`] decides which
//! hooks and brokers receive which event, [`operate`] does what operators ask, and [`status`] describes machines.

mod snapshot;
mod request;
mod undeclared;
mod install;
mod identity;
mod dhcp;
mod diagnosis;
mod reported_facts;
mod checkin;
mod report_budget;
mod remarks;
mod volatile;
mod state;
mod transaction;
mod boot;
mod next_boot;
mod delivery;
mod operate;
mod reload;
mod status;
mod validate;
#[cfg(test)]
mod never_twice;

pub use checkin::check_in::CheckedIn;
pub use checkin::report::{MAX_REPORT_BYTES, ReportError, Reported};
pub use delivery::{HookCall, RetryState};
pub use dhcp::respond::{FailedFetch, Fetched, ReceivedQuery};
pub use diagnosis::causes::Diagnosis;
pub use identity::ambiguity::Ambiguity;
pub(crate) use identity::naming::name_of;
pub use identity::sender::{Sender, SenderLink};
pub use identity::unconfirmed::Unconfirmed;
pub use install::binding::{Bound, NoAddress, SettingLayers, Unbound};
pub use install::blocked::{Blocked, Protection};
pub use install::callback::{Callback, CallbackOutcome};
pub use install::document::{Download, DownloadRefused};
pub use install::preparation::Preparation;
pub use install::rendering::{RenderError, RenderJob};
pub use install::seal::{Seal, SealAuthority, SealError, SealVerdict};
pub use install::token::{TokenKey, UrlToken};
pub use next_boot::NextBoot;
pub use operate::{CommandError, DeclaredState};
pub use request::{BootFromDisk, Decision, NetworkBoot, NewAttempt, Report};
pub use snapshot::{Snapshot, TaskTraits};
pub use state::ServerState;
pub use transaction::{Transaction, TransactionEnd};
pub use validate::{RenderCheck, RenderTarget, shown_address};
