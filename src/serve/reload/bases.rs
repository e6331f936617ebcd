//! The URLs of this server for machines that have not sent a request.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::{
    model::{Network, NetworkName},
    net::http::Advertise,
    site::Site,
};

/// The addresses of this server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bases {
    advertise: Advertise,
    own: Vec<IpAddr>,
    port: u16,
    listens_on_v6: bool,
}

impl Bases {
    pub(crate) fn new(advertise: Advertise, port: u16, listens_on_v6: bool) -> Self {
        Bases {
            advertise,
            own: own_addresses(),
            port,
            listens_on_v6,
        }
    }

    /// Returns the server's URL with its IPv4 address in a network, or else its first IPv4 address that is not loopback, or else
    /// its IPv6 address in the network, or else the loopback address. Machines boot by IPv4.
    pub(crate) fn of(&self, network: Option<&Network>) -> String {
        let near = self.near(network, IpAddr::is_ipv4);
        let any = || {
            let mut own = self.own.iter().copied();
            own.find(|ip| ip.is_ipv4() && !ip.is_loopback())
        };
        let ip = near
            .or_else(any)
            .or_else(|| self.near(network, IpAddr::is_ipv6))
            .unwrap_or(IpAddr::from([127, 0, 0, 1]));
        self.advertise.base(SocketAddr::new(ip, self.port))
    }

    /// Returns the server's URLs with an IPv6 address, by the network of the machines that can contact it there.
    pub(crate) fn v6_urls(&self, site: &Site) -> BTreeMap<NetworkName, String> {
        let networks = site.networks.iter().filter_map(|(name, network)| {
            let v6 = self.near(Some(network), IpAddr::is_ipv6);
            let v6 = v6.or(self.advertise.v6_address())?;
            Some((
                name.clone(),
                self.advertise.base(SocketAddr::new(v6, self.port)),
            ))
        });
        match self.listens_on_v6 {
            true => networks.collect(),
            false => BTreeMap::new(),
        }
    }

    /// Returns this server's address of a family in a network.
    fn near(&self, network: Option<&Network>, is_family: fn(&IpAddr) -> bool) -> Option<IpAddr> {
        let subnets = network?.body.subnet.as_ref()?;
        let mut own = self.own.iter().copied().filter(is_family);
        own.find(|ip| subnets.values().any(|subnet| subnet.0.contains(ip)))
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
