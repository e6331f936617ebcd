//! Formats diagnostics as text, with the source under each, and as JSON.

use std::{collections::BTreeMap, ops::Range};

use annotate_snippets::{
    AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};

use crate::model::{FileId, SourceSpan};

use super::{Diagnostic, Severity, SourceMap, mask::mask};

/// The format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportStyle {
    /// Whether it contains the escape sequences of terminals for colours.
    pub color: bool,
    /// The number of columns.
    pub width: usize,
}

impl ReportStyle {
    /// The style for logs and files.
    pub const PLAIN: ReportStyle = ReportStyle {
        color: false,
        width: 120,
    };
}

/// Formats diagnostics in the style of compilers, with a blank line between them. Secrets are masked.
pub fn report(diagnostics: &[Diagnostic], sources: &SourceMap, style: ReportStyle) -> String {
    let renderer = match style.color {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    let renderer = renderer.term_width(style.width);
    let mut quotes = SnippetWriter {
        sources,
        width: style.width,
        masked: BTreeMap::new(),
    };
    let mut text = String::new();
    for diagnostic in diagnostics {
        if !text.is_empty() {
            text.push('\n');
        }
        for line in renderer.render(&[quotes.group(diagnostic)]).lines() {
            text += line.trim_end();
            text.push('\n');
        }
    }
    text
}

/// Formats diagnostics as JSON: `[{severity, message, file, line, column, help}]`.
pub fn json(diagnostics: &[Diagnostic], sources: &SourceMap) -> serde_json::Value {
    let one = |diagnostic: &Diagnostic| {
        let position = diagnostic.span.and_then(|span| sources.position(span));
        serde_json::json!({
            "severity": diagnostic.severity,
            "message": diagnostic.message,
            "file": position.as_ref().map(|(source, _, _)| &*source.path),
            "line": position.as_ref().map(|(_, line, _)| line),
            "column": position.as_ref().map(|(_, _, column)| column),
            "help": diagnostic.help,
        })
    };
    diagnostics.iter().map(one).collect()
}

/// Summarizes diagnostics: `3 errors and 1 warning in 2 of 14 files`.
pub fn summary(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let all = counted(sources.count(), "file");
    if diagnostics.is_empty() {
        return format!("no problems in {all}");
    }
    let number = |severity, noun| {
        let found = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity);
        match found.count() {
            0 => None,
            n => Some(counted(n, noun)),
        }
    };
    let parts: Vec<String> = [(Severity::Error, "error"), (Severity::Warning, "warning")]
        .into_iter()
        .filter_map(|(severity, noun)| number(severity, noun))
        .collect();
    let spans = diagnostics.iter().filter_map(|diagnostic| diagnostic.span);
    let files: std::collections::BTreeSet<FileId> = spans.map(|span| span.file).collect();
    let parts = parts.join(" and ");
    match files.len() {
        // All of them are about rendered files, which have no span.
        0 => parts,
        some => format!("{parts} in {some} of {all}"),
    }
}

/// Formats a number with its noun: `1 node`, `2 nodes`, `3 policies`.
pub fn counted(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// Quotes source files. The masked text of each file is cached.
struct SnippetWriter<'a> {
    sources: &'a SourceMap,
    width: usize,
    masked: BTreeMap<FileId, String>,
}

impl SnippetWriter<'_> {
    fn group(&mut self, diagnostic: &Diagnostic) -> Group<'static> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level
            .primary_title(self.wrapped(&diagnostic.message))
            .elements(std::iter::empty::<Origin<'static>>());
        for (file, annotations) in annotations(diagnostic) {
            group = self.quote(group, file, annotations);
        }
        for note in &diagnostic.notes {
            group = group.element(Level::NOTE.message(self.wrapped(note)));
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(self.wrapped(help)));
        }
        group
    }

    /// Wraps a text between words into lines that fit after `error: ` or `   = help: `.
    fn wrapped(&self, text: &str) -> String {
        let width = self.width.saturating_sub(12).max(20);
        let text = normalize_untrusted_str(text);
        let mut lines = String::new();
        let mut length = 0;
        for word in text.split(' ') {
            let needed = word.chars().count() + 1;
            if length > 0 && length + needed > width {
                lines.push('\n');
                length = 0;
            } else if !lines.is_empty() {
                lines.push(' ');
            }
            lines.push_str(word);
            length += needed;
        }
        lines
    }

    /// Adds the lines of one file that contain annotations.
    fn quote(
        &mut self,
        group: Group<'static>,
        file: FileId,
        annotations: Vec<Annotation>,
    ) -> Group<'static> {
        let Some(source) = self.sources.get(file) else {
            return group;
        };
        if source.content.is_empty() {
            return group.element(Origin::path(source.path.to_string()));
        }
        let text = self
            .masked
            .entry(file)
            .or_insert_with(|| mask(&source.text()).replace("\r\n", " \n"));
        let ranges: Vec<Range<usize>> = annotations
            .iter()
            .map(|mark| on_one_line(text, mark.span))
            .collect();
        let first = ranges.iter().map(|range| range.start).min().unwrap_or(0);
        let last = ranges.iter().map(|range| range.end).max().unwrap_or(0);
        let from = text[..first].rfind('\n').map_or(0, |at| at + 1);
        let to = text[last..].find('\n').map_or(text.len(), |at| last + at);
        let mut snippet = Snippet::source(text[from..to].to_owned())
            .line_start(text[..from].matches('\n').count() + 1)
            .path(source.path.to_string());
        for (mark, range) in annotations.iter().zip(ranges) {
            let annotation = mark.kind.span(range.start - from..range.end - from);
            let label = (!mark.label.is_empty()).then(|| normalize_untrusted_str(&mark.label));
            snippet = snippet.annotation(annotation.label(label));
        }
        group.element(snippet)
    }
}

/// A marked span.
struct Annotation {
    kind: AnnotationKind,
    span: SourceSpan,
    label: String,
}

/// Returns a diagnostic's annotations by file, the file of its own span first.
fn annotations(diagnostic: &Diagnostic) -> Vec<(FileId, Vec<Annotation>)> {
    let own = diagnostic.span.map(|span| Annotation {
        kind: AnnotationKind::Primary,
        span,
        label: diagnostic.label.clone(),
    });
    let others = diagnostic.others.iter().map(|(span, label)| Annotation {
        kind: AnnotationKind::Context,
        span: *span,
        label: label.clone(),
    });
    let mut files: Vec<(FileId, Vec<Annotation>)> = Vec::new();
    for mark in own.into_iter().chain(others) {
        match files.iter_mut().find(|(file, _)| *file == mark.span.file) {
            Some((_, annotations)) => annotations.push(mark),
            None => files.push((mark.span.file, vec![mark])),
        }
    }
    files
}

/// Truncates a span to its first line, and moves its ends to character boundaries.
fn on_one_line(text: &str, span: SourceSpan) -> Range<usize> {
    let floor = |at: u32| {
        let at = (at as usize).min(text.len());
        (0..=at)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0)
    };
    let (start, end) = (floor(span.start), floor(span.end));
    let line = text[start..]
        .find(['\n', '\r'])
        .map_or(text.len(), |at| start + at);
    start..end.clamp(start, line)
}
