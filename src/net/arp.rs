//! Who has an address, asked on the wire (ARP, RFC 826).
//!
//! The question is the probe of RFC 5227 section 2.1.1: with no sender's address it changes nobody's table. The
//! answers are counted and not judged. Who merely asks for the same address at the same time does not have it.

use std::{
    collections::BTreeSet,
    io,
    net::Ipv4Addr,
    os::fd::IntoRawFd,
    time::{Duration, Instant},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use pnet_datalink::{
    Channel, ChannelType, Config, DataLinkReceiver, DataLinkSender, MacAddr, NetworkInterface,
};
use pnet_packet::{
    Packet,
    arp::{ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket},
    ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket},
};

use super::interfaces::Interface;
use crate::model::Mac;

/// How often each address is asked for (RFC 5227's PROBE_NUM).
const PROBES: u32 = 3;
/// Between two probes. RFC 5227 waits for a second or two; a machine that boots is not kept so long, and hosts
/// answer within milliseconds.
const BETWEEN: Duration = Duration::from_millis(250);
/// For how long answers are waited for in all.
const IN_ALL: Duration = Duration::from_millis(800);
/// For how long one look at the socket waits.
const WAIT: Duration = Duration::from_millis(50);

/// Tells whether this process may ask.
pub(crate) fn is_permitted() -> bool {
    raw().is_ok()
}

/// Asks for addresses on a link, and returns which card answered for which. Takes 800 ms.
pub(crate) fn ask(on: &Interface, addresses: &[Ipv4Addr]) -> io::Result<BTreeSet<(Ipv4Addr, Mac)>> {
    let own = on.mac.ok_or(io::ErrorKind::Unsupported)?;
    let (mut sender, mut receiver) = open(on, own)?;
    let begun = Instant::now();
    let mut found = BTreeSet::new();
    let mut sent = 0;
    while begun.elapsed() < IN_ALL {
        if sent < PROBES && begun.elapsed() >= BETWEEN * sent {
            for address in addresses {
                sender
                    .send_to(&probe(own, *address), None)
                    .unwrap_or(Ok(()))?;
            }
            sent += 1;
        }
        match receiver.next() {
            Ok(frame) => {
                let answer = answered(frame);
                found.extend(answer.filter(|(ip, mac)| addresses.contains(ip) && *mac != own));
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

type Ends = (Box<dyn DataLinkSender>, Box<dyn DataLinkReceiver>);

/// A socket of protocol 0 receives nothing; bound to ARP it receives that alone, and of that what is for us.
fn open(on: &Interface, own: Mac) -> io::Result<Ends> {
    let interface = NetworkInterface {
        name: on.name.clone(),
        description: String::new(),
        index: on.index,
        mac: Some(MacAddr::from(own.0)),
        ips: Vec::new(),
        flags: 0,
    };
    let config = Config {
        channel_type: ChannelType::Layer3(EtherTypes::Arp.0),
        promiscuous: false,
        socket_fd: Some(raw()?.into_raw_fd()),
        read_timeout: Some(WAIT),
        write_timeout: Some(WAIT),
        ..Config::default()
    };
    match pnet_datalink::channel(&interface, config)? {
        Channel::Ethernet(sender, receiver) => Ok((sender, receiver)),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn raw() -> io::Result<std::os::fd::OwnedFd> {
    let (family, kind) = (AddressFamily::Packet, SockType::Raw);
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?)
}

fn probe(own: Mac, address: Ipv4Addr) -> Vec<u8> {
    let (ethernet, arp) = (
        MutableEthernetPacket::minimum_packet_size(),
        MutableArpPacket::minimum_packet_size(),
    );
    let mut frame = vec![0; ethernet + arp];
    let (link, question) = frame.split_at_mut(ethernet);
    let mut link = MutableEthernetPacket::new(link).expect("the length is that of its header");
    link.set_destination(MacAddr::broadcast());
    link.set_source(MacAddr::from(own.0));
    link.set_ethertype(EtherTypes::Arp);
    let mut question = MutableArpPacket::new(question).expect("the length is that of a question");
    question.set_hardware_type(ArpHardwareTypes::Ethernet);
    question.set_protocol_type(EtherTypes::Ipv4);
    question.set_hw_addr_len(6);
    question.set_proto_addr_len(4);
    question.set_operation(ArpOperations::Request);
    question.set_sender_hw_addr(MacAddr::from(own.0));
    question.set_sender_proto_addr(Ipv4Addr::UNSPECIFIED);
    question.set_target_hw_addr(MacAddr::zero());
    question.set_target_proto_addr(address);
    frame
}

/// Whoever sends ARP with an address has it, whether he answers or asks (RFC 5227 section 2.1.1).
fn answered(frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let frame = EthernetPacket::new(frame)?;
    let is_arp = frame.get_ethertype() == EtherTypes::Arp;
    let packet = ArpPacket::new(frame.payload()).filter(|_| is_arp)?;
    let sizes = (packet.get_hw_addr_len(), packet.get_proto_addr_len());
    let is_of_ipv4 = packet.get_protocol_type() == EtherTypes::Ipv4 && sizes == (6, 4);
    let MacAddr(a, b, c, d, e, f) = packet.get_sender_hw_addr();
    is_of_ipv4.then(|| (packet.get_sender_proto_addr(), Mac([a, b, c, d, e, f])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);

    #[test]
    fn a_probe_says_nobody_s_address() {
        let frame = probe(CARD, Ipv4Addr::new(192, 0, 2, 21));
        let expected = [
            &[0xff; 6][..],
            &[0x52, 0x54, 0, 0, 0, 1, 8, 6],
            &[0, 1, 8, 0, 6, 4, 0, 1],
            &[0x52, 0x54, 0, 0, 0, 1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 192, 0, 2, 21],
        ];
        assert_eq!(frame, expected.concat());
    }

    #[test]
    fn whoever_sends_with_an_address_has_it() {
        let ip = Ipv4Addr::new(192, 0, 2, 21);
        let mut frame = probe(CARD, ip);
        assert_eq!(answered(&frame), Some((Ipv4Addr::UNSPECIFIED, CARD)));
        frame[28..32].copy_from_slice(&ip.octets());
        assert_eq!(answered(&frame), Some((ip, CARD)));
        // Cut short, of another protocol, or with addresses of another length it says nothing.
        assert_eq!(answered(&frame[..41]), None);
        assert_eq!(answered(&[]), None);
        for (at, byte) in [(13, 0), (17, 1), (18, 8), (19, 16)] {
            let mut other = frame.clone();
            other[at] = byte;
            assert_eq!(answered(&other), None, "byte {at}");
        }
    }
}
