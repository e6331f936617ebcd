//! The one tree of values that TOML and KDL both become, every value with its place.
//!
//! Nothing here knows what a key means: [`super::read`] reads the declared objects from it.

use crate::model::{SourceSpan, Spanned};

use super::Diagnostic;

/// How deep values may nest. People need five; a parser that recurses has no stack for ten thousand.
pub(crate) const MAX_DEPTH: usize = 64;

/// A value and where it was written. A table that has a key stands at its key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConfigTree {
    /// What was written.
    pub(crate) shape: Shape,
    /// Where.
    pub(crate) span: SourceSpan,
}

/// What a value can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// `#null`, which TOML does not have.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// Several values.
    List(Vec<ConfigTree>),
    /// Keys with their values, as written: a key may stand here twice.
    Map(Vec<TreeEntry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TreeEntry {
    /// The key.
    pub(crate) key: Spanned<String>,
    /// Its value.
    pub(crate) value: ConfigTree,
}

/// One object of a file, before anybody has looked at its keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Declaration {
    /// The word that says what it is: `policy`.
    pub(crate) kind: Spanned<String>,
    /// Its name; `defaults` has none.
    pub(crate) name: Option<Spanned<String>>,
    /// Its keys: a [`Shape::Map`].
    pub(crate) body: ConfigTree,
}

impl ConfigTree {
    /// A value at a place.
    pub(crate) fn new(shape: Shape, span: SourceSpan) -> Self {
        ConfigTree { shape, span }
    }

    /// Says what it is, as people say it.
    pub(crate) fn what(&self) -> &'static str {
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

    /// Takes out what a path leads to: at each level the index of an entry or of an item. Returns the
    /// place of the table or list it was in, and its key; none when the path leads to the tree itself,
    /// which stays.
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

    /// Takes out every key that stands a second time in its table, with a diagnostic for each.
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

/// The mistake of a key that stands a second time in its table.
pub(crate) fn twice(key: &Spanned<String>, first: SourceSpan) -> Diagnostic {
    Diagnostic::error(format!("`{}` is set twice", key.value), key.span)
        .other(first, "first here")
        .help("keep one of the two")
}

/// The mistake of nesting deeper than [`MAX_DEPTH`].
pub(crate) fn too_deep(span: SourceSpan) -> Diagnostic {
    Diagnostic::error(
        format!("this is nested more than {MAX_DEPTH} levels deep"),
        span,
    )
}
