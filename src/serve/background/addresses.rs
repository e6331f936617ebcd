//! Probes static addresses by ARP: before an installation begins, and while a machine is held because another host uses its
//! address.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ipnet::Ipv4Net;

use crate::{
    model::{Mac, SmallSet},
    net::{
        arp,
        interfaces::{self, Interface},
    },
    serve::engine::Engine,
};

/// The interval between readings of the interfaces.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Addresses of held machines are probed in every fifth interval: every 10 s.
const HELD_EVERY: u32 = 5;

/// Follows the interfaces, and probes the addresses of held machines until they are free.
pub(crate) async fn run(engine: Arc<Engine>) {
    let mut poll = tokio::time::interval(POLL_INTERVAL);
    let mut round = 0;
    loop {
        poll.tick().await;
        engine.find_links();
        round = (round + 1) % HELD_EVERY;
        if round == 0 {
            let held = engine.read(|transaction| transaction.held_addresses());
            engine.probe(&held).await;
        }
    }
}

impl Engine {
    /// Finds the links on which addresses can be probed.
    pub(crate) fn find_links(&self) {
        let all = match interfaces::interfaces() {
            Ok(all) => all,
            Err(error) => {
                tracing::warn!("cannot list the network interfaces: {error}");
                return;
            }
        };
        let is_link = |link: &Interface| link.is_up && !link.is_loopback && link.mac.is_some();
        let mut links: Vec<Interface> = all.into_iter().filter(is_link).collect();
        if !arp::is_permitted() {
            self.log_missing_privilege(&links);
            links.clear();
        }
        let mut known = self.addresses.links();
        if *known != links {
            let nets = links.iter().flat_map(|link| link.addresses.iter().copied());
            let nets: Vec<Ipv4Net> = nets.collect();
            *known = links;
            drop(known);
            // No answer depends on it.
            let ((), _ticket) = self.transaction(|transaction| transaction.on_links(nets));
        }
    }

    fn log_missing_privilege(&self, links: &[Interface]) {
        let snapshot = self.snapshot();
        let mut own = links.iter().flat_map(|link| &link.addresses);
        let matters = own.any(|net| snapshot.network_at(net.addr().into()).is_some());
        if matters && !self.addresses.is_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!("address conflict detection is off: it needs root or CAP_NET_RAW");
        }
    }

    /// Probes addresses and records the replies. Addresses whose probe fails stay unknown.
    pub(crate) async fn probe(&self, addresses: &[Ipv4Addr]) {
        if addresses.is_empty() {
            return;
        }
        let Ok(_permit) = self.addresses.permits.acquire().await else {
            return; // The semaphore is never closed.
        };
        let mut found: BTreeMap<Ipv4Addr, SmallSet<Mac>> = BTreeMap::new();
        let links = self.addresses.links().clone();
        let mut probes = Vec::new();
        for link in links {
            let is_on = |ip: &&Ipv4Addr| link.addresses.iter().any(|net| net.contains(*ip));
            let here: Vec<Ipv4Addr> = addresses.iter().filter(is_on).copied().collect();
            if here.is_empty() {
                continue;
            }
            // No other host replies for this host's own addresses.
            let has = |ip: &Ipv4Addr| link.addresses.iter().any(|net| net.addr() == *ip);
            for ip in here.iter().filter(|ip| has(ip)) {
                found.entry(*ip).or_default().extend(link.mac);
            }
            probes.push(tokio::task::spawn_blocking(move || {
                (arp::probe_addresses(&link, &here), here, link.name)
            }));
        }
        for probe in probes {
            let Ok((answers, here, link)) = probe.await else {
                continue; // The server ends.
            };
            match answers {
                Ok(answers) => {
                    for ip in here {
                        found.entry(ip).or_default();
                    }
                    for (ip, mac) in answers {
                        found.entry(ip).or_default().insert(mac);
                    }
                }
                Err(error) => {
                    tracing::warn!("cannot probe addresses on {link}: {error}")
                }
            }
        }
        let ((), _ticket) = self.transaction(|transaction| {
            for (ip, macs) in found {
                transaction.on_arp_reply(ip, macs);
            }
        });
    }

    /// Probes addresses in the background, whose results are needed soon.
    pub(crate) fn probe_in_background(self: &Arc<Self>, addresses: Vec<Ipv4Addr>) {
        if addresses.is_empty() || self.addresses.permits.available_permits() == 0 {
            return;
        }
        let engine = self.clone();
        self.addresses
            .runtime
            .spawn(async move { engine.probe(&addresses).await });
    }
}
