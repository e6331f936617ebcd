//! What a client's message says.

use std::net::Ipv4Addr;

use dhcproto::v4::{
    Opcode,
    borrowed::{DhcpOptionIterator, Message},
};

use super::{
    client::{Client, ClientOptions},
    code,
};
use crate::model::Mac;

/// What a client wants (RFC 2132 section 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DhcpMessageType {
    /// DHCPDISCOVER: who is there?
    Discover,
    /// DHCPREQUEST: may I have this address?
    Request,
    /// DHCPDECLINE: somebody else has the address.
    Decline,
    /// DHCPRELEASE: I no longer need the address.
    Release,
    /// DHCPINFORM: I have an address, and want the rest.
    Inform,
}

impl DhcpMessageType {
    /// Looks for what a datagram asks, and at nothing else: what is to be dropped need not be read.
    pub fn peek(datagram: &[u8]) -> Option<DhcpMessageType> {
        let options = DhcpOptionIterator::new(datagram.get(FIXED..)?);
        let mut options = options.filter(|option| u8::from(option.code()) == code::TYPE);
        asks(*options.next()?.data().first()?)
    }
}

/// A client's message, as far as anything here depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpMessage {
    /// What it wants.
    pub message_type: DhcpMessageType,
    /// The transaction.
    pub xid: u32,
    /// For how many seconds it has tried.
    pub secs: u16,
    /// Whether it can hear broadcasts alone.
    pub broadcast: bool,
    /// The address it has.
    pub ciaddr: Option<Ipv4Addr>,
    /// The relay that it came through.
    pub giaddr: Option<Ipv4Addr>,
    /// How many relays it came through.
    pub hops: u8,
    /// Its card.
    pub mac: Mac,
    /// Option 50: the address it would like.
    pub requested: Option<Ipv4Addr>,
    /// Option 54: the server it has chosen.
    pub server: Option<Ipv4Addr>,
    /// Who it is.
    pub client: Client,
    /// Option 12.
    pub hostname: Option<String>,
    /// Option 57, no less than every client takes (RFC 2131 section 2): in bytes.
    pub max_size: u16,
    /// Option 61, echoed (RFC 6842).
    pub client_id: Option<Vec<u8>>,
    /// Option 82, echoed (RFC 3046).
    pub agent: Option<Vec<u8>>,
    /// Option 97, echoed (RFC 4578).
    pub guid: Option<Vec<u8>>,
}

/// Why a datagram is no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DhcpParseError {
    /// It is no DHCP message.
    #[error("no DHCP message")]
    NotDhcp,
    /// It is a server's answer.
    #[error("a server's answer")]
    ServerReply,
    /// Its hardware address is none of Ethernet.
    #[error("no Ethernet address")]
    NotEthernet,
    /// It does not say what it wants.
    #[error("no message type of a client")]
    NoType,
}

/// What every client takes (RFC 2131 section 2).
const SMALLEST: u16 = 576;
/// The fields before the options, with the magic cookie.
const FIXED: usize = 240;

impl DhcpMessage {
    /// Reads a datagram. A malformed option ends the list of options and spoils nothing before it.
    pub fn read(datagram: &[u8]) -> Result<DhcpMessage, DhcpParseError> {
        let message = Message::new(datagram).map_err(|_| DhcpParseError::NotDhcp)?;
        if datagram[236..FIXED] != [99, 130, 83, 99] {
            return Err(DhcpParseError::NotDhcp);
        }
        match message.opcode() {
            Opcode::BootRequest => {}
            Opcode::BootReply => return Err(DhcpParseError::ServerReply),
            Opcode::Unknown(_) => return Err(DhcpParseError::NotDhcp),
        }
        // The length comes first: the library takes it on trust.
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
        let found = Found::of(datagram);
        let asks = found.asks.ok_or(DhcpParseError::NoType)?;
        let given = |ip: Ipv4Addr| (!ip.is_unspecified()).then_some(ip);
        Ok(DhcpMessage {
            message_type: asks,
            xid: message.xid(),
            secs: message.secs(),
            broadcast: message.flags().broadcast(),
            ciaddr: given(message.ciaddr()),
            giaddr: given(message.giaddr()),
            hops: message.hops(),
            mac,
            requested: found.requested.and_then(given),
            server: found.server.and_then(given),
            client: Client::of(&ClientOptions {
                class: &found.class,
                user_class: &found.user_class,
                vendor: &found.vendor,
                guid: found.guid.as_deref().unwrap_or_default(),
                arch: found.arch,
                has_ipxe: found.has_ipxe,
            }),
            hostname: found.hostname,
            max_size: found.max_size.unwrap_or(SMALLEST).max(SMALLEST),
            client_id: found.client_id,
            agent: found.agent,
            guid: found.guid,
        })
    }
}

