//! The MAC of an address on a local link, from the kernel's neighbour table (rtnetlink(7)).
//!
//! No packet is sent on the link. A host on a local link that just sent a packet is in the table; machines behind a router are not.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use nix::libc;

use super::{
    interfaces,
    netlink::{self, HEADER, NetlinkSocket},
};
use crate::{
    control::SenderLink,
    model::{Mac, SmallSet},
};

/// The size of `struct ndmsg`.
const NDMSG: usize = 12;
/// The size of `struct rtmsg`.
const RTMSG: usize = 12;
/// The attributes of `ndmsg`: the address, and the MAC.
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
/// The states of an entry whose MAC is not known: `NUD_INCOMPLETE`, `NUD_FAILED`.
const UNKNOWN_STATES: u16 = 0x01 | 0x20;
/// The kernel sends at most 32 KiB in one datagram of a dump.
const MAX_DATAGRAM: usize = 64 << 10;

/// The size of the buffer for one route, which takes some 100 bytes.
const MAX_ROUTE: usize = 4 << 10;

/// An entry of the table.
type Entry = (IpAddr, Mac);

/// Returns what the table has about an address.
pub fn link_of(ip: IpAddr) -> io::Result<SenderLink> {
    let ip = ip.to_canonical();
    let (entries, macs) = lookup(ip)?;
    let Some(first) = macs.first() else {
        return Ok(match interfaces::is_connected(ip)? {
            true => SenderLink::Local { macs, others: 0 },
            false => SenderLink::Routed,
        });
    };
    let others = entries
        .iter()
        .filter(|(other, mac)| *other != ip && mac == first && is_global(*other));
    let others = others.count();
    Ok(SenderLink::Local { macs, others })
}

/// Returns the MACs of an address: several when it is on several interfaces.
pub fn macs_at(ip: IpAddr) -> io::Result<SmallSet<Mac>> {
    Ok(lookup(ip.to_canonical())?.1)
}

/// Returns the table, and the MACs of an address in it. An entry is only what some host on a link has claimed by ARP: an address has
/// none if what is sent to it goes to a router.
fn lookup(ip: IpAddr) -> io::Result<(Vec<Entry>, SmallSet<Mac>)> {
    let socket = NetlinkSocket::open()?;
    let entries = entries(&socket, ip.is_ipv6())?;
    let macs = macs_of(&entries, ip);
    let is_claimed = !macs.is_empty() && is_global(ip) && is_routed(&socket, ip)?;
    Ok((
        entries,
        if is_claimed {
            SmallSet::default()
        } else {
            macs
        },
    ))
}

fn macs_of(entries: &[Entry], ip: IpAddr) -> SmallSet<Mac> {
    let of_ip = entries.iter().filter(|(address, _)| *address == ip);
    of_ip.map(|(_, mac)| *mac).collect()
}

/// Every IPv6 host has a link-local address besides its others.
fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    }
}

/// Reads the table of one address family.
fn entries(socket: &NetlinkSocket, is_v6: bool) -> io::Result<Vec<Entry>> {
    socket.send(&request(is_v6))?;
    let mut datagram = vec![0; MAX_DATAGRAM];
    let mut entries = Vec::new();
    loop {
        let length = socket.receive(&mut datagram)?;
        if read(&datagram[..length], &mut entries)? {
            return Ok(entries);
        }
    }
}

/// The request for a dump, with `struct ndmsg`.
fn request(is_v6: bool) -> Vec<u8> {
    let family = if is_v6 { libc::AF_INET6 } else { libc::AF_INET };
    let mut body = [0; NDMSG];
    body[0] = family as u8;
    netlink::message(libc::RTM_GETNEIGH, libc::NLM_F_DUMP, 0, &body)
}

/// Returns whether packets to an address are sent to a router.
fn is_routed(socket: &NetlinkSocket, ip: IpAddr) -> io::Result<bool> {
    socket.send(&route_request(ip))?;
    let mut datagram = [0; MAX_ROUTE];
    let length = socket.receive(&mut datagram)?;
    let Some((length, kind)) = header(&datagram[..length]) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let body = &datagram[HEADER..length];
    if i32::from(kind) == libc::NLMSG_ERROR {
        return Err(kernel_error(body));
    }
    let has_router = |(kind, _): (u16, &[u8])| kind == libc::RTA_GATEWAY || kind == libc::RTA_VIA;
    Ok(attributes(body.get(RTMSG..).unwrap_or_default()).any(has_router))
}

