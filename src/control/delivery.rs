//! What operators' programs hear of: which events of a turn concern whom, and what came of telling them.
//!
//! A delivery is noted in the turn of its event and goes to the disk with it; it ends when the program has heard of it. In between
//! the server may end in any way: the program hears of it at least once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{SettingLayers, Transaction, identity::naming::name_of};
use crate::{
    journal::{Event, JournalLine, MachineId, PendingDelivery, Stage},
    model::{Broker, LifecycleEvent, List, MonotonicTime, Recipient, StageName},
};

/// How many programs run at a time.
const AT_ONCE: usize = 4;

/// The longest pause between two tries, in seconds.
const LONGEST: u64 = 300;

/// What this run of the server knows of its tries.
#[derive(Debug, Default)]
pub struct RetryState {
    running: BTreeSet<u64>,
    failed: BTreeMap<u64, (u32, MonotonicTime)>,
}

/// What a program is told.
#[derive(Debug, Clone, PartialEq)]
pub struct HookCall {
    /// The delivery.
    pub number: u64,
    /// The program and its arguments.
    pub run: Vec<String>,
    /// What it reads.
    pub text: String,
}

impl RetryState {
    /// Which deliveries may be made now: one at a time for each receiver and machine, in order.
    pub fn ready(&mut self, due: &BTreeMap<u64, PendingDelivery>, now: MonotonicTime) -> Vec<u64> {
        let mut met = BTreeSet::new();
        let mut ready = Vec::new();
        for (number, due) in due {
            let is_first = met.insert((&due.to, due.machine));
            let waits = self
                .failed
                .get(number)
                .is_some_and(|(_, until)| *until > now);
            if is_first && !waits && !self.running.contains(number) {
                ready.push(*number);
            }
        }
        ready.truncate(AT_ONCE.saturating_sub(self.running.len()));
        self.running.extend(&ready);
        ready
    }

    /// When the next one that failed is tried again; none while so many run that one has to end first.
    pub fn next(&self) -> Option<MonotonicTime> {
        if self.running.len() >= AT_ONCE {
            return None;
        }
        let waiting = self.failed.iter();
        let waiting = waiting.filter(|(number, _)| !self.running.contains(number));
        waiting.map(|(_, (_, until))| *until).min()
    }

    /// A program has heard of it, or never will.
    pub fn ended(&mut self, number: u64) {
        self.running.remove(&number);
        self.failed.remove(&number);
    }

    /// A program has failed; returns how often it has.
    pub fn failed(&mut self, number: u64, now: MonotonicTime) -> u32 {
        self.running.remove(&number);
        let (tries, until) = self.failed.entry(number).or_insert((0, now));
        *tries += 1;
        let pause = 2_u64.saturating_pow(*tries - 1).min(LONGEST);
        *until = now.after(std::time::Duration::from_secs(pause));
        *tries
    }
}

