//! Asks on the wire whether somebody has a machine's static address: before its installation begins, and for as
//! long as it is held for it.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ipnet::Ipv4Net;
use tokio::{runtime::Handle, sync::Semaphore};

use super::engine::Engine;
use crate::{
    model::{Mac, SmallSet},
    net::{
        arp,
        interfaces::{self, Interface},
    },
};

/// Between two looks at the interfaces.
const LOOK: Duration = Duration::from_secs(2);
/// After so many of them the addresses of machines that are held are asked for again: every 10 s.
const HELD: u32 = 5;
/// So many questions are asked at once; each takes a thread for less than a second.
const AT_ONCE: usize = 64;

/// On which links addresses can be asked for.
pub(crate) struct Addresses {
    links: Mutex<Vec<Interface>>,
    turns: Semaphore,
    runtime: Handle,
    /// It was said that the right to ask is missing.
    told: AtomicBool,
}

impl Addresses {
    /// Must be called where asynchronous work can be begun.
    pub(crate) fn new() -> Self {
        Addresses {
            links: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            runtime: Handle::current(),
            told: AtomicBool::new(false),
        }
    }

    fn links(&self) -> MutexGuard<'_, Vec<Interface>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the interfaces, and asks for the addresses of machines that are held until they are free.
pub(crate) async fn run(engine: Arc<Engine>) {
    let mut look = tokio::time::interval(LOOK);
    let mut round = 0;
    loop {
        look.tick().await;
        engine.find_links();
        round = (round + 1) % HELD;
        if round == 0 {
            let held = engine.read(|transaction| transaction.addresses_of_held());
            engine.probe(&held).await;
        }
    }
}

impl Engine {
    /// Finds the links on which addresses can be asked for.
    pub(crate) fn find_links(&self) {
        let all = match interfaces::interfaces() {
            Ok(all) => all,
            Err(error) => {
                tracing::warn!("the interfaces of this machine cannot be listed: {error}");
                return;
            }
        };
        let is_link = |link: &Interface| link.is_up && !link.is_loopback && link.mac.is_some();
        let mut links: Vec<Interface> = all.into_iter().filter(is_link).collect();
        if !arp::is_permitted() {
            self.tell_of_no_right(&links);
            links.clear();
        }
        let mut known = self.addresses.links();
        if *known != links {
            let nets = links.iter().flat_map(|link| link.addresses.iter().copied());
            let nets: Vec<Ipv4Net> = nets.collect();
            *known = links;
            drop(known);
            // It is no answer to anybody.
            let ((), _ticket) = self.transaction(|transaction| transaction.on_links(nets));
        }
    }

    fn tell_of_no_right(&self, links: &[Interface]) {
        let snapshot = self.snapshot();
        let mut own = links.iter().flat_map(|link| &link.addresses);
        let matters = own.any(|net| snapshot.network_at(net.addr().into()).is_some());
        if matters && !self.addresses.told.swap(true, Ordering::Relaxed) {
            tracing::warn!("address conflict detection is off: it needs root or CAP_NET_RAW");
        }
    }

    /// Asks for addresses and takes note of the answers. Where that fails, nothing is known of them.
    pub(crate) async fn probe(&self, addresses: &[Ipv4Addr]) {
        if addresses.is_empty() {
            return;
        }
        let Ok(_turn) = self.addresses.turns.acquire().await else {
            return; // The semaphore is never closed.
        };
        let mut found: BTreeMap<Ipv4Addr, SmallSet<Mac>> = BTreeMap::new();
        let links = self.addresses.links().clone();
        let mut asked = Vec::new();
        for link in links {
            let is_on = |ip: &&Ipv4Addr| link.addresses.iter().any(|net| net.contains(*ip));
            let here: Vec<Ipv4Addr> = addresses.iter().filter(is_on).copied().collect();
            if here.is_empty() {
                continue;
            }
            // What we have ourselves nobody answers for.
            let has = |ip: &Ipv4Addr| link.addresses.iter().any(|net| net.addr() == *ip);
            for ip in here.iter().filter(|ip| has(ip)) {
                found.entry(*ip).or_default().extend(link.mac);
            }
            asked.push(tokio::task::spawn_blocking(move || {
                (arp::probe_addresses(&link, &here), here, link.name)
            }));
        }
        for question in asked {
            let Ok((answers, here, link)) = question.await else {
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
                    tracing::warn!("nobody can be asked for addresses on {link}: {error}")
                }
            }
        }
        let ((), _ticket) = self.transaction(|transaction| {
            for (ip, cards) in found {
                transaction.on_arp_reply(ip, cards);
            }
        });
    }

    /// Asks for addresses while others are served: their answers are wanted soon.
    pub(crate) fn look_ahead(self: &Arc<Self>, addresses: Vec<Ipv4Addr>) {
        if addresses.is_empty() || self.addresses.turns.available_permits() == 0 {
            return;
        }
        let engine = self.clone();
        self.addresses
            .runtime
            .spawn(async move { engine.probe(&addresses).await });
    }
}
