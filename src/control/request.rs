//! What a machine asks when it boots from the network, and the answers there are.

use std::net::{IpAddr, Ipv4Addr};

use super::install::blocked::Blocked;
use crate::{
    journal::{AttemptId, MachineId},
    model::{
        Arch, Asset, BootProgram, Identity, LocalBoot, Mac, NetworkName, Platform, PolicyName,
        RepoName, Serial, TaskName, Uuid,
    },
};

/// What a machine says of itself when it boots from the network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Report {
    /// The card it boots from first.
    pub macs: Vec<Mac>,
    /// SMBIOS type 1.
    pub serial: Option<String>,
    /// SMBIOS type 1.
    pub uuid: Option<String>,
    /// SMBIOS type 3.
    pub asset: Option<String>,
    /// SMBIOS type 1.
    pub manufacturer: Option<String>,
    /// SMBIOS type 1.
    pub product: Option<String>,
    /// The program that asks.
    pub by: BootProgram,
    /// Its firmware.
    pub platform: Option<Platform>,
    /// Its processor.
    pub arch: Option<Arch>,
}

/// A network boot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct NetworkBoot {
    /// What the machine says of itself.
    pub report: Report,
    /// The random number that its entry script carries on.
    pub boot: Option<String>,
    /// The network whose subnet holds the address of ours that was asked.
    pub network: Option<NetworkName>,
    /// From where it asks, where it fetches from the same address.
    pub from: Option<IpAddr>,
    /// What could not be read and was dropped.
    pub dropped: Vec<String>,
    /// Why the machine is not taken for who it says it is, if so: its card is not confirmed.
    pub unconfirmed: Option<String>,
}

/// What a network boot is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Decision {
    /// The machine's own disk.
    Disk(BootFromDisk),
    /// A script that asks again, with the reason.
    Wait(Blocked),
    /// The microkernel, for this machine.
    Microkernel(MachineId),
    /// The script of a task that installs nothing.
    Script(MachineId, TaskName),
    /// The installer of an attempt that is open and of which nothing was read yet. The site may have changed
    /// since its documents were rendered.
    Repeat {
        /// The machine.
        machine: MachineId,
        /// Its attempt.
        attempt: AttemptId,
        /// Whether the documents are to be rendered again.
        is_stale: bool,
    },
    /// The installer of an attempt that is to be opened once its documents are rendered and kept.
    Open(NewAttempt),
    /// Nothing yet: the files of the machine's attempt are being rendered for another of its requests.
    Preparing,
    /// Nothing yet: these addresses are to be asked for on the wire, [`Transaction::on_arp_reply`](super::Transaction::on_arp_reply) is to
    /// be told, and the machine's question is to be put once more.
    ProbeAddresses(Vec<Ipv4Addr>),
}

/// How a machine is sent to its disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BootFromDisk {
    /// How, as its settings say.
    pub how: LocalBoot,
    /// Its firmware, if it said.
    pub platform: Option<Platform>,
    /// What its screen says; none when there is nothing to say.
    pub reason: Option<Blocked>,
    /// The attempt to which the script reports that the disk did not boot.
    pub report_to: Option<AttemptId>,
}

impl BootFromDisk {
    /// Boots the disk of a machine whose settings are not known.
    pub fn without_settings(platform: Option<Platform>, reason: Option<Blocked>) -> Self {
        BootFromDisk {
            how: LocalBoot::Auto,
            platform,
            reason,
            report_to: None,
        }
    }
}

/// An attempt that is to be opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NewAttempt {
    /// The machine.
    pub machine: MachineId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The node's `installs`.
    pub installs: u32,
    /// What installs.
    pub task: TaskName,
    /// From where.
    pub repo: Option<RepoName>,
    /// The policy.
    pub policy: Option<PolicyName>,
    /// The address from the network's pool.
    pub address: Option<IpAddr>,
    /// The program that asks.
    pub by: BootProgram,
    /// Its firmware, if it said.
    pub platform: Option<Platform>,
    /// How it would be sent to its disk.
    pub how: LocalBoot,
}

impl Report {
    /// The identities a report carries; fillers are none.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            mac: self
                .macs
                .iter()
                .copied()
                .filter(|mac| mac.is_unicast())
                .collect(),
            serial: self
                .serial
                .as_deref()
                .and_then(Serial::new)
                .into_iter()
                .collect(),
            uuid: self
                .uuid
                .as_deref()
                .and_then(Uuid::new)
                .into_iter()
                .collect(),
            asset: self
                .asset
                .as_deref()
                .and_then(Asset::new)
                .into_iter()
                .collect(),
        }
    }
}