impl Transaction<'_> {
    /// Whether the site has programs that may hear of anything.
    pub(super) fn has_programs(&self) -> bool {
        let site = &self.snapshot.site;
        !site.hooks.is_empty() || !site.brokers.is_empty()
    }

    /// Notes who is to hear of what has happened in this turn.
    pub(super) fn enqueue_deliveries(&mut self, lines: &[JournalLine]) {
        for line in lines {
            let Some(id) = line.machine.map(|id| self.server.state.resolve(id)) else {
                continue;
            };
            let Some((on, attempt, reason)) = self.occasion(id, line) else {
                continue;
            };
            for to in self.receivers(id, on) {
                let node = self.node_of(id);
                let due = Event::Due {
                    delivery: self.server.state.deliveries.last + 1,
                    to,
                    on,
                    node: name_of(self.server.state.machine(id), node.as_deref()),
                    attempt,
                    reason: reason.clone(),
                };
                self.record(id, due);
            }
        }
    }

    /// What an event is to those outside; none for most, and for a machine that is not there any more.
    fn occasion(
        &self,
        id: MachineId,
        line: &JournalLine,
    ) -> Option<(LifecycleEvent, Option<u32>, Option<String>)> {
        let machine = self.server.state.machine(id)?;
        let begun = |number: u32| {
            let mut attempts = machine.attempts.iter();
            attempts.find(|attempt| attempt.number == number)
        };
        let plain = |on, attempt| Some((on, attempt, None));
        match &line.event {
            Event::Seen { .. } => {
                let is_undeclared = machine.node.is_none() && self.node_of(id).is_none();
                (self.first_seen.contains(&id) && is_undeclared).then_some((
                    LifecycleEvent::Discovered,
                    None,
                    None,
                ))
            }
            Event::Bound { .. } => plain(LifecycleEvent::Bound, None),
            // Whichever comes first: what is read, or what is said.
            Event::Document { attempt, .. } => {
                let begun = begun(*attempt)?;
                let is_said = begun.stages.contains_key(&Stage::Installing);
                let is_news = begun.read == Some(line.at) && !is_said;
                is_news.then_some((LifecycleEvent::Installing, Some(*attempt), None))
            }
            Event::Stage {
                attempt,
                stage,
                reason,
                ..
            } => {
                let on = match stage {
                    Stage::Installing if begun(*attempt)?.read.is_some() => return None,
                    Stage::Installing => LifecycleEvent::Installing,
                    Stage::Installed => LifecycleEvent::Installed,
                    Stage::Finished => LifecycleEvent::Finished,
                    Stage::Failed => LifecycleEvent::Failed,
                    Stage::NoDisk | Stage::Own(_) => return None,
                };
                Some((on, Some(*attempt), reason.clone()))
            }
            Event::Overdue { attempt, stage, .. } => {
                let reason = format!("no `{stage}` in time");
                Some((LifecycleEvent::Failed, Some(*attempt), Some(reason)))
            }
            Event::GaveUp { attempt, reason } => {
                Some((LifecycleEvent::Failed, Some(*attempt), Some(reason.clone())))
            }
            Event::Held { reason, .. } => Some((LifecycleEvent::Held, None, Some(reason.clone()))),
            _ => None,
        }
    }

    /// Whose programs hear of it.
    fn receivers(&self, id: MachineId, on: LifecycleEvent) -> Vec<Recipient> {
        let hooks = self.snapshot.site.hooks.values();
        let hooks = hooks.filter(|hook| hook.body.on.values().any(|heard| *heard == on));
        let hooks = hooks.map(|hook| Recipient::Hook(hook.name.value.clone()));
        let broker = self
            .broker_of(id)
            .filter(|broker| on == LifecycleEvent::Finished && broker.is_program());
        let broker = broker.map(|broker| Recipient::Broker(broker.name.value.clone()));
        hooks.chain(broker).collect()
    }

    /// To whom a machine is handed over.
    fn broker_of(&self, id: MachineId) -> Option<&Broker> {
        let site = &self.snapshot.site;
        let node = self.node_of(id);
        let binding = self.machine(id).binding.as_ref();
        let policy = binding.and_then(|binding| site.policies.get(binding.policy.as_ref()?));
        let policy = policy.map(|policy| &**policy);
        let name = SettingLayers::new(site, node.as_deref(), policy)
            .get(|settings| settings.broker.as_deref())
            .cloned()?;
        site.brokers.get(&name).map(|broker| &**broker)
    }

    /// What is still to be told.
    pub fn due(&self) -> &BTreeMap<u64, PendingDelivery> {
        &self.server.state.deliveries.due
    }

    /// The number of the latest delivery that was noted.
    pub fn latest_delivery(&self) -> u64 {
        self.server.state.deliveries.last
    }

    /// What is told to whom; none, and it is noted, when there is nobody any more.
    pub fn hook_call(&mut self, number: u64, status: Option<&Value>) -> Option<HookCall> {
        let due = self.due().get(&number)?.clone();
        let site = &self.snapshot.site;
        let (run, settings) = match &due.to {
            Recipient::Hook(name) => (site.hooks.get(name).map(|hook| words(&hook.body.run)), None),
            Recipient::Broker(name) => {
                let broker = site.brokers.get(name);
                let run = broker.and_then(|broker| broker.program());
                (run, broker.map(|broker| &broker.vars))
            }
        };
        let Some(run) = run else {
            self.undeliverable(number, &due);
            return None;
        };
        let facts = self.server.state.machine(due.machine);
        let facts = facts.map(|machine| json!(machine.facts));
        let mut told = json!({
            "version": 1,
            "delivery": number,
            "event": due.on,
            "at": due.at,
            "node": due.node,
            "machine": due.machine,
            "attempt": due.attempt,
            "reason": due.reason,
            "status": status,
            "facts": facts,
        });
        match &due.to {
            Recipient::Hook(name) => told["hook"] = json!(name),
            Recipient::Broker(name) => {
                told["broker"] = json!(name);
                let settings = settings.into_iter().flatten();
                let settings = settings.filter(|(key, _)| *key != "run");
                told["settings"] = settings
                    .map(|(key, at)| (key.clone(), at.value.clone()))
                    .collect();
            }
        }
        Some(HookCall {
            number,
            run,
            text: told.to_string(),
        })
    }

    fn undeliverable(&mut self, number: u64, due: &PendingDelivery) {
        let event = Event::Undeliverable {
            delivery: number,
            to: due.to.clone(),
            on: due.on,
            reason: format!("there is no {} with a program any more", due.to),
        };
        self.record_of(due.machine, event);
    }

    /// A program has heard of it. A machine that was handed over says so by its stage.
    pub fn delivered(&mut self, number: u64) {
        let Some(due) = self.due().get(&number).cloned() else {
            return;
        };
        let event = Event::Delivered {
            delivery: number,
            to: due.to.clone(),
            on: due.on,
        };
        self.record_of(due.machine, event);
        if let (Recipient::Broker(_), Some(attempt)) = (&due.to, due.attempt) {
            let name: StageName = HANDED_OVER.parse().expect("it is a name");
            let stage = Stage::Own(name);
            self.inferred(self.server.state.resolve(due.machine), attempt, stage);
        }
    }

    /// A program has not heard of it. The log has the first tries, and then every time that they have doubled.
    pub fn undelivered(&mut self, number: u64, tries: u32, reason: &str) {
        let Some(due) = self.due().get(&number).cloned() else {
            return;
        };
        if tries.is_power_of_two() {
            let event = Event::Undelivered {
                delivery: number,
                to: due.to,
                on: due.on,
                tries,
                reason: reason.into(),
            };
            self.record_of(due.machine, event);
        }
    }

    /// Notes what concerns a machine, or the site alone when the machine was forgotten meanwhile.
    fn record_of(&mut self, id: MachineId, event: Event) {
        let id = self.server.state.resolve(id);
        match self.server.state.machines.contains(id) {
            true => self.record(id, event),
            false => self.record_site(event),
        }
    }
}

