//! DHCP (RFC 2131, 2132) and the boot server's part of PXE, without sockets.

mod client;
mod message;
mod reply;
mod context;
mod decide;
mod probe;

pub use client::Client;
pub use context::{AddressAssignment, BootFile, DhcpPort, NetworkOptions, NoReply, ReplyContext};
pub use decide::decide;
pub use message::{DhcpMessage, DhcpMessageType, DhcpParseError};
pub use probe::{offered_by, probe};
pub use reply::{Destination, DhcpReply, Options, ReplyType};

/// Codes of options (RFC 2132, 3046, 3397, 4578).
mod code {
    pub(super) const MASK: u8 = 1;
    pub(super) const ROUTER: u8 = 3;
    pub(super) const DNS: u8 = 6;
    pub(super) const HOSTNAME: u8 = 12;
    pub(super) const DOMAIN: u8 = 15;
    pub(super) const MTU: u8 = 26;
    pub(super) const NTP: u8 = 42;
    pub(super) const VENDOR: u8 = 43;
    pub(super) const REQUESTED: u8 = 50;
    pub(super) const LEASE: u8 = 51;
    pub(super) const OVERLOAD: u8 = 52;
    pub(super) const TYPE: u8 = 53;
    pub(super) const SERVER: u8 = 54;
    pub(super) const MAX_SIZE: u8 = 57;
    pub(super) const RENEWAL: u8 = 58;
    pub(super) const REBINDING: u8 = 59;
    pub(super) const CLASS: u8 = 60;
    pub(super) const CLIENT_ID: u8 = 61;
    pub(super) const TFTP_SERVER: u8 = 66;
    pub(super) const BOOT_FILE: u8 = 67;
    pub(super) const USER_CLASS: u8 = 77;
    pub(super) const AGENT: u8 = 82;
    pub(super) const ARCH: u8 = 93;
    pub(super) const GUID: u8 = 97;
    pub(super) const SEARCH: u8 = 119;
    pub(super) const IPXE: u8 = 175;
}
