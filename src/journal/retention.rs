//! Which lines of the journal stay when it is compacted.
//!
//! A segment of the journal is compacted as a whole: [`retained`] sees its lines only. What they decide is the same without
//! the removed ones, whatever the other segments contain. This holds for every journal that the server writes: the first event
//! of a machine is one that decides, no event names a machine after it was merged, and each delivery has a number of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use super::{
    DeliveryEvent as D, Event, EventRole, JournalLine, JournalState, LeaseEvent as L, Machine,
    MachineEvent as M, MachineId, ParsedLine, SiteEvent as S,
};
use crate::model::Timestamp;

/// Returns for each line of a segment whether it stays. Events that only report are removed, and what a later line of the
/// segment replaces: an earlier lease of an address, an earlier start or stop, and a delivery that has ended.
pub fn retained(lines: &[&str]) -> Vec<bool> {
    let mut selection = LineSelection::default();
    let mut keeps = vec![true; lines.len()];
    for (at, line) in lines.iter().enumerate() {
        // A line that this release cannot read stays for one that can.
        if let Ok(ParsedLine::Known(line)) = JournalLine::parse(line) {
            keeps[at] = selection.keeps(at, &line);
        } else {
            selection.reported.clear();
        }
    }
    for at in selection.replaced() {
        keeps[at] = false;
    }
    keeps
}

/// The time of a line; none if it is not a line of a journal.
pub fn time_of(line: &str) -> Option<Timestamp> {
    match JournalLine::parse(line).ok()? {
        ParsedLine::Known(line) => Some(line.at),
        ParsedLine::Unknown { at, .. } => Some(at),
    }
}

#[derive(Default)]
struct LineSelection {
    /// The attempts of which a log line stays: it shows that the callbacks of the attempt arrive.
    reported: BTreeSet<(MachineId, u32)>,
    /// The line of the latest lease of each address.
    leases: BTreeMap<Ipv4Addr, usize>,
    /// The line of each delivery that has not ended.
    due: BTreeMap<u64, usize>,
    /// The lines of each delivery that has ended.
    ended: BTreeMap<u64, [usize; 2]>,
    /// The line of the latest start or stop of the server.
    run: Option<usize>,
    /// Earlier leases, starts and stops.
    replaced: Vec<usize>,
}

impl LineSelection {
    fn keeps(&mut self, at: usize, line: &JournalLine) -> bool {
        match &line.event {
            Event::Machine(M::Log { attempt, .. }) => {
                let machine = line.machine.unwrap_or(MachineId(0));
                return self.reported.insert((machine, *attempt));
            }
            Event::Machine(event) if line.event.traits().role == EventRole::Decides => {
                self.on_decision(line.machine, event);
            }
            Event::Lease(L::Granted { address, .. } | L::Ended { address }) => {
                self.replaced.extend(self.leases.insert(*address, at));
            }
            Event::Delivery(D::Due { delivery, .. }) => {
                self.due.insert(*delivery, at);
            }
            Event::Delivery(D::Delivered { delivery, .. } | D::Undeliverable { delivery, .. }) => {
                if let Some(due) = self.due.remove(delivery) {
                    self.ended.insert(*delivery, [due, at]);
                }
            }
            Event::Site(S::Started { .. } | S::Stopped {}) => {
                self.replaced.extend(self.run.replace(at));
            }
            Event::Machine(_) | Event::Delivery(D::Undelivered { .. }) | Event::Site(_) => {}
        }
        line.event.traits().role == EventRole::Decides
    }

    /// After an event that decides, the next log line may decide again: it may be the first one of a new attempt.
    fn on_decision(&mut self, machine: Option<MachineId>, event: &M) {
        match event {
            // Other machines get the attempts, or lose them.
            M::Merged { .. } | M::Forgotten { .. } => self.reported.clear(),
            _ => self.reported.retain(|(of, _)| Some(*of) != machine),
        }
    }

    /// The lines that later ones replace. The latest delivery stays, because the numbers of deliveries only increase.
    fn replaced(&self) -> impl Iterator<Item = usize> {
        let latest = self.due.last_key_value().map_or(0, |(number, _)| *number);
        let latest = latest.max(self.ended.last_key_value().map_or(0, |(number, _)| *number));
        let ended = self.ended.iter().filter(move |(n, _)| **n != latest);
        let ended = ended.flat_map(|(_, lines)| *lines);
        ended.chain(self.replaced.iter().copied())
    }
}

