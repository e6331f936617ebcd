//! Which events hooks and brokers receive, and the results of their deliveries.
//!
//! A delivery is recorded in the same transaction as its event, and is written to the disk with it. It ends when
//! its program has exited with success. The server may stop at any time in between: each event is delivered at
//! least once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{SettingLayers, Transaction, identity::naming::name_of};
use crate::{
    journal::{DeliveryEvent, JournalLine, MachineEvent, MachineId, PendingDelivery, Stage},
    model::{Broker, LifecycleEvent, List, MonotonicTime, Recipient, StageName},
};

/// The maximum number of programs that run at the same time.
const MAX_RUNNING: usize = 4;

/// The longest delay between two tries, in seconds.
const MAX_RETRY_DELAY_SECONDS: u64 = 300;

/// The tries of this run of the server.
#[derive(Debug, Default)]
pub struct RetryState {
    running: BTreeSet<u64>,
    failed: BTreeMap<u64, (u32, MonotonicTime)>,
}

/// A call of a program.
#[derive(Debug, Clone, PartialEq)]
pub struct HookCall {
    /// The number of the delivery.
    pub number: u64,
    /// The program and its arguments.
    pub run: Vec<String>,
    /// Its standard input.
    pub text: String,
}

impl RetryState {
    /// The deliveries that can start now: one at a time for each recipient and machine, in order.
    pub fn ready(&mut self, due: &BTreeMap<u64, PendingDelivery>, now: MonotonicTime) -> Vec<u64> {
        let mut recipients = BTreeSet::new();
        let mut ready = Vec::new();
        for (number, due) in due {
            let is_first = recipients.insert((&due.to, due.machine));
            let waits = self
                .failed
                .get(number)
                .is_some_and(|(_, until)| *until > now);
            if is_first && !waits && !self.running.contains(number) {
                ready.push(*number);
            }
        }
        ready.truncate(MAX_RUNNING.saturating_sub(self.running.len()));
        self.running.extend(&ready);
        ready
    }

    /// The time of the next retry; none while the maximum number of programs is running.
    pub fn next(&self) -> Option<MonotonicTime> {
        if self.running.len() >= MAX_RUNNING {
            return None;
        }
        let waiting = self.failed.iter();
        let waiting = waiting.filter(|(number, _)| !self.running.contains(number));
        waiting.map(|(_, (_, until))| *until).min()
    }

    /// Records that a delivery has ended.
    pub fn ended(&mut self, number: u64) {
        self.running.remove(&number);
        self.failed.remove(&number);
    }

    /// Records a failed try, and returns the number of failed tries.
    pub fn failed(&mut self, number: u64, now: MonotonicTime) -> u32 {
        self.running.remove(&number);
        let (tries, until) = self.failed.entry(number).or_insert((0, now));
        *tries += 1;
        let pause = 2_u64
            .saturating_pow(*tries - 1)
            .min(MAX_RETRY_DELAY_SECONDS);
        *until = now.after(std::time::Duration::from_secs(pause));
        *tries
    }
}

