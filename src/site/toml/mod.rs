//! Parses TOML into the tree of values.

mod depth;
mod syntax_errors;

use ::toml::{
    Spanned as TomlSpanned,
    de::{DeTable, DeValue},
};

use crate::model::{FileId, SourceSpan, Spanned};

use super::{
    Diagnostic, ObjectKind,
    tree::{self, ConfigTree, Declaration, Shape, TreeEntry},
};

/// Reads a whole file as one table. If the text has syntax errors, only these are returned, because the rest cannot be read
/// reliably.
pub(crate) fn table(text: &str, file: FileId) -> Result<ConfigTree, Vec<Diagnostic>> {
    let whole = source_span(file, 0..0);
    if let Some(at) = depth::too_deep(text) {
        return Err(vec![tree::too_deep(source_span(file, at..at + 1))]);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(syntax_errors::syntax_errors(text, file, &errors));
    }
    let toml = TomlReader { text, file };
    Ok(ConfigTree::new(toml.map(table.into_inner()), whole))
}

/// Reads the objects of a file, in the order of their declaration.
pub(crate) fn declarations(
    text: &str,
    file: FileId,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Vec<Declaration>, Vec<Diagnostic>> {
    let Shape::Map(kinds) = table(text, file)?.shape else {
        unreachable!("a file of TOML is a table");
    };
    let mut list = Vec::new();
    for TreeEntry { key: kind, value } in kinds {
        match value.shape {
            Shape::Map(_) if kind.value == "defaults" => list.push(Declaration {
                kind,
                name: None,
                body: value,
            }),
            Shape::Map(objects) => {
                let is_table = |object: &TreeEntry| matches!(object.value.shape, Shape::Map(_));
                if !objects.iter().all(is_table) {
                    diagnostics.push(not_an_object(&kind));
                }
                let tables = objects.into_iter().filter(is_table);
                list.extend(tables.map(|object| Declaration {
                    kind: kind.clone(),
                    name: Some(object.key),
                    body: object.value,
                }));
            }
            _ => diagnostics.push(not_an_object(&kind)),
        }
    }
    list.sort_by_key(|declaration| declaration.body.span.start);
    Ok(list)
}

fn not_an_object(kind: &Spanned<String>) -> Diagnostic {
    let key = &kind.value;
    match ObjectKind::of(key) {
        Some(ObjectKind::Defaults) => {
            Diagnostic::error("expected a table with the defaults", kind.span)
                .help("write `[defaults]`")
        }
        Some(kind_of) => Diagnostic::error(format!("a {kind_of} needs a name"), kind.span)
            .help(format!("write `[{kind_of}.name]`")),
        None => Diagnostic::error(format!("`{key}` is not in an object"), kind.span)
            .help("write settings below a line such as `[policy.web]` or `[defaults]`"),
    }
}

struct TomlReader<'a> {
    text: &'a str,
    file: FileId,
}

impl TomlReader<'_> {
    fn map(&self, table: DeTable<'_>) -> Shape {
        let entry = |(key, value): (TomlSpanned<_>, TomlSpanned<DeValue<'_>>)| {
            let at = source_span(self.file, key.span());
            let mut value = self.tree(value);
            if matches!(value.shape, Shape::Map(_)) {
                value.span = at;
            }
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            TreeEntry {
                key: Spanned::new(key.into_owned(), at),
                value,
            }
        };
        Shape::Map(table.into_iter().map(entry).collect())
    }

    fn tree(&self, value: TomlSpanned<DeValue<'_>>) -> ConfigTree {
        let span = value.span();
        let shape = match value.into_inner() {
            DeValue::String(text) => Shape::Text(text.into_owned()),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or(Shape::Float(f64::INFINITY), Shape::Int),
            DeValue::Float(number) => {
                Shape::Float(number.as_str().parse().unwrap_or(f64::INFINITY))
            }
            DeValue::Boolean(value) => Shape::Bool(value),
            // A site has no type for dates and times, so they are read as text.
            DeValue::Datetime(_) => Shape::Text(self.text[span.clone()].to_owned()),
            DeValue::Array(items) => {
                Shape::List(items.into_iter().map(|item| self.tree(item)).collect())
            }
            DeValue::Table(table) => self.map(table),
        };
        ConfigTree::new(shape, source_span(self.file, span))
    }
}

fn source_span(file: FileId, span: std::ops::Range<usize>) -> SourceSpan {
    SourceSpan {
        file,
        start: span.start as u32,
        end: span.end as u32,
    }
}
