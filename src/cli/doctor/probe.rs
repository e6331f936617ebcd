//! Asking the networks who else gives addresses there.

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

/// Asks on every interface that is in a network of the site, on all of them at once.
pub(super) fn ask(networks: &NetworksReport) -> CliResult<Vec<DhcpProbe>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut running = Vec::new();
        for (interface, network, us) in networks.served() {
            let (link, mode) = (interface.clone(), network.mode);
            running.push((
                interface.name.clone(),
                network.name.clone(),
                mode,
                tokio::spawn(heard(link, us)),
            ));
        }
        let mut asked = Vec::new();
        for (interface, network, mode, answer) in running {
            let heard = answer.await.map_err(io::Error::other)?;
            asked.push(DhcpProbe {
                network,
                mode,
                interface,
                heard,
            });
        }
        Ok(asked)
    })
}

async fn heard(link: Interface, us: Ipv4Addr) -> DhcpProbeResult {
    if !link.is_up {
        return DhcpProbeResult::Unasked("it has no link".into());
    }
    match find_other_server(&link, us).await {
        Ok(Some(server)) => DhcpProbeResult::Server(server),
        Ok(None) => DhcpProbeResult::Nobody,
        Err(error) => DhcpProbeResult::Unasked(match error.kind() {
            io::ErrorKind::PermissionDenied => format!("port {CLIENT_PORT} needs root"),
            io::ErrorKind::AddrInUse => match udp_port_owner(CLIENT_PORT) {
                Some(holder) => format!("{holder} has port {CLIENT_PORT}"),
                None => format!("another program has port {CLIENT_PORT}"),
            },
            _ => error.to_string(),
        }),
    }
}

/// Whether anybody is going to be asked: that takes its time. The client's port is root's.
pub(super) fn takes_time(networks: &NetworksReport) -> bool {
    let mut served = networks.served().into_iter();
    nix::unistd::geteuid().is_root() && served.any(|(interface, _, _)| interface.is_up)
}
