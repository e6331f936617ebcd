//! DHCP questions that have arrived and wait for their turn.
//!
//! When more comes than can be answered, what was begun is brought to its end first: a client that has chosen our
//! offer goes before those that only look around, and of those the latest are kept. So a server that is asked
//! twice of what it can do still does nearly all of what it can; one that takes every question in the order it
//! came spends its time on offers whose acknowledgement is then lost.

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

/// So many questions of each kind wait at most: what is answered within a tenth of a second or so. A client asks
/// again after some seconds (RFC 2131 section 4.1), and an answer to a question of old is of no use.
const MOST: usize = 512;
/// A question that was answered is not answered again within this time.
const REPEATED: Duration = Duration::from_millis(500);
/// So many questions are remembered for that.
const REMEMBERED: usize = 4_096;

/// A datagram and how it came.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) datagram: Box<[u8]>,
    pub(crate) arrived: ReceivedDatagram,
}

/// Questions that wait.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Of clients that have an address, or have chosen one.
    chosen: VecDeque<Waiting>,
    /// Of clients that look around.
    open: VecDeque<Waiting>,
    /// How many were dropped since it was last said.
    dropped: u64,
    recent: Recent,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.chosen.is_empty() && self.open.is_empty()
    }

    /// Takes a datagram in. The oldest of its kind goes when there are too many.
    pub(crate) fn push(&mut self, waiting: Waiting) {
        let queue = match DhcpMessageType::peek(&waiting.datagram) {
            Some(
                DhcpMessageType::Request | DhcpMessageType::Decline | DhcpMessageType::Release,
            ) => &mut self.chosen,
            // What is no question at all is found out in its turn.
            Some(DhcpMessageType::Discover | DhcpMessageType::Inform) | None => &mut self.open,
        };
        if queue.len() == MOST {
            queue.pop_front();
            self.dropped += 1;
        }
        queue.push_back(waiting);
    }

    /// Takes out those that are next.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Waiting> {
        let chosen = self.chosen.len().min(most);
        let open = self.open.len().min(most - chosen);
        let chosen = self.chosen.drain(..chosen);
        chosen.chain(self.open.drain(..open)).collect()
    }

    /// Whether this was asked of late; from now on it was.
    pub(crate) fn repeats(&mut self, query: &DhcpMessage) -> bool {
        self.recent.has(query, Instant::now())
    }

    /// Says how many were dropped since this was last said.
    pub(crate) fn tell_dropped(&mut self) {
        let dropped = self.take_dropped();
        if dropped > 0 {
            tracing::warn!(
                "DHCP: {dropped} questions were dropped: more came than can be answered"
            );
        }
    }

    fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// Questions of late, so that one that comes several times, through several relays or in a storm, is answered once.
#[derive(Debug, Default)]
struct Recent(HashMap<Key, Instant>);

type Key = (u32, Mac, DhcpMessageType, Option<Ipv4Addr>);

impl Recent {
    fn has(&mut self, query: &DhcpMessage, now: Instant) -> bool {
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, at| now.duration_since(*at) < REPEATED);
            if self.0.len() >= REMEMBERED {
                self.0.clear();
            }
        }
        let key = (query.xid, query.mac, query.message_type, query.giaddr);
        let before = self.0.insert(key, now);
        before.is_some_and(|at| now.duration_since(at) < REPEATED)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::*;

    /// A question of client number `xid`.
    fn waiting(kind: u8, xid: u32) -> Waiting {
        let mut datagram = vec![0; 240];
        datagram[..4].copy_from_slice(&[1, 1, 6, 0]);
        datagram[4..8].copy_from_slice(&xid.to_be_bytes());
        datagram[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        datagram[236..].copy_from_slice(&[99, 130, 83, 99]);
        datagram.extend([53, 1, kind, 255]);
        Waiting {
            arrived: ReceivedDatagram {
                length: datagram.len(),
                from: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
                interface: 1,
                to: Ipv4Addr::BROADCAST,
                local: Ipv4Addr::UNSPECIFIED,
            },
            datagram: datagram.into(),
        }
    }

    fn query(waiting: &Waiting) -> DhcpMessage {
        DhcpMessage::read(&waiting.datagram).unwrap()
    }

    fn xids(all: &[Waiting]) -> Vec<u32> {
        all.iter().map(|waiting| query(waiting).xid).collect()
    }

    const DISCOVER: u8 = 1;
    const REQUEST: u8 = 3;

    #[test]
    fn who_has_chosen_us_goes_before_who_looks_around() {
        let mut backlog = Backlog::default();
        for (kind, xid) in [
            (DISCOVER, 1),
            (DISCOVER, 2),
            (REQUEST, 3),
            (DISCOVER, 4),
            (REQUEST, 5),
        ] {
            backlog.push(waiting(kind, xid));
        }
        assert_eq!(xids(&backlog.take(3)), [3, 5, 1]);
        assert_eq!(xids(&backlog.take(3)), [2, 4]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn the_oldest_of_a_kind_goes_when_there_are_too_many() {
        let mut backlog = Backlog::default();
        backlog.push(waiting(REQUEST, 9_999));
        let most = MOST as u32;
        (0..most + 2).for_each(|xid| backlog.push(waiting(DISCOVER, xid)));
        assert_eq!(backlog.take_dropped(), 2);
        assert_eq!(backlog.take_dropped(), 0);
        let left = xids(&backlog.take(2 * MOST));
        assert_eq!(left.len(), MOST + 1);
        assert_eq!((left[0], left[1], left[MOST]), (9_999, 2, most + 1));
    }

    #[test]
    fn a_question_repeats_when_it_was_asked_of_late() {
        let mut backlog = Backlog::default();
        for (kind, xid, repeats) in [
            (DISCOVER, 1, false),
            (DISCOVER, 2, false),
            (REQUEST, 1, false),
            (DISCOVER, 1, true),
            (REQUEST, 1, true),
        ] {
            let query = query(&waiting(kind, xid));
            assert_eq!(backlog.repeats(&query), repeats, "{kind} {xid}");
        }
    }
}
