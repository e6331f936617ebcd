//! Sockets: what reaches machines and operators, and what they reach us by.
//!
//! Every protocol parses, asks one question and encodes the answer. Nothing is decided here.

pub mod neighbour;
pub mod interfaces;
pub mod ports;
pub mod arp;
pub mod dhcp;
pub mod tftp;
pub mod http;
