//! A machine's request when it boots from the network, and the possible answers.

use std::net::{IpAddr, Ipv4Addr};

use super::{identity::sender::Sender, install::blocked::Blocked};
use crate::{
    journal::{AttemptId, MachineId},
    model::{
        Arch, Asset, BootProgram, Identity, LocalBoot, Mac, NetworkName, Platform, PolicyName,
        RepoName, Serial, TaskName, Timestamp, Uuid,
    },
};

/// What a machine reports about itself when it boots from the network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Report {
    /// The MAC of the NIC it boots from, then the others.
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
    /// The boot program that sends the request.
    pub by: BootProgram,
    /// The firmware of the machine.
    pub platform: Option<Platform>,
    /// The processor architecture of the machine.
    pub arch: Option<Arch>,
}

/// A request of a network boot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct NetworkBoot {
    pub report: Report,
    /// The random number of this boot, which the entry script passes on.
    pub boot: Option<String>,
    /// The network whose subnet contains the server address that received the request.
    pub network: Option<NetworkName>,
    /// The source address of the request, if the machine will fetch its files from the same address.
    pub from: Option<IpAddr>,
    /// Reported values that could not be parsed and were dropped.
    pub dropped: Vec<String>,
    /// Where the request comes from.
    pub sender: Sender,
}

/// The answer to a network boot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Boot the local disk.
    Disk(BootFromDisk),
    /// Wait and request again, for this reason.
    Wait(Blocked),
    /// Boot the microkernel.
    Microkernel(MachineId),
    /// Run the script of a task that installs nothing.
    Script(MachineId, TaskName),
    /// Start the installer of an open attempt of which the machine has read nothing yet.
    Repeat {
        machine: MachineId,
        attempt: AttemptId,
        /// Whether the site has changed since the documents were rendered, so that they have to be rendered again.
        is_stale: bool,
    },
    /// Start the installer of a new attempt, which is opened once its documents are rendered and stored.
    Open(NewAttempt),
    /// No answer yet: another request of the machine already renders the files of its attempt.
    Preparing,
    /// No answer yet: these addresses have to be probed by ARP. Pass the results to
    /// [`Transaction::on_arp_reply`](super::Transaction::on_arp_reply), then decide the request again.
    ProbeAddresses(Vec<Ipv4Addr>),
}

/// How a machine boots its local disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BootFromDisk {
    /// The method that its settings name.
    pub local_boot: LocalBoot,
    /// The firmware, if reported.
    pub platform: Option<Platform>,
    /// The reason that its screen shows, if any.
    pub reason: Option<Blocked>,
    /// The attempt to which the script reports that the disk did not boot.
    pub report_to: Option<AttemptId>,
}

impl BootFromDisk {
    /// Returns the disk boot of a machine whose settings are not known.
    pub fn without_settings(platform: Option<Platform>, reason: Option<Blocked>) -> Self {
        BootFromDisk {
            local_boot: LocalBoot::Auto,
            platform,
            reason,
            report_to: None,
        }
    }
}

/// An attempt that is to be opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NewAttempt {
    pub machine: MachineId,
    pub attempt: AttemptId,
    /// The node's `installs`.
    pub installs: u32,
    /// The time of the seal that the installation leaves on its disk.
    pub sealed: Timestamp,
    /// The task that installs the machine.
    pub task: TaskName,
    /// The repo that it installs from.
    pub repo: Option<RepoName>,
    pub policy: Option<PolicyName>,
    /// The address from the network's pool.
    pub address: Option<IpAddr>,
    /// The boot program that sends the request.
    pub by: BootProgram,
    /// The firmware, if reported.
    pub platform: Option<Platform>,
    /// How the machine boots its disk if the attempt cannot be opened.
    pub local_boot: LocalBoot,
}

impl NewAttempt {
    /// Whether both open the same attempt, if at another time.
    pub(crate) fn is_same(&self, other: &NewAttempt) -> bool {
        let sealed = other.sealed;
        *other
            == NewAttempt {
                sealed,
                ..self.clone()
            }
    }
}

/// Lists the dropped values of a request in one text of bounded length. Returns `None` if there are none.
pub(crate) fn dropped_values(dropped: &[String]) -> Option<String> {
    const MAX_LISTED: usize = 4;
    const MAX_CHARS: usize = 200;
    let listed = dropped.iter().take(MAX_LISTED);
    let listed = listed.map(|value| value.chars().take(MAX_CHARS).collect::<String>());
    let mut text = listed.collect::<Vec<_>>().join("; ");
    if dropped.len() > MAX_LISTED {
        text += &format!("; and {} more", dropped.len() - MAX_LISTED);
    }
    (!dropped.is_empty()).then_some(text)
}

impl Report {
    /// Returns the MAC of the NIC that boots.
    pub(crate) fn boot_mac(&self) -> Option<Mac> {
        self.macs.first().copied().filter(|mac| mac.is_unicast())
    }

    /// Returns the reported identity: the NIC that boots, and the board. Placeholder values of vendors do not count.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            mac: self.boot_mac().into_iter().collect(),
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
