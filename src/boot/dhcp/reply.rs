//! An answer, and its datagram.

use std::net::Ipv4Addr;

use dhcproto::{
    Encodable,
    v4::{Flags, Message, Opcode, UnknownOption},
};

use super::{code, message::DhcpMessage};

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyType {
    /// DHCPOFFER.
    Offer,
    /// DHCPACK.
    Ack,
    /// DHCPNAK.
    Nak,
}

/// Options as they go out: code and value.
pub type Options = Vec<(u8, Vec<u8>)>;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpReply {
    /// What it is.
    pub kind: ReplyType,
    /// The client's address; none from a proxy and in a refusal.
    pub yiaddr: Option<Ipv4Addr>,
    /// Our address on that network: server identifier, and where the boot file is.
    pub server_ip: Ipv4Addr,
    /// The boot file, for the `file` field and option 67.
    pub file: Option<String>,
    /// The options besides type, server, boot file and what is echoed.
    pub options: Options,
    /// Where it goes.
    pub destination: Destination,
}

/// Where an answer goes (RFC 2131 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The relay that the question came through, at its port 67.
    Relay(Ipv4Addr),
    /// An address that the client has, at the port it asked from.
    Client(Ipv4Addr),
    /// The client's card, which has no address yet.
    Mac(Ipv4Addr),
    /// Everybody on the link.
    Broadcast,
}

/// Old clients drop what is shorter (RFC 951).
const SHORTEST: usize = 300;

impl DhcpReply {
    /// Writes the datagram that answers `query`.
    pub fn datagram(&self, query: &DhcpMessage) -> Vec<u8> {
        let mut message = Message::new_with_id(
            query.xid,
            query
                .ciaddr
                .filter(|_| self.kind != ReplyType::Nak)
                .unwrap_or(Ipv4Addr::UNSPECIFIED),
            self.yiaddr.unwrap_or(Ipv4Addr::UNSPECIFIED),
            if self.kind == ReplyType::Nak {
                Ipv4Addr::UNSPECIFIED
            } else {
                self.server_ip
            },
            query.giaddr.unwrap_or(Ipv4Addr::UNSPECIFIED),
            &query.mac.0,
        );
        message.set_opcode(Opcode::BootReply);
        if query.broadcast {
            message.set_flags(Flags::default().set_broadcast());
        }
        if let Some(file) = &self.file {
            // What does not fit the field is in the option alone.
            if file.len() < 128 {
                message.set_fname(file.as_bytes());
            }
        }
        for (code, value) in self.all_options(query) {
            let option = UnknownOption::new(code.into(), value);
            message
                .opts_mut()
                .insert(dhcproto::v4::DhcpOption::Unknown(option));
        }
        let mut bytes = message
            .to_vec()
            .expect("a message whose options are short is written");
        bytes.resize(bytes.len().max(SHORTEST), 0);
        bytes
    }

    fn all_options(&self, query: &DhcpMessage) -> Options {
        let kind = match self.kind {
            ReplyType::Offer => 2,
            ReplyType::Ack => 5,
            ReplyType::Nak => 6,
        };
        let mut options = vec![
            (code::TYPE, vec![kind]),
            (code::SERVER, self.server_ip.octets().to_vec()),
        ];
        if let Some(file) = &self.file {
            options.push((code::BOOT_FILE, file.clone().into_bytes()));
        }
        options.extend(self.options.iter().cloned());
        let echoed = [
            (code::CLIENT_ID, &query.client_id),
            (code::GUID, &query.guid),
            (code::AGENT, &query.agent),
        ];
        options.extend(
            echoed
                .into_iter()
                .filter_map(|(code, value)| Some((code, value.clone()?))),
        );
        options
    }
}
