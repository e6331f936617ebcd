//! The network that the guest sees: QEMU's user networking, laid out so that the node's own static address works.
//!
//! QEMU is the only other host there. It answers ARP for its own address, for its DNS server's, and for those that
//! something is forwarded from; whatever the guest sends to any of them or beyond, it takes over as connections of
//! this host. What is sent to its own address ends at this host's loopback.

use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;

/// Where the node is while it is installed, as far as that is declared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct NodeNetwork {
    /// The subnet.
    pub(super) subnet: Option<Ipv4Net>,
    /// The node's own address there.
    pub(super) address: Option<Ipv4Addr>,
    /// Its default gateway.
    pub(super) gateway: Option<Ipv4Addr>,
    /// Its DNS servers.
    pub(super) dns: Vec<Ipv4Addr>,
}

/// The guest's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuestNetwork {
    /// The subnet.
    pub(super) subnet: Ipv4Net,
    /// QEMU's own address: this host's loopback.
    pub(super) host: Ipv4Addr,
    /// Where QEMU answers DNS.
    pub(super) dns: Ipv4Addr,
    /// What QEMU's DHCP gives the guest.
    pub(super) guest: Ipv4Addr,
    /// Further addresses that must be there: the gateway, the server.
    pub(super) answered: Vec<Ipv4Addr>,
    /// Where the guest reaches the server, without a `/` at the end.
    pub(super) server: String,
}

/// QEMU's own choice (`-netdev user`, qemu(1)).
const DEFAULT: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 2, 0), 24);

/// So narrow a subnet has room for the node, for QEMU and for its DNS server.
const NARROWEST: u8 = 30;

impl GuestNetwork {
    /// Lays out the network of a node at `home` for a server that is reached from this host at `server`.
    pub(super) fn new(home: &NodeNetwork, server: SocketAddrV4) -> GuestNetwork {
        let subnet = home.subnet.filter(|net| net.prefix_len() <= NARROWEST);
        let subnet = subnet.unwrap_or(DEFAULT).trunc();
        let lies = |ip: &Ipv4Addr| subnet.contains(ip);
        // What the guest sends to loopback never leaves it.
        let forwarded = server.ip().is_loopback();
        let elsewhere = Some(*server.ip()).filter(|ip| !forwarded && lies(ip));
        let guest = home.address.filter(lies);
        let gateway = home.gateway.filter(lies);
        let mut used: Vec<Ipv4Addr> = [guest, gateway, elsewhere].into_iter().flatten().collect();
        let free = |used: &mut Vec<Ipv4Addr>| {
            let ip = unused(subnet, used);
            used.push(ip);
            ip
        };
        // A home router is the gateway and answers DNS: then that is QEMU's DNS server, which forwards packets too.
        let declared = home
            .dns
            .iter()
            .copied()
            .find(|ip| lies(ip) && Some(*ip) != guest && Some(*ip) != elsewhere);
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
        let reached = if forwarded { host } else { *server.ip() };
        GuestNetwork {
            subnet,
            host,
            dns,
            guest,
            answered,
            server: match server.port() {
                80 => format!("http://{reached}"),
                port => format!("http://{reached}:{port}"),
            },
        }
    }
}

/// An address of the subnet that nothing else has: the first of its hosts, else its first address, which no host has.
fn unused(subnet: Ipv4Net, used: &[Ipv4Addr]) -> Ipv4Addr {
    let mut free = subnet.hosts().filter(|ip| !used.contains(ip));
    free.next().unwrap_or(subnet.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(subnet: &str, address: &str, gateway: &str, dns: &[&str]) -> NodeNetwork {
        NodeNetwork {
            subnet: subnet.parse().ok(),
            address: address.parse().ok(),
            gateway: gateway.parse().ok(),
            dns: dns.iter().map(|ip| ip.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn the_guest_finds_its_gateway_its_dns_and_the_server() {
        let lab = "192.0.2.0/24";
        let node = "192.0.2.11";
        let router = "192.0.2.1";
        // The home, where the server is reached from here; QEMU's address, its DNS, the guest's, those answered
        // besides, the server as the guest writes it.
        let cases = [
            (
                NodeNetwork::default(),
                "127.0.0.1:8080",
                "10.0.2.2 10.0.2.1 10.0.2.3 [] http://10.0.2.2:8080",
            ),
            (
                home(lab, node, router, &["192.0.2.2"]),
                "127.0.0.1:8080",
                "192.0.2.1 192.0.2.2 192.0.2.11 [] http://192.0.2.1:8080",
            ),
            // DNS is elsewhere.
            (
                home(lab, node, router, &["198.51.100.2"]),
                "127.0.0.1:80",
                "192.0.2.1 192.0.2.2 192.0.2.11 [] http://192.0.2.1",
            ),
            // The router answers DNS.
            (
                home(lab, node, router, &[router]),
                "127.0.0.1:80",
                "192.0.2.2 192.0.2.1 192.0.2.11 [] http://192.0.2.2",
            ),
            // The server has an address in the node's network alone.
            (
                home(lab, node, router, &["192.0.2.2"]),
                "192.0.2.5:80",
                "192.0.2.1 192.0.2.2 192.0.2.11 [192.0.2.5] http://192.0.2.5",
            ),
            // And it is the router.
            (
                home(lab, node, router, &["192.0.2.2"]),
                "192.0.2.1:80",
                "192.0.2.3 192.0.2.2 192.0.2.11 [192.0.2.1] http://192.0.2.1",
            ),
            // It is beyond the node's network.
            (
                home(lab, node, router, &["192.0.2.2"]),
                "198.51.100.5:8080",
                "192.0.2.1 192.0.2.2 192.0.2.11 [] http://198.51.100.5:8080",
            ),
            // The node asks DHCP.
            (
                home(lab, "", router, &[]),
                "127.0.0.1:80",
                "192.0.2.1 192.0.2.2 192.0.2.3 [] http://192.0.2.1",
            ),
            // Two hosts have room for the node and its gateway.
            (
                home("192.0.2.8/30", "192.0.2.9", "192.0.2.10", &[]),
                "127.0.0.1:80",
                "192.0.2.10 192.0.2.8 192.0.2.9 [] http://192.0.2.10",
            ),
            // One host has no room for anybody else.
            (
                home("192.0.2.8/32", "192.0.2.8", "192.0.2.1", &[]),
                "127.0.0.1:80",
                "10.0.2.2 10.0.2.1 10.0.2.3 [] http://10.0.2.2",
            ),
        ];
        for (home, server, expected) in cases {
            let net = GuestNetwork::new(&home, server.parse().unwrap());
            let shown = format!(
                "{} {} {} {:?} {}",
                net.host, net.dns, net.guest, net.answered, net.server
            );
            // QEMU refuses a network where two of these are one.
            assert_ne!(net.host, net.dns);
            assert_ne!(net.host, net.guest);
            assert_ne!(net.dns, net.guest);
            assert_eq!(shown, expected, "{home:?} {server}");
        }
    }
}
