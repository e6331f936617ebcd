//! Parses KDL (version 2) into the tree of values.
//!
//! The crate `kdl` decides whether a text is valid. Every text is searched for common mistakes ([`slips`]). In an invalid text
//! they explain the rejection and are errors. In a valid text, such as `tags a, b`, they are warnings.

mod tokens;
mod strings;
mod slips;
mod convert;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod oracle;

use ::kdl::{KdlDocument, KdlError, KdlNode};

use crate::model::{FileId, SourceSpan};

use super::{
    Diagnostic,
    tree::{Declaration, too_deep},
};
use tokens::Scan;

/// Reads the objects of a file, in the order of their declaration.
pub(crate) fn declarations(
    text: &str,
    file: FileId,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Vec<Declaration>, Vec<Diagnostic>> {
    let scan = tokens::scan(text);
    if let Some(at) = scan.too_deep {
        return Err(vec![too_deep(source_span(file, at, 1))]);
    }
    let slips = slips::slips(&scan);
    let explained = |severity| slips::diagnostics(&slips, severity, text, file);
    let document = match parse(&scan) {
        Ok(document) => document,
        Err(Some(error)) if slips.is_empty() => return Err(vec![crate_error(&error, file)]),
        Err(_) => return Err(explained(Diagnostic::error)),
    };
    diagnostics.extend(explained(Diagnostic::warning));
    Ok(convert::declarations(&document, file, diagnostics))
}

/// The bytes before the text, which is parsed as the block of a node. The crate's parser of documents calls itself for every
/// error at the top level. Its parser of nodes does not.
const WRAPPER: &str = "_{\n";

/// Parses a text. If the scan already shows that the text is invalid, the crate does not parse it and the error is none.
fn parse(scan: &Scan<'_>) -> Result<KdlDocument, Option<KdlError>> {
    if scan.is_invalid() {
        return Err(None);
    }
    let parse = |text: &str| KdlNode::parse(&format!("{WRAPPER}{text}\n}}"));
    scan.masked().map(parse).transpose()?;
    let mut node = parse(scan.plain())?;
    Ok(std::mem::take(node.ensure_children()))
}

/// Returns the first error of the crate as a diagnostic. The others are mostly its consequences.
fn crate_error(error: &KdlError, file: FileId) -> Diagnostic {
    let first = error
        .diagnostics
        .iter()
        .min_by_key(|first| first.span.offset());
    let first = first.expect("a document that does not parse has an error");
    let mut message = first
        .message
        .clone()
        .unwrap_or_else(|| "this is not KDL".into());
    if let Some(initial) = message.get_mut(..1) {
        initial.make_ascii_lowercase();
    }
    let span = unwrapped(file, first.span.offset(), first.span.len());
    let mut mistake = Diagnostic::error(message, span);
    mistake.help.clone_from(&first.help);
    mistake
}

fn source_span(file: FileId, start: usize, length: usize) -> SourceSpan {
    SourceSpan {
        file,
        start: start as u32,
        end: (start + length) as u32,
    }
}

/// Converts a span of the parsed text, which begins with [`WRAPPER`], into a span of the file.
fn unwrapped(file: FileId, start: usize, length: usize) -> SourceSpan {
    source_span(file, start.saturating_sub(WRAPPER.len()), length)
}
