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

/// The maximum number of related places, and of notes, of a diagnostic.
const MAX_LINES: usize = 50;

/// The maximum length of one text of a diagnostic, in bytes. It may quote the site.
const MAX_TEXT: usize = 2_000;

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

    fn shorten(&mut self) {
        self.others.truncate(MAX_LINES);
        self.notes.truncate(MAX_LINES);
        let texts = [&mut self.message, &mut self.label].into_iter();
        let labels = self.others.iter_mut().map(|(_, label)| label);
        for text in texts
            .chain(labels)
            .chain(&mut self.notes)
            .chain(&mut self.help)
        {
            if text.len() > MAX_TEXT {
                text.truncate(text.floor_char_boundary(MAX_TEXT));
                text.push('…');
            }
        }
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

/// The maximum number of diagnostics of one site. Each is shown with its lines, which takes time.
const MAX_DIAGNOSTICS: usize = 500;

/// Bounds what showing the diagnostics of one site takes. Of too many it keeps the first, errors before warnings, and adds one
/// with the number of the others.
pub(crate) fn limit_diagnostics(diagnostics: &mut Vec<Diagnostic>) {
    let more = diagnostics.len().saturating_sub(MAX_DIAGNOSTICS);
    if more > 0 {
        let is_error = |one: &&Diagnostic| one.severity == Severity::Error;
        let errors = diagnostics.iter().filter(is_error).count();
        // Stable: both kinds stay in file order.
        diagnostics.sort_by_key(|one| one.severity);
        diagnostics.truncate(MAX_DIAGNOSTICS);
        let found = format!("{more} more mistakes are not shown");
        let last = match errors > MAX_DIAGNOSTICS {
            true => Diagnostic::error(found, None),
            false => Diagnostic::warning(found, None),
        };
        diagnostics.push(last.help("correct those that are shown"));
    }
    diagnostics.iter_mut().for_each(Diagnostic::shorten);
}
