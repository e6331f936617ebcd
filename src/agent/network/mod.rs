//! The network: addresses by DHCP, and what a switch says of itself.

mod dhcp;
mod lease;
mod links;
mod lldp;

pub(super) use lease::Client;
pub(super) use links::Links;
pub(super) use lldp::Neighbours;
