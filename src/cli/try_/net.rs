//! Plans the guest's network: QEMU's user networking, with addresses such that the node's static address works.
//!
//! QEMU is the only other host in this network. It answers ARP for its own address, for its DNS server's, and for
//! addresses with a forwarded port. It forwards the guest's connections as connections of this host; those to its own
//! address reach this host's loopback.

use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;

/// The node's network during its installation, as declared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct NodeNetwork {
    pub(super) subnet: Option<Ipv4Net>,
    /// The node's address.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) dns: Vec<Ipv4Addr>,
}

/// The guest's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuestNetwork {
    pub(super) subnet: Ipv4Net,
    /// QEMU's own address, which forwards to this host's loopback.
    pub(super) host: Ipv4Addr,
    /// The address at which QEMU answers DNS.
    pub(super) dns: Ipv4Addr,
    /// The address that QEMU's DHCP assigns to the guest.
    pub(super) guest: Ipv4Addr,
    /// Further addresses that must answer ARP: the gateway, the server.
    pub(super) answered: Vec<Ipv4Addr>,
    /// The server's URL for the guest, without a trailing `/`.
    pub(super) server: String,
}

/// QEMU's default (`-netdev user`, qemu(1)).
const DEFAULT_SUBNET: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 2, 0), 24);

/// The smallest subnet with room for the node, QEMU and its DNS server.
const MAX_PREFIX_LENGTH: u8 = 30;

impl GuestNetwork {
    /// Plans the guest's network for a node in `node`, and a server that this host reaches at `server`.
    pub(super) fn new(node: &NodeNetwork, server: SocketAddrV4) -> GuestNetwork {
        let subnet = node
            .subnet
            .filter(|net| net.prefix_len() <= MAX_PREFIX_LENGTH);
        let subnet = subnet.unwrap_or(DEFAULT_SUBNET).trunc();
        let is_local = |ip: &Ipv4Addr| subnet.contains(ip);
        // The guest cannot reach this host's loopback address, only QEMU's address.
        let forwarded = server.ip().is_loopback();
        let elsewhere = Some(*server.ip()).filter(|ip| !forwarded && is_local(ip));
        let guest = node.address.filter(is_local);
        let gateway = node.gateway.filter(is_local);
        let mut used: Vec<Ipv4Addr> = [guest, gateway, elsewhere].into_iter().flatten().collect();
        let free = |used: &mut Vec<Ipv4Addr>| {
            let ip = unused(subnet, used);
            used.push(ip);
            ip
        };
        // A home router is gateway and DNS server; QEMU's DNS server can be both, since it forwards packets too.
        let declared = node
            .dns
            .iter()
            .copied()
            .find(|ip| is_local(ip) && Some(*ip) != guest && Some(*ip) != elsewhere);
        used.extend(declared);
        let dns = declared.unwrap_or_else(|| free(&mut used));
        let host = gateway
            .filter(|ip| *ip != dns && Some(*ip) != elsewhere)
            .unwrap_or_else(|| free(&mut used));
        let guest = guest.unwrap_or_else(|| free(&mut used));
        let mut answered: Vec<Ipv4Addr> = [gateway, elsewhere]
            .into_iter()
            .flatten()
            .filter(|ip| *ip != host && *ip != dns)
            .collect();
        answered.dedup();
        let server_ip = if forwarded { host } else { *server.ip() };
        GuestNetwork {
            subnet,
            host,
            dns,
            guest,
            answered,
            server: match server.port() {
                80 => format!("http://{server_ip}"),
                port => format!("http://{server_ip}:{port}"),
            },
        }
    }
}

/// An unused address of the subnet: the first host address, else the network address, which no host has.
fn unused(subnet: Ipv4Net, used: &[Ipv4Addr]) -> Ipv4Addr {
    let mut free = subnet.hosts().filter(|ip| !used.contains(ip));
    free.next().unwrap_or(subnet.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(subnet: &str, address: &str, gateway: &str, dns: &[&str]) -> NodeNetwork {
        NodeNetwork {
            subnet: subnet.parse().ok(),
            address: address.parse().ok(),
            gateway: gateway.parse().ok(),
            dns: dns.iter().map(|ip| ip.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn the_guest_reaches_its_gateway_its_dns_and_the_server() {
        let lab = "192.0.2.0/24";
        let own = "192.0.2.11";
        let router = "192.0.2.1";
        // The home, where the server is reached from here; QEMU's address, its DNS, the guest's, further answered
        // addresses, the server as the guest writes it.
        let cases = [
            (
                NodeNetwork::default(),
                "127.0.0.1:8080",
                "10.0.2.2 10.0.2.1 10.0.2.3 [] http://10.0.2.2:8080",
            ),
            (
                node(lab, own, router, &["192.0.2.2"]),
                "127.0.0.1:8080",
                "192.0.2.1 192.0.2.2 192.0.2.11 [] http://192.0.2.1:8080",
            ),
            // DNS is in another network.
            (
                node(lab, own, router, &["198.51.100.2"]),
                "127.0.0.1:80",
                "192.0.2.1 192.0.2.2 192.0.2.11 [] http://192.0.2.1",
            ),
            // The router answers DNS.
            (
                node(lab, own, router, &[router]),
                "127.0.0.1:80",
                "192.0.2.2 192.0.2.1 192.0.2.11 [] http://192.0.2.2",
            ),
            // The server only has an address in the node's network.
            (
                node(lab, own, router, &["192.0.2.2"]),
                "192.0.2.5:80",
                "192.0.2.1 192.0.2.2 192.0.2.11 [192.0.2.5] http://192.0.2.5",
            ),
            // The server is the router.
            (
                node(lab, own, router, &["192.0.2.2"]),
                "192.0.2.1:80",
                "192.0.2.3 192.0.2.2 192.0.2.11 [192.0.2.1] http://192.0.2.1",
            ),
            // The server is outside the node's network.
            (
                node(lab, own, router, &["192.0.2.2"]),
                "198.51.100.5:8080",
                "192.0.2.1 192.0.2.2 192.0.2.11 [] http://198.51.100.5:8080",
            ),
            // The node has no static address.
            (
                node(lab, "", router, &[]),
                "127.0.0.1:80",
                "192.0.2.1 192.0.2.2 192.0.2.3 [] http://192.0.2.1",
            ),
            // A subnet of two hosts: the node and its gateway.
            (
                node("192.0.2.8/30", "192.0.2.9", "192.0.2.10", &[]),
                "127.0.0.1:80",
                "192.0.2.10 192.0.2.8 192.0.2.9 [] http://192.0.2.10",
            ),
            // A subnet of one host has no other address.
            (
                node("192.0.2.8/32", "192.0.2.8", "192.0.2.1", &[]),
                "127.0.0.1:80",
                "10.0.2.2 10.0.2.1 10.0.2.3 [] http://10.0.2.2",
            ),
        ];
        for (network, server, expected) in cases {
            let net = GuestNetwork::new(&network, server.parse().unwrap());
            let shown = format!(
                "{} {} {} {:?} {}",
                net.host, net.dns, net.guest, net.answered, net.server
            );
            // QEMU rejects a network in which two of these are equal.
            assert_ne!(net.host, net.dns);
            assert_ne!(net.host, net.guest);
            assert_ne!(net.dns, net.guest);
            assert_eq!(shown, expected, "{network:?} {server}");
        }
    }
}
