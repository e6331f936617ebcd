//! What can happen: to a machine, to a lease, to a delivery, or to the whole site.
//!
//! In the journal the key `event` holds the name of the variant in kebab case. What the server does with each
//! event is in [`super::event_table`].

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use strum::VariantNames;

use super::{BootAnswer, DhcpOutcome, HoldCause, LogLevel, MachineId, Stage};
use crate::model::{
    BootProgram, Facts, Identity, LifecycleEvent, Mac, NodeName, Platform, PolicyName, Recipient,
    RepoName, SmallSet, TaskName, Timestamp,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, VariantNames)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
#[strum(serialize_all = "kebab-case")]
pub enum MachineEvent {
    /// The machine has identities that its history did not have: at its first request, or in a confirmed report.
    Seen {
        /// The new identities.
        identity: Identity,
        /// The MAC of the NIC that it boots from, if the history had none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot: Option<Mac>,
    },
    /// The MACs that the machine listed in a confirmed report. They do not identify it.
    Nics { macs: SmallSet<Mac> },
    /// Another machine reported the same MAC first, so it does not identify this one.
    Shared { mac: Mac },
    /// The history belongs to this declaration from now on.
    Named {
        /// The declaration.
        node: NodeName,
        /// The declared identities that the history did not have. The history keeps them: a NIC that is later replaced in the
        /// declaration does not become an undeclared machine.
        #[serde(default, skip_serializing_if = "Identity::is_empty")]
        identity: Identity,
        /// The earlier identities, if the history belongs to the declaration only by its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took_over: Option<Identity>,
    },
    /// The machine is the same as another one. Its history is merged into the other machine's.
    Merged {
        /// The other machine.
        into: MachineId,
    },
    /// The machine reported facts.
    Facts {
        facts: Box<Facts>,
        /// The attempt whose token the request had.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
    },
    /// A reported value was invalid and was dropped.
    Dropped {
        /// The value, and the reason.
        what: String,
    },
    /// A DHCP message of a machine that boots from the network was answered, or not.
    Dhcp {
        /// The client, such as `UEFI x64 PXE`.
        client: String,
        /// The result.
        given: DhcpOutcome,
    },
    /// A loader, or another file that firmware requests, was downloaded completely.
    Fetched {
        /// `tftp` or `http`.
        by: String,
        name: String,
        bytes: u64,
        /// The duration in milliseconds.
        ms: u64,
    },
    /// Such a file was not downloaded completely, or does not exist.
    Unfetched {
        /// `tftp` or `http`.
        by: String,
        name: String,
        reason: String,
    },
    /// A network boot was answered.
    Boot {
        /// The boot program; iPXE if omitted.
        #[serde(default, skip_serializing_if = "BootProgram::is_ipxe")]
        by: BootProgram,
        /// The kind of firmware.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        platform: Option<Platform>,
        /// The answer.
        given: BootAnswer,
    },
    /// A policy, or the node's own declaration, determines what the machine gets.
    Bound {
        /// The policy; none if the node's own declaration binds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<PolicyName>,
        /// An address from the network's pool.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
    },
    /// An attempt was opened: the machine gets an installer.
    Attempt {
        /// Its number. Numbers only increase.
        attempt: u32,
        /// The node's `installs` at that time.
        installs: u32,
        /// The time of the seal that it leaves on the disk; zero in journals of releases without seals.
        #[serde(default, skip_serializing_if = "Timestamp::is_zero")]
        sealed: Timestamp,
        task: TaskName,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repo: Option<RepoName>,
    },
    /// A file of the attempt that is not a document was downloaded.
    HandOut { attempt: u32, name: String },
    /// The transfer of a document has begun. Until its end is known, the document counts as read: a crash in between must not
    /// wipe a machine twice.
    Serving { attempt: u32, name: String },
    /// A document was read completely.
    Document {
        attempt: u32,
        name: String,
        bytes: u64,
    },
    /// The connection closed before the document's end.
    Aborted { attempt: u32, name: String },
    /// The machine, or the boot script, reported a stage.
    Stage {
        /// The attempt whose token the request had.
        attempt: u32,
        stage: Stage,
        /// The machine's own text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// How many seconds after its deadline it was reported.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        late: Option<u64>,
        /// Observed by the server rather than reported.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        inferred: bool,
    },
    /// The deadline of a stage passed. Nothing changes for the machine.
    Overdue {
        attempt: u32,
        /// The missing stage, by name: `document` is not a [`Stage`].
        stage: String,
        /// The deadline in seconds.
        after: u64,
    },
    /// The server gave up the attempt, because the disk does not boot.
    GaveUp { attempt: u32, reason: String },
    /// The attempt ended without a result: another one replaced it, or an operator closed it.
    Closed { attempt: u32, reason: String },
    /// A line that the machine logged.
    Log {
        attempt: u32,
        level: LogLevel,
        text: String,
    },
    /// A request had a token whose attempt has ended or is blocked.
    DeadToken {
        /// The requested name.
        name: String,
        /// What blocks the attempt; none if it has ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// The machine gets no installer until it is released.
    Held {
        cause: HoldCause,
        /// The displayed reason.
        reason: String,
    },
    /// A hold ended: one cause automatically, or all of them by an operator's command.
    Released {
        /// The cause; none for all of them, which also resets the count of failed attempts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<HoldCause>,
    },
    /// An operator requested another installation.
    Reinstall {},
    /// An operator recorded that the machine is installed.
    Marked {
        /// The node's `installs` at that time.
        installs: u32,
    },
    /// The machine reported a disk with a seal: it was installed before this journal began.
    Restored {
        /// What the seal has.
        installs: u32,
        sealed: Timestamp,
        node: String,
    },
    /// The history was deleted. The machine is new afterwards.
    Forgotten {
        /// What deleted it.
        by: String,
    },
    /// A document could not be rendered or stored.
    Unrendered {
        /// The reason, without secrets.
        reason: String,
    },
    /// A log line that changes nothing.
    Remark { text: String },
    /// Events that only report were not recorded, because they were more than the machine's budget.
    Suppressed {
        /// How many.
        count: u64,
    },
}

/// What happens to an address of a network's dynamic range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, VariantNames)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
#[strum(serialize_all = "kebab-case")]
pub enum LeaseEvent {
    /// An address of a network's range is reserved for the leases of a NIC.
    #[serde(rename = "lease")]
    #[strum(serialize = "lease")]
    Granted {
        address: Ipv4Addr,
        /// The NIC's MAC; none if another host was found to use the address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mac: Option<Mac>,
        /// When the reservation ends: some renewals later than the lease.
        until: Timestamp,
    },
    /// A lease was released.
    #[serde(rename = "lease-ended")]
    #[strum(serialize = "lease-ended")]
    Ended { address: Ipv4Addr },
}

/// What happens to a delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, VariantNames)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
#[strum(serialize_all = "kebab-case")]
pub enum DeliveryEvent {
    /// A program is to receive a lifecycle event of the machine.
    Due {
        /// The number of the delivery. Numbers only increase.
        delivery: u64,
        /// The hook or broker.
        to: Recipient,
        /// The lifecycle event.
        on: LifecycleEvent,
        /// The machine's name at that time.
        node: String,
        /// The machine's attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        /// The reason, if the event has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The program received the event.
    Delivered {
        delivery: u64,
        /// The hook or broker.
        to: Recipient,
        /// The lifecycle event.
        on: LifecycleEvent,
    },
    /// The delivery failed and is retried.
    Undelivered {
        delivery: u64,
        /// The hook or broker.
        to: Recipient,
        /// The lifecycle event.
        on: LifecycleEvent,
        /// The number of tries since the server started.
        tries: u32,
        /// The program's error output, shortened.
        reason: String,
    },
    /// The delivery is dropped: its recipient no longer exists, or has no program.
    Undeliverable {
        delivery: u64,
        /// The former hook or broker.
        to: Recipient,
        /// The lifecycle event.
        on: LifecycleEvent,
        reason: String,
    },
}

/// What concerns the whole site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, VariantNames)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
#[strum(serialize_all = "kebab-case")]
pub enum SiteEvent {
    /// The server started.
    Started {
        /// Its version.
        version: String,
    },
    /// The server stopped normally.
    Stopped {},
    /// A revision of the site went live.
    Reloaded {
        /// The number of declared nodes.
        nodes: u64,
    },
    /// All installations were paused.
    Paused {},
    /// Installations were resumed.
    Resumed {},
    /// Every installation is held until the state directory is declared new or taken over.
    StateLost {
        /// What is missing.
        reason: String,
    },
    /// An operator declared what the state directory means.
    StateDeclared {
        /// `new`, `installed` or `from-machines`.
        as_: String,
    },
    /// The state may be older than the machines: those without a recorded attempt are held until an operator releases them.
    Suspected {
        /// What shows it.
        reason: String,
    },
    /// The machines without a recorded attempt are new.
    Trusted {},
}

impl Event {
    /// Returns the event if it concerns one machine.
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
