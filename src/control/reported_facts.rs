//! Records the facts that a machine reports, within the limit of facts and the budget of the machine.
//!
//! Facts decide what a machine gets, so the journal keeps them. That is why they need a budget of their own: anyone can send facts
//! in the name of machines that do not exist.

use super::{Transaction, identity::sender::Confirmation};
use crate::{
    journal::{MachineEvent, MachineId},
    model::{Facts, MAX_FACTS},
};

/// What an event with facts takes besides the facts, in bytes.
const EVENT_SIZE: usize = 200;

/// The first facts of a machine need no budget up to this size, in bytes: how many machines become known is limited.
const MAX_FIRST_FACTS: usize = 1 << 10;

impl Transaction<'_> {
    /// Whether the budgets admit the facts of a machine. Facts that add nothing need none.
    pub(crate) fn admits_facts(&mut self, id: MachineId, facts: &Facts) -> bool {
        let machine = self.machine(id);
        let size = facts.size();
        let are_first = machine.facts == Facts::default() && size <= MAX_FIRST_FACTS;
        if machine.facts.covers(facts) || are_first {
            return true;
        }
        self.admits_fact_bytes(id, size)
    }

    /// Whether the budgets admit facts of this size in bytes.
    pub(crate) fn admits_fact_bytes(&mut self, id: MachineId, size: usize) -> bool {
        let is_declared = self.machine(id).node.is_some();
        let budgets = &mut self.server.volatile.reports;
        budgets.admits_facts(id, is_declared, size + EVENT_SIZE, self.now.mono)
    }

    /// Records facts of a machine. Those of a confirmed report have precedence over earlier ones; all others are recorded as far as
    /// there is room beside the earlier ones.
    pub(crate) fn record_facts(
        &mut self,
        id: MachineId,
        mut facts: Facts,
        attempt: Option<u32>,
        confirmation: Confirmation,
    ) {
        // It shows that the callbacks of the attempt arrive.
        let is_first = attempt.is_some_and(|number| !self.has_reported(id, number));
        let known = &self.machine(id).facts;
        let removed = match confirmation.is_confirmed() {
            true => known.clone().update_within_limit(facts.clone()),
            false => known.limit_addition(&mut facts),
        };
        let is_recorded = is_first || !known.covers(&facts);
        if let Some(name) = removed.first() {
            self.remark_full(id, name, removed.len() - 1);
        }
        if is_recorded {
            let facts = Box::new(facts);
            self.record(id, MachineEvent::Facts { facts, attempt });
        }
    }

    /// Remarks once that a machine has no room for facts.
    fn remark_full(&mut self, id: MachineId, name: &str, others: usize) {
        let others = match others {
            0 => String::new(),
            others => format!(" and {others} others"),
        };
        let limit = MAX_FACTS >> 10;
        self.remark_first(
            id,
            "facts",
            format!("the facts of a machine take at most {limit} KiB: there is no room for `{name}`{others}"),
        );
    }
}
