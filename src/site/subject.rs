//! The machine that somebody asks about.

use std::{net::IpAddr, sync::Arc};

use crate::model::{Mac, Node, NodeName};

/// The machine that is asked about.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Its name: the declaration's, or the one a machine got that nobody declared.
    pub name: &'a NodeName,
    /// Its declaration.
    pub declared: Option<&'a Arc<Node>>,
    /// Its hardware addresses as far as they are known, that of the card it boots from first. May be empty
    /// for a declared node: then its declaration says.
    pub macs: Vec<Mac>,
    /// The address of a pool that it was given when it was bound.
    pub pooled: Option<IpAddr>,
}

impl<'a> Subject<'a> {
    /// A declared node of which nothing is known but its declaration.
    pub fn declared(node: &'a Arc<Node>) -> Self {
        Subject {
            name: &node.name.value,
            declared: Some(node),
            macs: Vec::new(),
            pooled: None,
        }
    }

    /// The address of the card it boots from.
    pub(super) fn boot_mac(&self) -> Option<Mac> {
        let reported = self.macs.first().copied();
        let body = || Some(&self.declared?.body);
        let short = || body()?.mac.as_ref()?.values().next().copied();
        let long = || {
            let mut interfaces = body()?.interface.iter();
            interfaces.find_map(|at| Some(at.value.mac.as_ref()?.value))
        };
        reported.or_else(short).or_else(long)
    }

    /// Its hardware addresses, reported ones before those that are only declared.
    pub(super) fn macs(&self) -> Vec<Mac> {
        let mut macs = self.macs.clone();
        let declared = self.declared.map_or_else(Vec::new, |node| node.macs());
        for mac in declared {
            if !macs.contains(&mac.value) {
                macs.push(mac.value);
            }
        }
        macs
    }
}
