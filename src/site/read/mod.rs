//! Reads declared types from the tree of values.
//!
//! [`read`] reports every mistake of an object: it removes the invalid value and reads the object again.

mod access;
mod deserializer;
mod fields;
mod error;

use std::collections::BTreeSet;

use serde::de::{DeserializeOwned, Error};

use crate::model::SourceSpan;

use super::{
    Diagnostic,
    tree::{ConfigTree, TreeEntry},
};

use error::ReadError;

pub use fields::fields_of;

/// The maximum number of mistakes that are reported for one object.
const MAX_MISTAKES: usize = 50;

/// Reads a `T`, with a diagnostic for every mistake. The `T` lacks the invalid values. Returns none if a required value is
/// missing or invalid.
pub(crate) fn read<T: DeserializeOwned>(
    mut tree: ConfigTree,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    tree.remove_repeated(diagnostics);
    let mut removed = BTreeSet::new();
    for _ in 0..MAX_MISTAKES {
        let mut mistake = match T::deserialize(&tree) {
            Ok(value) => return Some(value),
            Err(mistake) => mistake,
        };
        mistake.path.reverse();
        let removed_key = tree.remove(&mistake.path);
        let missing = mistake.missing;
        let diagnostic = mistake.into_diagnostic(tree.span);
        // A missing key is not reported if it was removed here, or if it was reported before.
        let is_consequence = missing.is_some_and(|key| {
            let span = diagnostic.span.unwrap_or(tree.span);
            removed.contains(&(span, key.to_owned())) || diagnostics.contains(&diagnostic)
        });
        if !is_consequence {
            diagnostics.push(diagnostic);
        }
        let (span, key) = removed_key?;
        removed.extend(key.map(|key| (span, key)));
    }
    None
}

/// Returns a diagnostic for each missing key. [`read`] reports only the first.
pub(crate) fn missing_keys<'a>(
    entries: &'a [TreeEntry],
    keys: &'static [&'static str],
    span: SourceSpan,
) -> impl Iterator<Item = Diagnostic> + 'a {
    let missing = |key: &&&str| !entries.iter().any(|entry| entry.key.value == ***key);
    keys.iter()
        .filter(move |key| missing(key))
        .map(move |key| ReadError::missing_field(key).into_diagnostic(span))
}

/// Returns the diagnostic for an unknown key, for callers that read keys themselves.
pub(crate) fn unknown_key(entry: &TreeEntry, known: &[&'static str]) -> Diagnostic {
    let key = &entry.key;
    error::unknown_key(&key.value, known).into_diagnostic(key.span)
}
