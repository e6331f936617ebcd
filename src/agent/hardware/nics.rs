//! Physical NICs.

use super::{SystemRoot, link_target, name, number, text};
use crate::model::{Mac, NicFact};

/// The kernel's number for Ethernet (`ARPHRD_ETHER`).
const ETHERNET: u64 = 1;

/// A NIC with its name and index in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nic {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) mac: Mac,
    pub(crate) has_link: bool,
}

/// The NICs of this machine, sorted by name.
pub(crate) fn nics(root: &SystemRoot) -> Vec<Nic> {
    let mut nics = Vec::new();
    for path in root.entries("sys/class/net") {
        // Loopback, bridges and other virtual interfaces have no device.
        let is_physical =
            path.join("device").exists() && number(&path.join("type")) == Some(ETHERNET);
        let index = number(&path.join("ifindex")).and_then(|index| u32::try_from(index).ok());
        let mac = text(&path.join("address")).and_then(|mac| mac.parse().ok());
        if let (true, Some(index), Some(mac)) = (is_physical, index, mac) {
            // For a disabled NIC, reading this is an error.
            let has_link = number(&path.join("carrier")) == Some(1);
            nics.push(Nic {
                name: name(&path),
                index,
                mac,
                has_link,
            });
        }
    }
    nics
}

/// The facts of each NIC; `neighbour` returns its LLDP neighbour.
pub(super) fn nic_facts(
    root: &SystemRoot,
    neighbour: impl Fn(&Nic) -> Option<String>,
) -> Vec<NicFact> {
    let fact = |nic: Nic| {
        let path = root.at(&format!("sys/class/net/{}", nic.name));
        NicFact {
            mac: nic.mac,
            driver: link_target(&path.join("device/driver")),
            // Without a link some drivers return -1.
            speed_mbit: number(&path.join("speed")),
            link: Some(nic.has_link),
            lldp: neighbour(&nic),
            bus: link_target(&path.join("device/subsystem")),
            virtual_function: path.join("device/physfn").exists(),
            // `NET_ADDR_PERM` is 0. A kernel without the file reports nothing, and then the address does not identify.
            random_address: number(&path.join("addr_assign_type")) != Some(0),
        }
    };
    nics(root).into_iter().map(fact).collect()
}
