//! Checks of formats whose own programs do not check.

mod shlex;

use crate::site::Diagnostic;

use super::{
    attempt::{Job, Rendered},
    library::Task,
};

pub use shlex::split;

/// Holds what was rendered to the rules of its format.
pub(super) fn rendered(_job: &Job<'_>, _task: &Task, _rendered: &Rendered) -> Vec<Diagnostic> {
    Vec::new()
}
