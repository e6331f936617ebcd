//! Machines in the microkernel: their reports and instructions.

pub(super) mod report;
pub(super) mod check_in;
