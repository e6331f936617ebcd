//! Probing whether an address is in use (ARP, RFC 826).
//!
//! The probe is that of RFC 5227 section 2.1.1: its sender address is empty, so it changes no host's ARP table. All
//! replies are returned; the caller evaluates them. A host that only probes the same address at the same time is not
//! reported.

use std::{
    collections::BTreeSet,
    io,
    net::Ipv4Addr,
    os::fd::IntoRawFd,
    time::{Duration, Instant},
};

use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, ArpPacketSlice, EtherType, Ethernet2Slice,
    PacketBuilder,
};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use pnet_datalink::{
    Channel, ChannelType, Config, DataLinkReceiver, DataLinkSender, MacAddr, NetworkInterface,
};

use super::interfaces::Interface;
use crate::model::Mac;

const BROADCAST: [u8; 6] = [0xff; 6];
/// How often each address is probed (RFC 5227's PROBE_NUM).
const PROBES: u32 = 3;
/// Between two probes. RFC 5227 has one to two seconds; a booting machine would wait too long, and hosts reply within
/// milliseconds.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// How long replies are collected.
const TOTAL_TIME: Duration = Duration::from_millis(800);
/// The timeout of one read or write of the socket.
const SOCKET_TIMEOUT: Duration = Duration::from_millis(50);

/// Whether this process may open the socket: as root, or with CAP_NET_RAW.
pub(crate) fn is_permitted() -> bool {
    raw().is_ok()
}

/// Probes addresses on a link; returns which MAC replied for which. Takes 800 ms.
pub(crate) fn probe_addresses(
    on: &Interface,
    addresses: &[Ipv4Addr],
) -> io::Result<BTreeSet<(Ipv4Addr, Mac)>> {
    let own = on.mac.ok_or(io::ErrorKind::Unsupported)?;
    let (mut sender, mut receiver) = open(on, own)?;
    let started = Instant::now();
    let mut found = BTreeSet::new();
    let mut sent = 0;
    while started.elapsed() < TOTAL_TIME {
        if sent < PROBES && started.elapsed() >= PROBE_INTERVAL * sent {
            for address in addresses {
                sender
                    .send_to(&probe(own, *address)?, None)
                    .unwrap_or(Ok(()))?;
            }
            sent += 1;
        }
        match receiver.next() {
            Ok(frame) => {
                let reply = sender_of(frame);
                found.extend(reply.filter(|(ip, mac)| addresses.contains(ip) && *mac != own));
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

type ArpChannel = (Box<dyn DataLinkSender>, Box<dyn DataLinkReceiver>);

/// A socket of protocol 0 receives nothing. Bound to ARP it only receives ARP packets for this host.
fn open(on: &Interface, own: Mac) -> io::Result<ArpChannel> {
    let interface = NetworkInterface {
        name: on.name.clone(),
        description: String::new(),
        index: on.index,
        mac: Some(MacAddr::from(own.0)),
        ips: Vec::new(),
        flags: 0,
    };
    let config = Config {
        channel_type: ChannelType::Layer3(EtherType::ARP.0),
        promiscuous: false,
        socket_fd: Some(raw()?.into_raw_fd()),
        read_timeout: Some(SOCKET_TIMEOUT),
        write_timeout: Some(SOCKET_TIMEOUT),
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

fn probe(own: Mac, address: Ipv4Addr) -> io::Result<Vec<u8>> {
    let request = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
        &own.0,
        &Ipv4Addr::UNSPECIFIED.octets(),
        &[0; 6],
        &address.octets(),
    )
    .map_err(io::Error::other)?;
    let builder = PacketBuilder::ethernet2(own.0, BROADCAST).arp(request);
    let mut frame = Vec::with_capacity(builder.size());
    builder.write(&mut frame).map_err(io::Error::other)?;
    Ok(frame)
}

/// The address and MAC of the sender. A host uses its sender address in requests and replies (RFC 5227 section 2.1.1).
fn sender_of(frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let frame = Ethernet2Slice::from_slice_without_fcs(frame).ok()?;
    let is_arp = frame.ether_type() == EtherType::ARP;
    let packet = ArpPacketSlice::from_slice(frame.payload_slice()).ok();
    let packet = packet.filter(|packet| is_arp && packet.proto_addr_type() == EtherType::IPV4)?;
    let mac: [u8; 6] = packet.sender_hw_addr().try_into().ok()?;
    let ip: [u8; 4] = packet.sender_protocol_addr().try_into().ok()?;
    Some((Ipv4Addr::from(ip), Mac(mac)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);

    #[test]
    fn a_probe_has_no_sender_address() {
        let frame = probe(MAC, Ipv4Addr::new(192, 0, 2, 21)).unwrap();
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
    fn the_sender_of_a_packet_uses_its_address() {
        let ip = Ipv4Addr::new(192, 0, 2, 21);
        let mut frame = probe(MAC, ip).unwrap();
        assert_eq!(sender_of(&frame), Some((Ipv4Addr::UNSPECIFIED, MAC)));
        frame[28..32].copy_from_slice(&ip.octets());
        assert_eq!(sender_of(&frame), Some((ip, MAC)));
        // Frames on the wire have at least 60 bytes.
        assert_eq!(sender_of(&[&frame[..], &[0; 18]].concat()), Some((ip, MAC)));
        // A packet that is truncated, of another protocol, or with addresses of another length is ignored.
        assert_eq!(sender_of(&frame[..41]), None);
        assert_eq!(sender_of(&[]), None);
        for (at, byte) in [(13, 0), (17, 1), (18, 8), (19, 16)] {
            let mut other = frame.clone();
            other[at] = byte;
            assert_eq!(sender_of(&other), None, "byte {at}");
        }
    }
}
