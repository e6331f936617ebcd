//! The error of reading a value, before its span is known.

use serde::de;

use crate::{
    model::SourceSpan,
    site::{Diagnostic, suggest::suggest},
};

/// A mistake in a value. Its span and path are added while it is returned to [`super::read`].
#[derive(Debug)]
pub(crate) struct ReadError {
    pub(super) message: String,
    pub(super) span: Option<SourceSpan>,
    pub(super) first: Option<SourceSpan>,
    pub(super) help: Option<String>,
    /// The missing key, if the mistake is that one is missing.
    pub(super) missing: Option<&'static str>,
    /// The path from the root as indices of entries and items, innermost first.
    pub(super) path: Vec<usize>,
}

impl ReadError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        ReadError {
            message: message.into(),
            help: None,
            span: None,
            first: None,
            missing: None,
            path: Vec::new(),
        }
    }

    pub(super) fn at(mut self, span: SourceSpan) -> Self {
        self.span.get_or_insert(span);
        self
    }

    pub(super) fn under(mut self, step: usize) -> Self {
        self.path.push(step);
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn into_diagnostic(self, root: SourceSpan) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(self.message, self.span.unwrap_or(root));
        diagnostic.help = self.help;
        let first = self.first.map(|first| (first, "first here".into()));
        diagnostic.others.extend(first);
        diagnostic
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        ReadError::new(message.to_string())
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        unknown_key(field, known)
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        unknown(&format!("unknown value `{variant}`"), variant, known)
    }

    fn missing_field(field: &'static str) -> Self {
        ReadError {
            missing: Some(field),
            ..ReadError::new(format!("the key `{field}` is missing"))
        }
    }
}

/// Returns the error for an unknown key.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> ReadError {
    unknown(&format!("unknown key `{key}`"), key, known)
}

fn unknown(message: &str, text: &str, known: &[&str]) -> ReadError {
    let mistake = ReadError::new(message);
    match suggest(text, known.iter().copied()) {
        Some(meant) => mistake.help(format!("did you mean `{meant}`?")),
        None if known.len() <= 12 => {
            mistake.help(format!("expected one of `{}`", known.join("`, `")))
        }
        None => mistake,
    }
}