/// The request for the route of an address, with `struct rtmsg` and `RTA_DST`.
fn route_request(ip: IpAddr) -> Vec<u8> {
    let (family, octets) = match ip {
        IpAddr::V4(ip) => (libc::AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (libc::AF_INET6, ip.octets().to_vec()),
    };
    let mut body = vec![0; RTMSG];
    body[0] = family as u8;
    body[1] = octets.len() as u8 * 8;
    body.extend((4 + octets.len() as u16).to_ne_bytes());
    body.extend(libc::RTA_DST.to_ne_bytes());
    body.extend(octets);
    netlink::message(libc::RTM_GETROUTE, 0, 0, &body)
}

/// The error of an `NLMSG_ERROR`.
fn kernel_error(body: &[u8]) -> io::Error {
    let code = body
        .first_chunk()
        .map_or(0, |code| i32::from_ne_bytes(*code));
    io::Error::from_raw_os_error(code.saturating_neg())
}

/// Reads the messages of a datagram. Returns whether the dump has ended.
fn read(datagram: &[u8], entries: &mut Vec<Entry>) -> io::Result<bool> {
    let mut rest = datagram;
    while let Some((length, kind)) = header(rest) {
        let body = &rest[HEADER..length];
        match i32::from(kind) {
            libc::NLMSG_DONE => return Ok(true),
            libc::NLMSG_ERROR => return Err(kernel_error(body)),
            _ => entries.extend(entry(body)),
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The length and the type of the first message.
fn header(rest: &[u8]) -> Option<(usize, u16)> {
    let length = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*rest.get(4..)?.first_chunk()?);
    (HEADER..=rest.len())
        .contains(&length)
        .then_some((length, kind))
}

/// Reads `struct ndmsg` and its attributes; none for an entry without a MAC.
fn entry(body: &[u8]) -> Option<Entry> {
    let state = u16::from_ne_bytes(*body.get(8..)?.first_chunk()?);
    if state & UNKNOWN_STATES != 0 {
        return None;
    }
    let (mut ip, mut mac) = (None, None);
    for (kind, value) in attributes(body.get(NDMSG..)?) {
        match kind {
            NDA_DST => ip = address(value),
            NDA_LLADDR => mac = value.try_into().ok().map(Mac),
            _ => {}
        }
    }
    Some((ip?, mac.filter(|mac| mac.is_unicast())?))
}

/// The attributes of a message (`struct rtattr`): the type and the value of each.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let attribute = rest.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([attribute[0], attribute[1]]));
        let kind = u16::from_ne_bytes([attribute[2], attribute[3]]);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?))),
        16 => Some(IpAddr::V6(Ipv6Addr::from(
            <[u8; 16]>::try_from(value).ok()?,
        ))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: u16 = 0x08;

    /// A message about one neighbour.
    fn message(state: u16, ip: &str, mac: Option<&str>) -> Vec<u8> {
        let mut body = vec![0; NDMSG];
        body[8..10].copy_from_slice(&state.to_ne_bytes());
        let ip: IpAddr = ip.parse().unwrap();
        let ip = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let mac = mac.map(|mac| mac.parse::<Mac>().unwrap().0.to_vec());
        let attributes = [(NDA_DST, Some(ip)), (9, Some(vec![1])), (NDA_LLADDR, mac)];
        for (kind, value) in attributes {
            let Some(value) = value else { continue };
            body.extend((4 + value.len() as u16).to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(&value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        with_header(libc::RTM_NEWNEIGH, &body)
    }

    fn with_header(kind: u16, body: &[u8]) -> Vec<u8> {
        netlink::message(kind, 0, 0, body)
    }

    #[test]
    fn the_macs_of_known_neighbours_are_read() {
        let dump = [
            message(DELAY, "192.0.2.11", Some("52:54:00:00:00:01")),
            message(0x01, "192.0.2.12", Some("52:54:00:00:00:02")),
            message(DELAY, "192.0.2.12", None),
            message(DELAY, "192.0.2.13", Some("52:54:00:00:00:03")),
            message(DELAY, "192.0.2.13", Some("52:54:00:00:00:04")),
            message(DELAY, "192.0.2.14", Some("00:00:00:00:00:00")),
            message(DELAY, "2001:db8::1", Some("52:54:00:00:00:05")),
        ];
        let mut entries = Vec::new();
        assert!(!read(&dump.concat(), &mut entries).unwrap());
        assert!(read(&with_header(libc::NLMSG_DONE as u16, &[0; 4]), &mut entries).unwrap());
        let cases = [
            ("192.0.2.11", vec!["52:54:00:00:00:01"]),
            ("192.0.2.12", vec![]),
            ("192.0.2.13", vec!["52:54:00:00:00:03", "52:54:00:00:00:04"]),
            ("192.0.2.14", vec![]),
            ("192.0.2.1", vec![]),
            ("2001:db8::1", vec!["52:54:00:00:00:05"]),
        ];
        for (ip, expected) in cases {
            let found = macs_of(&entries, ip.parse().unwrap());
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{ip}");
        }
    }

    #[test]
    fn an_error_of_the_kernel_and_cut_messages_are_no_entries() {
        let error = with_header(libc::NLMSG_ERROR as u16, &(-libc::EPERM).to_ne_bytes());
        let result = read(&error, &mut Vec::new());
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let whole = message(DELAY, "192.0.2.11", Some("52:54:00:00:00:01"));
        for length in 0..whole.len() {
            let mut entries = Vec::new();
            assert!(!read(&whole[..length], &mut entries).unwrap());
            assert!(entries.is_empty(), "{length}");
        }
    }

    #[test]
    fn the_table_of_this_host_is_read() {
        let socket = NetlinkSocket::open().unwrap();
        entries(&socket, false).unwrap();
        entries(&socket, true).unwrap();
        assert!(!is_routed(&socket, "127.0.0.1".parse().unwrap()).unwrap());
        assert!(!is_routed(&socket, "::1".parse().unwrap()).unwrap());
        assert!(matches!(
            link_of("127.0.0.1".parse().unwrap()).unwrap(),
            SenderLink::Local { .. }
        ));
        assert_eq!(
            link_of("203.0.113.9".parse().unwrap()).unwrap(),
            SenderLink::Routed
        );
    }
}
