//! What can happen: to a machine, to a lease, to a delivery, or to the whole site.
//!
//! In the journal the key `event` holds the name of the variant in kebab case. What the server does with each
//! event is in [`super::event_table`].

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::{BootAnswer, DhcpOutcome, HoldCause, LogLevel, MachineId, Stage};
use crate::model::{
    BootProgram, Facts, Identity, LifecycleEvent, Mac, NodeName, Platform, PolicyName, Recipient,
    RepoName, TaskName, Timestamp,
};

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    Machine(MachineEvent),
    Lease(LeaseEvent),
    Delivery(DeliveryEvent),
    Site(SiteEvent),
}

/// What happens to one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum MachineEvent {
    /// An identity was reported that was not known of the machine.
    Seen {
        /// What was new.
        identity: Identity,
    },
    /// The history belongs to the declaration of this name from now on.
    Named {
        /// The declaration.
        node: NodeName,
        /// The identities it declares that were not known of the machine: they are its own from now on, so
        /// that a card that was replaced in the declaration is not a stranger's later.
        #[serde(default, skip_serializing_if = "Identity::is_empty")]
        identity: Identity,
        /// By what the machine was known before, when only the name says that the declaration is its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took_over: Option<Identity>,
    },
    /// The machine turned out to be another one that is known; its history goes there.
    Merged {
        /// The other one.
        into: MachineId,
    },
    /// The machine reported something of itself.
    Facts {
        /// What.
        facts: Box<Facts>,
        /// The attempt whose token it came with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
    },
    /// Something reported could not be read and was dropped.
    Dropped {
        /// What, and why.
        what: String,
    },
    /// A DHCP message of a machine that boots from the network was answered, or not.
    Dhcp {
        /// What asked, such as `UEFI x64 PXE`.
        client: String,
        /// What came of it.
        given: DhcpOutcome,
    },
    /// A loader, or another file that firmware asks for, was fetched to its end.
    Fetched {
        /// `tftp` or `http`.
        by: String,
        name: String,
        bytes: u64,
        /// How long that took, in milliseconds.
        ms: u64,
    },
    /// Such a file was not fetched to its end, or is not there.
    Unfetched {
        /// `tftp` or `http`.
        by: String,
        name: String,
        /// Why.
        reason: String,
    },
    /// A network boot was answered.
    Boot {
        /// What asked: iPXE where it is left out.
        #[serde(default, skip_serializing_if = "BootProgram::is_ipxe")]
        by: BootProgram,
        /// What kind of firmware started it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        platform: Option<Platform>,
        /// The answer.
        given: BootAnswer,
    },
    /// A policy, or the node itself, says what the machine gets.
    Bound {
        /// The policy; none when the node says it itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<PolicyName>,
        /// An address from the network's pool.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
    },
    /// An attempt to install was opened: an installer is handed out.
    Attempt {
        /// Its number; numbers only grow.
        attempt: u32,
        /// The node's `installs` at this moment.
        installs: u32,
        /// What installs.
        task: TaskName,
        /// From where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repo: Option<RepoName>,
    },
    /// Something of the attempt that is no document was fetched.
    HandOut {
        attempt: u32,
        /// What.
        name: String,
    },
    /// A document's bytes begin to leave. Until its end is known it counts as read: a crash in between must not wipe twice.
    Serving { attempt: u32, name: String },
    /// A document was read to its end.
    Document {
        attempt: u32,
        name: String,
        bytes: u64,
    },
    /// The connection broke before the document's end.
    Aborted { attempt: u32, name: String },
    /// The machine, or the boot script, reported a stage.
    Stage {
        /// The attempt whose token it came with.
        attempt: u32,
        /// The stage.
        stage: Stage,
        /// What the machine says to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// By how many seconds its deadline had passed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        late: Option<u64>,
        /// Observed by the server rather than reported.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        inferred: bool,
    },
    /// The deadline of a stage passed. It tells people and takes nothing from the machine.
    Overdue {
        attempt: u32,
        /// The stage that did not come; `document` is none of the stages, so this is its name.
        stage: String,
        /// The deadline in seconds.
        after: u64,
    },
    /// The server gave the attempt up: its disk is seen not to boot.
    GaveUp {
        attempt: u32,
        /// Why.
        reason: String,
    },
    /// The attempt ended without a result: another one takes its place, or an operator closed it.
    Closed {
        attempt: u32,
        /// Why.
        reason: String,
    },
    /// A line that the machine logged.
    Log {
        attempt: u32,
        /// How grave.
        level: LogLevel,
        /// The line.
        text: String,
    },
    /// Somebody asked with a token that has ended, or is stopped.
    DeadToken {
        /// What was asked for.
        name: String,
        /// What stops it; none: its attempt has ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// No installer is handed out until it is released.
    Held {
        /// The cause.
        cause: HoldCause,
        /// For people to read.
        reason: String,
    },
    /// A hold ended: one cause by itself, or all of them because requested by an operator.
    Released {
        /// The cause that went away; none: all of them, and the count of failed attempts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<HoldCause>,
    },
    /// An operator asks for one more installation.
    Reinstall {},
    /// An operator says that the machine is installed.
    Marked {
        /// The node's `installs` at this moment.
        installs: u32,
    },
    /// The history ends; the machine starts from nothing.
    Forgotten {
        /// Who said so.
        by: String,
    },
    /// A document could not be rendered, or kept.
    Unrendered {
        /// Why, without secrets.
        reason: String,
    },
    /// Something worth a line that changes nothing.
    Remark {
        /// The line.
        text: String,
    },
}

