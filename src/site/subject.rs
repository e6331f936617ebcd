//! The machine whose settings are resolved or explained.

use std::{net::IpAddr, sync::Arc};

use crate::model::{Mac, Node, NodeName};

/// The machine whose settings are resolved or explained.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The name of its declaration, or the name that an undeclared machine was given.
    pub name: &'a NodeName,
    pub declared: Option<&'a Arc<Node>>,
    /// Its reported hardware addresses, that of the boot NIC first. If a declared node has reported none, its declared
    /// addresses apply.
    pub macs: Vec<Mac>,
    /// The address from a network's pool that it got when it was bound.
    pub pooled: Option<IpAddr>,
}

impl<'a> Subject<'a> {
    /// A declared node that has not contacted the server.
    pub fn declared(node: &'a Arc<Node>) -> Self {
        Subject {
            name: &node.name.value,
            declared: Some(node),
            macs: Vec::new(),
            pooled: None,
        }
    }

    /// Returns the hardware address of the boot NIC.
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

    /// Returns its hardware addresses: first the reported ones, then those that are only declared.
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
