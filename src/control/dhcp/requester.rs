//! Which machine sent a DHCP message.

use std::sync::Arc;

use crate::control::{Bound, ReceivedQuery, Report, Transaction, identity::sender::Confirmation};
use crate::{
    boot::dhcp::DhcpMessage,
    journal::MachineId,
    model::{Network, Node, Policy, UndeclaredMode, Uuid},
};

/// The sender of a DHCP message.
#[derive(Default)]
pub(crate) struct DhcpRequester {
    pub(crate) id: Option<MachineId>,
    pub(crate) node: Option<Arc<Node>>,
    /// It is not clear which machine this is. It gets a boot program, whose script shows the reason.
    pub(crate) is_ambiguous: bool,
}

impl Transaction<'_> {
    /// Identifies the sender of a message. Only a machine that boots from the network is discovered by it. A message is a claim
    /// by anyone on the link: it changes no machine that is known.
    pub(crate) fn requester(&mut self, ask: &ReceivedQuery, network: &Network) -> DhcpRequester {
        let report = report(&ask.query);
        let identity = self.identity(&report);
        let ignores = network.body.effective().unknown == UndeclaredMode::Ignore;
        let is_ignored = ignores && self.is_new_undeclared(&identity);
        if !ask.query.client.boots() || is_ignored {
            let declared = self.snapshot.site.identities.by_mac(&identity);
            return DhcpRequester {
                id: None,
                node: match declared.as_slice() {
                    [node] => Some(Arc::clone(node)),
                    _ => None,
                },
                is_ambiguous: false,
            };
        }
        let Some(found) = self.identify(&report) else {
            return DhcpRequester::default();
        };
        let is_ambiguous = found.ambiguity.is_some();
        let id = self.admit(&found, Confirmation::Claimed(None));
        if let Some(id) = id.filter(|_| !is_ambiguous) {
            let now = self.now.mono;
            self.server.volatile.boots.announced.insert(id, now);
        }
        DhcpRequester {
            id,
            node: found.node.filter(|_| !is_ambiguous),
            is_ambiguous,
        }
    }

    /// The policy that binds a machine now, otherwise the one in its binding.
    pub(crate) fn policy_of(&self, id: MachineId, bound: Option<&Bound>) -> Option<Arc<Policy>> {
        if let Some(bound) = bound {
            return bound.policy.clone();
        }
        let before = self.machine(id).binding.as_ref()?.policy.as_ref()?;
        self.snapshot.site.policies.get(before).cloned()
    }

    /// Whether an undeclared machine gets anything to boot: a policy binds it, or the network discovers machines.
    pub(crate) fn gets_boot(&mut self, id: Option<MachineId>, network: &Network) -> bool {
        if network.body.effective().unknown == UndeclaredMode::Discover {
            return true;
        }
        let Some(id) = id else {
            return false;
        };
        self.machine(id).binding.is_some() || self.binding(id, None).is_ok()
    }
}

/// What a DHCP message tells about its sender.
fn report(query: &DhcpMessage) -> Report {
    Report {
        macs: vec![query.mac],
        uuid: uuid(query).map(|uuid| uuid.to_string()),
        ..Report::default()
    }
}

/// The UUID in SMBIOS order: its first three fields are little-endian (RFC 4578 section 2.3, SMBIOS 7.2.1).
fn uuid(query: &DhcpMessage) -> Option<Uuid> {
    let [0, guid @ ..] = query.guid.as_deref()? else {
        return None;
    };
    let g: &[u8; 16] = guid.try_into().ok()?;
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    let swapped = |bytes: &[u8]| -> String {
        let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
        hex(&reversed)
    };
    let text = format!(
        "{}-{}-{}-{}-{}",
        swapped(&g[0..4]),
        swapped(&g[4..6]),
        swapped(&g[6..8]),
        hex(&g[8..10]),
        hex(&g[10..16])
    );
    Uuid::new(&text)
}
