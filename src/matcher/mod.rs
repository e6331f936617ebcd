//! Which policy binds a machine: facts determine tags, tags determine the policy.
//!
//! A result that depends on something unknown is never yes. Nothing here reads a machine's history: the caller
//! passes what is needed in a [`Candidate`], and a function that counts the machines that a policy binds.

mod depth;
mod bounded_filters;
mod term;
mod evaluate;
mod rules;
mod tags;
mod choose;

pub(crate) use bounded_filters::{add_bounded_filters, record_text};
pub use choose::{Candidate, Choice, Mismatch, choose, mismatch, mismatch_of_named};
pub(crate) use depth::{MAX_DEPTH, is_too_deep};
pub use evaluate::TruthValue;
pub use rules::{CompiledRules, compile};
pub use tags::{TagSet, tags};
