//! Other DHCP servers: a network whose server we are is left alone while another one answers there.

use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::engine::Engine;
use crate::{
    boot::dhcp::{DhcpMessage, DhcpMessageType},
    model::{DhcpMode, NetworkName},
    net::{
        dhcp::find_other_server,
        interfaces::{self, Interface},
    },
};

/// Between two looks.
const HOUR: Duration = Duration::from_secs(3_600);
/// After the first look, since a switch may have dropped what was asked then (spanning tree takes 30 s).
const AT_FIRST: Duration = Duration::from_secs(60);
/// A look that failed is tried again after this.
const AGAIN: Duration = Duration::from_secs(10);
/// How often it is looked whether a network has become ours.
const LOOK: Duration = Duration::from_secs(2);
/// Nothing was found when nothing was heard for longer than a look takes.
const STALE: Duration = Duration::from_secs(3_600 + 60);

/// What is known of other servers, by network.
#[derive(Debug, Default)]
pub(crate) struct RogueDhcp(Mutex<HashMap<NetworkName, LastProbe>>);

#[derive(Debug, Clone, Copy)]
struct LastProbe {
    /// When that was found.
    at: Instant,
    leave: MayServe,
    /// When it is looked again.
    next: Instant,
}

/// What a network whose server we are may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MayServe {
    /// Nobody else answers there.
    Free,
    /// It was not looked yet.
    Unknown,
    /// This one answers.
    Taken(Ipv4Addr),
}

impl RogueDhcp {
    pub(crate) fn on(&self, network: &NetworkName, now: Instant) -> MayServe {
        match self.known().get(network) {
            None => MayServe::Unknown,
            Some(known) => match known.leave {
                MayServe::Taken(_) if now.duration_since(known.at) >= STALE => MayServe::Unknown,
                leave => leave,
            },
        }
    }

    /// A client has chosen another server: that one answers there. It is looked soon whether it really does, since
    /// anybody may say so.
    pub(crate) fn hear(
        &self,
        network: &NetworkName,
        query: &DhcpMessage,
        us: Ipv4Addr,
        now: Instant,
    ) {
        if let (DhcpMessageType::Request, Some(server)) = (query.message_type, query.server)
            && server != us
        {
            self.note(network, MayServe::Taken(server), now, AT_FIRST);
        }
    }

    /// Takes note of what a look has found.
    fn found(&self, network: &NetworkName, server: Option<Ipv4Addr>, now: Instant) {
        let is_first = !self.known().contains_key(network);
        let pause = if is_first { AT_FIRST } else { HOUR };
        self.note(
            network,
            server.map_or(MayServe::Free, MayServe::Taken),
            now,
            pause,
        );
    }

    /// Takes note that it could not be looked: what was found before stands, and where nothing was, nobody is answered.
    /// Tells whether that is news.
    fn not_found_out(&self, network: &NetworkName, now: Instant) -> bool {
        let mut known = self.known();
        let before = known.get(network).copied();
        let leave = before.map_or(MayServe::Unknown, |known| known.leave);
        let next = now + AGAIN;
        known.insert(
            network.clone(),
            LastProbe {
                at: now,
                leave,
                next,
            },
        );
        before.is_none_or(|known| known.next.duration_since(known.at) != AGAIN)
    }

    /// Takes note of a look, or of why there was none.
    fn hear_of_look(
        &self,
        network: &NetworkName,
        link: &str,
        asked: io::Result<Option<Ipv4Addr>>,
        now: Instant,
    ) {
        match asked {
            Ok(server) => self.found(network, server, now),
            Err(error) => {
                if self.not_found_out(network, now) {
                    tracing::warn!(
                        "other DHCP servers on {link} cannot be looked for: {error}; unless none was found before, nobody on \
                         network {network} gets an address until it was looked"
                    );
                }
            }
        }
    }

    fn is_due(&self, network: &NetworkName, now: Instant) -> bool {
        let known = self.known();
        known.get(network).is_none_or(|known| known.next <= now)
    }

    /// Looks at once on every network.
    pub(crate) fn look_again(&self, now: Instant) {
        for known in self.known().values_mut() {
            known.next = now;
        }
    }

