//! Which networks have another DHCP server: a network in mode `server` gets no addresses from this server while another
//! one answers there.

use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    boot::dhcp::{DhcpMessage, DhcpMessageType},
    model::NetworkName,
};

/// The interval between two probes of a network.
const PROBE_INTERVAL: Duration = Duration::from_secs(3_600);
/// The first probe is repeated after this: a switch may have dropped it (spanning tree takes 30 s to forward).
const SECOND_PROBE_AFTER: Duration = Duration::from_secs(60);
/// A probe that failed is repeated after this.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// Another server that was not observed for this long no longer counts: one interval and the time of a probe.
const STALE_AFTER: Duration = Duration::from_secs(3_600 + 60);

/// The latest probe of each network.
#[derive(Debug, Default)]
pub(crate) struct RogueDhcp(Mutex<HashMap<NetworkName, LastProbe>>);

#[derive(Debug, Clone, Copy)]
struct LastProbe {
    at: Instant,
    may_serve: MayServe,
    /// When the network is probed again.
    next: Instant,
}

/// Whether this server may assign addresses on a network in mode `server`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MayServe {
    /// No other server answers.
    Free,
    /// The network was not probed yet.
    Unknown,
    /// This other server answers.
    Taken(Ipv4Addr),
}

impl RogueDhcp {
    pub(crate) fn on(&self, network: &NetworkName, now: Instant) -> MayServe {
        match self.probes().get(network) {
            None => MayServe::Unknown,
            Some(probe) => match probe.may_serve {
                MayServe::Taken(_) if now.duration_since(probe.at) >= STALE_AFTER => {
                    MayServe::Unknown
                }
                may_serve => may_serve,
            },
        }
    }

    /// Reads a client's request. One that chose another server shows that this server answers there. The network is probed
    /// soon, since any client can send such a request.
    pub(crate) fn observe(
        &self,
        network: &NetworkName,
        query: &DhcpMessage,
        us: Ipv4Addr,
        now: Instant,
    ) {
        if let (DhcpMessageType::Request, Some(server)) = (query.message_type, query.server)
            && server != us
        {
            self.record(network, MayServe::Taken(server), now, SECOND_PROBE_AFTER);
        }
    }

    /// Records the other server that a probe has found, if any.
    fn on_probed(&self, network: &NetworkName, server: Option<Ipv4Addr>, now: Instant) {
        let is_first = !self.probes().contains_key(network);
        let pause = if is_first {
            SECOND_PROBE_AFTER
        } else {
            PROBE_INTERVAL
        };
        self.record(
            network,
            server.map_or(MayServe::Free, MayServe::Taken),
            now,
            pause,
        );
    }

    /// Records a probe that failed: the previous result stays, and without one no client is answered. Returns whether it
    /// is the first failure since the last probe that succeeded.
    fn on_probe_failed(&self, network: &NetworkName, now: Instant) -> bool {
        let mut probes = self.probes();
        let before = probes.get(network).copied();
        let may_serve = before.map_or(MayServe::Unknown, |probe| probe.may_serve);
        let next = now + RETRY_INTERVAL;
        probes.insert(
            network.clone(),
            LastProbe {
                at: now,
                may_serve,
                next,
            },
        );
        before.is_none_or(|probe| probe.next.duration_since(probe.at) != RETRY_INTERVAL)
    }

    /// Records the result of a probe.
    pub(crate) fn on_probe_result(
        &self,
        network: &NetworkName,
        link: &str,
        result: io::Result<Option<Ipv4Addr>>,
        now: Instant,
    ) {
        match result {
            Ok(server) => self.on_probed(network, server, now),
            Err(error) => {
                if self.on_probe_failed(network, now) {
                    tracing::warn!(
                        "cannot probe for other DHCP servers on {link}: {error}; if no earlier probe of network {network} \
                         succeeded, no client there gets an address until one does"
                    );
                }
            }
        }
    }

    pub(crate) fn is_due(&self, network: &NetworkName, now: Instant) -> bool {
        let probes = self.probes();
        probes.get(network).is_none_or(|probe| probe.next <= now)
    }

    /// Makes the next probe of every network due.
    pub(crate) fn probe_all_now(&self, now: Instant) {
        for probe in self.probes().values_mut() {
            probe.next = now;
        }
    }

