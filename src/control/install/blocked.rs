//! Why a machine is not given an installer: one type for every reason, and its text for people.

use std::{fmt, net::Ipv4Addr};

use super::binding::{NoAddress, Unbound};
use crate::{
    control::identity::{ambiguity::Ambiguity, unconfirmed::Unconfirmed},
    journal::HoldCause,
    model::{Hostname, Mac, TaskName},
    site::counted,
};

/// Why a machine boots its disk, waits, or gets no document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Blocked {
    /// The state directory does not contain what was installed before.
    StateLost(String),
    /// The machine is held, by an operator or by the server.
    Held { cause: HoldCause, reason: String },
    /// The machine must never be installed.
    Protected(Protection),
    /// `installs` is reached, and no operator has requested another installation.
    NotDue,
    /// The attempt was opened too long ago.
    Expired,
    /// No policy and no declaration binds the machine.
    Unbound {
        reason: Unbound,
        /// How many tags the machine has.
        tags: usize,
    },
    /// The attempt was opened for another policy, task, repo or address than the machine would get now.
    BindingChanged,
    /// The site has no such task.
    NoSuchTask(TaskName),
    /// Nothing is recorded of the machine, and the state may be older than the machines, for this reason.
    Unrecorded(String),
    /// An operator has stopped all installations.
    Paused,
    /// The machine's `expect` does not hold.
    Unmet {
        expect: String,
        /// Why it cannot be decided, if so.
        unknown: Option<String>,
    },
    /// No address of a pool is available.
    NoAddress(NoAddress),
    /// The machine's host name belongs to another machine.
    NameInUse { name: Hostname, owner: String },
    /// The image of the repo is not verified.
    ImageUnverified(String),
    /// As many installations began within the hour as `installs-per-hour` allows.
    RateLimited { limit: u32 },
    /// These addresses have to be probed first.
    AddressUnprobed(Vec<Ipv4Addr>),
    /// Its documents are being rendered.
    Preparing,
    /// Another host uses an address of this machine.
    AddressInUse { address: Ipv4Addr, mac: Mac },
    /// It is not clear which machine this is.
    Ambiguous(Ambiguity),
    /// The NIC that requests is not one of the machine's.
    Unconfirmed(Unconfirmed),
    /// The request carries no identity.
    NoIdentity,
    /// Too many undeclared machines have become known at once.
    TooManyNew,
    /// An installation may be finished without a report. The disk is tried first.
    DiskFirst,
    /// The attempt's documents cannot be rendered.
    Unrendered,
    /// The attempt's documents cannot be stored.
    Unstored(String),
    /// The attempt's documents cannot be read back, or rendered again.
    DocumentsUnavailable(String),
    /// The journal cannot be written.
    JournalUnwritable,
    /// The microkernel has not been built.
    NoMicrokernel,
    /// The script of this task cannot be rendered.
    TaskUnrendered(TaskName),
    /// The program that boots cannot start what the machine is to boot.
    WrongLoader(&'static str),
}

/// Why a machine is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Its `installs` is 0.
    InstallsZero,
    /// It was declared when an attempt of it was opened. The declaration no longer exists.
    DeclarationGone,
}

impl Blocked {
    /// Returns the reason for the hold if an operator has to act, else `None`.
    pub fn hold_reason(&self) -> Option<String> {
        match self {
            Blocked::StateLost(reason)
            | Blocked::Held { reason, .. }
            | Blocked::Unstored(reason) => Some(reason.clone()),
            Blocked::JournalUnwritable => {
                Some("the journal cannot be written; see the server's log".into())
            }
            _ => None,
        }
    }

    /// Returns whether an unread attempt is closed for this reason.
    pub(crate) fn ends_attempt(&self) -> bool {
        matches!(
            self,
            Blocked::NotDue | Blocked::Expired | Blocked::Unbound { .. } | Blocked::BindingChanged
        )
    }

    /// Returns whether the reason ends soon without an operator, so that the machine should wait and request again.
    pub fn ends_soon(&self) -> bool {
        matches!(
            self,
            Blocked::ImageUnverified(_)
                | Blocked::RateLimited { .. }
                | Blocked::AddressUnprobed(_)
                | Blocked::Preparing
        )
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protection::InstallsZero => "its `installs` is 0",
            Protection::DeclarationGone => "its declaration is gone",
        })
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = self.hold_reason() {
            return write!(f, "held: {reason}");
        }
        match self {
            Blocked::Protected(why) => write!(f, "protected: {why}"),
            Blocked::NotDue => f.write_str("no installation is due"),
            Blocked::Expired => f.write_str("its attempt was opened more than 24 hours ago"),
            Blocked::Unbound { reason, tags } => unbound(f, reason, *tags),
            Blocked::Preparing => f.write_str("its documents are being rendered"),
            Blocked::BindingChanged => {
                f.write_str("its binding changed after its attempt was opened")
            }
            Blocked::NoSuchTask(task) => write!(f, "there is no task `{task}`"),
            Blocked::Paused => {
                f.write_str("paused: no installation begins until `bootwright resume`")
            }
            Blocked::Unmet {
                expect,
                unknown: None,
            } => write!(f, "`{expect}` does not hold"),
            Blocked::Unmet {
                expect,
                unknown: Some(reason),
            } => write!(f, "`{expect}` is unknown: {reason}"),
            Blocked::NoAddress(why) => why.fmt(f),
            Blocked::NameInUse { name, owner } => {
                write!(f, "its host name would be {name}, which belongs to {owner}")
            }
            Blocked::RateLimited { limit } => write!(
                f,
                "{} began within the last hour (`installs-per-hour`)",
                counted(*limit as usize, "installation")
            ),
            Blocked::AddressUnprobed(_) => {
                f.write_str("checking that its IP address is not in use")
            }
            Blocked::AddressInUse { address, mac } => write!(
                f,
                "{address} is used by {mac}, which is not a NIC of this machine: free the address or declare another \
                 one; the hold ends automatically"
            ),
            Blocked::Unconfirmed(why) => why.fmt(f),
            Blocked::Ambiguous(why) => why.fmt(f),
            Blocked::TooManyNew => f.write_str(
                "too many undeclared machines request a boot at once: this one is recorded at its next network boot",
            ),
            Blocked::ImageUnverified(reason)
            | Blocked::DocumentsUnavailable(reason)
            | Blocked::Unrecorded(reason) => f.write_str(reason),
            Blocked::NoIdentity => f.write_str("no identity was reported"),
            Blocked::DiskFirst => {
                f.write_str("its installation may be done; its disk is tried first")
            }
            Blocked::Unrendered => {
                f.write_str("its installation cannot be prepared; see the server's log")
            }
            Blocked::NoMicrokernel => {
                f.write_str("the microkernel is not built: run `bootwright microkernel build`")
            }
            Blocked::TaskUnrendered(task) => write!(f, "task {task} cannot be rendered"),
            Blocked::WrongLoader(why) => f.write_str(why),
            // They have a reason for the hold.
            Blocked::StateLost(_)
            | Blocked::Held { .. }
            | Blocked::Unstored(_)
            | Blocked::JournalUnwritable => Ok(()),
        }
    }
}

fn unbound(f: &mut fmt::Formatter<'_>, reason: &Unbound, tags: usize) -> fmt::Result {
    match reason {
        Unbound::NoPolicy(_) => write!(
            f,
            "{}; no policy takes it; `bootwright explain` shows why",
            counted(tags, "tag")
        ),
        Unbound::Named(policy, mismatch) => write!(f, "policy {policy}: {mismatch}"),
        Unbound::NoTask => f.write_str("no setting names the task that installs it"),
    }
}
