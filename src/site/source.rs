//! The files of a site as bytes, and the texts that diagnostics quote.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use crate::model::{FileId, SourceSpan};

use super::Diagnostic;

/// The files of a site by path, relative to the site and with `/` as separator. The shell reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteFiles {
    /// Every file of the site: `bootwright.toml` and the files under `policies.d/` and `templates/`.
    pub content: BTreeMap<Arc<str>, Arc<[u8]>>,
    /// Files of the site that could not be read, with the displayed reason, such as the size or the permissions.
    pub unreadable: BTreeMap<Arc<str>, String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path, relative to the site.
    pub path: Arc<str>,
    pub content: Arc<[u8]>,
}

impl SourceFile {
    /// Returns the text without a byte order mark. Invalid UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(without_bom(&self.content))
    }
}

/// Returns the bytes of a text without the byte order mark.
pub(super) fn without_bom(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content)
}

/// The files of a site by number. A path keeps its number from one load to the next.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: BTreeMap<FileId, SourceFile>,
    ids: BTreeMap<Arc<str>, FileId>,
}

impl SourceMap {
    /// Adds a file, or replaces its content, and returns its number.
    pub fn put(&mut self, path: &Arc<str>, content: Arc<[u8]>) -> FileId {
        let next = FileId(self.ids.len() as u32);
        let id = *self.ids.entry(path.clone()).or_insert(next);
        self.files.insert(
            id,
            SourceFile {
                path: path.clone(),
                content,
            },
        );
        id
    }

    /// Removes a deleted file. Its number is not reused.
    pub fn remove(&mut self, path: &str) {
        if let Some(id) = self.ids.get(path) {
            self.files.remove(id);
        }
    }

    pub fn get(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(&id)
    }

    /// Iterates over all files.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.files.iter().map(|(id, source)| (*id, source))
    }

    /// Returns the number of files.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    pub fn id(&self, path: &str) -> Option<FileId> {
        self.ids.get(path).copied()
    }

    /// Returns the file, line and column where a span starts. Both are counted from 1, columns in characters.
    pub fn position(&self, span: SourceSpan) -> Option<(&SourceFile, usize, usize)> {
        let source = self.get(span.file)?;
        let text = source.text();
        let before = text.get(..span.start as usize)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        Some((source, line, before[line_start..].chars().count() + 1))
    }

    /// Returns a sort key for spans: file order, then offset. File numbers are no file order, because a file that was added
    /// later has a higher number.
    pub(super) fn order(&self) -> impl Fn(SourceSpan) -> (u32, u32) + use<> {
        let mut rank = vec![u32::MAX; self.ids.len()];
        for (at, id) in self.ids.values().enumerate() {
            rank[id.0 as usize] = at as u32;
        }
        move |span| {
            let file = rank.get(span.file.0 as usize);
            (file.copied().unwrap_or(u32::MAX), span.start)
        }
    }

    /// Sorts diagnostics in file order. Those without a span are last.
    pub fn sort(&self, diagnostics: &mut [Diagnostic]) {
        let order = self.order();
        diagnostics.sort_by_key(|diagnostic| {
            let span = diagnostic.span;
            (span.is_none(), span.map(&order))
        });
    }

    /// Returns the start of a span as `file:line`, for tables and `explain`.
    pub fn file_line(&self, span: SourceSpan) -> String {
        match self.position(span) {
            Some((source, line, _)) => format!("{}:{line}", source.path),
            None => "a deleted file".into(),
        }
    }
}
