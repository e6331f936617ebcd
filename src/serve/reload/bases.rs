//! The URLs of this server for machines that have not sent a request.

use std::net::{IpAddr, SocketAddr};

use crate::{model::Network, net::http::Advertise};

/// The addresses of this server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bases {
    advertise: Advertise,
    own: Vec<IpAddr>,
    port: u16,
}

impl Bases {
    pub(crate) fn new(advertise: Advertise, port: u16) -> Self {
        Bases {
            advertise,
            own: own_addresses(),
            port,
        }
    }

    /// Returns the server's URL with its address in a network, or else its first IPv4 address that is not loopback, or else the
    /// loopback address.
    pub(crate) fn of(&self, network: Option<&Network>) -> String {
        let subnets = || {
            network
                .into_iter()
                .flat_map(|network| &network.body.subnet)
                .flat_map(|list| list.values())
        };
        let near = self
            .own
            .iter()
            .find(|ip| subnets().any(|subnet| subnet.0.contains(*ip)));
        let any = self.own.iter().find(|ip| ip.is_ipv4() && !ip.is_loopback());
        let ip = near
            .or(any)
            .copied()
            .unwrap_or(IpAddr::from([127, 0, 0, 1]));
        self.advertise.base(SocketAddr::new(ip, self.port))
    }
}

/// Returns the addresses of this host's interfaces.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    let interfaces = match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!("cannot list the addresses of this host: {error}");
            return Vec::new();
        }
    };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    interfaces.filter_map(address).collect()
}
