//! Two machines that turn out to be one: the history of one is added to that of the other.

use super::{Attempt, Machine};

impl Machine {
    /// Takes over the history of `other`, which turned out to be this machine. A request for one more
    /// installation of `other` ends here: what has been installed since may have been this very machine.
    pub fn absorb(&mut self, other: Machine) {
        self.identity.add(&other.identity);
        let mut facts = other.facts;
        facts.update(std::mem::take(&mut self.facts));
        self.facts = facts;
        self.done = self.done.max(other.done);
        self.installed |= other.installed;
        self.marked |= other.marked && self.attempts.is_empty();
        self.took_over = self.took_over.take().or(other.took_over);
        self.failures = self.failures.max(other.failures);
        self.node = self.node.take().or(other.node);
        self.binding = self.binding.take().or(other.binding);
        for (cause, reason) in other.holds {
            self.holds.entry(cause).or_insert(reason);
        }
        self.absorb_attempts(other.attempts);
        self.opened += other.opened;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    /// Of two open attempts, the one that may be wiping the disk stays open; else this machine's own.
    fn absorb_attempts(&mut self, theirs: Vec<Attempt>) {
        let is_running = |attempt: &Attempt| attempt.open && attempt.is_begun();
        let own = self.open();
        let own_goes_on = own.is_some_and(|own| is_running(own) || !theirs.iter().any(is_running));
        if !own_goes_on {
            self.close();
        }
        for mut attempt in theirs {
            attempt.number += self.opened;
            attempt.open &= !own_goes_on;
            self.attempts.push(attempt);
        }
        self.attempts
            .sort_by_key(|attempt| (attempt.open, attempt.opened, attempt.number));
    }
}
