//! The network interfaces of this host.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};

use crate::model::Mac;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub index: u32,
    /// None for loopback and tunnels.
    pub mac: Option<Mac>,
    /// Its IPv4 addresses with their prefixes.
    pub addresses: Vec<Ipv4Net>,
    /// Whether it is enabled and has a link.
    pub is_up: bool,
    pub is_loopback: bool,
}

impl Interface {
    /// Whether `text` is its name or one of its addresses, as in `interfaces` of `[dhcp]`.
    pub fn matches(&self, text: &str) -> bool {
        let mut ips = self.addresses.iter().map(|net| net.addr().to_string());
        text == self.name || ips.any(|ip| ip == text)
    }
}

pub fn interfaces() -> io::Result<Vec<Interface>> {
    let mut list: Vec<Interface> = Vec::new();
    for entry in getifaddrs()? {
        let name = entry.interface_name;
        let at = match list.iter().position(|interface| interface.name == name) {
            Some(at) => at,
            None => {
                // It was removed in the meantime.
                let Ok(index) = nix::net::if_::if_nametoindex(name.as_str()) else {
                    continue;
                };
                let flags = entry.flags;
                list.push(Interface {
                    name,
                    index,
                    mac: None,
                    addresses: Vec::new(),
                    is_up: flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING),
                    is_loopback: flags.contains(InterfaceFlags::IFF_LOOPBACK),
                });
                list.len() - 1
            }
        };
        let interface = &mut list[at];
        let Some(address) = entry.address else {
            continue;
        };
        if let Some(link) = address.as_link_addr() {
            interface.mac = link.addr().map(Mac).filter(|mac| mac.is_unicast());
        }
        if let Some(v4) = address.as_sockaddr_in() {
            let mask = entry
                .netmask
                .as_ref()
                .and_then(|mask| mask.as_sockaddr_in());
            let mask = mask.map_or(Ipv4Addr::BROADCAST, |mask| mask.ip());
            interface
                .addresses
                .extend(Ipv4Net::with_netmask(v4.ip(), mask));
        }
    }
    Ok(list)
}

/// Returns whether an address is in a subnet of one of this host's interfaces.
pub fn is_connected(ip: IpAddr) -> io::Result<bool> {
    let mut addresses = getifaddrs()?.filter_map(|entry| {
        let (address, mask) = (entry.address?, entry.netmask?);
        if let (Some(ip), Some(mask)) = (address.as_sockaddr_in(), mask.as_sockaddr_in()) {
            let net = Ipv4Net::with_netmask(ip.ip(), mask.ip());
            return net.ok().map(IpNet::V4);
        }
        let (ip, mask) = (address.as_sockaddr_in6()?, mask.as_sockaddr_in6()?);
        let net = Ipv6Net::with_netmask(ip.ip(), mask.ip());
        net.ok().map(IpNet::V6)
    });
    let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    Ok(is_link_local || addresses.any(|net| net.contains(&ip)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_listed() {
        let list = interfaces().unwrap();
        let lo = list.iter().find(|one| one.is_loopback).unwrap();
        assert_eq!((lo.mac, lo.index > 0), (None, true));
        let local: Ipv4Net = "127.0.0.1/8".parse().unwrap();
        assert!(lo.addresses.is_empty() || lo.addresses.contains(&local));
    }
}
