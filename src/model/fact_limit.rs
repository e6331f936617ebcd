//! The limit of the facts of one machine. A host that has its token can report facts of any name.

use super::{Facts, facts::custom_size};

/// The most that the facts of one machine take, in bytes: names, texts, and a fixed amount for each fact and each entry of a list.
pub const MAX_FACTS: usize = 32 << 10;

impl Facts {
    /// Their size in bytes, as [`MAX_FACTS`] counts it.
    pub fn size(&self) -> usize {
        let known = Facts::NAMES.iter().map(|name| self.size_of(name));
        let custom = self.custom.iter();
        let custom = custom.map(|(name, text)| custom_size(name, text));
        known.sum::<usize>() + custom.sum::<usize>()
    }

    /// Removes what is above the limit: the first facts that fit stay, the known ones before the others. Returns the names of those
    /// that were removed.
    pub fn limit(&mut self) -> Vec<String> {
        let (mut used, mut removed) = (0, Vec::new());
        self.retain(|name, size| is_kept(name, size, &mut used, &mut removed));
        removed
    }

    /// Adds all facts of a report. If there is not enough room, earlier facts that the report lacks are removed. Returns their
    /// names, and the names of those of the report that are too large without the earlier ones.
    pub fn update_within_limit(&mut self, mut newer: Facts) -> Vec<String> {
        let mut removed = newer.limit();
        let mut used = newer.size();
        let is_replaced = |name: &str| newer.size_of(name) > 0;
        self.retain(|name, size| is_replaced(name) || is_kept(name, size, &mut used, &mut removed));
        self.update(newer);
        removed
    }

    /// Removes from `newer` what has no room beside these facts. Returns the names of what was removed.
    pub fn limit_addition(&self, newer: &mut Facts) -> Vec<String> {
        let (mut used, mut removed) = (self.size(), Vec::new());
        newer.retain(|name, size| {
            let mut after = used - self.size_of(name);
            let is_kept = is_kept(name, size, &mut after, &mut removed);
            if is_kept {
                used = after;
            }
            is_kept
        });
        removed
    }
}

/// Whether there is room for a fact, which is added to what is used; otherwise its name is added to the removed ones.
fn is_kept(name: &str, size: usize, used: &mut usize, removed: &mut Vec<String>) -> bool {
    let is_kept = *used + size <= MAX_FACTS;
    match is_kept {
        true => *used += size,
        false => removed.push(name.to_owned()),
    }
    is_kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Facts of other names, each with a text of 1 KiB.
    fn custom(names: impl Iterator<Item = usize>) -> Facts {
        let text = || "x".repeat(1 << 10);
        Facts {
            custom: names.map(|name| (format!("c{name:02}"), text())).collect(),
            ..Facts::default()
        }
    }

    fn of_board(serial: &str) -> Facts {
        Facts {
            serial: Some(serial.into()),
            ..Facts::default()
        }
    }

    #[test]
    fn what_is_above_the_limit_is_named_and_removed() {
        let mut facts = custom(0..40);
        facts.update(of_board("S1"));
        let removed = facts.limit();
        assert!(facts.size() <= MAX_FACTS && facts.size() > MAX_FACTS - 2_000);
        assert_eq!(removed.len() + facts.custom.len(), 40);
        assert_eq!(removed.last().unwrap(), "c39");
        assert_eq!(facts.serial.as_deref(), Some("S1"));
    }

    #[test]
    fn a_report_has_precedence_over_earlier_facts_that_it_lacks() {
        let mut facts = custom(0..29);
        assert_eq!(facts.update_within_limit(of_board("S1")), [""; 0]);
        let newer = custom(20..40);
        let removed = facts.update_within_limit(newer.clone());
        assert!(facts.covers(&newer) && facts.covers(&of_board("S1")));
        assert!(facts.size() <= MAX_FACTS);
        assert!(!removed.is_empty() && removed.iter().all(|name| name.as_str() < "c20"));
        // A report that is too large by itself, of an earlier version of this program.
        let mut facts = Facts::default();
        let removed = facts.update_within_limit(custom(0..100));
        assert!(facts.size() <= MAX_FACTS && removed.len() > 60);
    }

    #[test]
    fn an_addition_removes_no_earlier_fact() {
        let facts = custom(0..29);
        let mut addition = custom(29..40);
        addition.update(of_board("S1"));
        let removed = facts.limit_addition(&mut addition);
        assert_eq!(
            removed,
            (30..40).map(|n| format!("c{n}")).collect::<Vec<_>>()
        );
        let mut all = facts.clone();
        assert_eq!(all.update_within_limit(addition), [""; 0]);
        assert!(all.covers(&facts) && all.size() <= MAX_FACTS);
        // A new value of a known fact takes only the difference.
        let mut same = custom(0..1);
        assert_eq!(all.limit_addition(&mut same), [""; 0]);
        assert_eq!(same.custom.len(), 1);
    }
}
