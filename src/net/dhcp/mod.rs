//! DHCP sockets: datagrams with the interface on which they arrived, and frames to clients without an address.

mod frame;
mod socket;
mod other_server;

pub use frame::FrameSender;
pub(crate) use frame::UdpRoute;
pub use other_server::find_other_server;
pub use socket::{DhcpSocket, ReceivedDatagram};

/// The server's port (RFC 2131 section 4.1).
pub const SERVER_PORT: u16 = 67;
pub const CLIENT_PORT: u16 = 68;
/// The PXE boot server's port (PXE 2.1 section 2.2.3).
pub const PXE_PORT: u16 = 4011;
