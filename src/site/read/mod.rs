//! Reads declared types from the tree of values.
//!
//! [`read`] reports every mistake of an object: what was wrong is taken out and the object read again.

mod deserializer;
mod fields;
mod mistake;

use serde::de::DeserializeOwned;

use super::{
    Diagnostic,
    tree::{Entry, Tree},
};

pub use fields::fields_of;

/// Beyond so many mistakes in one object nobody reads on.
const MAX_MISTAKES: usize = 50;

/// Reads a `T`, with a diagnostic for every mistake. What was wrong is missing from the `T`; none when
/// something is missing that must be there.
pub(crate) fn read<T: DeserializeOwned>(
    mut tree: Tree,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    tree.remove_repeated(diagnostics);
    for _ in 0..MAX_MISTAKES {
        let mut error = match T::deserialize(&tree) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        error.path.reverse();
        let found = tree.remove(&error.path);
        diagnostics.push(error.into_diagnostic(tree.place));
        if !found {
            return None;
        }
    }
    None
}

/// The same mistake for callers that look at keys themselves.
pub(crate) fn unknown_key(entry: &Entry, known: &[&'static str]) -> Diagnostic {
    let key = &entry.key;
    mistake::unknown_key(&key.value, known).into_diagnostic(key.place)
}
