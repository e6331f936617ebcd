//! Reads an object from its declaration, which is a name with a table of keys.

use std::{fmt, str::FromStr, sync::Arc};

use crate::model::{
    Broker, Defaults, Hook, HookBody, Network, Node, NodeBody, Policy, Repo, Rule, Settings,
    SourceSpan, Spanned, Tag,
};

use super::{
    Diagnostic,
    read::{fields_of, missing_keys, read, unknown_key},
    suggest::suggest,
    tree::{ConfigTree, Declaration, Shape, TreeEntry},
};

/// The kind of a declared object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    Defaults,
    Repo,
    Network,
    Tag,
    Policy,
    Node,
    Broker,
    Hook,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Object {
    Defaults(Spanned<Arc<Defaults>>),
    Repo(Arc<Repo>),
    Network(Arc<Network>),
    Tag(Arc<Tag>),
    Policy(Arc<Policy>),
    Node(Arc<Node>),
    Broker(Arc<Broker>),
    Hook(Arc<Hook>),
}

impl Object {
    pub(crate) fn node(&self) -> Option<&Node> {
        match self {
            Object::Node(node) => Some(node),
            _ => None,
        }
    }
}

impl ObjectKind {
    /// Every kind with the keyword that declares it.
    pub const ALL: [(&str, ObjectKind); 8] = [
        ("defaults", ObjectKind::Defaults),
        ("repo", ObjectKind::Repo),
        ("network", ObjectKind::Network),
        ("tag", ObjectKind::Tag),
        ("policy", ObjectKind::Policy),
        ("node", ObjectKind::Node),
        ("broker", ObjectKind::Broker),
        ("hook", ObjectKind::Hook),
    ];

    /// Returns the kind that a keyword declares.
    pub fn of(word: &str) -> Option<ObjectKind> {
        let mut all = ObjectKind::ALL.iter();
        all.find(|(known, _)| *known == word).map(|(_, kind)| *kind)
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, _) = ObjectKind::ALL
            .iter()
            .find(|(_, kind)| kind == self)
            .expect("every kind is listed");
        f.pad(word)
    }
}

/// Returns the diagnostic for an unknown keyword.
pub(crate) fn unknown_kind(kind: &Spanned<String>) -> Diagnostic {
    let words = || ObjectKind::ALL.iter().map(|(word, _)| *word);
    let help = match suggest(&kind.value, words()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("expected one of {}", words().collect::<Vec<_>>().join(", ")),
    };
    let message = format!("unknown kind of object `{}`", kind.value);
    Diagnostic::error(message, kind.span).help(help)
}

/// Reads an object of the given kind. Returns none if a required key is missing or invalid.
pub(crate) fn object(
    kind: ObjectKind,
    declaration: Declaration,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Object> {
    let Declaration { name, body, .. } = declaration;
    let entries = match body.shape {
        Shape::Map(entries) => entries,
        _ => {
            let message = format!(
                "expected a table with the keys of a {kind}, found {}",
                body.describe()
            );
            diagnostics.push(Diagnostic::error(message, body.span));
            return None;
        }
    };
    diagnostics.extend(both_forms(kind, &entries));
    let body = ObjectBody {
        span: body.span,
        entries,
        diagnostics,
    };
    let Some(name) = name else {
        let settings = body.read_all()?;
        return Some(Object::Defaults(Spanned::new(
            Arc::new(Defaults { settings }),
            declaration.kind.span,
        )));
    };
    body.named(kind, name)
}

/// The keys of an object that is being read.
struct ObjectBody<'d> {
    span: SourceSpan,
    entries: Vec<TreeEntry>,
    diagnostics: &'d mut Vec<Diagnostic>,
}