/// The stage of a machine that was handed over.
const HANDED_OVER: &str = "handed-over";

fn words(list: &List<String>) -> Vec<String> {
    list.values().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    /// Deliveries by number, each to a hook of this name and of this machine.
    fn due(all: &[(u64, &str, u64)]) -> BTreeMap<u64, PendingDelivery> {
        let due = |(number, hook, machine): &(u64, &str, u64)| {
            let due = PendingDelivery {
                to: Recipient::Hook(hook.parse().unwrap()),
                on: LifecycleEvent::Bound,
                at: Timestamp(0),
                machine: MachineId(*machine),
                node: "n".into(),
                attempt: None,
                reason: None,
            };
            (*number, due)
        };
        all.iter().map(due).collect()
    }

    #[test]
    fn one_at_a_time_of_a_machine_for_each_receiver_and_four_in_all() {
        let mut all = due(&[
            (1, "a", 1),
            (2, "a", 1),
            (3, "b", 1),
            (4, "a", 2),
            (5, "a", 3),
            (6, "a", 4),
        ]);
        let mut tries = RetryState::default();
        assert_eq!(tries.ready(&all, MonotonicTime(0)), [1, 3, 4, 5]);
        assert!(tries.ready(&all, MonotonicTime(0)).is_empty());
        all.remove(&1);
        tries.ended(1);
        assert_eq!(tries.ready(&all, MonotonicTime(0)), [2]);
        all.remove(&3);
        tries.ended(3);
        assert_eq!(tries.ready(&all, MonotonicTime(0)), [6]);
    }

    #[test]
    fn one_that_failed_is_tried_again_after_longer_and_longer() {
        let all = due(&[(1, "a", 1), (2, "a", 1), (3, "a", 2)]);
        let mut tries = RetryState::default();
        let mut now = MonotonicTime(0);
        assert_eq!(tries.ready(&all, now), [1, 3]);
        tries.ended(3);
        let mut pauses = Vec::new();
        for count in 1..=10 {
            assert_eq!(tries.failed(1, now), count);
            let next = tries.next().expect("it is tried again");
            pauses.push(next.since(now).as_secs());
            let early = due(&[(1, "a", 1), (2, "a", 1)]);
            assert!(tries.ready(&early, now).is_empty(), "its successor waits");
            now = next;
            assert_eq!(tries.ready(&early, now), [1]);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    }

    #[test]
    fn nothing_is_looked_for_while_one_has_to_end_first() {
        let all = due(&[
            (1, "a", 1),
            (2, "a", 2),
            (3, "a", 3),
            (4, "a", 4),
            (5, "a", 5),
        ]);
        let mut tries = RetryState::default();
        tries.ready(&all, MonotonicTime(0));
        tries.failed(1, MonotonicTime(0));
        assert_eq!(tries.ready(&all, MonotonicTime(0)), [5]);
        assert_eq!(tries.next(), None);
        tries.ended(5);
        assert_eq!(tries.next(), Some(MonotonicTime(1_000)));
    }
}
