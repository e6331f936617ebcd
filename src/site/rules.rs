//! Holds the declared objects to each other.

use super::{Diagnostic, Site};

/// Returns every mistake of the site as a whole.
pub(crate) fn check(_site: &Site) -> Vec<Diagnostic> {
    Vec::new()
}