impl JournalState {
    /// The state without what events that only report change: the latest activity of each machine, and its time.
    pub fn without_reports(mut self) -> JournalState {
        self.latest = Timestamp::default();
        for machine in self.machines.values_mut() {
            let blank = Machine::new(machine.id, Timestamp::default());
            machine.last_activity = blank.last_activity;
            machine.first = blank.first;
            machine.last = blank.last;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fold<'a>(lines: impl IntoIterator<Item = &'a String>) -> JournalState {
        let mut state = JournalState::default();
        for line in lines {
            state.take(&JournalLine::parse(line).unwrap());
        }
        state.without_reports()
    }

    /// Compacts each segment of a journal by itself.
    fn compacted(lines: &[String], segment: usize) -> Vec<String> {
        let kept = lines.chunks(segment).flat_map(|segment| {
            let texts: Vec<&str> = segment.iter().map(String::as_str).collect();
            let keeps = retained(&texts);
            let kept = segment.iter().zip(keeps).filter(|(_, keeps)| *keeps);
            kept.map(|(line, _)| line.clone()).collect::<Vec<_>>()
        });
        kept.collect()
    }

    fn line(at: i64, machine: Option<u64>, fields: &str) -> String {
        let at = Timestamp(1_795_348_800_000 + at);
        let machine = machine.map_or_else(String::new, |id| format!(r#""machine":"{id:016x}","#));
        format!(r#"{{"at":"{at}",{machine}{fields}}}"#)
    }

    /// The fields of every kind of event, with these numbers.
    fn fields(kind: usize, n: u32, other: u64) -> (bool, String) {
        let of_machine = [
            format!(r#""event":"seen","identity":{{"serial":["s{n}"]}}"#),
            format!(r#""event":"named","node":"n{n}""#),
            format!(r#""event":"merged","into":"{other:016x}""#),
            format!(r#""event":"facts","facts":{{"serial":"f{n}"}},"attempt":{n}"#),
            r#""event":"dropped","what":"x""#.into(),
            r#""event":"boot","given":"microkernel""#.into(),
            format!(r#""event":"bound","policy":"p{n}""#),
            format!(r#""event":"attempt","attempt":{n},"installs":1,"task":"redhat""#),
            format!(r#""event":"hand-out","attempt":{n},"name":"vmlinuz""#),
            format!(r#""event":"serving","attempt":{n},"name":"ks.cfg""#),
            format!(r#""event":"document","attempt":{n},"name":"ks.cfg","bytes":1"#),
            format!(r#""event":"aborted","attempt":{n},"name":"ks.cfg""#),
            format!(r#""event":"stage","attempt":{n},"stage":"failed","reason":"r""#),
            format!(r#""event":"stage","attempt":{n},"stage":"installed""#),
            format!(r#""event":"stage","attempt":{n},"stage":"packages""#),
            format!(r#""event":"overdue","attempt":{n},"stage":"installed","after":60"#),
            format!(r#""event":"gave-up","attempt":{n},"reason":"r""#),
            format!(r#""event":"closed","attempt":{n},"reason":"r""#),
            format!(r#""event":"log","attempt":{n},"level":"info","text":"t""#),
            format!(r#""event":"log","attempt":{n},"level":"error","text":"t""#),
            r#""event":"dead-token","name":"ks.cfg""#.into(),
            r#""event":"held","cause":"operator","reason":"r""#.into(),
            r#""event":"released""#.into(),
            r#""event":"reinstall""#.into(),
            r#""event":"marked","installs":1"#.into(),
            format!(
                r#""event":"restored","installs":1,"sealed":"2026-11-22T12:00:00.{n:03}Z","node":"n{n}""#
            ),
            r#""event":"forgotten","by":"operator""#.into(),
            r#""event":"unrendered","reason":"r""#.into(),
            r#""event":"teleported""#.into(),
            r#""event":"teleported","critical":true"#.into(),
        ];
        let of_site = [
            r#""event":"started","version":"1""#.into(),
            r#""event":"stopped""#.into(),
            r#""event":"reloaded","nodes":1"#.into(),
            r#""event":"paused""#.into(),
            r#""event":"resumed""#.into(),
            r#""event":"state-lost","reason":"r""#.into(),
            r#""event":"suspected","reason":"r""#.into(),
            r#""event":"trusted""#.into(),
            r#""event":"state-declared","as-":"new""#.into(),
            format!(
                r#""event":"lease","address":"192.0.2.{n}","mac":"52:54:00:00:00:0{other}","until":"2026-11-22T13:00:00.000Z""#
            ),
            format!(
                r#""event":"lease","address":"192.0.2.{n}","until":"2026-11-22T14:00:00.000Z""#
            ),
            format!(r#""event":"lease-ended","address":"192.0.2.{n}""#),
        ];
        match kind.checked_sub(of_machine.len()) {
            None => (true, of_machine[kind].clone()),
            Some(at) => (false, of_site[at % of_site.len()].clone()),
        }
    }

    /// A journal as the server could write it: the first event of a machine decides, and so on.
    fn journal(steps: &[(usize, u64, u32, u64)]) -> Vec<String> {
        let mut state = JournalState::default();
        let mut lines = Vec::new();
        for (at, (kind, machine, n, other)) in steps.iter().enumerate() {
            let at = at as i64;
            let text = match *kind {
                kind @ 42..45 => {
                    let last = state.deliveries.last;
                    let due = state.deliveries.due.keys().next().copied().unwrap_or(last);
                    let (number, event) = match kind {
                        42 => (last + 1, r#""event":"due","node":"n""#),
                        43 => (due, r#""event":"delivered""#),
                        _ => (due, r#""event":"undelivered","tries":1,"reason":"r""#),
                    };
                    let common = r#""to":{"hook":"chat"},"on":"failed""#;
                    line(
                        at,
                        Some(*machine),
                        &format!(r#"{event},"delivery":{number},{common}"#),
                    )
                }
                kind => {
                    let (of_machine, fields) = fields(kind, *n, *other);
                    line(at, of_machine.then_some(*machine), &fields)
                }
            };
            let parsed = JournalLine::parse(&text).unwrap();
            let mut after = state.clone();
            after.take(&parsed);
            let is_decided = match &parsed {
                ParsedLine::Known(line) => {
                    matches!(line.event, Event::Machine(_))
                        && line.event.traits().role == EventRole::Decides
                }
                ParsedLine::Unknown { .. } => true,
            };
            let is_merged = state.merged.contains_key(&MachineId(*machine));
            if !is_merged && (after.machines.ids() == state.machines.ids() || is_decided) {
                state = after;
                lines.push(text);
            }
        }
        lines
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

        #[test]
        fn a_compacted_journal_decides_the_same(
            steps in proptest::collection::vec((0_usize..45, 1_u64..4, 1_u32..4, 1_u64..4), 0..80),
            segment in 1_usize..40,
        ) {
            let lines = journal(&steps);
            let kept = compacted(&lines, segment);
            prop_assert_eq!(fold(&kept), fold(&lines));
            // A journal that is compacted already stays as it is, unless its segments are cut elsewhere.
            let again = compacted(&kept, usize::MAX);
            prop_assert_eq!(fold(&again), fold(&lines));
            prop_assert_eq!(compacted(&again, usize::MAX), again);
        }
    }

    #[test]
    fn reports_and_what_a_later_line_replaces_are_removed() {
        let stays = true;
        let cases = [
            (r#""event":"seen","identity":{"serial":["s"]}"#, stays),
            (r#""event":"boot","given":"microkernel""#, !stays),
            (
                r#""event":"attempt","attempt":1,"installs":1,"task":"redhat""#,
                stays,
            ),
            (
                r#""event":"log","attempt":1,"level":"info","text":"first""#,
                stays,
            ),
            (
                r#""event":"log","attempt":1,"level":"error","text":"second""#,
                !stays,
            ),
            (r#""event":"stage","attempt":1,"stage":"installed""#, stays),
            (
                r#""event":"log","attempt":1,"level":"info","text":"third""#,
                stays,
            ),
            (
                r#""event":"due","delivery":1,"to":{"hook":"a"},"on":"failed","node":"n""#,
                !stays,
            ),
            (
                r#""event":"delivered","delivery":1,"to":{"hook":"a"},"on":"failed""#,
                !stays,
            ),
            (
                r#""event":"due","delivery":2,"to":{"hook":"a"},"on":"failed","node":"n""#,
                stays,
            ),
            (
                r#""event":"delivered","delivery":2,"to":{"hook":"a"},"on":"failed""#,
                stays,
            ),
            (
                r#""event":"due","delivery":3,"to":{"hook":"a"},"on":"failed","node":"n""#,
                stays,
            ),
            (r#""event":"teleported""#, stays),
        ];
        let mut lines: Vec<String> = cases
            .iter()
            .map(|(fields, _)| line(0, Some(1), fields))
            .collect();
        let mut expected: Vec<bool> = cases.iter().map(|(_, stays)| *stays).collect();
        // The second delivery has ended, and the third has not.
        expected[9] = false;
        expected[10] = false;
        for (address, stays) in [(1, false), (2, true), (1, true)] {
            let until = r#""until":"2026-11-22T13:00:00.000Z""#;
            lines.push(line(
                0,
                None,
                &format!(r#""event":"lease","address":"192.0.2.{address}",{until}"#),
            ));
            expected.push(stays);
        }
        lines.push("not a line".into());
        expected.push(true);
        let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(retained(&texts), expected);
    }
}
