//! What was declared and could not be read.
//!
//! What refers to such a declaration is no mistake of its own: once the declaration is mended, the
//! reference holds. So one slip yields one message.

use std::collections::BTreeSet;

/// The declarations that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread {
    /// Whether a whole file could not be read: it might have declared anything.
    pub files: bool,
    /// Single declarations, where the rest of their file could be read.
    pub names: BTreeSet<(Kind, String)>,
}

/// A kind of object that others refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is described at its type")]
pub enum Kind {
    Repo,
    Network,
    Tag,
    Policy,
    Node,
    Broker,
}

impl Kind {
    /// The word for it in the site's files.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Repo => "repo",
            Kind::Network => "network",
            Kind::Tag => "tag",
            Kind::Policy => "policy",
            Kind::Node => "node",
            Kind::Broker => "broker",
        }
    }
}

impl Unread {
    /// Tells whether everything could be read.
    pub fn is_empty(&self) -> bool {
        !self.files && self.names.is_empty()
    }

    /// Tells whether `name` may be declared in what could not be read.
    pub fn may_declare(&self, kind: Kind, name: &str) -> bool {
        self.files || self.names.contains(&(kind, name.to_owned()))
    }

    /// Tells whether any object of `kind` may be declared in what could not be read.
    pub fn may_declare_any(&self, kind: Kind) -> bool {
        self.files || self.names.iter().any(|(other, _)| *other == kind)
    }
}
