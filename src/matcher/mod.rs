//! Which policy is a machine's: facts to tags, tags to a policy, and why.
//!
//! An answer that rests on something unknown is never yes. Nothing here knows what has happened to a
//! machine beyond what its [`Candidate`] says; how many machines a policy has bound is asked of the caller.

mod term;
mod evaluate;
mod rules;
mod tags;
mod choose;

pub use choose::{Candidate, Choice, Mismatch, choose, mismatch, mismatch_of_named};
pub use evaluate::TruthValue;
pub use rules::{CompiledRules, compile};
pub use tags::{TagSet, tags};
