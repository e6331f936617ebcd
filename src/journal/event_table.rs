//! What the server does with each event, and the names of all events.

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};
use strum::VariantNames;

use super::{
    DeliveryEvent as D, Event, LeaseEvent as L, LogLevel, MachineEvent as M, SiteEvent as S, Stage,
};

/// What the server does with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTraits {
    /// Whether an answer that depends on the event is sent only once the event is synced to disk. The other events
    /// are informative; they are written within a second.
    pub durable: bool,
    pub severity: EventSeverity,
    /// Whether the server's own log shows it. The others repeat what another line shows.
    pub logged: bool,
    pub role: EventRole,
}

/// Whether an event changes what the server decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventRole {
    /// It does, so it stays in the journal.
    Decides,
    /// It only reports. It has a budget, and is removed from the journal after `keep` of `[journal]`.
    Reports,
}

/// How an event is highlighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventSeverity {
    Normal,
    Success,
    Warning,
    Error,
}

impl Event {
    pub fn traits(&self) -> EventTraits {
        use Event::{Delivery, Lease, Machine, Site};
        use EventRole::{Decides, Reports};
        use EventSeverity::{Error, Normal, Success, Warning};
        let (durable, severity, logged, role) = match self {
            Machine(M::Seen { .. } | M::Named { .. } | M::Facts { .. }) => {
                (true, Normal, false, Decides)
            }
            Machine(M::Nics { .. }) => (false, Normal, false, Decides),
            Machine(M::Shared { .. }) => (true, Normal, true, Decides),
            Machine(M::Merged { .. } | M::Bound { .. } | M::Attempt { .. }) => {
                (true, Normal, true, Decides)
            }
            Machine(
                M::Dropped { .. } | M::Dhcp { .. } | M::Fetched { .. } | M::Unfetched { .. },
            ) => (false, Normal, true, Reports),
            Machine(M::Boot { .. } | M::Remark { .. }) => (false, Normal, true, Reports),
            Machine(M::Suppressed { .. }) => (false, Warning, true, Reports),
            Machine(M::HandOut { .. }) => (false, Normal, false, Reports),
            Machine(M::Serving { .. }) => (true, Normal, false, Decides),
            Machine(M::Document { .. }) => (true, Normal, true, Decides),
            Machine(M::Aborted { .. }) => (true, Warning, true, Decides),
            Machine(M::Stage {
                stage: Stage::Failed | Stage::NoDisk,
                ..
            }) => (true, Error, true, Decides),
            Machine(M::Stage { .. }) => (true, Success, true, Decides),
            // It changes the state that is displayed.
            Machine(M::Overdue { .. }) => (false, Error, true, Decides),
            Machine(M::GaveUp { .. }) => (true, Error, true, Decides),
            Machine(M::Closed { .. }) => (true, Normal, true, Decides),
            // The first one of an attempt decides: see `retention`.
            Machine(M::Log {
                level: LogLevel::Error,
                ..
            }) => (true, Error, true, Reports),
            Machine(M::Log {
                level: LogLevel::Warning,
                ..
            }) => (true, Warning, true, Reports),
            Machine(M::Log { .. }) => (true, Normal, true, Reports),
            Machine(M::DeadToken { .. }) => (false, Warning, true, Reports),
            Machine(M::Held { .. }) => (true, Warning, true, Decides),
            Machine(
                M::Released { .. }
                | M::Reinstall {}
                | M::Marked { .. }
                | M::Restored { .. }
                | M::Forgotten { .. },
            ) => (true, Normal, true, Decides),
            Machine(M::Unrendered { .. }) => (false, Error, true, Reports),
            Lease(L::Granted { .. } | L::Ended { .. }) => (true, Normal, true, Decides),
            Delivery(D::Due { .. } | D::Delivered { .. }) => (true, Normal, true, Decides),
            Delivery(D::Undelivered { .. }) => (false, Warning, true, Reports),
            Delivery(D::Undeliverable { .. }) => (true, Warning, true, Decides),
            // They show whether the server stopped normally.
            Site(S::Started { .. }) => (true, Normal, false, Decides),
            Site(S::Stopped {}) => (false, Normal, true, Decides),
            Site(S::Reloaded { .. }) => (false, Normal, false, Reports),
            Site(S::Paused {} | S::Resumed {} | S::StateDeclared { .. }) => {
                (true, Normal, true, Decides)
            }
            Site(S::Trusted {}) => (true, Normal, true, Decides),
            Site(S::StateLost { .. } | S::Suspected { .. }) => (true, Error, true, Decides),
        };
        EventTraits {
            durable,
            severity,
            logged,
            role,
        }
    }

    /// Returns whether it decides about an installation. The number of these events only grows: the compaction of the journal
    /// keeps them, and no later release counts others.
    pub fn is_of_installation(&self) -> bool {
        matches!(
            self,
            Event::Machine(
                M::Attempt { .. }
                    | M::Stage { .. }
                    | M::Reinstall {}
                    | M::Marked { .. }
                    | M::Forgotten { .. }
            )
        )
    }

    /// Returns whether this release has an event of this name.
    pub fn is_known(name: &str) -> bool {
        let groups = [M::VARIANTS, L::VARIANTS, D::VARIANTS, S::VARIANTS];
        groups.iter().any(|group| group.contains(&name))
    }
}

impl<'de> Deserialize<'de> for Event {
    /// Reads the group that has an event of this name, so that an error is about its fields.
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        let fields = Map::deserialize(deserializer)?;
        let name = fields.get("event").and_then(Value::as_str).unwrap_or("");
        let is_in = |names: &[&str]| names.contains(&name);
        let (lease, delivery, site) = (is_in(L::VARIANTS), is_in(D::VARIANTS), is_in(S::VARIANTS));
        let fields = Value::Object(fields);
        let event = match () {
            () if lease => L::deserialize(fields).map(Event::Lease),
            () if delivery => D::deserialize(fields).map(Event::Delivery),
            () if site => S::deserialize(fields).map(Event::Site),
            () => M::deserialize(fields).map(Event::Machine),
        };
        event.map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::journal::{JournalLine, ParsedLine};

    #[test]
    fn each_line_of_the_seeds_is_written_as_it_was_read_and_every_event_has_a_line() {
        let lines = include_str!("../../tests/fuzz/seeds/journal_line/every-event.jsonl");
        let mut seen = BTreeSet::new();
        for text in lines.lines() {
            let Ok(ParsedLine::Known(line)) = JournalLine::parse(text) else {
                panic!("{text}: {:?}", JournalLine::parse(text));
            };
            assert_eq!(line.text(), text);
            let fields: Value = serde_json::from_str(text).unwrap();
            seen.insert(fields["event"].as_str().unwrap().to_owned());
        }
        let names = [M::VARIANTS, L::VARIANTS, D::VARIANTS, S::VARIANTS].concat();
        let names: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
        assert_eq!(seen, names);
        assert!(!Event::is_known("teleported") && !Event::is_known(""));
    }
}
