//! The files of a site as bytes, and the texts that messages quote.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use crate::model::{FileId, SourceSpan};

use super::Diagnostic;

/// The files of a site: path relative to the site (with `/`) to content. The shell reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteFiles {
    /// Every file that counts: `bootwright.toml`, those under `policies.d/`, those under `templates/`.
    pub content: BTreeMap<Arc<str>, Arc<[u8]>>,
    /// Files that count and could not be read, with the reason as people read it: too large, no permission.
    pub unreadable: BTreeMap<Arc<str>, String>,
}

/// One file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path, relative to the site.
    pub path: Arc<str>,
    /// What it holds.
    pub content: Arc<[u8]>,
}

impl SourceFile {
    /// Its text, without a byte order mark; what is not UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(without_mark(&self.content))
    }
}

/// The bytes of a text without the byte order mark.
pub(super) fn without_mark(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content)
}

/// The texts of a site by number. A path keeps its number from one load to the next.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: BTreeMap<FileId, SourceFile>,
    ids: BTreeMap<Arc<str>, FileId>,
}

impl SourceMap {
    /// Takes a file in, or what it holds now, and returns its number.
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

    /// Forgets the text of a file that is gone; its number stays taken.
    pub fn remove(&mut self, path: &str) {
        if let Some(id) = self.ids.get(path) {
            self.files.remove(id);
        }
    }

    /// Returns a file by its number.
    pub fn get(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(&id)
    }

    /// Returns how many files there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Returns a file's number.
    pub fn id(&self, path: &str) -> Option<FileId> {
        self.ids.get(path).copied()
    }

    /// Returns the line and the column of a place, both counted from 1, columns in characters.
    pub fn position(&self, span: SourceSpan) -> Option<(&SourceFile, usize, usize)> {
        let source = self.get(span.file)?;
        let text = source.text();
        let before = text.get(..span.start as usize)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        Some((source, line, before[line_start..].chars().count() + 1))
    }

    /// Returns what puts places in the order of the files. The numbers of files will not do: a file that came
    /// later has a higher one.
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

    /// Sorts diagnostics in the order of the files, those without a place last.
    pub fn sort(&self, diagnostics: &mut [Diagnostic]) {
        let order = self.order();
        diagnostics.sort_by_key(|diagnostic| {
            let span = diagnostic.span;
            (span.is_none(), span.map(&order))
        });
    }

    /// Writes a place as `file:line`, for tables and `explain`.
    pub fn file_line(&self, span: SourceSpan) -> String {
        match self.position(span) {
            Some((source, line, _)) => format!("{}:{line}", source.path),
            None => "a file that is gone".into(),
        }
    }
}
