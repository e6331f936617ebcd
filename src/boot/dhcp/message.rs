//! Reading a client's DHCP message.

use std::net::Ipv4Addr;

use dhcproto::v4::{
    Opcode, OptionCode,
    borrowed::{DhcpOptionIterator, Message},
};

use super::client::{Client, ClientOptions};
use crate::model::Mac;

/// The message types that clients send (RFC 2132 section 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DhcpMessageType {
    /// DHCPDISCOVER: the client looks for servers.
    Discover,
    /// DHCPREQUEST: the client requests an address.
    Request,
    /// DHCPDECLINE: another host uses the address.
    Decline,
    /// DHCPRELEASE: the client no longer needs the address.
    Release,
    /// DHCPINFORM: the client has an address and requests the other options.
    Inform,
}

impl DhcpMessageType {
    /// Reads only the type of a message, which decides whether the rest is read.
    pub fn peek(datagram: &[u8]) -> Option<DhcpMessageType> {
        let mut options = DhcpOptionIterator::new(datagram.get(OPTIONS..)?);
        let option = options.find(|option| option.code() == OptionCode::MessageType)?;
        DhcpMessageType::from_number(*option.data().first()?)
    }

    fn from_number(number: u8) -> Option<DhcpMessageType> {
        Some(match number {
            1 => DhcpMessageType::Discover,
            3 => DhcpMessageType::Request,
            4 => DhcpMessageType::Decline,
            7 => DhcpMessageType::Release,
            8 => DhcpMessageType::Inform,
            _ => return None,
        })
    }
}

/// The parts of a client's message that the server uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpMessage {
    pub message_type: DhcpMessageType,
    pub xid: u32,
    /// Seconds since the client began.
    pub secs: u16,
    /// Whether the client can only receive broadcasts.
    pub broadcast: bool,
    /// The address that the client has configured.
    pub ciaddr: Option<Ipv4Addr>,
    /// The relay that forwarded the message.
    pub giaddr: Option<Ipv4Addr>,
    /// The number of relays that forwarded it.
    pub hops: u8,
    pub mac: Mac,
    /// Option 50: the address that the client requests.
    pub requested: Option<Ipv4Addr>,
    /// Option 54: the server whose offer the client accepted.
    pub server: Option<Ipv4Addr>,
    pub client: Client,
    /// Option 12.
    pub hostname: Option<String>,
    /// Option 57 in bytes, at least what every client must accept (RFC 2131 section 2).
    pub max_size: u16,
    /// Option 55: the options that the client requests, in its order of preference.
    pub parameters: Option<Vec<u8>>,
    /// Option 61, echoed (RFC 6842).
    pub client_id: Option<Vec<u8>>,
    /// Option 82, echoed unchanged (RFC 3046).
    pub relay_info: Option<Vec<u8>>,
    /// Option 97, echoed (RFC 4578).
    pub guid: Option<Vec<u8>>,
}

/// Why a datagram is not a client's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DhcpParseError {
    #[error("not a DHCP message")]
    NotDhcp,
    #[error("a server's reply")]
    ServerReply,
    #[error("no Ethernet address")]
    NotEthernet,
    /// RFC 4390: such a client has no address here, only the identifier of option 61.
    #[error("a message over InfiniBand")]
    InfiniBand,
    #[error("no message type of a client")]
    NoType,
}

/// In bytes. Every client accepts messages of this size (RFC 2131 section 2).
const MIN_MAX_SIZE: u16 = 576;
/// Where the options begin: after the fixed fields and the magic cookie.
const OPTIONS: usize = 240;
const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];
/// The hardware type of IPoIB (RFC 4390 section 2.1).
const INFINIBAND: u8 = 32;
/// iPXE's encapsulated options (`src/include/ipxe/dhcp.h`, `DHCP_EB_ENCAP`).
const IPXE_OPTIONS: u8 = 175;

