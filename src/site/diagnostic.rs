//! An operator's mistake, as a value.

use crate::model::SourceSpan;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The site does not go live.
    Error,
    /// The site goes live; the exit code stays 0.
    Warning,
}

/// An operator's mistake: what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// One line, lower case, no full stop, the culprit in backticks. Never a secret.
    pub message: String,
    /// Where; none when it is about no file in particular.
    pub span: Option<SourceSpan>,
    /// What stands under the marked text; may be empty.
    pub label: String,
    /// Other places that belong to it, each with its label.
    pub others: Vec<(SourceSpan, String)>,
    /// Lines that say for whom or in what: `for node esx02 (policy esxi)`.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
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

    /// A warning at `span`.
    pub fn warning(message: impl Into<String>, span: impl Into<Option<SourceSpan>>) -> Self {
        Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::error(message, span)
        }
    }

    /// Adds what stands under the marked text.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds another place that belongs to it.
    pub fn other(mut self, span: SourceSpan, label: impl Into<String>) -> Self {
        self.others.push((span, label.into()));
        self
    }

    /// Adds a line that says for whom or in what.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
