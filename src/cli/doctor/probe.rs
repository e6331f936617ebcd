//! Searches the site's networks for other DHCP servers.

use std::{io, net::Ipv4Addr};

use super::{
    networks::NetworksReport,
    other_dhcp::{DhcpProbe, DhcpProbeResult},
};
use crate::{
    cli::failure::CliResult,
    net::{
        dhcp::{CLIENT_PORT, find_other_server},
        interfaces::Interface,
        ports::udp_port_owner,
    },
};

/// Probes every interface in a network of the site, all at the same time.
pub(super) fn probe_all(networks: &NetworksReport) -> CliResult<Vec<DhcpProbe>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut running = Vec::new();
        for (interface, network, address) in networks.served() {
            let (link, mode) = (interface.clone(), network.mode);
            running.push((
                interface.name.clone(),
                network.name.clone(),
                mode,
                tokio::spawn(probe(link, address)),
            ));
        }
        let mut probes = Vec::new();
        for (interface, network, mode, answer) in running {
            let result = answer.await.map_err(io::Error::other)?;
            probes.push(DhcpProbe {
                network,
                mode,
                interface,
                result,
            });
        }
        Ok(probes)
    })
}

async fn probe(link: Interface, address: Ipv4Addr) -> DhcpProbeResult {
    if !link.is_up {
        return DhcpProbeResult::NotProbed("no link".into());
    }
    match find_other_server(&link, address).await {
        Ok(Some(server)) => DhcpProbeResult::Server(server),
        Ok(None) => DhcpProbeResult::NoServer,
        Err(error) => DhcpProbeResult::NotProbed(match error.kind() {
            io::ErrorKind::PermissionDenied => format!("port {CLIENT_PORT} needs root"),
            io::ErrorKind::AddrInUse => match udp_port_owner(CLIENT_PORT) {
                Some(holder) => format!("port {CLIENT_PORT} is in use by {holder}"),
                None => format!("port {CLIENT_PORT} is in use by another program"),
            },
            _ => error.to_string(),
        }),
    }
}

/// Whether [`probe_all`] will send packets, which takes seconds. Binding the client's port needs root.
pub(super) fn sends_packets(networks: &NetworksReport) -> bool {
    let mut served = networks.served().into_iter();
    nix::unistd::geteuid().is_root() && served.any(|(interface, _, _)| interface.is_up)
}
