//! DHCP's sockets: datagrams with the interface that they came in on, and frames to clients without an address.

mod frame;
mod socket;
mod other;

pub use frame::FrameSender;
pub(crate) use frame::UdpRoute;
pub use other::find_other_server;
pub use socket::{DhcpSocket, ReceivedDatagram};

/// The server's port (RFC 2131 section 4.1).
pub const SERVER_PORT: u16 = 67;
/// The client's.
pub const CLIENT_PORT: u16 = 68;
/// The boot server's (PXE 2.1 section 2.2.3).
pub const PXE_PORT: u16 = 4011;
