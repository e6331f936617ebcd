//! What a DHCP client says and hears (RFC 2131), without a socket.

use std::net::Ipv4Addr;

use dhcproto::{
    Decodable, Encodable,
    v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode},
};
use ipnet::Ipv4Net;

use crate::model::Mac;

/// A message that says nothing: BOOTP's header with the type and length of Ethernet's addresses, and DHCP's cookie (RFC 2131, 2
/// and 3).
const BLANK: [u8; 241] = {
    let mut blank = [0; 241];
    (blank[0], blank[1], blank[2]) = (1, 1, 6);
    (blank[236], blank[237], blank[238], blank[239]) = (99, 130, 83, 99);
    blank[240] = 255;
    blank
};

/// A lease without a time is good for so many seconds.
const USUAL: u32 = 3600;

/// The address that a server gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientLease {
    pub(crate) address: Ipv4Net,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) server: Ipv4Addr,
    /// For how long, in seconds.
    pub(crate) seconds: u32,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DhcpReply {
    Offer(ClientLease),
    Ack(ClientLease),
    Nak,
}

impl DhcpReply {
    /// Whether it answers a DHCPDISCOVER.
    pub(super) fn is_offer(&self) -> bool {
        matches!(self, DhcpReply::Offer(_))
    }

    /// Whether it answers a DHCPREQUEST; an offer that comes late does not.
    pub(super) fn is_final(&self) -> bool {
        !self.is_offer()
    }
}

/// One card's talk with the servers.
#[derive(Debug, Clone)]
pub(super) struct DhcpTransaction {
    pub(super) mac: Mac,
    pub(super) xid: u32,
}

impl DhcpTransaction {
    pub(super) fn discover(&self) -> Vec<u8> {
        self.written(MessageType::Discover, Ipv4Addr::UNSPECIFIED, &[])
    }

    /// Takes up an offer.
    pub(super) fn request(&self, offer: &ClientLease) -> Vec<u8> {
        let wanted = [
            DhcpOption::RequestedIpAddress(offer.address.addr()),
            DhcpOption::ServerIdentifier(offer.server),
        ];
        self.written(MessageType::Request, Ipv4Addr::UNSPECIFIED, &wanted)
    }

    /// Asks any server to let the address stay ("REBINDING").
    pub(super) fn renew(&self, lease: &ClientLease) -> Vec<u8> {
        self.written(MessageType::Request, lease.address.addr(), &[])
    }

    fn written(&self, kind: MessageType, own: Ipv4Addr, options: &[DhcpOption]) -> Vec<u8> {
        // The codec's own constructors draw a random number, for which a machine that has just started may wait for minutes.
        let mut message = Message::from_bytes(&BLANK).expect("a header and a cookie are a message");
        message.set_opcode(Opcode::BootRequest);
        message.set_xid(self.xid);
        message.set_ciaddr(own);
        message.set_chaddr(&self.mac.0);
        // A card without an address hears broadcasts alone.
        message.set_flags(Flags::default().set_broadcast());
        let known = message.opts_mut();
        known.insert(DhcpOption::MessageType(kind));
        known.insert(DhcpOption::ParameterRequestList(vec![
            OptionCode::SubnetMask,
            OptionCode::Router,
            OptionCode::AddressLeaseTime,
        ]));
        for option in options {
            known.insert(option.clone());
        }
        let mut bytes = message
            .to_vec()
            .expect("a message whose options are short is written");
        // BOOTP's relays drop what is shorter (RFC 1542, 2.1).
        bytes.resize(bytes.len().max(300), 0);
        bytes
    }

    /// What a datagram says to this talk; none when it is for somebody else, or offers no address.
    pub(super) fn read(&self, datagram: &[u8]) -> Option<DhcpReply> {
        // What is no DHCP message is not for us.
        let message = Message::from_bytes(datagram).ok()?;
        if message.opcode() != Opcode::BootReply
            || message.xid() != self.xid
            || message.chaddr() != self.mac.0
        {
            return None;
        }
        let heard = match message.opts().msg_type()? {
            MessageType::Offer => DhcpReply::Offer,
            MessageType::Ack => DhcpReply::Ack,
            MessageType::Nak => return Some(DhcpReply::Nak),
            _ => return None,
        };
        // A proxy gives no address.
        lease(&message).map(heard)
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
        // Without one it is that of the address's class; nobody gives out class A or B without saying so.
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
        _ => USUAL,
    };
    Some(ClientLease {
        // A mask with holes is none.
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

    fn talk() -> DhcpTransaction {
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

    fn given() -> ClientLease {
        ClientLease {
            address: "192.0.2.9/25".parse().unwrap(),
            gateway: Some([192, 0, 2, 2].into()),
            server: [192, 0, 2, 1].into(),
            seconds: 600,
        }
    }

    #[test]
    fn our_own_server_understands_what_is_asked() {
        let cases = [
            (talk().discover(), DhcpMessageType::Discover),
            (talk().request(&given()), DhcpMessageType::Request),
            (talk().renew(&given()), DhcpMessageType::Request),
        ];
        for (datagram, asks) in cases {
            let query = DhcpMessage::read(&datagram).unwrap();
            let found = (query.message_type, query.client, query.broadcast, query.mac);
            assert_eq!(found, (asks, Client::Host, true, MAC));
            assert!(datagram.len() >= 300);
        }
    }

    #[test]
    fn what_a_server_says_is_heard_and_the_rest_is_not() {
        let heard = |datagram: &[u8]| talk().read(datagram);
        assert_eq!(
            heard(&answer(MessageType::Offer, |_| ())),
            Some(DhcpReply::Offer(given()))
        );
        assert_eq!(
            heard(&answer(MessageType::Ack, |_| ())),
            Some(DhcpReply::Ack(given()))
        );
        assert_eq!(
            heard(&answer(MessageType::Nak, |_| ())),
            Some(DhcpReply::Nak)
        );
        let for_others: [fn(&mut Message); 5] = [
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
        for change in for_others {
            assert_eq!(heard(&answer(MessageType::Offer, change)), None);
        }
        for length in 0..240 {
            assert_eq!(heard(&answer(MessageType::Offer, |_| ())[..length]), None);
        }
        assert_eq!(heard(b"nonsense"), None);
    }
}
