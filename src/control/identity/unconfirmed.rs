//! Why the sender of a request is not confirmed to be the machine that it names.

use std::{fmt, net::IpAddr};

use crate::model::Mac;

/// Why the MAC address of a request is not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unconfirmed {
    /// The kernel's neighbour table cannot be read.
    NoNeighbourTable,
    /// The request comes from behind a router: the neighbour table has no MAC address for this address.
    NotLocal(IpAddr),
    /// Another NIC has the address that the request comes from.
    OtherNic { ip: IpAddr, mac: Mac },
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
            Unconfirmed::OtherNic { ip, mac } => {
                write!(f, "{ip} is at {mac}, which is not a NIC of this machine")
            }
        }
    }
}
