//! Configures NICs, addresses and routes through the kernel's netlink (rtnetlink(7)).

use std::{
    io,
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
};

use ipnet::Ipv4Net;

use crate::net::netlink::{self, HEADER, NetlinkSocket};

/// The flags of a request that creates something or replaces it.
const REPLACE: i32 = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;

/// `RTNH_F_ONLINK` of linux/rtnetlink.h.
const ON_LINK: u32 = 4;

/// A netlink socket.
pub(crate) struct Netlink {
    socket: NetlinkSocket,
    sequence: AtomicU32,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Netlink> {
        Ok(Netlink {
            socket: NetlinkSocket::open()?,
            sequence: AtomicU32::new(1),
        })
    }

    /// Enables a NIC, including reception of all multicast frames: LLDP uses multicast.
    pub(crate) fn up(&self, index: u32) -> io::Result<()> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.request(libc::RTM_SETLINK, flags, &link_up(index))
    }

    pub(crate) fn add_address(&self, index: u32, address: Ipv4Net) -> io::Result<()> {
        self.request(libc::RTM_NEWADDR, REPLACE, &address_on(index, address))
    }

    pub(crate) fn remove_address(&self, index: u32, address: Ipv4Net) -> io::Result<()> {
        self.request(libc::RTM_DELADDR, 0, &address_on(index, address))
    }

    /// Adds the default route of a NIC with this address.
    pub(crate) fn add_default_route(
        &self,
        index: u32,
        address: Ipv4Net,
        gateway: Ipv4Addr,
    ) -> io::Result<()> {
        let route = default_route(index, address, gateway);
        self.request(libc::RTM_NEWROUTE, REPLACE, &route)
    }

    /// Sends a request and receives its acknowledgement.
    fn request(&self, kind: u16, flags: i32, body: &[u8]) -> io::Result<()> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let message = message(kind, flags, sequence, body);
        self.socket.send(&message)?;
        let mut reply = [0; 4096];
        loop {
            let length = self.socket.receive(&mut reply)?;
            if let Some(result) = acknowledgement(&reply[..length], sequence) {
                return result;
            }
        }
    }
}

/// A request that the kernel acknowledges.
fn message(kind: u16, flags: i32, sequence: u32, body: &[u8]) -> Vec<u8> {
    netlink::message(kind, libc::NLM_F_ACK | flags, sequence, body)
}

/// The result of the request with this sequence number, if `reply` is its acknowledgement: `struct nlmsgerr`, whose
/// error is 0 or a negative number of errno.
fn acknowledgement(reply: &[u8], sequence: u32) -> Option<io::Result<()>> {
    let kind = u16::from_ne_bytes(*reply.get(4..)?.first_chunk()?);
    let answered = u32::from_ne_bytes(*reply.get(8..)?.first_chunk()?);
    let error = i32::from_ne_bytes(*reply.get(HEADER..)?.first_chunk()?);
    if i32::from(kind) != libc::NLMSG_ERROR || answered != sequence {
        return None;
    }
    Some(match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error.saturating_neg())),
    })
}

/// `struct ifinfomsg`: the flags to set, and the mask of the flags that change.
fn link_up(index: u32) -> Vec<u8> {
    let flags = (libc::IFF_UP | libc::IFF_ALLMULTI) as u32;
    [0, index, flags, flags].map(u32::to_ne_bytes).concat()
}

/// `struct ifaddrmsg` with the address, and the broadcast address of a subnet that has one (RFC 3021 section 2.2).
fn address_on(index: u32, address: Ipv4Net) -> Vec<u8> {
    let mut body = vec![libc::AF_INET as u8, address.prefix_len(), 0, 0];
    body.extend(index.to_ne_bytes());
    body.extend(attribute(libc::IFA_ADDRESS, address.addr().octets()));
    body.extend(attribute(libc::IFA_LOCAL, address.addr().octets()));
    if address.prefix_len() < 31 {
        body.extend(attribute(libc::IFA_BROADCAST, address.broadcast().octets()));
    }
    body
}

