//! Why the sender of a request is not confirmed to be the machine that it names.

use std::{fmt, net::IpAddr};

use crate::model::Mac;

/// Why the MAC address of a request is not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unconfirmed {
    /// The kernel's neighbour table cannot be read.
    NoNeighbourTable,
    /// The request comes from behind a router.
    NotLocal(IpAddr),
    /// The address is on a local link, and the neighbour table has no MAC for it.
    NoNeighbour(IpAddr),
    /// Another NIC has the address that the request comes from.
    OtherNic { ip: IpAddr, mac: Mac },
    /// Several addresses have the same MAC, which is not one of the machine's: a device on the link rewrites addresses.
    Rewritten {
        ip: IpAddr,
        mac: Mac,
        addresses: usize,
    },
    /// The machine's declaration has no MAC, and none was recorded yet.
    NoMac,
    /// The documents contain a secret, and the request is not confirmed for any reason.
    Secret,
}

impl fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not confirmed: ")?;
        match self {
            Unconfirmed::NoNeighbourTable => {
                f.write_str("the kernel's neighbour table cannot be read")
            }
            Unconfirmed::NotLocal(ip) => {
                write!(f, "{ip} is not in a subnet of this server's interfaces")
            }
            Unconfirmed::NoNeighbour(ip) => {
                write!(f, "the kernel's neighbour table has no MAC for {ip}")
            }
            Unconfirmed::OtherNic { ip, mac } => {
                write!(f, "{ip} is at {mac}, which is not a NIC of this machine")
            }
            Unconfirmed::Rewritten { ip, mac, addresses } => write!(
                f,
                "{ip} is at {mac}, and so are {} other addresses: a device on the link rewrites MACs (a Wi-Fi repeater, proxy \
                 ARP); set `confirm-neighbour = \"log\"` in `[http]` if the link is trusted",
                addresses - 1
            ),
            Unconfirmed::Secret => f.write_str(
                "its documents contain a secret, which only a confirmed machine gets: see `confirm-neighbour` in `[http]`",
            ),
            Unconfirmed::NoMac => f.write_str(
                "its declaration has no `mac`: add it, or let the machine report its NICs in the microkernel \
                 (`unknown = \"discover\"`)",
            ),
        }
    }
}
