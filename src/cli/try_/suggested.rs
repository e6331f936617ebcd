//! Chooses the emulated machine's properties from the node's declaration and facts.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::{net::NodeNetwork, qemu::NicModel};
use crate::{
    cli::play::{self, Hardware},
    model::{Arch, ByteSize, Facts, Network, Node, Platform},
    site::{Resolved, Site},
};

/// The firmware that the node probably has. The default is BIOS: it requests the script after 6 s, UEFI after 10 s, and
/// it needs no further package. ESXi only boots with UEFI.
pub(super) fn platform(resolved: &Resolved, facts: &Facts) -> Platform {
    let settings = &resolved.settings;
    let loader = settings
        .loader
        .as_ref()
        .map(|at| at.value.ends_with(".efi"));
    let is_secure = settings.effective().secure_boot;
    let is_esxi = resolved
        .task
        .as_ref()
        .is_some_and(|task| task.as_str() == "esxi");
    match (facts.firmware, loader) {
        (Some(known), _) => known,
        (None, Some(true)) => Platform::Efi,
        (None, Some(false)) => Platform::Pcbios,
        (None, None) if is_secure || is_esxi => Platform::Efi,
        (None, None) => Platform::Pcbios,
    }
}

pub(super) fn hardware(node: &Node, platform: Platform) -> Hardware {
    let bare = Hardware {
        macs: Vec::new(),
        serial: None,
        uuid: None,
        asset: None,
        platform,
        arch: Some(Arch::X86_64),
    };
    play::hardware_of(node, bare)
}

/// A NIC model for which the installer has a driver.
pub(super) fn nic_model(resolved: &Resolved) -> NicModel {
    match resolved.task.as_ref().map(|task| task.as_str()) {
        Some("esxi") => NicModel::Vmxnet3,
        _ => NicModel::Virtio,
    }
}

/// The memory that the installer needs, in MiB.
pub(super) fn memory(requested: Option<ByteSize>, resolved: &Resolved, is_stand_in: bool) -> u64 {
    if let Some(ByteSize(bytes)) = requested {
        return bytes >> 20;
    }
    match resolved.task.as_ref().map(|task| task.as_str()) {
        _ if is_stand_in => 1024,
        Some("esxi") => 8192,
        // Its second stage is in memory.
        Some("redhat") => 3072,
        _ => 1024,
    }
}

/// The node's network during its installation.
pub(super) fn node_network(site: &Site, resolved: &Resolved) -> NodeNetwork {
    let elsewhere = resolved.net.boot_network.as_ref();
    if let Some(network) = elsewhere.and_then(|name| site.networks.get(name)) {
        return of_network(network);
    }
    let Some(link) = resolved.net.primary() else {
        return NodeNetwork::default();
    };
    let own = link.addresses.iter().find_map(|net| match net {
        IpNet::V4(net) => Some(*net),
        IpNet::V6(_) => None,
    });
    let Some(own) = own else {
        return resolved
            .network
            .as_deref()
            .map(of_network)
            .unwrap_or_default();
    };
    NodeNetwork {
        subnet: Some(own.trunc()),
        address: Some(own.addr()),
        gateway: v4_of(&link.gateways).first().copied(),
        dns: v4_of(&resolved.net.dns),
    }
}

fn of_network(network: &Network) -> NodeNetwork {
    let body = &network.body;
    let subnets = body.subnet.iter().flat_map(|list| list.values());
    let gateways = body.gateway.iter().flat_map(|list| list.values());
    NodeNetwork {
        subnet: subnets
            .filter_map(|subnet| match subnet.0 {
                IpNet::V4(net) => Some(net),
                IpNet::V6(_) => None,
            })
            .next(),
        address: None,
        gateway: v4_of(gateways).first().copied(),
        dns: v4_of(body.dns.iter().flat_map(|list| list.values())),
    }
}

fn v4_of<'i>(list: impl IntoIterator<Item = &'i IpAddr>) -> Vec<Ipv4Addr> {
    let v4 = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => Some(*ip),
        IpAddr::V6(_) => None,
    };
    list.into_iter().filter_map(v4).collect()
}
