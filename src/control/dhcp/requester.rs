//! Which machine sent a DHCP message.

use std::{sync::Arc, time::Duration};

use crate::control::{Bound, ReceivedQuery, Transaction, identity::identify::Identified};
use crate::{
    boot::dhcp::DhcpMessage,
    journal::{MachineEvent, MachineId},
    model::{Identity, Network, Node, Policy, UndeclaredMode, Uuid},
};

/// How many undeclared machines can be discovered by DHCP at once; then one more per second. Any host can send
/// messages in the name of machines that do not exist, and each discovery is several lines of the journal.
const MAX_UNDECLARED: u32 = 500;

/// The sender of a DHCP message.
#[derive(Default)]
pub(crate) struct DhcpRequester {
    pub(crate) id: Option<MachineId>,
    pub(crate) node: Option<Arc<Node>>,
    /// It is not clear which machine this is. It gets a boot program, whose script shows the reason.
    pub(crate) is_ambiguous: bool,
}

impl Transaction<'_> {
    /// Identifies the sender of a message. Only a machine that boots from the network is discovered by it.
    pub(crate) fn requester(&mut self, ask: &ReceivedQuery, network: &Network) -> DhcpRequester {
        let identity = identity(&ask.query);
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
        // Undeclared machines are distinguished by MAC address, because boards may share their other identities.
        let by_mac = Identity {
            mac: identity.mac.clone(),
            ..Identity::default()
        };
        let is_new =
            self.matches_no_declaration(&identity) && self.server.machines_with(&by_mac).is_empty();
        if is_new && !self.admits_new_machine() {
            return DhcpRequester::default();
        }
        match self.identify(&identity) {
            Identified::Machine(id, node) => DhcpRequester {
                id: Some(id),
                node,
                is_ambiguous: false,
            },
            Identified::Ambiguous(id, _) => DhcpRequester {
                id,
                node: None,
                is_ambiguous: true,
            },
            Identified::NoIdentity => DhcpRequester::default(),
        }
    }

    /// Whether another undeclared machine can be discovered by DHCP now.
    fn admits_new_machine(&mut self) -> bool {
        let now = self.now.mono;
        let limit = &mut self.server.volatile.dhcp.discovery;
        let seconds = now.since(limit.at).as_secs();
        limit.count = limit
            .count
            .saturating_sub(u32::try_from(seconds).unwrap_or(u32::MAX));
        limit.at = limit.at.after(Duration::from_secs(seconds));
        if limit.count >= MAX_UNDECLARED {
            if !std::mem::replace(&mut limit.is_logged, true) {
                let text = format!(
                    "more than {MAX_UNDECLARED} undeclared machines request a boot: from now on one more is recorded each second"
                );
                self.record_site(MachineEvent::Remark { text });
            }
            return false;
        }
        limit.is_logged &= limit.count > 0;
        limit.count += 1;
        true
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

fn identity(query: &DhcpMessage) -> Identity {
    Identity {
        mac: [query.mac].into_iter().collect(),
        uuid: uuid(query).into_iter().collect(),
        ..Identity::default()
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