/// The options that matter.
#[derive(Default)]
struct Found {
    asks: Option<DhcpMessageType>,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    hostname: Option<String>,
    max_size: Option<u16>,
    client_id: Option<Vec<u8>>,
    agent: Option<Vec<u8>>,
    guid: Option<Vec<u8>>,
    class: Vec<u8>,
    user_class: Vec<u8>,
    vendor: Vec<u8>,
    arch: Option<u16>,
    has_ipxe: bool,
    overload: u8,
}

impl Found {
    fn of(datagram: &[u8]) -> Found {
        let mut found = Found::default();
        found.take(&datagram[FIXED..]);
        // Options may go on in the fields for names (RFC 2132 section 9.3), `file` before `sname` (RFC 3396 section 5).
        let overload = found.overload;
        if overload & 1 != 0 {
            found.take(&datagram[108..236]);
        }
        if overload & 2 != 0 {
            found.take(&datagram[44..108]);
        }
        found
    }

    fn take(&mut self, options: &[u8]) {
        for option in DhcpOptionIterator::new(options) {
            let data = option.data();
            match u8::from(option.code()) {
                code::TYPE => self.asks = data.first().and_then(|number| asks(*number)),
                code::REQUESTED => self.requested = ip(data),
                code::SERVER => self.server = ip(data),
                code::MAX_SIZE => self.max_size = number(data),
                code::HOSTNAME => self.hostname = text(data),
                code::CLIENT_ID if data.len() >= 2 => self.client_id = Some(data.to_vec()),
                code::AGENT => self.agent = Some(data.to_vec()),
                // A type and sixteen bytes (RFC 4578 section 2.3); some firmware sends another length.
                code::GUID if !data.is_empty() => self.guid = Some(data.to_vec()),
                code::CLASS => self.class = data.to_vec(),
                code::USER_CLASS => self.user_class = data.to_vec(),
                code::VENDOR => self.vendor = data.to_vec(),
                code::ARCH => self.arch = number(data),
                code::IPXE => self.has_ipxe = true,
                code::OVERLOAD => self.overload = data.first().copied().unwrap_or(0),
                // The others change nothing here.
                _ => {}
            }
        }
    }
}

fn asks(number: u8) -> Option<DhcpMessageType> {
    Some(match number {
        1 => DhcpMessageType::Discover,
        3 => DhcpMessageType::Request,
        4 => DhcpMessageType::Decline,
        7 => DhcpMessageType::Release,
        8 => DhcpMessageType::Inform,
        _ => return None,
    })
}

fn ip(data: &[u8]) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = data.try_into().ok()?;
    Some(bytes.into())
}

/// The first number of a list.
fn number(data: &[u8]) -> Option<u16> {
    let bytes = data.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*bytes))
}

/// A host name as far as it is one.
fn text(data: &[u8]) -> Option<String> {
    let end = data
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(data.len());
    let text = std::str::from_utf8(&data[..end]).ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (!text.is_empty() && text.bytes().all(is_plain)).then(|| text.to_owned())
}
