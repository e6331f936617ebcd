//! KDL's usual slips, each named as what it is.
//!
//! A text without slips goes on to the parser. Of a line with several the first is reported: the others
//! are mostly its echo.

use crate::{
    model::FileId,
    site::{Diagnostic, mask::mask, tree::too_deep},
};

use super::{grammar, lex::Slip, source_span};

/// Finds every slip of a text.
pub(super) fn slips(text: &str, file: FileId) -> Vec<Diagnostic> {
    let mut slips = match grammar::slips(text) {
        Ok(slips) => slips,
        Err(at) => return vec![too_deep(source_span(file, at, 1))],
    };
    if slips.is_empty() {
        return Vec::new();
    }
    slips.sort_by_key(|slip| slip.at.start);
    slips.dedup_by_key(|slip| text[..slip.at.start].matches('\n').count());
    let masked = mask(text);
    let span = |slip: &Slip| source_span(file, slip.at.start, slip.at.len());
    slips
        .iter()
        .map(|slip| {
            Diagnostic::error(unless_secret(slip, text, &masked), span(slip)).help(&*slip.help)
        })
        .collect()
}

/// A message that quotes what was written, unless that is a secret.
fn unless_secret(slip: &Slip, text: &str, masked: &str) -> String {
    let quoted = &text[slip.at.clone()];
    match masked.get(slip.at.clone()) == Some(quoted) {
        true => slip.message.clone(),
        false => slip.message.replace(quoted, "…"),
    }
}
