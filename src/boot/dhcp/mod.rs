//! DHCP (RFC 2131, 2132) and the PXE boot server's part of it, without sockets.

mod client;
mod message;
mod reply;
mod context;
mod site_options;
mod decide;
mod probe;

pub use client::Client;
pub use context::{AddressAssignment, BootFile, DhcpPort, NetworkOptions, NoReply, ReplyContext};
pub use decide::decide;
pub use message::{DhcpMessage, DhcpMessageType, DhcpParseError};
pub use probe::{discover, offering_server};
pub use reply::{Destination, DhcpReply, ReplyType};
