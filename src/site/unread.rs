//! What could not be read, so that nobody complains of what only follows from that.
//!
//! Once the declaration is mended the reference to it holds. So one slip yields one message.

use std::{collections::BTreeSet, sync::Arc};

use super::{ObjectKind, Site};

/// What could not be read.
#[derive(Debug, Clone, Default)]
pub struct Unread {
    /// Files that may declare anything: no text, or no syntax.
    pub files: BTreeSet<Arc<str>>,
    /// Objects with a mistake in them; some of their keys are missing from the site, or they are.
    pub objects: BTreeSet<(ObjectKind, String)>,
}

impl Unread {
    /// Tells whether everything could be read.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.objects.is_empty()
    }

    /// Tells whether an object that nobody knows may stand where it could not be read.
    pub fn may_declare(&self, kind: ObjectKind, name: &str) -> bool {
        !self.files.is_empty() || self.has_flawed(kind, name)
    }

    /// Tells whether an object has a mistake in it, so that some of its keys may be missing.
    pub(super) fn has_flawed(&self, kind: ObjectKind, name: &str) -> bool {
        !self.objects.is_empty() && self.objects.contains(&(kind, name.to_owned()))
    }

    /// The names of the objects of `kind` with mistakes in them.
    fn flawed(&self, kind: ObjectKind) -> impl Iterator<Item = &str> {
        let objects = self.objects.iter();
        objects
            .filter(move |(other, _)| *other == kind)
            .map(|(_, name)| name.as_str())
    }
}

impl Site {
    /// Tells whether there may be subnets that could not be read.
    pub(super) fn may_have_more_subnets(&self) -> bool {
        let lacks = |name: &str| {
            let network = self.networks.get(name);
            network.is_none_or(|network| network.body.subnet.is_none())
        };
        !self.unread.files.is_empty() || self.unread.flawed(ObjectKind::Network).any(lacks)
    }

    /// Tells whether a node may carry tags that could not be read.
    pub(super) fn may_carry_more_tags(&self) -> bool {
        let lacks = |name: &str| {
            let node = self.nodes.get(name);
            node.is_none_or(|node| node.body.tags.is_none())
        };
        !self.unread.files.is_empty() || self.unread.flawed(ObjectKind::Node).any(lacks)
    }
}
