//! Reads declared types from the tree of values.
//!
//! [`read`] reports every mistake of an object: what was wrong is taken out and the object read again.

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

/// Beyond so many mistakes in one object nobody reads on.
const MAX_MISTAKES: usize = 50;

/// Reads a `T`, with a diagnostic for every mistake. What was wrong is missing from the `T`; none when
/// something is missing that must be there.
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
        let gone = tree.remove(&mistake.path);
        let missing = mistake.missing;
        let diagnostic = mistake.into_diagnostic(tree.span);
        // A key that was taken out is missing only since then, and some missing keys are known already.
        let is_echo = missing.is_some_and(|key| {
            let span = diagnostic.span.unwrap_or(tree.span);
            removed.contains(&(span, key.to_owned())) || diagnostics.contains(&diagnostic)
        });
        if !is_echo {
            diagnostics.push(diagnostic);
        }
        let (span, key) = gone?;
        removed.extend(key.map(|key| (span, key)));
    }
    None
}

/// The mistakes of keys that must be there and are not. [`read`] says of the first alone.
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

/// The same mistake for callers that look at keys themselves.
pub(crate) fn unknown_key(entry: &TreeEntry, known: &[&'static str]) -> Diagnostic {
    let key = &entry.key;
    error::unknown_key(&key.value, known).into_diagnostic(key.span)
}
