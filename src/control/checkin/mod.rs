//! Machines in the microkernel: what they report, and what they are told to do.

pub(super) mod report;
pub(super) mod check_in;
