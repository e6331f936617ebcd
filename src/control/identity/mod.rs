//! Which machine a report belongs to: declarations and histories by their identities, host names, and what an
//! unconfirmed request may do.

pub(super) mod ambiguity;
pub(super) mod history;
pub(super) mod identify;
pub(super) mod naming;
pub(super) mod sender;
pub(super) mod admit;
pub(super) mod learn;
pub(super) mod refuse;
pub(super) mod unconfirmed;
