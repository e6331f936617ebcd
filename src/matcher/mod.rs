//! Which policy is a machine's: facts to tags, tags to a policy, and why.
//!
//! An answer that rests on something unknown is never yes. Nothing here knows what has happened to a
//! machine beyond what its [`Candidate`] says; how many machines a policy has bound is asked of the caller.

mod term;
mod evaluate;
mod rules;
mod tags;
mod choose;

pub use choose::{Candidate, Choice, Misfit, choose, misfit, misfit_of_named};
pub use evaluate::Verdict;
pub use rules::{Rules, compile};
pub use tags::{Tags, tags};
