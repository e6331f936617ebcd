//! The queue of received DHCP queries.
//!
//! Under overload, exchanges that have begun are completed first: REQUESTs go before DISCOVERs, and the newest DISCOVERs are
//! kept. So a server under twice its maximum load still completes almost as many exchanges as it can. In order of arrival, it
//! would spend its time on offers whose acknowledgements are then lost.

use std::{
    collections::{HashMap, VecDeque},
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use crate::{
    boot::dhcp::{DhcpMessage, DhcpMessageType},
    model::Mac,
    net::dhcp::ReceivedDatagram,
};

/// The most queued queries of each kind, which take about 0.1 s to answer. A client retransmits after some seconds (RFC 2131
/// section 4.1), and an answer to an old query is useless.
const MAX_QUEUED: usize = 512;
/// A repeated query is not answered again within this time.
const REPEAT_WINDOW: Duration = Duration::from_millis(500);
/// The most queries that are remembered to detect repetitions.
const MAX_REMEMBERED: usize = 4_096;

/// A datagram, with the addresses and the interface that it was received on.
#[derive(Debug, Clone)]
pub(crate) struct QueuedDatagram {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) received: ReceivedDatagram,
}

/// The queued queries.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Queries of clients that have an address or have chosen an offer.
    chosen: VecDeque<QueuedDatagram>,
    /// Queries of clients that have not chosen an offer yet.
    open: VecDeque<QueuedDatagram>,
    /// How many were dropped since the last log line about it.
    dropped: u64,
    recent: RecentQueries,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.chosen.is_empty() && self.open.is_empty()
    }

    /// Adds a datagram. If there are too many of its kind, the oldest is dropped.
    pub(crate) fn push(&mut self, queued: QueuedDatagram) {
        let queue = match DhcpMessageType::peek(&queued.bytes) {
            Some(
                DhcpMessageType::Request | DhcpMessageType::Decline | DhcpMessageType::Release,
            ) => &mut self.chosen,
            // Invalid messages are detected when they are taken.
            Some(DhcpMessageType::Discover | DhcpMessageType::Inform) | None => &mut self.open,
        };
        if queue.len() == MAX_QUEUED {
            queue.pop_front();
            self.dropped += 1;
        }
        queue.push_back(queued);
    }

    /// Removes and returns the next datagrams.
    pub(crate) fn take(&mut self, most: usize) -> Vec<QueuedDatagram> {
        let chosen = self.chosen.len().min(most);
        let open = self.open.len().min(most - chosen);
        let chosen = self.chosen.drain(..chosen);
        chosen.chain(self.open.drain(..open)).collect()
    }

    /// Returns whether the same query was received within [`REPEAT_WINDOW`], and remembers it.
    pub(crate) fn is_repeated(&mut self, query: &DhcpMessage) -> bool {
        self.recent.has(query, Instant::now())
    }

    /// Logs how many queries were dropped since the last call.
    pub(crate) fn log_dropped(&mut self) {
        let dropped = self.take_dropped();
        if dropped > 0 {
            tracing::warn!(
                "DHCP: {dropped} queries dropped: more were received than can be answered"
            );
        }
    }

    fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// Recent queries, so that a query that arrives several times, through several relays or in a storm, is answered once.
#[derive(Debug, Default)]
struct RecentQueries(HashMap<QueryKey, Instant>);

type QueryKey = (u32, Mac, DhcpMessageType, Option<Ipv4Addr>);

impl RecentQueries {
    fn has(&mut self, query: &DhcpMessage, now: Instant) -> bool {
        if self.0.len() >= MAX_REMEMBERED {
            self.0
                .retain(|_, at| now.duration_since(*at) < REPEAT_WINDOW);
            if self.0.len() >= MAX_REMEMBERED {
                self.0.clear();
            }
        }
        let key = (query.xid, query.mac, query.message_type, query.giaddr);
        let before = self.0.insert(key, now);
        before.is_some_and(|at| now.duration_since(at) < REPEAT_WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::*;

    /// Returns a query of client number `xid`.
    fn queued(kind: u8, xid: u32) -> QueuedDatagram {
        let mut bytes = vec![0; 240];
        bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&xid.to_be_bytes());
        bytes[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
        bytes.extend([53, 1, kind, 255]);
        QueuedDatagram {
            received: ReceivedDatagram {
                length: bytes.len(),
                from: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
                interface: 1,
                to: Ipv4Addr::BROADCAST,
                local: Ipv4Addr::UNSPECIFIED,
            },
            bytes: bytes.into(),
        }
    }

    fn query(queued: &QueuedDatagram) -> DhcpMessage {
        DhcpMessage::read(&queued.bytes).unwrap()
    }

    fn xids(all: &[QueuedDatagram]) -> Vec<u32> {
        all.iter().map(|queued| query(queued).xid).collect()
    }

    const DISCOVER: u8 = 1;
    const REQUEST: u8 = 3;

    #[test]
    fn requests_go_before_discovers() {
        let mut backlog = Backlog::default();
        for (kind, xid) in [
            (DISCOVER, 1),
            (DISCOVER, 2),
            (REQUEST, 3),
            (DISCOVER, 4),
            (REQUEST, 5),
        ] {
            backlog.push(queued(kind, xid));
        }
        assert_eq!(xids(&backlog.take(3)), [3, 5, 1]);
        assert_eq!(xids(&backlog.take(3)), [2, 4]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn the_oldest_of_a_kind_is_dropped_when_there_are_too_many() {
        let mut backlog = Backlog::default();
        backlog.push(queued(REQUEST, 9_999));
        let most = MAX_QUEUED as u32;
        (0..most + 2).for_each(|xid| backlog.push(queued(DISCOVER, xid)));
        assert_eq!(backlog.take_dropped(), 2);
        assert_eq!(backlog.take_dropped(), 0);
        let left = xids(&backlog.take(2 * MAX_QUEUED));
        assert_eq!(left.len(), MAX_QUEUED + 1);
        assert_eq!((left[0], left[1], left[MAX_QUEUED]), (9_999, 2, most + 1));
    }

    #[test]
    fn a_recent_query_is_detected_as_repeated() {
        let mut backlog = Backlog::default();
        for (kind, xid, is_repeated) in [
            (DISCOVER, 1, false),
            (DISCOVER, 2, false),
            (REQUEST, 1, false),
            (DISCOVER, 1, true),
            (REQUEST, 1, true),
        ] {
            let query = query(&queued(kind, xid));
            assert_eq!(backlog.is_repeated(&query), is_repeated, "{kind} {xid}");
        }
    }
}
