//! Ethernet frames to a client that has no address yet: it cannot answer ARP, and a broadcast would reach every host.

use std::{collections::HashMap, io, net::Ipv4Addr, os::fd::IntoRawFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use pnet_datalink::{Channel, ChannelType, Config, DataLinkSender, MacAddr, NetworkInterface};
use pnet_packet::{
    ethernet::{EtherTypes, MutableEthernetPacket},
    ip::IpNextHeaderProtocols,
    ipv4::{self, MutableIpv4Packet},
    udp::{self, MutableUdpPacket},
};

use crate::{model::Mac, net::interfaces::Interface};

const ETHERNET: usize = 14;
const IP: usize = 20;
const UDP: usize = 8;

/// Sends frames. It does not receive any.
#[derive(Default)]
pub struct FrameSender {
    senders: HashMap<u32, Box<dyn DataLinkSender>>,
}

/// The addresses of a datagram and of its frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UdpRoute {
    pub(crate) from: Ipv4Addr,
    pub(crate) from_port: u16,
    pub(crate) to: Ipv4Addr,
    pub(crate) to_port: u16,
    pub(crate) mac: Mac,
}

impl std::fmt::Debug for FrameSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameSender")
    }
}

impl FrameSender {
    /// Sends a datagram in a frame to one MAC.
    pub(crate) fn send(
        &mut self,
        on: &Interface,
        route: &UdpRoute,
        bytes: &[u8],
    ) -> io::Result<()> {
        let own = on.mac.ok_or(io::ErrorKind::Unsupported)?;
        let frame = frame(own, route, bytes);
        let sender = match self.senders.entry(on.index) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(sender(on)?),
        };
        let sent = sender.send_to(&frame, None).unwrap_or(Ok(()));
        if sent.is_err() {
            // The interface may have been removed and created again under another index.
            self.senders.remove(&on.index);
        }
        sent
    }
}

/// Opens a channel with a socket of protocol 0, which receives nothing.
fn sender(on: &Interface) -> io::Result<Box<dyn DataLinkSender>> {
    let fd = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let interface = NetworkInterface {
        name: on.name.clone(),
        description: String::new(),
        index: on.index,
        mac: on.mac.map(|mac| MacAddr::from(mac.0)),
        ips: Vec::new(),
        flags: 0,
    };
    let config = Config {
        channel_type: ChannelType::Layer3(0),
        promiscuous: false,
        socket_fd: Some(fd.into_raw_fd()),
        ..Config::default()
    };
    match pnet_datalink::channel(&interface, config)? {
        Channel::Ethernet(sender, _) => Ok(sender),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn frame(own: Mac, route: &UdpRoute, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET + IP + UDP + bytes.len()];
    let (link, rest) = frame.split_at_mut(ETHERNET);
    let mut link = MutableEthernetPacket::new(link).expect("the length is that of its header");
    link.set_destination(MacAddr::from(route.mac.0));
    link.set_source(MacAddr::from(own.0));
    link.set_ethertype(EtherTypes::Ipv4);
    let length = rest.len();
    let datagram = &mut rest[IP..];
    datagram[UDP..].copy_from_slice(bytes);
    let mut udp = MutableUdpPacket::new(datagram).expect("the buffer has room for the header");
    udp.set_source(route.from_port);
    udp.set_destination(route.to_port);
    udp.set_length((UDP + bytes.len()) as u16);
    let sum = udp::ipv4_checksum(&udp.to_immutable(), &route.from, &route.to);
    udp.set_checksum(sum);
    let mut ip = MutableIpv4Packet::new(rest).expect("the buffer has room for the header");
    ip.set_version(4);
    ip.set_header_length(5);
    ip.set_total_length(length as u16);
    ip.set_ttl(64);
    ip.set_next_level_protocol(IpNextHeaderProtocols::Udp);
    ip.set_source(route.from);
    ip.set_destination(route.to);
    let sum = ipv4::checksum(&ip.to_immutable());
    ip.set_checksum(sum);
    frame
}