impl ObjectBody<'_> {
    fn named(mut self, kind: ObjectKind, name: Spanned<String>) -> Option<Object> {
        Some(match kind {
            ObjectKind::Defaults => unreachable!("defaults have no name"),
            ObjectKind::Repo => {
                self.one_source(&name);
                let name = self.name(name)?;
                Object::Repo(Arc::new(Repo {
                    name,
                    body: self.read_all()?,
                }))
            }
            ObjectKind::Network => {
                let name = self.name(name)?;
                Object::Network(Arc::new(Network {
                    name,
                    body: self.read_all()?,
                }))
            }
            ObjectKind::Tag => {
                let name = self.name(name)?;
                Object::Tag(Arc::new(Tag {
                    name,
                    body: self.read_all()?,
                }))
            }
            ObjectKind::Policy => {
                let name = self.name(name)?;
                let (rule, settings) = self.with_settings::<Rule>()?;
                Object::Policy(Arc::new(Policy {
                    name,
                    rule,
                    settings,
                }))
            }
            ObjectKind::Node => {
                let name = self.name(name)?;
                let (body, settings) = self.with_settings::<NodeBody>()?;
                Object::Node(Arc::new(Node {
                    name,
                    body,
                    settings,
                }))
            }
            ObjectKind::Broker => {
                let name = self.name(name)?;
                let (kind, vars) = self.kind_and_vars()?;
                Object::Broker(Arc::new(Broker { name, kind, vars }))
            }
            ObjectKind::Hook => {
                let keys = fields_of::<HookBody>();
                let missing = missing_keys(&self.entries, keys, self.span);
                self.diagnostics.extend(missing);
                let name = self.name(name)?;
                Object::Hook(Arc::new(Hook {
                    name,
                    body: self.read_all()?,
                }))
            }
        })
    }

    fn name<N: FromStr<Err: fmt::Display>>(&mut self, name: Spanned<String>) -> Option<Spanned<N>> {
        match name.value.parse() {
            Ok(value) => Some(Spanned::new(value, name.span)),
            Err(error) => {
                let mistake = Diagnostic::error(error.to_string(), name.span);
                self.diagnostics.push(mistake);
                None
            }
        }
    }

    /// Reads all keys into one type.
    fn read_all<T: serde::de::DeserializeOwned>(self) -> Option<T> {
        read(self.tree(self.entries.clone()), self.diagnostics)
    }

    /// Reads the keys of `T` into a `T` and all others into settings.
    fn with_settings<T>(mut self) -> Option<(T, Settings)>
    where
        T: serde::de::DeserializeOwned,
    {
        let (own, others) = (fields_of::<T>(), fields_of::<Settings>());
        let (mut body, mut settings) = (Vec::new(), Vec::new());
        for entry in std::mem::take(&mut self.entries) {
            let key = entry.key.value.as_str();
            if own.contains(&key) {
                body.push(entry);
            } else if others.contains(&key) {
                settings.push(entry);
            } else {
                let mistake = unknown_key(&entry, &[own, others].concat());
                self.diagnostics.push(mistake);
            }
        }
        let body = read(self.tree(body), self.diagnostics);
        let settings = read(self.tree(settings), self.diagnostics);
        body.zip(settings)
    }

    fn kind_and_vars(mut self) -> Option<(Spanned<String>, crate::model::Vars)> {
        let (kind, vars): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|entry| entry.key.value == "kind");
        let vars = read(self.tree(vars), self.diagnostics);
        let Some(kind) = kind.into_iter().next() else {
            let mistake = Diagnostic::error("the key `kind` is missing", self.span)
                .help("the name of a directory under templates/brokers/");
            self.diagnostics.push(mistake);
            return None;
        };
        read(kind.value, self.diagnostics).zip(vars)
    }

    fn tree(&self, entries: Vec<TreeEntry>) -> ConfigTree {
        ConfigTree::new(Shape::Map(entries), self.span)
    }

    /// Checks that a repo has exactly one source.
    fn one_source(&mut self, name: &Spanned<String>) {
        let is_source =
            |entry: &&TreeEntry| ["iso", "path", "url"].contains(&entry.key.value.as_str());
        let sources: Vec<&TreeEntry> = self.entries.iter().filter(is_source).collect();
        let mistake = match sources.as_slice() {
            [] => Diagnostic::error(format!("repo `{}` has no source", name.value), name.span)
                .help("set one of `iso`, `path` and `url`"),
            [first, second, ..] if first.key.value != second.key.value => {
                two_forms(first, second, "a repo has one source")
            }
            _ => return,
        };
        self.diagnostics.push(mistake);
    }
}

/// Pairs of key groups that set the same thing. An object must not have keys of both groups of a pair.
const FORMS: [(&[&str], &[&str]); 3] = [
    (&["root-password-hash"], &["root-password-file"]),
    (&["password-hash"], &["password-file"]),
    (
        &["address", "gateway", "routes", "mtu", "dhcp", "on-link"],
        &["interface", "bond", "vlan", "bridge"],
    ),
];

fn both_forms(kind: ObjectKind, entries: &[TreeEntry]) -> Vec<Diagnostic> {
    let has_settings = matches!(
        kind,
        ObjectKind::Defaults | ObjectKind::Policy | ObjectKind::Node
    );
    if !has_settings {
        return Vec::new();
    }
    let mut mistakes = forms_in(entries);
    for entry in entries.iter().filter(|entry| entry.key.value == "user") {
        let Shape::Map(user) = &entry.value.shape else {
            continue;
        };
        mistakes.extend(forms_in(user));
        if !user.iter().any(|entry| entry.key.value == "name") {
            let mistake = Diagnostic::error("the user has no name", entry.key.span);
            mistakes.push(mistake.help("set `name`"));
        }
    }
    mistakes
}

fn forms_in(entries: &[TreeEntry]) -> Vec<Diagnostic> {
    let one_of = |keys: &[&str]| {
        entries
            .iter()
            .find(|entry| keys.contains(&entry.key.value.as_str()))
    };
    let both = FORMS
        .iter()
        .filter_map(|(one, other)| one_of(one).zip(one_of(other)));
    both.map(|(one, other)| two_forms(one, other, "these are two forms of one setting"))
        .collect()
}

fn two_forms(one: &TreeEntry, other: &TreeEntry, why: &str) -> Diagnostic {
    let mut both = [&one.key, &other.key];
    both.sort_by_key(|key| key.span);
    let [first, second] = both;
    let message = format!(
        "`{}` cannot be set together with `{}`",
        second.value, first.value
    );
    Diagnostic::error(message, second.span)
        .other(first.span, "set here")
        .help(format!("{why}: keep one of the two"))
}
