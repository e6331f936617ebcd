//! The messages of a DHCP client (RFC 2131), without sockets.

use std::net::Ipv4Addr;

use dhcproto::{
    Decodable, Encodable,
    v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode},
};
use ipnet::Ipv4Net;

use crate::model::Mac;

/// An empty message: BOOTP's header with Ethernet's hardware type and address length, and DHCP's magic cookie (RFC 2131,
/// 2 and 3).
const BLANK: [u8; 241] = {
    let mut blank = [0; 241];
    (blank[0], blank[1], blank[2]) = (1, 1, 6);
    (blank[236], blank[237], blank[238], blank[239]) = (99, 130, 83, 99);
    blank[240] = 255;
    blank
};

/// The lease time in seconds if the server sends none.
const DEFAULT_LEASE_SECONDS: u32 = 3600;

/// The address that a server assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientLease {
    pub(crate) address: Ipv4Net,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) server: Ipv4Addr,
    /// The lease time in seconds.
    pub(crate) seconds: u32,
}

/// A server's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DhcpServerReply {
    Offer(ClientLease),
    Ack(ClientLease),
    Nak,
}

impl DhcpServerReply {
    /// Whether it is a reply to DHCPDISCOVER.
    pub(super) fn is_offer(&self) -> bool {
        matches!(self, DhcpServerReply::Offer(_))
    }

    /// Whether it is a reply to DHCPREQUEST; a late offer is not.
    pub(super) fn is_final(&self) -> bool {
        !self.is_offer()
    }
}

/// A NIC's transaction with DHCP servers.
#[derive(Debug, Clone)]
pub(super) struct DhcpTransaction {
    pub(super) mac: Mac,
    pub(super) xid: u32,
}

impl DhcpTransaction {
    pub(super) fn discover(&self) -> Vec<u8> {
        self.message(MessageType::Discover, Ipv4Addr::UNSPECIFIED, &[])
    }

    /// Requests an offered address.
    pub(super) fn request(&self, offer: &ClientLease) -> Vec<u8> {
        let wanted = [
            DhcpOption::RequestedIpAddress(offer.address.addr()),
            DhcpOption::ServerIdentifier(offer.server),
        ];
        self.message(MessageType::Request, Ipv4Addr::UNSPECIFIED, &wanted)
    }

    /// Requests the same address again from any server ("REBINDING").
    pub(super) fn renew(&self, lease: &ClientLease) -> Vec<u8> {
        self.message(MessageType::Request, lease.address.addr(), &[])
    }

    fn message(&self, kind: MessageType, own: Ipv4Addr, options: &[DhcpOption]) -> Vec<u8> {
        // The codec's constructors draw a random number, for which a machine that has just started may have to wait for minutes.
        let mut message = Message::from_bytes(&BLANK).expect("a header and a cookie are a message");
        message.set_opcode(Opcode::BootRequest);
        message.set_xid(self.xid);
        message.set_ciaddr(own);
        message.set_chaddr(&self.mac.0);
        // A NIC without an address receives only broadcasts.
        message.set_flags(Flags::default().set_broadcast());
        let options_map = message.opts_mut();
        options_map.insert(DhcpOption::MessageType(kind));
        options_map.insert(DhcpOption::ParameterRequestList(vec![
            OptionCode::SubnetMask,
            OptionCode::Router,
            OptionCode::AddressLeaseTime,
        ]));
        for option in options {
            options_map.insert(option.clone());
        }
        let mut bytes = message.to_vec().expect("short options fit into a message");
        // BOOTP relays drop shorter messages (RFC 1542, 2.1).
        bytes.resize(bytes.len().max(300), 0);
        bytes
    }

    /// Parses a datagram; `None` if it belongs to another transaction or assigns no address.
    pub(super) fn read(&self, datagram: &[u8]) -> Option<DhcpServerReply> {
        // Other datagrams are ignored.
        let message = Message::from_bytes(datagram).ok()?;
        if message.opcode() != Opcode::BootReply
            || message.xid() != self.xid
            || message.chaddr() != self.mac.0
        {
            return None;
        }
        let reply = match message.opts().msg_type()? {
            MessageType::Offer => DhcpServerReply::Offer,
            MessageType::Ack => DhcpServerReply::Ack,
            MessageType::Nak => return Some(DhcpServerReply::Nak),
            _ => return None,
        };
        // A proxy's offer has no address.
        lease(&message).map(reply)
    }
}

