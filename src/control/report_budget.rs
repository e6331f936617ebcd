//! Budgets for events that only report, so that no client can fill the journal.
//!
//! A budget is a number of bytes that may be written at once and that refills over time. What is above it is counted, and the count
//! is written once a minute. Events that decide have no budget.

use crate::{
    journal::{MachineId, MachineMap},
    model::MonotonicTime,
};

/// What one machine may write at once, and each minute after that, in bytes. An installer that logs each of its steps writes
/// less.
const MACHINE: BudgetSize = BudgetSize {
    burst: 256 << 10,
    per_minute: 64 << 10,
};
/// The same for all undeclared machines together: anyone can invent them.
const UNDECLARED: BudgetSize = BudgetSize {
    burst: 256 << 10,
    per_minute: 128 << 10,
};
/// The same for their facts. A rack of machines that boot the microkernel for the first time reports less.
const UNDECLARED_FACTS: BudgetSize = BudgetSize {
    burst: 512 << 10,
    per_minute: 128 << 10,
};
/// The interval between counts of suppressed events, in milliseconds.
const SUMMARY_INTERVAL: i64 = 60_000;
/// The most machines whose suppressed events are counted separately.
const MAX_SUMMARIES: usize = 20;

/// The budgets of all machines.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct ReportBudgets {
    machines: MachineMap<ReportBudget>,
    undeclared: ReportBudget,
    undeclared_facts: ReportBudget,
    /// When suppressed events were last counted.
    counted: MonotonicTime,
    has_suppressed: bool,
}

/// Events that were suppressed within a minute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SuppressedReports {
    /// The machines with the most of them.
    pub(crate) machines: Vec<(MachineId, u64)>,
    /// How many other machines there are, and their events.
    pub(crate) others: (usize, u64),
}

struct BudgetSize {
    burst: u64,
    per_minute: u64,
}

/// One budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct ReportBudget {
    /// What is used of it, in bytes times [`SCALE`].
    used: u64,
    at: MonotonicTime,
    suppressed: u64,
}

/// The milliseconds of a minute: so the refill of a millisecond is a whole number.
const SCALE: u64 = 60_000;

impl ReportBudget {
    fn refill(&mut self, size: &BudgetSize, now: MonotonicTime) {
        let elapsed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.used = self
            .used
            .saturating_sub(elapsed.saturating_mul(size.per_minute));
        self.at = now;
    }

    fn has_room(&self, size: &BudgetSize, bytes: u64) -> bool {
        self.used + bytes * SCALE <= size.burst * SCALE
    }

    /// Charges the budget of a machine, and one that it shares with others, if both have room. Otherwise the event is counted.
    fn admits(
        &mut self,
        shared: Option<(&mut ReportBudget, &BudgetSize)>,
        bytes: u64,
        now: MonotonicTime,
    ) -> bool {
        self.refill(&MACHINE, now);
        let shared_has_room = shared
            .as_ref()
            .is_none_or(|(budget, size)| budget.has_room(size, bytes));
        if !shared_has_room || !self.has_room(&MACHINE, bytes) {
            self.suppressed += 1;
            return false;
        }
        self.used += bytes * SCALE;
        if let Some((budget, _)) = shared {
            budget.used += bytes * SCALE;
        }
        true
    }
}

impl ReportBudgets {
    /// Whether a machine may write an event of this length. If so, it is charged; otherwise it is counted.
    pub(crate) fn admits(
        &mut self,
        id: MachineId,
        is_declared: bool,
        bytes: usize,
        now: MonotonicTime,
    ) -> bool {
        self.undeclared.refill(&UNDECLARED, now);
        let shared = (!is_declared).then_some((&mut self.undeclared, &UNDECLARED));
        let own = self.machines.get_or_insert_with(id, ReportBudget::default);
        let is_admitted = own.admits(shared, bytes as u64, now);
        self.has_suppressed |= !is_admitted;
        is_admitted
    }

    /// The same for facts. All undeclared machines together have a separate budget for them, so that no other event keeps a machine
    /// from being discovered.
    pub(crate) fn admits_facts(
        &mut self,
        id: MachineId,
        is_declared: bool,
        bytes: usize,
        now: MonotonicTime,
    ) -> bool {
        self.undeclared_facts.refill(&UNDECLARED_FACTS, now);
        let shared = (!is_declared).then_some((&mut self.undeclared_facts, &UNDECLARED_FACTS));
        let own = self.machines.get_or_insert_with(id, ReportBudget::default);
        let is_admitted = own.admits(shared, bytes as u64, now);
        self.has_suppressed |= !is_admitted;
        is_admitted
    }

    /// Takes the counts of suppressed events, once a minute.
    pub(crate) fn take_suppressed(&mut self, now: MonotonicTime) -> Option<SuppressedReports> {
        if !self.has_suppressed || now.0.saturating_sub(self.counted.0) < SUMMARY_INTERVAL {
            return None;
        }
        self.counted = now;
        self.has_suppressed = false;
        let counts = self.machines.in_order();
        let counts = counts.filter(|(_, budget)| budget.suppressed > 0);
        let mut counts: Vec<(MachineId, u64)> =
            counts.map(|(id, budget)| (id, budget.suppressed)).collect();
        counts.sort_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
        for budget in self.machines.values_mut() {
            budget.suppressed = 0;
        }
        let others = counts.split_off(counts.len().min(MAX_SUMMARIES));
        Some(SuppressedReports {
            machines: counts,
            others: (others.len(), others.iter().map(|(_, count)| count).sum()),
        })
    }

    pub(crate) fn forget(&mut self, id: MachineId) {
        self.machines.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_bounded_and_counted_and_the_budget_refills() {
        let mut budgets = ReportBudgets::default();
        let line = 300;
        let mut written = 0;
        // A thousand lines a second for ten minutes.
        for step in 0..600_000 {
            let now = MonotonicTime(step);
            written += u64::from(budgets.admits(MachineId(1), true, line, now)) * line as u64;
        }
        let bound = MACHINE.burst + 10 * MACHINE.per_minute;
        assert!(written <= bound && written > bound - 1_000, "{written}");
        let now = MonotonicTime(600_000);
        let suppressed = budgets.take_suppressed(now).unwrap();
        let count = 600_000 - written / line as u64;
        assert_eq!(suppressed.machines, [(MachineId(1), count)]);
        assert_eq!(budgets.take_suppressed(now), None);
        // Another machine is not concerned.
        assert!(budgets.admits(MachineId(2), true, line, now));
        let later = MonotonicTime(now.0 + 600_000);
        assert!(budgets.admits(MachineId(1), true, 200 << 10, later));
    }

    #[test]
    fn invented_machines_share_a_budget() {
        let mut budgets = ReportBudgets::default();
        let mut written = 0;
        for id in 0..100_000 {
            let now = MonotonicTime(id as i64 / 100);
            written += u64::from(budgets.admits(MachineId(id), false, 300, now)) * 300;
        }
        assert!(written < 300 << 10, "{written}");
        assert!(budgets.admits(MachineId(1 << 40), true, 300, MonotonicTime(1_000)));
        let suppressed = budgets.take_suppressed(MonotonicTime(60_000)).unwrap();
        assert_eq!(suppressed.machines.len(), MAX_SUMMARIES);
        let all = suppressed.others.1 + MAX_SUMMARIES as u64;
        assert_eq!(all, 100_000 - written / 300);
    }
}
