//! The tree of values that TOML and KDL files are parsed into. Every value has its span.
//!
//! The tree does not depend on the meaning of keys: [`super::read`] reads the declared objects from it.

use crate::model::{SourceSpan, Spanned};

use super::Diagnostic;

/// The maximum depth of nested values. A site needs about five levels. A recursive parser exhausts its stack at ten thousand.
pub(crate) const MAX_DEPTH: usize = 64;

/// A value and its span. The span of a table with a key is that of the key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConfigTree {
    pub(crate) shape: Shape,
    pub(crate) span: SourceSpan,
}

/// A value without its span.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// `#null`, which TOML does not have.
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<ConfigTree>),
    /// Keys with their values, as written: a key may occur twice.
    Map(Vec<TreeEntry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TreeEntry {
    pub(crate) key: Spanned<String>,
    pub(crate) value: ConfigTree,
}

/// An object of a file, before its keys are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Declaration {
    /// The keyword of its kind, such as `policy`.
    pub(crate) kind: Spanned<String>,
    /// The name; none for `defaults`.
    pub(crate) name: Option<Spanned<String>>,
    /// The keys: a [`Shape::Map`].
    pub(crate) body: ConfigTree,
}

impl ConfigTree {
    pub(crate) fn new(shape: Shape, span: SourceSpan) -> Self {
        ConfigTree { shape, span }
    }

    /// Describes the kind of value, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self.shape {
            Shape::Null => "`null`",
            Shape::Bool(true) => "`true`",
            Shape::Bool(false) => "`false`",
            Shape::Int(_) => "a number",
            Shape::Float(_) => "a number with a fraction",
            Shape::Text(_) => "text",
            Shape::List(_) => "a list",
            Shape::Map(_) => "a table",
        }
    }

    /// Removes the value at a path, which is the index of an entry or item at each level. Returns the span of the table or
    /// list that contained it, and its key. Returns none if the path is empty: the tree itself is not removed.
    pub(crate) fn remove(&mut self, path: &[usize]) -> Option<(SourceSpan, Option<String>)> {
        let (first, rest) = path.split_first()?;
        let part = match &mut self.shape {
            Shape::Map(entries) if rest.is_empty() => {
                return Some((self.span, Some(entries.remove(*first).key.value)));
            }
            Shape::List(items) if rest.is_empty() => {
                items.remove(*first);
                return Some((self.span, None));
            }
            Shape::Map(entries) => &mut entries[*first].value,
            Shape::List(items) => &mut items[*first],
            _ => unreachable!("a path leads only through lists and tables"),
        };
        part.remove(rest)
    }

    /// Removes every repeated key of a table, with a diagnostic for each.
    pub(crate) fn remove_repeated(&mut self, diagnostics: &mut Vec<Diagnostic>) {
        match &mut self.shape {
            Shape::Map(entries) => {
                let mut seen = std::collections::BTreeMap::new();
                entries.retain(|entry| match seen.get(&entry.key.value) {
                    None => {
                        seen.insert(entry.key.value.clone(), entry.key.span);
                        true
                    }
                    Some(first) => {
                        diagnostics.push(twice(&entry.key, *first));
                        false
                    }
                });
                for entry in entries {
                    entry.value.remove_repeated(diagnostics);
                }
            }
            Shape::List(items) => {
                for item in items {
                    item.remove_repeated(diagnostics);
                }
            }
            _ => {}
        }
    }
}

/// Returns the diagnostic for a repeated key.
pub(crate) fn twice(key: &Spanned<String>, first: SourceSpan) -> Diagnostic {
    Diagnostic::error(format!("`{}` is set twice", key.value), key.span)
        .other(first, "first here")
        .help("keep one of the two")
}

/// Returns the diagnostic for values that are nested deeper than [`MAX_DEPTH`].
pub(crate) fn too_deep(span: SourceSpan) -> Diagnostic {
    Diagnostic::error(
        format!("this is nested more than {MAX_DEPTH} levels deep"),
        span,
    )
}