    fn record(&self, network: &NetworkName, may_serve: MayServe, now: Instant, pause: Duration) {
        let probe = LastProbe {
            at: now,
            may_serve,
            next: now + pause,
        };
        let before = self.probes().insert(network.clone(), probe);
        let before = before.map_or(MayServe::Unknown, |probe| probe.may_serve);
        match (before, may_serve) {
            (before, MayServe::Taken(server)) if before != may_serve => tracing::warn!(
                "another DHCP server, {server}, answers on network {network}: meanwhile this server assigns no addresses \
                 there; turn that server off, or set `dhcp = \"reserve\"`. The check is repeated every hour, and at once on SIGHUP"
            ),
            (MayServe::Taken(_), MayServe::Free) => tracing::info!(
                "no other DHCP server answers on network {network} any more: this server assigns addresses there again"
            ),
            _ => {}
        }
    }

    fn probes(&self) -> MutexGuard<'_, HashMap<NetworkName, LastProbe>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{boot::dhcp::discover, model::Mac};

    const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

    #[test]
    fn another_server_blocks_the_network_from_the_probe_that_finds_it_until_a_probe_without_it() {
        let (rogue_dhcp, lab) = (RogueDhcp::default(), "lab".parse().unwrap());
        let begun = Instant::now();
        let at = |minutes: u64| begun + Duration::from_secs(60 * minutes);
        assert_eq!(rogue_dhcp.on(&lab, at(0)), MayServe::Unknown);
        // (minute, the server that the probe finds, the result)
        let schedule = [
            (0, None, MayServe::Free),
            (1, None, MayServe::Free),
            (61, Some(OTHER), MayServe::Taken(OTHER)),
            (121, Some(OTHER), MayServe::Taken(OTHER)),
            (181, None, MayServe::Free),
        ];
        // A result that was not confirmed for this long no longer counts.
        let stale = at(61) + STALE_AFTER;
        let mut last = 0;
        for (minute, found, then) in schedule {
            if minute > 1 {
                assert!(!rogue_dhcp.is_due(&lab, at(minute - 1)), "minute {minute}");
                assert_eq!(
                    rogue_dhcp.on(&lab, at(minute - 1)),
                    rogue_dhcp.on(&lab, at(last))
                );
            }
            assert!(rogue_dhcp.is_due(&lab, at(minute)), "minute {minute}");
            rogue_dhcp.on_probed(&lab, found, at(minute));
            assert_eq!(rogue_dhcp.on(&lab, at(minute)), then, "minute {minute}");
            if minute == 61 {
                assert_eq!(rogue_dhcp.on(&lab, stale), MayServe::Unknown);
            }
            last = minute;
        }
        // `probe_all_now` makes the next probe due immediately.
        assert!(!rogue_dhcp.is_due(&lab, at(182)));
        rogue_dhcp.probe_all_now(at(182));
        assert!(rogue_dhcp.is_due(&lab, at(182)));
    }

    #[test]
    fn a_failed_probe_keeps_the_previous_result_and_is_repeated() {
        let lab: NetworkName = "lab".parse().unwrap();
        let begun = Instant::now();
        for found in [None, Some(None), Some(Some(OTHER))] {
            let rogue_dhcp = RogueDhcp::default();
            let before = match found {
                None => MayServe::Unknown,
                Some(found) => {
                    rogue_dhcp.on_probed(&lab, found, begun);
                    rogue_dhcp.on(&lab, begun)
                }
            };
            let mut now = begun;
            // This takes longer than a result is valid without a probe.
            for round in 0..STALE_AFTER.as_secs() / RETRY_INTERVAL.as_secs() * 2 {
                assert_eq!(rogue_dhcp.on_probe_failed(&lab, now), round == 0);
                assert_eq!(rogue_dhcp.on(&lab, now), before, "{round}");
                assert!(!rogue_dhcp.is_due(&lab, now));
                now += RETRY_INTERVAL;
                assert!(rogue_dhcp.is_due(&lab, now));
            }
            rogue_dhcp.on_probed(&lab, None, now);
            assert_eq!(rogue_dhcp.on(&lab, now), MayServe::Free);
        }
    }

    #[test]
    fn a_request_that_names_another_server_blocks_the_network_and_makes_a_probe_due_soon() {
        let (rogue_dhcp, lab) = (RogueDhcp::default(), "lab".parse().unwrap());
        let now = Instant::now();
        rogue_dhcp.on_probed(&lab, None, now);
        rogue_dhcp.on_probed(&lab, None, now);
        for (server, then) in [(US, MayServe::Free), (OTHER, MayServe::Taken(OTHER))] {
            rogue_dhcp.observe(&lab, &chosen(server), US, now);
            assert_eq!(rogue_dhcp.on(&lab, now), then, "{server}");
        }
        assert!(!rogue_dhcp.is_due(&lab, now));
        assert!(rogue_dhcp.is_due(&lab, now + SECOND_PROBE_AFTER));
    }

    /// Returns a REQUEST of a client that has chosen this server.
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
