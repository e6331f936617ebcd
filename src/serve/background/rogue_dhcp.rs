//! Probes for other DHCP servers.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    model::{DhcpMode, NetworkName},
    net::{
        dhcp::find_other_server,
        interfaces::{self, Interface},
    },
    serve::engine::Engine,
};

/// How often the networks are checked for a probe that is due.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Probes every network in mode `server`, before the first answer and every hour.
pub(crate) async fn run(engine: Arc<Engine>) {
    loop {
        for (network, link, us) in served_networks(&engine) {
            if engine.rogue_dhcp.is_due(&network, Instant::now()) {
                let result = find_other_server(&link, us).await;
                engine
                    .rogue_dhcp
                    .on_probe_result(&network, &link.name, result, Instant::now());
            }
        }
        sleep(POLL_INTERVAL).await;
    }
}

fn served_networks(engine: &Engine) -> Vec<(NetworkName, Interface, Ipv4Addr)> {
    let snapshot = engine.snapshot();
    let is_server =
        |network: &&crate::model::Network| network.body.effective().dhcp == DhcpMode::Server;
    if !snapshot
        .site
        .networks
        .values()
        .any(|network| is_server(&&**network))
    {
        return Vec::new();
    }
    let links = match interfaces::interfaces() {
        Ok(links) => links,
        Err(error) => {
            tracing::warn!("cannot list the network interfaces: {error}");
            return Vec::new();
        }
    };
    let mut list = Vec::new();
    for link in links {
        for us in link.addresses.iter().map(|net| net.addr()) {
            if let Some(network) = snapshot.network_at(us.into()).filter(is_server) {
                list.push((network.name.value.clone(), link.clone(), us));
            }
        }
    }
    list
}
