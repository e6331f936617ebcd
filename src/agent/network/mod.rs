//! The network: DHCP client, addresses and routes, LLDP.

mod dhcp;
mod lease;
mod netlink;
mod lldp;

pub(super) use lease::DhcpClient;
pub(super) use lldp::LldpNeighbours;
pub(super) use netlink::Netlink;
