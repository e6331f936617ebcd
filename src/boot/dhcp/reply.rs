//! A DHCP reply and its encoding.

use std::net::Ipv4Addr;

use dhcproto::{
    Encodable,
    v4::{DhcpOption, DhcpOptions, Flags, Message, MessageType, Opcode, OptionCode, UnknownOption},
};

use super::message::DhcpMessage;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyType {
    /// DHCPOFFER.
    Offer,
    /// DHCPACK.
    Ack,
    /// DHCPNAK.
    Nak,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpReply {
    pub kind: ReplyType,
    /// The client's address; none in a proxy's reply and in a DHCPNAK.
    pub yiaddr: Option<Ipv4Addr>,
    /// This server's address on that network: the server identifier and `siaddr`.
    pub server_ip: Ipv4Addr,
    /// The boot file, for the `file` field and option 67.
    pub file: Option<String>,
    /// The options besides message type, server identifier, boot file and those echoed from the request.
    pub options: DhcpOptions,
    pub destination: Destination,
    /// The options for which the largest message that the client accepts has no room.
    pub left_out: Vec<u8>,
}

/// Where a reply is sent (RFC 2131 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Port 67 of the relay that forwarded the request.
    Relay(Ipv4Addr),
    /// An address that the client has configured.
    Client(Ipv4Addr),
    /// This address at the client's MAC: the client has not configured it yet and cannot answer ARP.
    Mac(Ipv4Addr),
    Broadcast,
}

/// In bytes. Old clients drop shorter messages (RFC 951).
pub(super) const MIN_DATAGRAM: usize = 300;
/// The size of the `file` field in bytes, with the zero at its end.
const FILE_FIELD: usize = 128;

impl DhcpReply {
    /// Encodes the datagram that answers `request`.
    pub fn datagram(&self, request: &DhcpMessage) -> Vec<u8> {
        let mut bytes = self.unpadded(request);
        bytes.resize(bytes.len().max(MIN_DATAGRAM), 0);
        bytes
    }

    pub(super) fn unpadded(&self, request: &DhcpMessage) -> Vec<u8> {
        let is_nak = self.kind == ReplyType::Nak;
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(
            request.xid,
            request.ciaddr.filter(|_| !is_nak).unwrap_or(none),
            self.yiaddr.unwrap_or(none),
            if is_nak { none } else { self.server_ip },
            request.giaddr.unwrap_or(none),
            &request.mac.0,
        );
        message.set_opcode(Opcode::BootReply);
        if request.broadcast {
            message.set_flags(Flags::default().set_broadcast());
        }
        // A longer name is only in option 67.
        if let Some(file) = self.file.as_ref().filter(|file| file.len() < FILE_FIELD) {
            message.set_fname(file.as_bytes());
        }
        message.set_opts(self.all_options(request));
        message
            .to_vec()
            .expect("a message with known options can be encoded")
    }

    fn all_options(&self, request: &DhcpMessage) -> DhcpOptions {
        let mut options = self.options.clone();
        options.insert(DhcpOption::MessageType(match self.kind {
            ReplyType::Offer => MessageType::Offer,
            ReplyType::Ack => MessageType::Ack,
            ReplyType::Nak => MessageType::Nak,
        }));
        options.insert(DhcpOption::ServerIdentifier(self.server_ip));
        if let Some(file) = &self.file {
            options.insert(DhcpOption::BootfileName(file.clone().into_bytes()));
        }
        if let Some(id) = &request.client_id {
            options.insert(DhcpOption::ClientIdentifier(id.clone()));
        }
        if let Some(guid) = &request.guid {
            options.insert(DhcpOption::ClientMachineIdentifier(guid.clone()));
        }
        match &request.relay_info {
            Some(bytes) => {
                let relay_info = raw(OptionCode::RelayAgentInformation, bytes.clone());
                options.into_iter().chain([relay_info]).collect()
            }
            None => options,
        }
    }
}

/// An option that is sent as these bytes, under the key of its code. `DhcpOptions::insert` would file it as an unknown
/// option, and the encoder, which writes option 82 last (RFC 3046 section 2.2), would write it a second time.
pub(super) fn raw(code: OptionCode, bytes: Vec<u8>) -> (OptionCode, DhcpOption) {
    let option = DhcpOption::Unknown(UnknownOption::new(code, bytes));
    (code, option)
}