fn lease(message: &Message) -> Option<ClientLease> {
    let address = message.yiaddr();
    if address.is_unspecified() {
        return None;
    }
    let options = message.opts();
    let mask = match options.get(OptionCode::SubnetMask) {
        Some(DhcpOption::SubnetMask(mask)) => *mask,
        // Without a mask it would be that of the address's class; class A and B networks are not used without a mask.
        _ => Ipv4Addr::new(255, 255, 255, 0),
    };
    let gateway = match options.get(OptionCode::Router) {
        Some(DhcpOption::Router(routers)) => routers.first().copied(),
        _ => None,
    };
    let server = match options.get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) => *server,
        _ => return None,
    };
    let seconds = match options.get(OptionCode::AddressLeaseTime) {
        Some(DhcpOption::AddressLeaseTime(seconds)) => *seconds,
        _ => DEFAULT_LEASE_SECONDS,
    };
    Some(ClientLease {
        // A non-contiguous mask is invalid.
        address: Ipv4Net::with_netmask(address, mask).ok()?,
        gateway,
        server,
        seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::dhcp::{Client, DhcpMessage, DhcpMessageType};

    const MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);

    fn transaction() -> DhcpTransaction {
        DhcpTransaction { mac: MAC, xid: 7 }
    }

    fn answer(kind: MessageType, change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(7, none, none, none, none, &MAC.0);
        message.set_opcode(Opcode::BootReply);
        message.set_yiaddr([192, 0, 2, 9]);
        let options = message.opts_mut();
        options.insert(DhcpOption::MessageType(kind));
        options.insert(DhcpOption::ServerIdentifier([192, 0, 2, 1].into()));
        options.insert(DhcpOption::SubnetMask([255, 255, 255, 128].into()));
        options.insert(DhcpOption::Router(vec![[192, 0, 2, 2].into()]));
        options.insert(DhcpOption::AddressLeaseTime(600));
        change(&mut message);
        message.to_vec().unwrap()
    }

    fn expected_lease() -> ClientLease {
        ClientLease {
            address: "192.0.2.9/25".parse().unwrap(),
            gateway: Some([192, 0, 2, 2].into()),
            server: [192, 0, 2, 1].into(),
            seconds: 600,
        }
    }

    #[test]
    fn bootwrights_dhcp_server_parses_the_messages() {
        let cases = [
            (transaction().discover(), DhcpMessageType::Discover),
            (
                transaction().request(&expected_lease()),
                DhcpMessageType::Request,
            ),
            (
                transaction().renew(&expected_lease()),
                DhcpMessageType::Request,
            ),
        ];
        for (datagram, asks) in cases {
            let query = DhcpMessage::read(&datagram).unwrap();
            let found = (query.message_type, query.client, query.broadcast, query.mac);
            assert_eq!(found, (asks, Client::Host, true, MAC));
            assert!(datagram.len() >= 300);
        }
    }

    #[test]
    fn replies_are_parsed_and_other_datagrams_ignored() {
        let read = |datagram: &[u8]| transaction().read(datagram);
        assert_eq!(
            read(&answer(MessageType::Offer, |_| ())),
            Some(DhcpServerReply::Offer(expected_lease()))
        );
        assert_eq!(
            read(&answer(MessageType::Ack, |_| ())),
            Some(DhcpServerReply::Ack(expected_lease()))
        );
        assert_eq!(
            read(&answer(MessageType::Nak, |_| ())),
            Some(DhcpServerReply::Nak)
        );
        let other_datagrams: [fn(&mut Message); 5] = [
            |message| {
                message.set_xid(8);
            },
            |message| {
                message.set_opcode(Opcode::BootRequest);
            },
            |message| {
                message.set_chaddr(&[0x52, 0x54, 0, 0, 0, 2]);
            },
            |message| {
                message.set_yiaddr(Ipv4Addr::UNSPECIFIED);
            },
            |message| {
                message
                    .opts_mut()
                    .insert(DhcpOption::SubnetMask([255, 0, 255, 0].into()));
            },
        ];
        for change in other_datagrams {
            assert_eq!(read(&answer(MessageType::Offer, change)), None);
        }
        for length in 0..240 {
            assert_eq!(read(&answer(MessageType::Offer, |_| ())[..length]), None);
        }
        assert_eq!(read(b"nonsense"), None);
    }
}
