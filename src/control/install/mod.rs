//! One installation: the machine's binding, its attempts, their documents, callbacks and deadlines.

pub(super) mod token;
pub(super) mod binding;
pub(super) mod blocked;
pub(super) mod address_conflict;
pub(super) mod gate;
pub(super) mod rendering;
pub(super) mod preparation;
pub(super) mod open;
pub(super) mod retry;
pub(super) mod document;
pub(super) mod callback;
pub(super) mod seal;
pub(super) mod deadline;
