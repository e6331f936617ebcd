//! The network: addresses by DHCP, and what a switch says of itself.

mod dhcp;
mod lease;
mod netlink;
mod lldp;

pub(super) use lease::DhcpClient;
pub(super) use lldp::LldpNeighbours;
pub(super) use netlink::Netlink;
