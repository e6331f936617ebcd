//! The listeners: DHCP, TFTP and HTTP.

pub(crate) mod operator_tls;
pub(crate) mod sockets;
pub(crate) mod banner;
mod backlog;
mod logged_clients;
mod links;
pub(crate) mod dhcp;
mod dhcp_send;
pub(crate) mod http;
pub(crate) mod tftp;
