//! Machines that nobody would miss: they go first when there are too many.

use std::collections::BTreeSet;

use crate::{
    journal::{JournalState, Machine, MachineId},
    model::Timestamp,
};

/// When a machine was last heard of that nobody would miss: it never was bound, and no operator said anything of it.
pub(super) fn undeclared_since(machine: &Machine) -> Option<(Timestamp, MachineId)> {
    let is_new_undeclared = machine.node.is_none()
        && machine.binding.is_none()
        && !machine.installed
        && machine.holds.is_empty();
    is_new_undeclared.then_some((machine.last, machine.id))
}

/// All such machines.
pub(super) fn undeclared(state: &JournalState) -> BTreeSet<(Timestamp, MachineId)> {
    let machines = state.machines.values();
    machines
        .filter_map(|machine| undeclared_since(machine))
        .collect()
}
