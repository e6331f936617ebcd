//! One request's turn.

use super::{ServerState, Snapshot};
use crate::{
    journal::{AttemptId, Event, JournalLine, Machine, MachineId},
    model::Now,
};

/// One request's turn: it sees one snapshot and one moment, and changes the world through events alone.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// The site that everything in this turn is decided by.
    pub snapshot: &'a Snapshot,
    /// What is known.
    pub server: &'a mut ServerState,
    /// This moment.
    pub now: Now,
    lines: Vec<JournalLine>,
    ended: Vec<AttemptId>,
    /// Machines that nobody knew before this turn.
    pub(super) first_seen: Vec<MachineId>,
}

impl<'a> Transaction<'a> {
    /// Begins a turn.
    pub fn new(snapshot: &'a Snapshot, server: &'a mut ServerState, now: Now) -> Self {
        Transaction {
            snapshot,
            server,
            now,
            lines: Vec::new(),
            ended: Vec::new(),
            first_seen: Vec::new(),
        }
    }

    /// Ends the turn: what has happened in it, in order, and the attempts that ended by it, whose documents are
    /// of no more use.
    pub fn end(mut self) -> (Vec<JournalLine>, Vec<AttemptId>) {
        if self.has_programs() {
            let happened = self.lines.clone();
            self.enqueue_deliveries(&happened);
        }
        (self.lines, self.ended)
    }

    /// Lets an event happen to a machine.
    pub(crate) fn record(&mut self, id: MachineId, event: Event) {
        let line = JournalLine {
            at: self.now.wall,
            machine: Some(id),
            event,
            revision: self.snapshot.site.revision.clone(),
        };
        if !self.server.state.machines.contains(id) {
            self.first_seen.push(id);
        }
        if matches!(line.event, Event::Boot { .. }) {
            // Booting never advances a machine: neither an attempt nor what it waits for changes.
            self.server.apply(&line, self.now);
            self.lines.push(line);
            return;
        }
        let into = match &line.event {
            Event::Merged { into } => self.open_attempt(*into),
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

    /// Lets an event happen that concerns the whole site.
    pub fn record_site(&mut self, event: Event) {
        let line = JournalLine {
            at: self.now.wall,
            machine: None,
            event,
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

    /// A machine that is known to be there.
    pub(crate) fn machine(&self, id: MachineId) -> &Machine {
        &self.server.state.machines[id]
    }

    /// Writes a remark to a machine's log, once in this run.
    pub(crate) fn remark_once(&mut self, id: MachineId, text: String) {
        if self.server.volatile.remarked.insert((id, text.clone())) {
            self.record(id, Event::Remark { text });
        }
    }
}
