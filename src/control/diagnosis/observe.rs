//! When nothing happens: each machine's [`BootProgress`], and saying what it shows.
//!
//! What is said stands in the machine's log as a remark, and is the reason that `nodes` shows until the machine
//! gets further. Only this run remembers it, and nothing is decided by it.

use std::{net::IpAddr, time::Duration};

use crate::control::{
    Decision, Diagnosis, NetworkBoot, ReceivedQuery, Transaction,
    diagnosis::progress::{BootProgress, Observation},
    volatile::MachineBoot,
};
use crate::{
    boot::dhcp::{Client, DhcpMessageType, DhcpPort, DhcpReply, NoReply, ReplyContext, ReplyType},
    journal::{Event, MachineId},
    model::DhcpMode,
};

/// So many machines that were never seen are named.
const NAMED: usize = 3;
/// For how long it stays known which those are.
const UNSEEN: Duration = Duration::from_secs(1);

impl Transaction<'_> {
    /// What stands against a machine's boot, in a sentence.
    pub(crate) fn diagnosis(&self, id: MachineId) -> Option<String> {
        let record = self.server.volatile.progress.records.get(id)?;
        let said = record.progress.said()?;
        let node = self.node_of(id);
        self.machine(id)
            .is_due(node.as_deref())
            .then(|| said.to_string())
    }

    /// Takes a sign of a machine in.
    pub(crate) fn observe(&mut self, id: MachineId, observation: Observation) {
        let id = self.server.state.resolve(id);
        let now = self.now.mono;
        // What ends a trail begins none.
        if observation != Observation::Over || self.server.volatile.progress.records.contains(id) {
            self.follow(id, |progress| progress.on(observation, now));
        }
    }

    /// Says what time has shown.
    pub(crate) fn check_stalls(&mut self) {
        let now = self.now.mono;
        let is_due = |due: &(crate::model::MonotonicTime, MachineId)| due.0 <= now;
        while let Some((_, id)) = self
            .server
            .volatile
            .progress
            .stalls
            .first()
            .copied()
            .filter(is_due)
        {
            self.follow(id, |progress| progress.stalled(now));
        }
    }

    /// Lets something happen to a machine's trail, and keeps when it is to be looked at next.
    fn follow(
        &mut self,
        id: MachineId,
        happens: impl FnOnce(&mut BootProgress) -> Option<Diagnosis>,
    ) {
        let now = self.now.mono;
        let volatile = &mut self.server.volatile;
        let record = volatile
            .progress
            .records
            .get_or_insert_with(id, MachineBoot::default);
        let progress = &mut record.progress;
        if let Some(due) = progress.due() {
            volatile.progress.stalls.remove(&(due, id));
        }
        let diagnosis = happens(progress);
        if let Some(due) = progress.due().filter(|due| *due > now) {
            volatile.progress.stalls.insert((due, id));
        }
        if let Some(diagnosis) = diagnosis {
            self.say(id, &diagnosis);
        }
    }

    /// Of a machine that nothing is to be installed on nothing is said: it boots its disk in any case.
    fn say(&mut self, id: MachineId, diagnosis: &Diagnosis) {
        if !self.server.state.machines.contains(id) {
            return;
        }
        let node = self.node_of(id);
        if self.machine(id).is_due(node.as_deref()) {
            let text = diagnosis.to_string();
            self.record(id, Event::Remark { text });
        }
    }

    /// What a DHCP question and its answer are signs of.
    pub(crate) fn observe_dhcp(
        &mut self,
        id: MachineId,
        ask: &ReceivedQuery,
        ground: &ReplyContext,
        decided: &Result<DhcpReply, NoReply>,
    ) {
        let query = &ask.query;
        // A Raspberry Pi looks for many files that need not be there, and tells of none.
        if query.client == Client::RaspberryPi {
            return;
        }
        let observation = match decided {
            Err(NoReply::OtherServer(server) | NoReply::OtherServerChosen(server)) => {
                Some(Observation::Elsewhere(*server))
            }
            Err(NoReply::AddressedToOther) => query.server.map(Observation::Elsewhere),
            Err(silence) => self.refused(silence),
            Ok(answer) => match (answer.kind, &answer.file, &ground.boot) {
                (ReplyType::Nak, ..) => None,
                (_, None, Err(silence)) => self.refused(silence),
                (_, None, Ok(_)) => None,
                (_, Some(file), _) => {
                    let (client, file) = (query.client, file.clone());
                    let is_offer = query.message_type == DhcpMessageType::Discover
                        && ground.port == DhcpPort::Dhcp;
                    Some(if is_offer {
                        let by_proxy = ground.mode == DhcpMode::Proxy;
                        Observation::Offered {
                            client,
                            file,
                            by_proxy,
                        }
                    } else {
                        Observation::Acknowledged { client, file }
                    })
                }
            },
        };
        if let Some(observation) = observation {
            self.observe(id, observation);
        }
    }

    fn refused(&mut self, silence: &NoReply) -> Option<Observation> {
        let diagnosis = match silence {
            NoReply::NoLoader { .. } | NoReply::NoLoaderFor(_) | NoReply::SecureHttp => {
                Diagnosis::NoLoader {
                    reason: silence.to_string(),
                }
            }
            NoReply::Undeclared | NoReply::Unknown => Diagnosis::NotDeclared {
                never_seen: self.names_of_unseen()?,
            },
            _ => return None,
        };
        Some(Observation::Refused(diagnosis))
    }

    /// Names declared machines that were never seen. Looked up once in a second, however many strangers ask.
    fn names_of_unseen(&mut self) -> Option<String> {
        let now = self.now.mono;
        let known = self.server.volatile.progress.never_seen.as_ref();
        if let Some((_, names)) = known.filter(|(at, _)| now.since(*at) < UNSEEN) {
            return names.clone();
        }
        let names = self.never_seen();
        self.server.volatile.progress.never_seen = Some((now, names.clone()));
        names
    }

    fn never_seen(&self) -> Option<String> {
        let nodes = self.snapshot.site.nodes.values();
        let nodes = nodes.filter(|node| node.has_macs() && self.histories(node).is_empty());
        let names: Vec<String> = nodes
            .take(NAMED)
            .map(|node| node.name.value.to_string())
            .collect();
        (!names.is_empty()).then(|| names.join(" or "))
    }

    /// What a network boot and its answer are signs of.
    pub(crate) fn observe_boot(&mut self, id: MachineId, ask: &NetworkBoot, decision: &Decision) {
        let repo = match decision {
            Decision::Open(opening) => opening.repo.clone(),
            Decision::Repeat { .. } => {
                let open = self.machine(id).open();
                open.and_then(|attempt| attempt.repo.clone())
            }
            _ => return self.observe(id, Observation::Over),
        };
        let site = &self.snapshot.site;
        // Who fetches from another server is not seen to.
        let is_ours = repo
            .and_then(|repo| site.repos.get(&repo))
            .is_some_and(|repo| repo.body.url.is_none());
        let is_told_apart = ask.from.is_some_and(|from| self.locate(id, from));
        let is_seen = is_ours && is_told_apart;
        self.observe(id, Observation::Script { is_seen });
    }

    /// Notes at which address a machine is. Of two that fetch from one address, as behind a router that translates
    /// addresses, neither can be followed.
    fn locate(&mut self, id: MachineId, from: IpAddr) -> bool {
        let before = self.server.volatile.progress.by_address.insert(from, id);
        let left = self.boot_record(id).address.replace(from);
        if let Some(left) = left.filter(|left| *left != from)
            && self.server.volatile.progress.by_address.get(&left) == Some(&id)
        {
            self.server.volatile.progress.by_address.remove(&left);
        }
        let other = before.filter(|before| *before != id);
        let other = other.filter(|other| {
            let record = self.server.volatile.progress.records.get(*other);
            record.is_some_and(|record| record.progress.is_fetching())
        });
        if let Some(other) = other {
            self.observe(other, Observation::Over);
        }
        other.is_none()
    }

    /// Somebody at this address has asked for a file of a repo.
    /// `bytes` is its length, none when it is not there.
    pub fn asked_repo(&mut self, from: IpAddr, file: &str, bytes: Option<u64>) {
        let Some(id) = self.server.volatile.progress.by_address.get(&from).copied() else {
            return;
        };
        let observation = match bytes {
            Some(bytes) => Observation::File { bytes },
            None => Observation::Missing(file.into()),
        };
        self.observe(id, observation);
    }

    /// A machine has begun to fetch something over TFTP, or a loader over HTTP.
    pub fn asked_loader(&mut self, id: MachineId, file: &str) {
        self.observe(id, Observation::Asked(file.into()));
    }

    /// Whether an address is that of a machine whose steps are followed; the others need no turn.
    pub fn is_followed(&self, from: IpAddr) -> bool {
        let id = self.server.volatile.progress.by_address.get(&from);
        let record = id.and_then(|id| self.server.volatile.progress.records.get(*id));
        record.is_some_and(|record| record.progress.is_fetching())
    }
}
