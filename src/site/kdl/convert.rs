//! Converts the crate's document into declarations and trees.

use ::kdl::{KdlDocument, KdlEntry, KdlIdentifier, KdlNode, KdlValue};

use crate::{
    model::{FileId, SourceSpan, Spanned},
    site::{
        Diagnostic, ObjectKind,
        tree::{ConfigTree, Declaration, Shape, TreeEntry},
    },
};

use super::unwrapped;

/// Returns the declarations of a document, with a diagnostic for every node that is not a declaration.
pub(super) fn declarations(
    document: &KdlDocument,
    file: FileId,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Declaration> {
    let mut kdl = KdlReader { file, diagnostics };
    let nodes = document.nodes().iter();
    nodes.filter_map(|node| kdl.declaration(node)).collect()
}

/// The form of a value, which determines the meaning of a second value of the same key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NodeForm {
    /// `key value`
    Plain,
    /// `key { … }`. Repeated, it is a list of tables.
    Table,
    /// `key "name" { … }`. Repeated, it adds entries to one table.
    Keyed,
}

struct KdlReader<'d> {
    file: FileId,
    diagnostics: &'d mut Vec<Diagnostic>,
}

impl KdlReader<'_> {
    fn declaration(&mut self, node: &KdlNode) -> Option<Declaration> {
        let kind = self.key(node.name());
        let (arguments, body) = self.parts(node)?;
        let name = match ObjectKind::of(&kind.value) {
            Some(ObjectKind::Defaults) if arguments.is_empty() => None,
            Some(known) => Some(self.name(known, kind.span, &arguments)?),
            // The loader reports the unknown kind.
            None => Some(kind.clone()),
        };
        let span = name.as_ref().map_or(kind.span, |name| name.span);
        let body = body.unwrap_or(Shape::Map(Vec::new()));
        Some(Declaration {
            kind,
            name,
            body: ConfigTree::new(body, span),
        })
    }

    /// Returns the name of an object, which is its only argument.
    fn name(
        &mut self,
        kind: ObjectKind,
        span: SourceSpan,
        arguments: &[ConfigTree],
    ) -> Option<Spanned<String>> {
        let (message, span, help) = match arguments {
            [first, ..] if kind == ObjectKind::Defaults => {
                let help = "write `defaults { … }`".to_owned();
                ("the defaults have no name".to_owned(), first.span, help)
            }
            [] => {
                let help = format!("write `{kind} \"name\" {{ … }}`");
                (format!("a {kind} needs a name"), span, help)
            }
            [first] => match &first.shape {
                Shape::Text(name) => return Some(Spanned::new(name.clone(), first.span)),
                _ => {
                    let found = first.describe();
                    let message = format!("the name of a {kind} is text, found {found}");
                    (message, first.span, "put it in quotes".to_owned())
                }
            },
            [_, second, ..] => {
                let help = "write its keys in `{ … }`".to_owned();
                (format!("a {kind} has one name"), second.span, help)
            }
        };
        self.mistake(&message, span, &help);
        None
    }

    fn mistake(&mut self, message: &str, span: SourceSpan, help: &str) {
        let mistake = Diagnostic::error(message, span).help(help);
        self.diagnostics.push(mistake);
    }

    fn key(&self, name: &KdlIdentifier) -> Spanned<String> {
        let span = unwrapped(self.file, name.span().offset(), name.span().len());
        Spanned::new(name.value().to_owned(), span)
    }

    /// Splits a node into its arguments, and a table or list of its properties and children.
    fn parts(&mut self, node: &KdlNode) -> Option<(Vec<ConfigTree>, Option<Shape>)> {
        let (properties, arguments): (Vec<&KdlEntry>, Vec<&KdlEntry>) = node
            .entries()
            .iter()
            .partition(|entry| entry.name().is_some());
        let entry_types = node.entries().iter().map(KdlEntry::ty);
        for annotation in entry_types.chain([node.ty()]).flatten() {
            let annotation = self.key(annotation);
            let message = format!("the type annotation `({annotation})` has no meaning here");
            self.mistake(&message, annotation.span, "omit it");
        }
        let arguments = arguments.into_iter().map(|entry| self.value(entry));
        let arguments = arguments.collect();
        if properties.is_empty() && node.children().is_none() {
            return Some((arguments, None));
        }
        let children = node.children().map_or(&[][..], KdlDocument::nodes);
        let body = self.body(&properties, children)?;
        Some((arguments, Some(body)))
    }

    fn body(&mut self, properties: &[&KdlEntry], children: &[KdlNode]) -> Option<Shape> {
        let (items, keys): (Vec<&KdlNode>, Vec<&KdlNode>) =
            children.iter().partition(|node| node.name().value() == "-");
        match items.first() {
            None => Some(self.table(properties, &keys)),
            Some(_) if keys.is_empty() && properties.is_empty() => {
                let items = items.into_iter().filter_map(|node| self.node(node));
                Some(Shape::List(items.map(|(value, _)| value).collect()))
            }
            Some(item) => {
                let span = self.key(item.name()).span;
                let help = "a block contains either `-` items or keys";
                self.mistake("a list item among keys", span, help);
                None
            }
        }
    }

    fn table(&mut self, properties: &[&KdlEntry], children: &[&KdlNode]) -> Shape {
        let mut table = TableBuilder::default();
        for entry in properties {
            let name = entry.name().expect("these entries are properties");
            let (key, value) = (self.key(name), self.value(entry));
            table.put(key, value, NodeForm::Plain);
        }
        for node in children {
            let key = self.key(node.name());
            if let Some((value, form)) = self.node(node) {
                table.put(key, value, form);
            }
        }
        Shape::Map(table.entries)
    }

    /// Reads the value that a node gives to its name.
    fn node(&mut self, node: &KdlNode) -> Option<(ConfigTree, NodeForm)> {
        let key = self.key(node.name());
        let (mut arguments, body) = self.parts(node)?;
        Some(match (arguments.as_mut_slice(), body) {
            ([], None) => (
                ConfigTree::new(Shape::Bool(true), key.span),
                NodeForm::Plain,
            ),
            ([], Some(body)) => (ConfigTree::new(body, key.span), NodeForm::Table),
            ([_], None) => (arguments.remove(0), NodeForm::Plain),
            (
                [
                    ConfigTree {
                        shape: Shape::Text(name),
                        span,
                    },
                ],
                Some(body),
            ) => {
                let entry = TreeEntry {
                    key: Spanned::new(std::mem::take(name), *span),
                    value: ConfigTree::new(body, *span),
                };
                (
                    ConfigTree::new(Shape::Map(vec![entry]), key.span),
                    NodeForm::Keyed,
                )
            }
            ([first, .., last], None) => {
                let span = SourceSpan {
                    end: last.span.end,
                    ..first.span
                };
                (
                    ConfigTree::new(Shape::List(arguments), span),
                    NodeForm::Plain,
                )
            }
            ([first, ..], Some(_)) => {
                let message = format!("`{}` has both values and a table", key.value);
                self.mistake(
                    &message,
                    first.span,
                    "write either values, or properties and a block",
                );
                return None;
            }
        })
    }

    fn value(&self, entry: &KdlEntry) -> ConfigTree {
        let all = entry.span();
        let length = entry
            .format()
            .map_or(all.len(), |format| format.value_repr.len());
        let span = unwrapped(
            self.file,
            (all.offset() + all.len()).saturating_sub(length),
            length,
        );
        let shape = match entry.value() {
            KdlValue::String(text) => Shape::Text(text.clone()),
            KdlValue::Integer(number) => Shape::Int(*number),
            KdlValue::Float(number) => Shape::Float(*number),
            KdlValue::Bool(value) => Shape::Bool(*value),
            KdlValue::Null => Shape::Null,
        };
        ConfigTree::new(shape, span)
    }
}

/// A table that is being built.
#[derive(Default)]
struct TableBuilder {
    entries: Vec<TreeEntry>,
    forms: Vec<NodeForm>,
}

impl TableBuilder {
    fn put(&mut self, key: Spanned<String>, value: ConfigTree, form: NodeForm) {
        let known = self
            .entries
            .iter()
            .position(|entry| entry.key.value == key.value);
        let Some(known) = known.filter(|at| self.forms[*at] == form && form != NodeForm::Plain)
        else {
            // A second plain value is added as an entry of its own: the reader reports it.
            self.entries.push(TreeEntry { key, value });
            self.forms.push(form);
            return;
        };
        let first = &mut self.entries[known].value;
        match (&mut first.shape, value.shape) {
            (Shape::Map(entries), Shape::Map(more)) if form == NodeForm::Keyed => {
                entries.extend(more)
            }
            (Shape::List(items), shape) if form == NodeForm::Table => {
                items.push(ConfigTree::new(shape, key.span));
            }
            (_, shape) => {
                let span = first.span;
                let one = std::mem::replace(&mut first.shape, Shape::Null);
                let items = vec![ConfigTree::new(one, span), ConfigTree::new(shape, key.span)];
                first.shape = Shape::List(items);
            }
        }
    }
}
