//! Finding other DHCP servers: a DHCPDISCOVER like any client's, and the reading of the offers.

use std::net::Ipv4Addr;

use dhcproto::{
    Encodable,
    v4::{
        DhcpOption, Flags, Message, MessageType, Opcode, OptionCode,
        borrowed::{DhcpOptionIterator, Message as Borrowed},
    },
};

use super::reply::MIN_DATAGRAM;
use crate::model::Mac;

/// Encodes a DHCPDISCOVER from `mac` that is to be answered by broadcast.
pub fn discover(xid: u32, mac: Mac) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(xid, none, none, none, none, &mac.0);
    message.set_opcode(Opcode::BootRequest);
    message.set_flags(Flags::default().set_broadcast());
    message
        .opts_mut()
        .insert(DhcpOption::MessageType(MessageType::Discover));
    let mut bytes = message
        .to_vec()
        .expect("a message with known options can be encoded");
    bytes.resize(bytes.len().max(MIN_DATAGRAM), 0);
    bytes
}

/// Returns the server that offers an address in reply to `xid`.
pub fn offering_server(datagram: &[u8], xid: u32) -> Option<Ipv4Addr> {
    let message = Borrowed::new(datagram).ok()?;
    if message.opcode() != Opcode::BootReply || message.xid() != xid {
        return None;
    }
    // A proxy offers no address.
    if message.yiaddr().is_unspecified() {
        return None;
    }
    let mut options = DhcpOptionIterator::new(&datagram[240..]);
    let server = options.find(|option| option.code() == OptionCode::ServerIdentifier)?;
    let bytes: [u8; 4] = server.data().try_into().ok()?;
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use dhcproto::v4::DhcpOptions;

    use super::*;
    use crate::boot::dhcp::{
        Client, Destination, DhcpMessage, DhcpMessageType, DhcpReply, ReplyType,
    };

    #[test]
    fn an_offer_with_an_address_names_its_server() {
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let message = DhcpMessage::read(&discover(7, mac)).unwrap();
        let expected = (DhcpMessageType::Discover, Client::Host, true, mac);
        let read = (
            message.message_type,
            message.client,
            message.broadcast,
            message.mac,
        );
        assert_eq!(read, expected);
        let server_ip = Ipv4Addr::new(192, 0, 2, 254);
        let mut reply = DhcpReply {
            kind: ReplyType::Offer,
            yiaddr: Some(Ipv4Addr::new(192, 0, 2, 100)),
            server_ip,
            file: None,
            options: DhcpOptions::new(),
            destination: Destination::Broadcast,
            left_out: Vec::new(),
        };
        let bytes = reply.datagram(&message);
        assert_eq!(offering_server(&bytes, 7), Some(server_ip));
        assert_eq!(offering_server(&bytes, 8), None);
        assert_eq!(offering_server(&bytes[..200], 7), None);
        reply.yiaddr = None;
        assert_eq!(offering_server(&reply.datagram(&message), 7), None);
    }
}
