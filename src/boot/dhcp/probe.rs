//! Asking who else gives addresses here: a question like any client's, and what servers answer to it.

use std::net::Ipv4Addr;

use dhcproto::{
    Encodable,
    v4::{
        DhcpOption, Flags, Message, MessageType, Opcode,
        borrowed::{DhcpOptionIterator, Message as Borrowed},
    },
};

use super::code;
use crate::model::Mac;

/// Writes a DHCPDISCOVER of a card that is nobody's, to be answered by broadcast.
pub fn probe(xid: u32, mac: Mac) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(xid, none, none, none, none, &mac.0);
    message.set_opcode(Opcode::BootRequest);
    message.set_flags(Flags::default().set_broadcast());
    message
        .opts_mut()
        .insert(DhcpOption::MessageType(MessageType::Discover));
    let mut bytes = message
        .to_vec()
        .expect("a message whose options are short is written");
    bytes.resize(bytes.len().max(300), 0);
    bytes
}

/// Reads which server offers an address in answer to `xid`.
pub fn offered_by(datagram: &[u8], xid: u32) -> Option<Ipv4Addr> {
    let message = Borrowed::new(datagram).ok()?;
    if message.opcode() != Opcode::BootReply || message.xid() != xid {
        return None;
    }
    // A proxy offers no address.
    if message.yiaddr().is_unspecified() {
        return None;
    }
    let mut options = DhcpOptionIterator::new(&datagram[240..]);
    let server = options.find(|option| u8::from(option.code()) == code::SERVER)?;
    let bytes: [u8; 4] = server.data().try_into().ok()?;
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::dhcp::{
        Client, Destination, DhcpMessage, DhcpMessageType, DhcpReply, ReplyType,
    };

    #[test]
    fn an_offer_with_an_address_tells_of_a_server() {
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let query = DhcpMessage::read(&probe(7, mac)).unwrap();
        let expected = (DhcpMessageType::Discover, Client::Host, true, mac);
        let found = (query.message_type, query.client, query.broadcast, query.mac);
        assert_eq!(found, expected);
        let us = Ipv4Addr::new(192, 0, 2, 254);
        let mut answer = DhcpReply {
            kind: ReplyType::Offer,
            yiaddr: Some(Ipv4Addr::new(192, 0, 2, 100)),
            server_ip: us,
            file: None,
            options: Vec::new(),
            destination: Destination::Broadcast,
        };
        let bytes = answer.datagram(&query);
        assert_eq!(offered_by(&bytes, 7), Some(us));
        assert_eq!(offered_by(&bytes, 8), None);
        assert_eq!(offered_by(&bytes[..200], 7), None);
        answer.yiaddr = None;
        assert_eq!(offered_by(&answer.datagram(&query), 7), None);
    }
}
