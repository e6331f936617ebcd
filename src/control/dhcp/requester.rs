//! Whom a DHCP question is from, and what is known of it.

use std::{sync::Arc, time::Duration};

use crate::control::{Bound, ReceivedQuery, Transaction, identity::identify::Identified};
use crate::{
    boot::dhcp::DhcpMessage,
    journal::{Event, MachineId},
    model::{Identity, Network, Node, Policy, UndeclaredMode, Uuid},
};

/// So many strangers become known by DHCP at once, and then one more each second. Anybody can ask in the name of
/// machines that do not exist, and each one that becomes known is some lines of the journal.
const MAX_UNDECLARED: u32 = 500;

/// Whom a question is from.
#[derive(Default)]
pub(crate) struct DhcpRequester {
    pub(crate) id: Option<MachineId>,
    pub(crate) node: Option<Arc<Node>>,
    /// It is not clear who it is; it still gets to a script that says so.
    pub(crate) doubt: Option<String>,
}

impl Transaction<'_> {
    /// Whom a question is from. Only a machine that boots from the network becomes known by it.
    pub(crate) fn requester(&mut self, ask: &ReceivedQuery, network: &Network) -> DhcpRequester {
        let identity = identity(&ask.query);
        let ignores = network
            .body
            .unknown
            .as_ref()
            .is_some_and(|at| at.value == UndeclaredMode::Ignore);
        let leaves_no_trace = ignores && self.is_new_undeclared(&identity);
        if !ask.query.client.boots() || leaves_no_trace {
            let declared = self.snapshot.site.identities.by_mac(&identity);
            return DhcpRequester {
                id: None,
                node: match declared.as_slice() {
                    [node] => Some(Arc::clone(node)),
                    _ => None,
                },
                doubt: None,
            };
        }
        // Strangers are told apart by their cards, whatever boards they share.
        let card = Identity {
            mac: identity.mac.clone(),
            ..Identity::default()
        };
        let is_new =
            self.matches_no_declaration(&identity) && self.server.machines_with(&card).is_empty();
        if is_new && !self.admits_new_machine() {
            return DhcpRequester::default();
        }
        match self.identify(&identity) {
            Identified::Machine(id, node) => DhcpRequester {
                id: Some(id),
                node,
                doubt: None,
            },
            Identified::Ambiguous(id, reason) => DhcpRequester {
                id,
                node: None,
                doubt: Some(reason),
            },
            Identified::NoIdentity => DhcpRequester::default(),
        }
    }

    /// Whether one more stranger may become known by DHCP now.
    fn admits_new_machine(&mut self) -> bool {
        let now = self.now.mono;
        let met = &mut self.server.volatile.dhcp.discovery;
        let seconds = now.since(met.at).as_secs();
        met.count = met
            .count
            .saturating_sub(u32::try_from(seconds).unwrap_or(u32::MAX));
        met.at = met.at.after(Duration::from_secs(seconds));
        if met.count >= MAX_UNDECLARED {
            if !std::mem::replace(&mut met.is_logged, true) {
                let text = format!(
                    "more than {MAX_UNDECLARED} undeclared machines request a boot: from now on one more is recorded each second"
                );
                self.record_site(Event::Remark { text });
            }
            return false;
        }
        met.is_logged &= met.count > 0;
        met.count += 1;
        true
    }

    /// The policy that binds a machine now, or else the one that it was bound by.
    pub(crate) fn policy_of(&self, id: MachineId, bound: Option<&Bound>) -> Option<Arc<Policy>> {
        if let Some(bound) = bound {
            return bound.policy.clone();
        }
        let before = self.machine(id).binding.as_ref()?.policy.as_ref()?;
        self.snapshot.site.policies.get(before).cloned()
    }

    /// Whether an undeclared machine is given something to boot: a policy has it, or it is to be looked at.
    pub(crate) fn is_taken(&mut self, id: Option<MachineId>, network: &Network) -> bool {
        let unknown = network
            .body
            .unknown
            .as_ref()
            .map_or(UndeclaredMode::Watch, |at| at.value);
        if unknown == UndeclaredMode::Discover {
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

/// The UUID as SMBIOS has it: the first three fields are little-endian (RFC 4578 section 2.3, SMBIOS 7.2.1).
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
