//! The texts of templates. A file of the site takes precedence over the built-in file of the same path.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use include_dir::{Dir, include_dir};

use crate::{
    model::{FileId, SourceSpan},
    site::{Site, SiteFiles},
};

/// The directory of the tasks.
pub(super) const TASKS: &str = "templates/tasks/";

/// The directory of the templates that every task can use.
pub(super) const COMMON: &str = "templates/common/";

/// The directory of the broker kinds.
pub(super) const BROKERS: &str = "templates/brokers/";

/// The directory of the iPXE scripts that belong to no task.
pub(super) const IPXE: &str = "templates/ipxe/";

static BUILT_IN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// Every file under `templates/`, by path.
#[derive(Debug, Clone, Default)]
pub(super) struct TemplateSources {
    site: BTreeMap<Arc<str>, Arc<[u8]>>,
}

/// The file that a text comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TemplateOrigin {
    /// For example `templates/tasks/esxi/ks.cfg.j2`.
    pub(super) path: String,
    pub(super) built_in: bool,
}

impl PartialEq for TemplateSources {
    fn eq(&self, other: &TemplateSources) -> bool {
        let alike = |(path, content): (&Arc<str>, &Arc<[u8]>)| {
            other
                .site
                .get(path)
                .is_some_and(|known| Arc::ptr_eq(known, content) || known == content)
        };
        self.site.len() == other.site.len() && self.site.iter().all(alike)
    }
}

impl TemplateSources {
    /// Selects the templates among a site's files.
    pub(super) fn of(files: &SiteFiles) -> TemplateSources {
        let counts = |path: &str| {
            [TASKS, COMMON, IPXE, BROKERS]
                .into_iter()
                .any(|folder| path.starts_with(folder))
        };
        let site = files.content.iter().filter(|(path, _)| counts(path));
        TemplateSources {
            site: site
                .map(|(path, content)| (path.clone(), unix_text(content)))
                .collect(),
        }
    }

    /// The names of the directories under `folder`.
    pub(super) fn directories(&self, folder: &str) -> BTreeSet<String> {
        let own = self
            .site
            .keys()
            .filter_map(|path| path.strip_prefix(folder)?.split_once('/'));
        let mut names: BTreeSet<String> = own.map(|(directory, _)| directory.to_string()).collect();
        let inner = folder
            .trim_start_matches("templates/")
            .trim_end_matches('/');
        let built_in = BUILT_IN.get_dir(inner).into_iter().flat_map(Dir::dirs);
        names
            .extend(built_in.filter_map(|dir| Some(dir.path().file_name()?.to_str()?.to_string())));
        names
    }

    /// The text at `path`: the site's file, else the built-in one.
    pub(super) fn find(&self, path: &str) -> Option<(TemplateOrigin, &str)> {
        let own = self.site.get(path).map(|content| {
            // A file that is not UTF-8 is replaced by a text whose compilation fails with that message.
            let text = std::str::from_utf8(content).unwrap_or(NOT_UTF8);
            (
                TemplateOrigin {
                    path: path.into(),
                    built_in: false,
                },
                text,
            )
        });
        own.or_else(|| self.built_in(path))
    }

    /// The built-in text at `path`.
    pub(super) fn built_in(&self, path: &str) -> Option<(TemplateOrigin, &str)> {
        let text = BUILT_IN
            .get_file(path.strip_prefix("templates/")?)?
            .contents_utf8()?;
        Some((
            TemplateOrigin {
                path: path.into(),
                built_in: true,
            },
            text,
        ))
    }

    /// The names of all templates directly in `folder`.
    pub(super) fn names(&self, folder: &str) -> BTreeSet<String> {
        let own = self
            .site
            .keys()
            .filter_map(|path| path.strip_prefix(folder));
        let mut names: BTreeSet<String> = own
            .filter(|rest| !rest.contains('/'))
            .map(String::from)
            .collect();
        let inner = folder
            .trim_start_matches("templates/")
            .trim_end_matches('/');
        let built_in = BUILT_IN.get_dir(inner).into_iter().flat_map(Dir::files);
        names.extend(
            built_in.filter_map(|file| Some(file.path().file_name()?.to_str()?.to_string())),
        );
        names.retain(|name| name.ends_with(".j2"));
        names
    }
}

/// A text as Unix has it: without a byte order mark, and each line with a line feed only. Shells, Anaconda and debconf take
/// both for part of the text.
pub(super) fn unix_text(content: &Arc<[u8]>) -> Arc<[u8]> {
    let text = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    if text.len() == content.len() && !text.contains(&b'\r') {
        return content.clone();
    }
    let mut unix = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\r' || bytes.peek() != Some(&b'\n') {
            unix.push(byte);
        }
    }
    unix.into()
}

/// Replaces a file that is not UTF-8: a syntax error with that message.
const NOT_UTF8: &str = "{% this file is not UTF-8 %}";

impl TemplateOrigin {
    /// Its name in messages: `esxi/ks.cfg.j2`.
    pub(super) fn label(&self) -> String {
        let short = self
            .path
            .strip_prefix(TASKS)
            .or_else(|| self.path.strip_prefix("templates/"));
        let short = short.unwrap_or(&self.path);
        if self.built_in {
            format!("{short} (built in)")
        } else {
            short.to_string()
        }
    }

    /// Its id among the site's files; none for a built-in file.
    pub(super) fn file(&self, site: &Site) -> Option<FileId> {
        (!self.built_in)
            .then(|| site.sources.id(&self.path))
            .flatten()
    }

    /// The byte range of one line, without surrounding blanks.
    pub(super) fn line(&self, site: &Site, line: usize) -> Range<usize> {
        let text = self
            .file(site)
            .and_then(|file| site.sources.get(file))
            .map(|source| source.text());
        let text = text.unwrap_or_default();
        let start = text
            .split_inclusive('\n')
            .take(line.saturating_sub(1))
            .map(str::len)
            .sum();
        let line = text[start..].lines().next().unwrap_or_default();
        let blanks = line.len() - line.trim_start().len();
        start + blanks..start + line.trim_end().len().max(blanks)
    }

    /// The span of the first line that begins with `word`.
    pub(super) fn span(
        &self,
        site: &Site,
        sources: &TemplateSources,
        word: &str,
    ) -> Option<SourceSpan> {
        let file = self.file(site)?;
        let (_, text) = sources.find(&self.path)?;
        let number = text
            .lines()
            .position(|line| line.trim_start().starts_with(word))
            .unwrap_or(0);
        let range = self.line(site, number + 1);
        Some(SourceSpan {
            file,
            start: range.start as u32,
            end: range.end as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_another_system_becomes_one_of_unix() {
        for (text, unix) in [
            ("a\nb\n", "a\nb\n"),
            ("a\r\nb\r\n", "a\nb\n"),
            ("\u{feff}#!/bin/sh\r\n", "#!/bin/sh\n"),
            ("\u{feff}", ""),
            ("printf 'a\rb'\n", "printf 'a\rb'\n"),
            ("a\r\r\n", "a\r\n"),
            ("a\r", "a\r"),
            ("", ""),
        ] {
            let content: Arc<[u8]> = text.as_bytes().into();
            assert_eq!(&*unix_text(&content), unix.as_bytes(), "{text:?}");
        }
    }
}
