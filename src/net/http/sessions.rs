//! Sessions of web browsers, and the one-time links that begin them.
//!
//! Both exist only in memory, as digests: a restart of the server ends all of them. Their number is bounded; the oldest gives way.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// The time in which a link can be opened.
pub(super) const LINK_TIME: Duration = Duration::from_secs(600);

/// The duration of a session.
pub(super) const SESSION_TIME: Duration = Duration::from_secs(12 * 3600);

const MAX_LINKS: usize = 16;

const MAX_SESSIONS: usize = 64;

/// The links that can be opened, and the sessions.
#[derive(Default)]
pub(super) struct Sessions {
    links: Mutex<ExpiringKeys>,
    sessions: Mutex<ExpiringKeys>,
}

/// Digests of random keys, with the time until which they are valid.
type ExpiringKeys = BTreeMap<[u8; 32], Instant>;

impl Sessions {
    /// Creates a link and returns its key.
    pub(super) fn create_link(&self, now: Instant) -> io::Result<String> {
        insert(lock(&self.links), MAX_LINKS, now, LINK_TIME)
    }

    /// Uses up a link, and returns the key of the session that it begins. `None` if there is no such link, or no longer.
    pub(super) fn open(&self, link: &str, now: Instant) -> io::Result<Option<String>> {
        let valid_until = lock(&self.links).remove(&digest(link));
        match valid_until {
            Some(until) if until > now => {
                insert(lock(&self.sessions), MAX_SESSIONS, now, SESSION_TIME).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether this is the key of a session.
    pub(super) fn contains(&self, session: &str, now: Instant) -> bool {
        let until = lock(&self.sessions).get(&digest(session)).copied();
        until.is_some_and(|until| until > now)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions(…)")
    }
}

/// Adds a random key of 128 bits and returns it. If there are already `max`, the oldest is removed.
fn insert(
    mut keys: MutexGuard<'_, ExpiringKeys>,
    max: usize,
    now: Instant,
    duration: Duration,
) -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let key = format!("{:032x}", u128::from_be_bytes(bytes));
    keys.retain(|_, until| *until > now);
    if keys.len() >= max {
        let oldest = keys.iter().min_by_key(|(_, until)| **until);
        let oldest = oldest.map(|(digest, _)| *digest);
        oldest.map(|digest| keys.remove(&digest));
    }
    keys.insert(digest(&key), now + duration);
    Ok(key)
}

pub(super) fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

fn lock(keys: &Mutex<ExpiringKeys>) -> MutexGuard<'_, ExpiringKeys> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_link_begins_one_session_within_ten_minutes() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let link = sessions.create_link(now).unwrap();
        assert_eq!(sessions.open("x", now).unwrap(), None);
        let session = sessions.open(&link, now + 599 * SECOND).unwrap().unwrap();
        assert_ne!(session, link);
        assert_eq!(sessions.open(&link, now + 599 * SECOND).unwrap(), None);
        let late = sessions.create_link(now).unwrap();
        assert_eq!(sessions.open(&late, now + 600 * SECOND).unwrap(), None);
        assert!(sessions.contains(&session, now + 12 * 3600 * SECOND));
        assert!(!sessions.contains(&session, now + (12 * 3600 + 599) * SECOND));
        assert!(!sessions.contains(&link, now));
    }

    #[test]
    fn the_oldest_gives_way() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let at = |number: usize| now + Duration::from_millis(number as u64);
        let links: Vec<String> = (0..=MAX_LINKS)
            .map(|number| sessions.create_link(at(number)).unwrap())
            .collect();
        let mut opened = links
            .iter()
            .map(|link| sessions.open(link, now).unwrap().is_some());
        assert_eq!(opened.next(), Some(false));
        assert!(opened.all(|is_open| is_open));
        let open = |number| {
            let link = sessions.create_link(at(number)).unwrap();
            sessions.open(&link, at(number)).unwrap().unwrap()
        };
        let first = open(100);
        let later: Vec<String> = (0..MAX_SESSIONS).map(|number| open(101 + number)).collect();
        assert!(!sessions.contains(&first, at(500)));
        assert!(later.iter().all(|key| sessions.contains(key, at(500))));
    }
}
