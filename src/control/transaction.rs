//! The transaction of one request.

use super::{ServerState, Snapshot};
use crate::{
    journal::{AttemptId, Event, EventRole, JournalLine, Machine, MachineEvent, MachineId},
    model::Now,
};

/// The transaction of one request. It reads one snapshot at one point in time, and changes the state only through
/// events.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// The site on which all decisions of this transaction are based.
    pub snapshot: &'a Snapshot,
    pub server: &'a mut ServerState,
    pub now: Now,
    lines: Vec<JournalLine>,
    ended: Vec<AttemptId>,
    /// The machine for which this transaction has made a reservation.
    pub(super) reserved: Option<MachineId>,
    /// Machines that this transaction has discovered.
    pub(super) first_seen: Vec<MachineId>,
}

/// What remains of a transaction.
#[derive(Debug)]
pub struct TransactionEnd {
    /// Its events, in order.
    pub lines: Vec<JournalLine>,
    /// The attempts that it has ended, whose documents are no longer needed.
    pub ended: Vec<AttemptId>,
    /// Whether its reservation stands, so that another transaction ends it. Nothing is answered before, so the events of
    /// both can be written at once.
    pub is_continued: bool,
}

impl<'a> Transaction<'a> {
    pub fn new(snapshot: &'a Snapshot, server: &'a mut ServerState, now: Now) -> Self {
        Transaction {
            snapshot,
            server,
            now,
            lines: Vec::new(),
            ended: Vec::new(),
            reserved: None,
            first_seen: Vec::new(),
        }
    }

    /// Ends the transaction.
    pub fn end(mut self) -> TransactionEnd {
        if self.has_programs() {
            let happened = self.lines.clone();
            self.enqueue_deliveries(&happened);
        }
        TransactionEnd {
            is_continued: self.reserved.is_some_and(|id| self.is_preparing(id)),
            lines: self.lines,
            ended: self.ended,
        }
    }

    /// Records an event of a machine.
    pub(crate) fn record(&mut self, id: MachineId, event: impl Into<Event>) {
        let line = JournalLine {
            at: self.now.wall,
            machine: Some(id),
            event: event.into(),
            revision: self.snapshot.site.revision.clone(),
        };
        if !self.is_admitted(id, &line) {
            return;
        }
        if !self.server.state.machines.contains(id) {
            self.first_seen.push(id);
        }
        if matches!(line.event, Event::Machine(MachineEvent::Boot { .. })) {
            // A boot never changes the progress of a machine: neither its attempt nor its next stage changes.
            self.server.apply(&line, self.now);
            self.lines.push(line);
            return;
        }
        let into = match &line.event {
            Event::Machine(MachineEvent::Merged { into }) => self.open_attempt(*into),
            _ => None,
        };
        let before = self.open_attempt(id).into_iter().chain(into);
        let before: Vec<AttemptId> = before.collect();
        self.server.apply(&line, self.now);
        self.lines.push(line);
        let ended = before.into_iter();
        let ended = ended.filter(|before| self.open_attempt(before.machine) != Some(*before));
        self.ended.extend(ended.collect::<Vec<_>>());
        self.update_deadline(id);
    }

    /// Whether an event is within the budget of its machine, or needs none because it decides.
    fn is_admitted(&mut self, id: MachineId, line: &JournalLine) -> bool {
        match &line.event {
            event if event.traits().role == EventRole::Decides => true,
            // It shows that the callbacks of the attempt arrive.
            Event::Machine(MachineEvent::Log { attempt, .. })
                if !self.has_reported(id, *attempt) =>
            {
                true
            }
            Event::Machine(MachineEvent::Suppressed { .. }) => true,
            _ => self.admits_report(id, line.text().len()),
        }
    }

    /// Whether the budget of a machine permits an event of this length in the journal. Otherwise the event is counted.
    pub(crate) fn admits_report(&mut self, id: MachineId, bytes: usize) -> bool {
        let machine = self.server.state.machine(id);
        let is_declared = machine.is_some_and(|machine| machine.node.is_some());
        let budgets = &mut self.server.volatile.reports;
        budgets.admits(id, is_declared, bytes, self.now.mono)
    }

    /// Whether a callback of an attempt was recorded.
    pub(crate) fn has_reported(&self, id: MachineId, attempt: u32) -> bool {
        let machine = self.server.state.machine(id);
        let mut attempts = machine.iter().flat_map(|machine| &machine.attempts);
        attempts.any(|one| one.number == attempt && one.has_reported)
    }

    /// Records how many events the budgets have suppressed, once a minute.
    pub(crate) fn record_suppressed(&mut self) {
        let Some(suppressed) = self.server.volatile.reports.take_suppressed(self.now.mono) else {
            return;
        };
        for (id, count) in suppressed.machines {
            if self.server.state.machines.contains(id) {
                self.record(id, MachineEvent::Suppressed { count });
            }
        }
        if let (machines @ 1.., count) = suppressed.others {
            let text = format!("{count} events of {machines} other machines suppressed");
            self.record_site(MachineEvent::Remark { text });
        }
    }

    /// Records an event of the whole site.
    pub fn record_site(&mut self, event: impl Into<Event>) {
        let line = JournalLine {
            at: self.now.wall,
            machine: None,
            event: event.into(),
            revision: self.snapshot.site.revision.clone(),
        };
        self.server.apply(&line, self.now);
        self.lines.push(line);
    }

    fn open_attempt(&self, id: MachineId) -> Option<AttemptId> {
        self.server
            .state
            .machine(id)?
            .open()
            .map(|attempt| attempt.id)
    }

    /// Returns a machine that must exist.
    pub(crate) fn machine(&self, id: MachineId) -> &Machine {
        &self.server.state.machines[id]
    }

    /// Records a remark in a machine's log, once per run of the server.
    pub(crate) fn remark_once(&mut self, id: MachineId, text: String) {
        self.remark_first(id, &text.clone(), text);
    }

    /// Records a remark, unless one about the same subject was recorded in this run of the server.
    pub(crate) fn remark_first(&mut self, id: MachineId, subject: &str, text: String) {
        if self.server.volatile.remarks.begins(id, subject) {
            self.record(id, MachineEvent::Remark { text });
        }
    }
}
