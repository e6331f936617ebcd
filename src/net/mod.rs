//! Sockets: DHCP, TFTP, HTTP and ARP, and the interfaces and ports of this host.
//!
//! Each protocol parses a request, calls its backend once and encodes the reply. Nothing is decided here.

pub mod netlink;
pub mod interfaces;
pub mod neighbour;
pub mod ports;
pub mod arp;
pub mod dhcp;
pub mod tftp;
pub mod http;