/// `struct rtmsg` of a static route to everywhere, with its gateway and its link. The kernel refuses a gateway that it has no
/// route to, unless the gateway is declared to be on the link.
fn default_route(index: u32, address: Ipv4Net, gateway: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![libc::AF_INET as u8, 0, 0, 0];
    body.extend([
        libc::RT_TABLE_MAIN,
        libc::RTPROT_STATIC,
        libc::RT_SCOPE_UNIVERSE,
        libc::RTN_UNICAST,
    ]);
    let flags = match address.contains(&gateway) {
        true => 0,
        false => ON_LINK,
    };
    body.extend(flags.to_ne_bytes());
    body.extend(attribute(libc::RTA_GATEWAY, gateway.octets()));
    body.extend(attribute(libc::RTA_OIF, index.to_ne_bytes()));
    body
}

/// `struct rtattr` with a value of four bytes.
fn attribute(kind: u16, value: [u8; 4]) -> [u8; 8] {
    let [a, b] = 8u16.to_ne_bytes();
    let [c, d] = kind.to_ne_bytes();
    let [e, f, g, h] = value;
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What rtnetlink 0.24 sends for the same requests.
    #[test]
    fn requests_are_encoded_as_rtnetlink_encodes_them() {
        let on = |prefix| address_on(2, format!("192.0.2.21/{prefix}").parse().unwrap());
        let up = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let address = "192.0.2.21/24".parse().unwrap();
        let gateway = Ipv4Addr::new(192, 0, 2, 254);
        let cases = [
            (
                message(libc::RTM_SETLINK, up, 7, &link_up(2)),
                "2000000013000506070000000000000000000000020000000102000001020000",
            ),
            (
                message(libc::RTM_NEWADDR, REPLACE, 7, &on(24)),
                "300000001400050507000000000000000218000002000000\
                 08000100c000021508000200c000021508000400c00002ff",
            ),
            (
                message(libc::RTM_NEWADDR, REPLACE, 7, &on(31)),
                "280000001400050507000000000000000\
                 21f00000200000008000100c000021508000200c0000215",
            ),
            (
                message(libc::RTM_NEWADDR, REPLACE, 7, &on(32)),
                "28000000140005050700000000000000\
                 022000000200000008000100c000021508000200c0000215",
            ),
            (
                message(libc::RTM_DELADDR, 0, 7, &on(24)),
                "300000001500050007000000000000000218000002000000\
                 08000100c000021508000200c000021508000400c00002ff",
            ),
            (
                message(
                    libc::RTM_NEWROUTE,
                    REPLACE,
                    7,
                    &default_route(2, address, gateway),
                ),
                "2c00000018000505070000000000000002000000fe040001\
                 0000000008000500c00002fe0800040002000000",
            ),
            (
                message(
                    libc::RTM_NEWROUTE,
                    REPLACE,
                    7,
                    &default_route(2, address, Ipv4Addr::new(172, 31, 1, 1)),
                ),
                "2c00000018000505070000000000000002000000fe040001\
                 0400000008000500ac1f01010800040002000000",
            ),
        ];
        for (message, expected) in cases {
            let encoded: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(encoded, expected);
        }
    }

    #[test]
    fn an_acknowledgement_has_the_error_of_its_request() {
        let reply = |error: i32| {
            let mut reply = message(libc::NLMSG_ERROR as u16, 0, 7, &error.to_ne_bytes());
            reply.extend([0; HEADER]);
            reply
        };
        assert!(acknowledgement(&reply(0), 7).unwrap().is_ok());
        let error = acknowledgement(&reply(-libc::ENODEV), 7).unwrap();
        assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::ENODEV));
        // Another request's, another kind of message, and one that is cut short.
        assert!(acknowledgement(&reply(0), 8).is_none());
        assert!(acknowledgement(&message(libc::RTM_NEWADDR, 0, 7, &[0; 4]), 7).is_none());
        assert!(acknowledgement(&reply(0)[..HEADER + 3], 7).is_none());
    }

    #[test]
    fn the_kernel_answers_a_request_for_a_missing_link() {
        let netlink = Netlink::open().unwrap();
        let error = netlink.up(0x7fff_fff0).unwrap_err().raw_os_error();
        // Without CAP_NET_ADMIN the link is not looked up.
        assert!([Some(libc::ENODEV), Some(libc::EPERM)].contains(&error));
    }
}