/// What happens to an address of a network's dynamic range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum LeaseEvent {
    /// An address of a network's range was leased to a card, or its lease was renewed.
    #[serde(rename = "lease")]
    Granted {
        address: Ipv4Addr,
        /// The card; none: somebody else was found to use the address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mac: Option<Mac>,
        /// When the lease ends.
        until: Timestamp,
    },
    /// A lease was given back.
    #[serde(rename = "lease-ended")]
    Ended { address: Ipv4Addr },
}

/// What happens to a delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum DeliveryEvent {
    /// A program is to hear of something that has just happened to the machine.
    Due {
        /// The number of the delivery; numbers only grow.
        delivery: u64,
        /// Whose program.
        to: Recipient,
        /// Of what.
        on: LifecycleEvent,
        /// What the machine was called.
        node: String,
        /// In which of its attempts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        /// Why, where it says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The program has heard of it.
    Delivered {
        delivery: u64,
        /// Whose program.
        to: Recipient,
        /// Of what.
        on: LifecycleEvent,
    },
    /// The program has not; it is retried.
    Undelivered {
        delivery: u64,
        /// Whose program.
        to: Recipient,
        /// Of what.
        on: LifecycleEvent,
        /// How often it was tried in this run of the server.
        tries: u32,
        /// What it said.
        reason: String,
    },
    /// Nobody can be told any more.
    Undeliverable {
        delivery: u64,
        /// Whose program it was.
        to: Recipient,
        /// Of what.
        on: LifecycleEvent,
        /// Why.
        reason: String,
    },
}

/// What concerns the whole site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum SiteEvent {
    /// The server started.
    Started {
        /// Its version.
        version: String,
    },
    /// The server ended in order.
    Stopped {},
    /// A state of the site went live.
    Reloaded {
        /// How many nodes it declares.
        nodes: u64,
    },
    /// Every hand-out stopped.
    Paused {},
    /// Hand-outs go on.
    Resumed {},
    /// Every installation is held until the state directory is declared new or taken over.
    StateLost {
        /// What was found.
        reason: String,
    },
    /// An operator said what the state directory stands for.
    StateDeclared {
        /// `new` or `installed`.
        as_: String,
    },
}

impl Event {
    /// Returns what happens to the machine of the line, if it is that.
    pub fn machine(&self) -> Option<&MachineEvent> {
        match self {
            Event::Machine(event) => Some(event),
            Event::Lease(_) | Event::Delivery(_) | Event::Site(_) => None,
        }
    }
}

impl From<MachineEvent> for Event {
    fn from(event: MachineEvent) -> Self {
        Event::Machine(event)
    }
}

impl From<LeaseEvent> for Event {
    fn from(event: LeaseEvent) -> Self {
        Event::Lease(event)
    }
}

impl From<DeliveryEvent> for Event {
    fn from(event: DeliveryEvent) -> Self {
        Event::Delivery(event)
    }
}

impl From<SiteEvent> for Event {
    fn from(event: SiteEvent) -> Self {
        Event::Site(event)
    }
}