    fn note(&self, network: &NetworkName, leave: MayServe, now: Instant, pause: Duration) {
        let known = LastProbe {
            at: now,
            leave,
            next: now + pause,
        };
        let before = self.known().insert(network.clone(), known);
        let before = before.map_or(MayServe::Unknown, |known| known.leave);
        match (before, leave) {
            (before, MayServe::Taken(server)) if before != leave => tracing::warn!(
                "another DHCP server, {server}, answers on network {network}: meanwhile this server assigns no addresses \
                 there; turn that server off, or set `dhcp = \"reserve\"`. The check is repeated every hour, and at once on SIGHUP"
            ),
            (MayServe::Taken(_), MayServe::Free) => tracing::info!(
                "no other DHCP server answers on network {network} any more: addresses are given again"
            ),
            _ => {}
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<NetworkName, LastProbe>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks on every network whose server we are, before the first answer and every hour.
pub(crate) async fn look(engine: Arc<Engine>) {
    loop {
        for (network, link, us) in ours(&engine) {
            if engine.others.is_due(&network, Instant::now()) {
                let asked = find_other_server(&link, us).await;
                engine
                    .others
                    .hear_of_look(&network, &link.name, asked, Instant::now());
            }
        }
        sleep(LOOK).await;
    }
}

fn ours(engine: &Engine) -> Vec<(NetworkName, Interface, Ipv4Addr)> {
    let snapshot = engine.snapshot();
    let is_server = |network: &&crate::model::Network| {
        let mode = network.body.dhcp.as_ref();
        mode.is_some_and(|at| at.value == DhcpMode::Server)
    };
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
            tracing::warn!("the interfaces of this machine cannot be listed: {error}");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{boot::dhcp::discover, model::Mac};

    const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

    #[test]
    fn a_server_that_appears_later_is_found_by_the_next_look_and_left_when_it_has_gone() {
        let (others, lab) = (RogueDhcp::default(), "lab".parse().unwrap());
        let begun = Instant::now();
        let at = |minutes: u64| begun + Duration::from_secs(60 * minutes);
        assert_eq!(others.on(&lab, at(0)), MayServe::Unknown);
        // (minute, whether it is looked then, what is found, what follows from it)
        let looks = [
            (0, None, MayServe::Free),
            (1, None, MayServe::Free),
            (61, Some(OTHER), MayServe::Taken(OTHER)),
            (121, Some(OTHER), MayServe::Taken(OTHER)),
            (181, None, MayServe::Free),
        ];
        // Nothing heard of it for longer than a look takes is nothing known.
        let stale = at(61) + STALE;
        let mut last = 0;
        for (minute, found, then) in looks {
            if minute > 1 {
                assert!(!others.is_due(&lab, at(minute - 1)), "minute {minute}");
                assert_eq!(others.on(&lab, at(minute - 1)), others.on(&lab, at(last)));
            }
            assert!(others.is_due(&lab, at(minute)), "minute {minute}");
            others.found(&lab, found, at(minute));
            assert_eq!(others.on(&lab, at(minute)), then, "minute {minute}");
            if minute == 61 {
                assert_eq!(others.on(&lab, stale), MayServe::Unknown);
            }
            last = minute;
        }
        // At once when that is wanted.
        assert!(!others.is_due(&lab, at(182)));
        others.look_again(at(182));
        assert!(others.is_due(&lab, at(182)));
    }

    #[test]
    fn a_look_that_fails_frees_no_network_and_is_tried_again() {
        let lab: NetworkName = "lab".parse().unwrap();
        let begun = Instant::now();
        for found in [None, Some(None), Some(Some(OTHER))] {
            let others = RogueDhcp::default();
            let before = match found {
                None => MayServe::Unknown,
                Some(found) => {
                    others.found(&lab, found, begun);
                    others.on(&lab, begun)
                }
            };
            let mut now = begun;
            // For longer than what was found stands by itself.
            for round in 0..STALE.as_secs() / AGAIN.as_secs() * 2 {
                assert_eq!(others.not_found_out(&lab, now), round == 0);
                assert_eq!(others.on(&lab, now), before, "{round}");
                assert!(!others.is_due(&lab, now));
                now += AGAIN;
                assert!(others.is_due(&lab, now));
            }
            others.found(&lab, None, now);
            assert_eq!(others.on(&lab, now), MayServe::Free);
        }
    }

    #[test]
    fn a_request_that_names_another_server_silences_at_once_and_is_looked_into_soon() {
        let (others, lab) = (RogueDhcp::default(), "lab".parse().unwrap());
        let now = Instant::now();
        others.found(&lab, None, now);
        others.found(&lab, None, now);
        for (server, then) in [(US, MayServe::Free), (OTHER, MayServe::Taken(OTHER))] {
            others.hear(&lab, &chosen(server), US, now);
            assert_eq!(others.on(&lab, now), then, "{server}");
        }
        assert!(!others.is_due(&lab, now));
        assert!(others.is_due(&lab, now + AT_FIRST));
    }

    /// A client's choice.
    fn chosen(server: Ipv4Addr) -> DhcpMessage {
        let mut bytes = discover(1, Mac([2, 0, 0, 0, 0, 1]));
        let kind = bytes.windows(3).position(|option| option == [53, 1, 1]);
        bytes[kind.unwrap() + 2] = 3;
        let end = bytes.iter().rposition(|byte| *byte == 255).unwrap();
        bytes.truncate(end);
        bytes.extend([54, 4]);
        bytes.extend(server.octets());
        bytes.push(255);
        DhcpMessage::read(&bytes).unwrap()
    }
}