impl Transaction<'_> {
    /// Whether the site has programs that receive events.
    pub(super) fn has_programs(&self) -> bool {
        let site = &self.snapshot.site;
        !site.hooks.is_empty() || !site.brokers.is_empty()
    }

    /// Records the deliveries of the events in this transaction.
    pub(super) fn enqueue_deliveries(&mut self, lines: &[JournalLine]) {
        for line in lines {
            let Some(id) = line.machine.map(|id| self.server.state.resolve(id)) else {
                continue;
            };
            let Some((on, attempt, reason)) = self.lifecycle_event(id, line) else {
                continue;
            };
            for to in self.recipients(id, on) {
                let node = self.node_of(id);
                let due = DeliveryEvent::Due {
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

    /// The lifecycle event that a journal event means; none for most events, and for a machine that no longer
    /// exists.
    fn lifecycle_event(
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
        match line.event.machine()? {
            MachineEvent::Seen { .. } => {
                let is_undeclared = machine.node.is_none() && self.node_of(id).is_none();
                (self.first_seen.contains(&id) && is_undeclared).then_some((
                    LifecycleEvent::Discovered,
                    None,
                    None,
                ))
            }
            MachineEvent::Bound { .. } => plain(LifecycleEvent::Bound, None),
            // The installation has begun when the document was read or the stage was reported, whichever comes
            // first.
            MachineEvent::Document { attempt, .. } => {
                let begun = begun(*attempt)?;
                let is_reported = begun.stages.contains_key(&Stage::Installing);
                let is_first = begun.read == Some(line.at) && !is_reported;
                is_first.then_some((LifecycleEvent::Installing, Some(*attempt), None))
            }
            MachineEvent::Stage {
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
            MachineEvent::Overdue { attempt, stage, .. } => {
                let reason = format!("no `{stage}` in time");
                Some((LifecycleEvent::Failed, Some(*attempt), Some(reason)))
            }
            MachineEvent::GaveUp { attempt, reason } => {
                Some((LifecycleEvent::Failed, Some(*attempt), Some(reason.clone())))
            }
            MachineEvent::Held { reason, .. } => {
                Some((LifecycleEvent::Held, None, Some(reason.clone())))
            }
            _ => None,
        }
    }

    /// The hooks and the broker that receive an event.
    fn recipients(&self, id: MachineId, on: LifecycleEvent) -> Vec<Recipient> {
        let hooks = self.snapshot.site.hooks.values();
        let hooks = hooks.filter(|hook| hook.body.on.values().any(|subscribed| *subscribed == on));
        let hooks = hooks.map(|hook| Recipient::Hook(hook.name.value.clone()));
        let broker = self
            .broker_of(id)
            .filter(|broker| on == LifecycleEvent::Finished && broker.is_program());
        let broker = broker.map(|broker| Recipient::Broker(broker.name.value.clone()));
        hooks.chain(broker).collect()
    }

    /// The broker that takes over a machine.
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

    /// The pending deliveries.
    pub fn due(&self) -> &BTreeMap<u64, PendingDelivery> {
        &self.server.state.deliveries.due
    }

    /// The number of the last recorded delivery.
    pub fn latest_delivery(&self) -> u64 {
        self.server.state.deliveries.last
    }

    /// Returns the call of a delivery. If its program no longer exists, that is recorded and none is returned.
    pub fn hook_call(&mut self, number: u64, status: Option<&Value>) -> Option<HookCall> {
        let due = self.due().get(&number)?.clone();
        let site = &self.snapshot.site;
        let (run, settings) = match &due.to {
            Recipient::Hook(name) => (
                site.hooks.get(name).map(|hook| to_strings(&hook.body.run)),
                None,
            ),
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
        let mut message = json!({
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
            Recipient::Hook(name) => message["hook"] = json!(name),
            Recipient::Broker(name) => {
                message["broker"] = json!(name);
                let settings = settings.into_iter().flatten();
                let settings = settings.filter(|(key, _)| *key != "run");
                message["settings"] = settings
                    .map(|(key, at)| (key.clone(), at.value.clone()))
                    .collect();
            }
        }
        Some(HookCall {
            number,
            run,
            text: message.to_string(),
        })
    }

    fn undeliverable(&mut self, number: u64, due: &PendingDelivery) {
        let event = DeliveryEvent::Undeliverable {
            delivery: number,
            to: due.to.clone(),
            on: due.on,
            reason: format!("{} no longer exists, or has no program", due.to),
        };
        self.record_of(due.machine, event);
    }

    /// Records a successful delivery. For a broker, the machine's attempt also gets the stage `handed-over`.
    pub fn delivered(&mut self, number: u64) {
        let Some(due) = self.due().get(&number).cloned() else {
            return;
        };
        let event = DeliveryEvent::Delivered {
            delivery: number,
            to: due.to.clone(),
            on: due.on,
        };
        self.record_of(due.machine, event);
        if let (Recipient::Broker(_), Some(attempt)) = (&due.to, due.attempt) {
            let name: StageName = HANDED_OVER.parse().expect("it is a name");
            let stage = Stage::Own(name);
            self.on_inferred_stage(self.server.state.resolve(due.machine), attempt, stage);
        }
    }

    /// Records a failed delivery. The log has the tries 1, 2, 4, 8 and so on.
    pub fn undelivered(&mut self, number: u64, tries: u32, reason: &str) {
        let Some(due) = self.due().get(&number).cloned() else {
            return;
        };
        if tries.is_power_of_two() {
            let event = DeliveryEvent::Undelivered {
                delivery: number,
                to: due.to,
                on: due.on,
                tries,
                reason: reason.into(),
            };
            self.record_of(due.machine, event);
        }
    }

    /// Records an event of a machine, or of the site if the machine was forgotten meanwhile.
    fn record_of(&mut self, id: MachineId, event: DeliveryEvent) {
        let id = self.server.state.resolve(id);
        match self.server.state.machines.contains(id) {
            true => self.record(id, event),
            false => self.record_site(event),
        }
    }
}

/// The stage of a machine that was handed over to its broker.
const HANDED_OVER: &str = "handed-over";

fn to_strings(list: &List<String>) -> Vec<String> {
    list.values().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    /// Pending deliveries by number, each to a hook of this name and for this machine.
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
    fn one_delivery_at_a_time_per_machine_and_recipient_and_four_in_total() {
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
    fn a_failed_delivery_is_retried_with_increasing_delays() {
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
    fn there_is_no_next_retry_while_the_maximum_runs() {
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
