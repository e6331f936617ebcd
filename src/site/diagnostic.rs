//! A mistake in the site, as a value.

use crate::model::SourceSpan;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The site does not go live.
    Error,
    /// The site goes live; the exit code stays 0.
    Warning,
}

/// A mistake in the site: its message, its span and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// One line, lower case, no full stop, the culprit in backticks. Never a secret.
    pub message: String,
    /// The place of the mistake; none if it is not in a particular file.
    pub span: Option<SourceSpan>,
    /// The text under the marked source; may be empty.
    pub label: String,
    /// Related places, each with its label.
    pub others: Vec<(SourceSpan, String)>,
    /// Lines with the context, such as `for node esx02 (policy esxi)`.
    pub notes: Vec<String>,
    /// How to fix it.
    pub help: Option<String>,
}

impl Diagnostic {
    pub fn error(message: impl Into<String>, span: impl Into<Option<SourceSpan>>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            span: span.into(),
            label: String::new(),
            others: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    pub fn warning(message: impl Into<String>, span: impl Into<Option<SourceSpan>>) -> Self {
        Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::error(message, span)
        }
    }

    /// Sets the text under the marked source.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds a related place.
    pub fn other(mut self, span: SourceSpan, label: impl Into<String>) -> Self {
        self.others.push((span, label.into()));
        self
    }

    /// Adds a line with the context.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Sets how to fix it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