impl DhcpMessage {
    /// Reads a datagram. The first malformed option ends the list; the options before it count.
    pub fn read(datagram: &[u8]) -> Result<DhcpMessage, DhcpParseError> {
        let message = Message::new(datagram).map_err(|_| DhcpParseError::NotDhcp)?;
        if datagram[236..OPTIONS] != MAGIC_COOKIE {
            return Err(DhcpParseError::NotDhcp);
        }
        match message.opcode() {
            Opcode::BootRequest => {}
            Opcode::BootReply => return Err(DhcpParseError::ServerReply),
            Opcode::Unknown(_) => return Err(DhcpParseError::NotDhcp),
        }
        if datagram[1] == INFINIBAND {
            return Err(DhcpParseError::InfiniBand);
        }
        // `chaddr` below takes the message's length unchecked.
        if datagram[1] != 1 || message.hlen() != 6 {
            return Err(DhcpParseError::NotEthernet);
        }
        let mac: [u8; 6] = message
            .chaddr()
            .try_into()
            .map_err(|_| DhcpParseError::NotEthernet)?;
        let mac = Mac(mac);
        if !mac.is_unicast() {
            return Err(DhcpParseError::NotEthernet);
        }
        let options = MessageOptions::read(datagram);
        let message_type = options.message_type.ok_or(DhcpParseError::NoType)?;
        let specified = |ip: Ipv4Addr| (!ip.is_unspecified()).then_some(ip);
        Ok(DhcpMessage {
            message_type,
            xid: message.xid(),
            secs: message.secs(),
            broadcast: message.flags().broadcast(),
            ciaddr: specified(message.ciaddr()),
            giaddr: specified(message.giaddr()),
            hops: message.hops(),
            mac,
            requested: options.requested.and_then(specified),
            server: options.server.and_then(specified),
            client: Client::detect(&ClientOptions {
                class: &options.class,
                user_class: &options.user_class,
                vendor: &options.vendor,
                guid: options.guid.as_deref().unwrap_or_default(),
                arch: options.arch,
                has_ipxe_options: options.has_ipxe_options,
            }),
            hostname: options.hostname,
            max_size: options.max_size.unwrap_or(MIN_MAX_SIZE).max(MIN_MAX_SIZE),
            parameters: options.parameters,
            client_id: options.client_id,
            relay_info: options.relay_info,
            guid: options.guid,
        })
    }
}

/// The options that the server uses.
#[derive(Default)]
struct MessageOptions {
    message_type: Option<DhcpMessageType>,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    hostname: Option<String>,
    max_size: Option<u16>,
    parameters: Option<Vec<u8>>,
    client_id: Option<Vec<u8>>,
    relay_info: Option<Vec<u8>>,
    guid: Option<Vec<u8>>,
    class: Vec<u8>,
    user_class: Vec<u8>,
    vendor: Vec<u8>,
    arch: Option<u16>,
    has_ipxe_options: bool,
    overload: u8,
}

impl MessageOptions {
    fn read(datagram: &[u8]) -> MessageOptions {
        let mut options = MessageOptions::default();
        options.add(&datagram[OPTIONS..]);
        // Options may continue in the fields for names (RFC 2132 section 9.3), `file` before `sname` (RFC 3396 section 5).
        let overload = options.overload;
        if overload & 1 != 0 {
            options.add(&datagram[108..236]);
        }
        if overload & 2 != 0 {
            options.add(&datagram[44..108]);
        }
        options
    }

    fn add(&mut self, bytes: &[u8]) {
        for option in DhcpOptionIterator::new(bytes) {
            let data = option.data();
            match option.code() {
                OptionCode::MessageType => {
                    let number = data.first().copied();
                    self.message_type = number.and_then(DhcpMessageType::from_number);
                }
                OptionCode::RequestedIpAddress => self.requested = ip(data),
                OptionCode::ServerIdentifier => self.server = ip(data),
                OptionCode::MaxMessageSize => self.max_size = first_number(data),
                OptionCode::ParameterRequestList if !data.is_empty() => {
                    self.parameters = Some(data.to_vec());
                }
                OptionCode::Hostname => self.hostname = hostname(data),
                OptionCode::ClientIdentifier if data.len() >= 2 => {
                    self.client_id = Some(data.to_vec());
                }
                OptionCode::RelayAgentInformation => self.relay_info = Some(data.to_vec()),
                // A type and sixteen bytes (RFC 4578 section 2.3); some firmware sends another length.
                OptionCode::ClientMachineIdentifier if !data.is_empty() => {
                    self.guid = Some(data.to_vec());
                }
                OptionCode::ClassIdentifier => self.class = data.to_vec(),
                OptionCode::UserClass => self.user_class = data.to_vec(),
                OptionCode::VendorExtensions => self.vendor = data.to_vec(),
                OptionCode::ClientSystemArchitecture => self.arch = first_number(data),
                OptionCode::OptionOverload => self.overload = data.first().copied().unwrap_or(0),
                OptionCode::Unknown(IPXE_OPTIONS) => self.has_ipxe_options = true,
                // The others are not used.
                _ => {}
            }
        }
    }
}

fn ip(data: &[u8]) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = data.try_into().ok()?;
    Some(bytes.into())
}

/// The first number of a list.
fn first_number(data: &[u8]) -> Option<u16> {
    let bytes = data.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*bytes))
}

/// A host name up to the first zero; none when it holds characters that no host name has.
fn hostname(data: &[u8]) -> Option<String> {
    let end = data
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(data.len());
    let text = std::str::from_utf8(&data[..end]).ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (!text.is_empty() && text.bytes().all(is_plain)).then(|| text.to_owned())
}
