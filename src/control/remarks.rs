//! Which remarks a machine's log has already.

use std::collections::BTreeSet;

use crate::journal::{MachineId, MachineMap};

/// How many subjects of remarks are stored for one machine. Texts that it reports are part of some of them.
const MAX_SUBJECTS: usize = 32;

/// The subjects of the remarks that were recorded in this run of the server, by machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct RecordedRemarks(MachineMap<BTreeSet<String>>);

impl RecordedRemarks {
    /// Whether a remark about a subject is the first one. At the limit, no further one is.
    pub(crate) fn begins(&mut self, id: MachineId, subject: &str) -> bool {
        let subjects = self.0.get_or_insert_with(id, BTreeSet::new);
        subjects.len() < MAX_SUBJECTS && subjects.insert(subject.to_owned())
    }

    pub(crate) fn forget(&mut self, id: MachineId) {
        self.0.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_is_recorded_once_and_a_machine_has_a_limited_number() {
        let mut remarks = RecordedRemarks::default();
        let count = |remarks: &mut RecordedRemarks, id| {
            let subjects = (0..1_000).map(|number| format!("fact {}", number / 2));
            subjects
                .filter(|subject| remarks.begins(MachineId(id), subject))
                .count()
        };
        assert_eq!(count(&mut remarks, 1), MAX_SUBJECTS);
        assert_eq!(count(&mut remarks, 1), 0);
        assert_eq!(count(&mut remarks, 2), MAX_SUBJECTS);
        remarks.forget(MachineId(1));
        assert_eq!(count(&mut remarks, 1), MAX_SUBJECTS);
    }
}
