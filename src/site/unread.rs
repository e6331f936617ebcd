//! The files and objects that could not be read.
//!
//! The rules do not report possible consequences of these: a reference to an unreadable declaration is valid once the
//! declaration is fixed. So one mistake yields one diagnostic.

use std::{collections::BTreeSet, sync::Arc};

use super::{ObjectKind, Site};

/// The files and objects that could not be read.
#[derive(Debug, Clone, Default)]
pub struct Unread {
    /// Files that may contain any declaration, because they are unreadable or have a syntax error.
    pub files: BTreeSet<Arc<str>>,
    /// Objects that contain a mistake. The site lacks some of their keys, or the whole object.
    pub objects: BTreeSet<(ObjectKind, String)>,
}

impl Unread {
    /// Returns whether everything could be read.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.objects.is_empty()
    }

    /// Returns whether an unknown object may be declared in a part that could not be read.
    pub fn may_declare(&self, kind: ObjectKind, name: &str) -> bool {
        !self.files.is_empty() || self.has_flawed(kind, name)
    }

    /// Returns whether an object contains a mistake, so that some of its keys may be missing.
    pub(super) fn has_flawed(&self, kind: ObjectKind, name: &str) -> bool {
        !self.objects.is_empty() && self.objects.contains(&(kind, name.to_owned()))
    }

    /// Iterates over the names of the objects of a kind that contain mistakes.
    fn flawed(&self, kind: ObjectKind) -> impl Iterator<Item = &str> {
        let objects = self.objects.iter();
        objects
            .filter(move |(other, _)| *other == kind)
            .map(|(_, name)| name.as_str())
    }
}

impl Site {
    /// Returns whether there may be subnets that could not be read.
    pub(super) fn may_have_more_subnets(&self) -> bool {
        let lacks = |name: &str| {
            let network = self.networks.get(name);
            network.is_none_or(|network| network.body.subnet.is_none())
        };
        !self.unread.files.is_empty() || self.unread.flawed(ObjectKind::Network).any(lacks)
    }

    /// Returns whether a node may carry tags that could not be read.
    pub(super) fn may_carry_more_tags(&self) -> bool {
        let lacks = |name: &str| {
            let node = self.nodes.get(name);
            node.is_none_or(|node| node.body.tags.is_none())
        };
        !self.unread.files.is_empty() || self.unread.flawed(ObjectKind::Node).any(lacks)
    }
}
