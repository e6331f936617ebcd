//! Merges the histories of two machines that are the same machine.

use super::{Attempt, Machine};

impl Machine {
    /// Adds the history of `other`, which is the same machine. A request to reinstall `other` is dropped: the machine may have
    /// been installed since, under this history.
    pub fn merge(&mut self, other: Machine) {
        self.identity.add(&other.identity);
        self.boot_mac = self.boot_mac.or(other.boot_mac);
        self.nics.extend(other.nics.iter().copied());
        let mut facts = other.facts;
        facts.update_within_limit(std::mem::take(&mut self.facts));
        self.facts = facts;
        self.done = self.done.max(other.done);
        self.installed |= other.installed;
        self.marked |= other.marked && self.attempts.is_empty();
        self.restored = self.restored.or(other.restored);
        self.is_new |= other.is_new;
        self.tried.extend(other.tried);
        self.took_over = self.took_over.take().or(other.took_over);
        self.failures = self.failures.max(other.failures);
        self.node = self.node.take().or(other.node);
        self.binding = self.binding.take().or(other.binding);
        for (cause, reason) in other.holds {
            self.holds.entry(cause).or_insert(reason);
        }
        self.merge_attempts(other.attempts);
        self.opened += other.opened;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    /// Of two open attempts, the one whose installer may be running stays open, or else this machine's own.
    fn merge_attempts(&mut self, others: Vec<Attempt>) {
        let is_running = |attempt: &Attempt| attempt.open && attempt.is_begun();
        let own = self.open();
        let keeps_own = own.is_some_and(|own| is_running(own) || !others.iter().any(is_running));
        if !keeps_own {
            self.close();
        }
        for mut attempt in others {
            attempt.number += self.opened;
            attempt.open &= !keeps_own;
            self.attempts.push(attempt);
        }
        self.attempts
            .sort_by_key(|attempt| (attempt.open, attempt.opened, attempt.number));
    }
}
