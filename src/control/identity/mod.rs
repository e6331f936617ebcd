//! Which machine a report belongs to: declarations and histories by their identities, host names, the neighbour check.

pub(super) mod ambiguity;
pub(super) mod history;
pub(super) mod identify;
pub(super) mod naming;
pub(super) mod neighbour_check;
pub(super) mod unconfirmed;
