//! Undeclared machines that may be removed when there are too many.

use std::collections::BTreeSet;

use crate::{
    journal::{JournalState, Machine, MachineId},
    model::Timestamp,
};

/// The time of a machine's last event, if it may be removed: it is undeclared, was never bound or installed, and
/// has no hold.
pub(super) fn undeclared_since(machine: &Machine) -> Option<(Timestamp, MachineId)> {
    let is_new_undeclared = machine.node.is_none()
        && machine.binding.is_none()
        && !machine.installed
        && machine.holds.is_empty();
    is_new_undeclared.then_some((machine.last, machine.id))
}

pub(super) fn undeclared(state: &JournalState) -> BTreeSet<(Timestamp, MachineId)> {
    let machines = state.machines.values();
    machines
        .filter_map(|machine| undeclared_since(machine))
        .collect()
}
