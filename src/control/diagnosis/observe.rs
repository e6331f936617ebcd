//! Follows the boot of each machine in its [`BootProgress`], and reports where it has stopped.
//!
//! A diagnosis is logged as a remark in the machine's log, and `nodes` shows it as the reason until the machine
//! makes progress. It is not stored beyond this run, and no decision depends on it.

use std::{net::IpAddr, time::Duration};

use crate::control::{
    Decision, Diagnosis, NetworkBoot, ReceivedQuery, Transaction,
    diagnosis::progress::{BootProgress, Observation},
    volatile::MachineBoot,
};
use crate::{
    boot::dhcp::{Client, DhcpMessageType, DhcpPort, DhcpReply, NoReply, ReplyContext, ReplyType},
    journal::{MachineEvent, MachineId},
    model::DhcpMode,
};

/// How many machines that were never seen a diagnosis names.
const MAX_NAMED: usize = 3;
/// How long the list of those machines is cached.
const UNSEEN_CACHE_TIME: Duration = Duration::from_secs(1);

impl Transaction<'_> {
    /// The current diagnosis of a machine's boot, as a sentence.
    pub(crate) fn diagnosis(&self, id: MachineId) -> Option<String> {
        let record = self.server.volatile.progress.records.get(id)?;
        let diagnosis = record.progress.current()?;
        let node = self.node_of(id);
        self.machine(id)
            .is_due(node.as_deref())
            .then(|| diagnosis.to_string())
    }

    /// Records an observation of a machine.
    pub(crate) fn observe(&mut self, id: MachineId, observation: Observation) {
        let id = self.server.state.resolve(id);
        let now = self.now.mono;
        // The end of a boot does not begin to follow one.
        if observation != Observation::Over || self.server.volatile.progress.records.contains(id) {
            self.follow(id, |progress| progress.on(observation, now));
        }
    }

    /// Reports every boot whose time limit has passed.
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

    /// Changes a machine's progress, and schedules the next check of its time limit.
    fn follow(
        &mut self,
        id: MachineId,
        change: impl FnOnce(&mut BootProgress) -> Option<Diagnosis>,
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
        let diagnosis = change(progress);
        if let Some(due) = progress.due().filter(|due| *due > now) {
            volatile.progress.stalls.insert((due, id));
        }
        if let Some(diagnosis) = diagnosis {
            self.report(id, &diagnosis);
        }
    }

    /// Logs a diagnosis. A machine for which no installation is due boots its disk in any case, so nothing is
    /// logged.
    fn report(&mut self, id: MachineId, diagnosis: &Diagnosis) {
        if !self.server.state.machines.contains(id) {
            return;
        }
        let node = self.node_of(id);
        if self.machine(id).is_due(node.as_deref()) {
            let text = diagnosis.to_string();
            self.record(id, MachineEvent::Remark { text });
        }
    }

    /// Records what a DHCP message and its answer show.
    pub(crate) fn observe_dhcp(
        &mut self,
        id: MachineId,
        ask: &ReceivedQuery,
        context: &ReplyContext,
        reply: &Result<DhcpReply, NoReply>,
    ) {
        let query = &ask.query;
        // A Raspberry Pi requests many optional files, so its requests show no progress.
        if query.client == Client::RaspberryPi {
            return;
        }
        let observation = match reply {
            Err(NoReply::OtherServer(server) | NoReply::OtherServerChosen(server)) => {
                Some(Observation::OtherServer(*server))
            }
            Err(NoReply::AddressedToOther) => query.server.map(Observation::OtherServer),
            Err(reason) => self.refused(reason),
            Ok(answer) => match (answer.kind, &answer.file, &context.boot) {
                (ReplyType::Nak, ..) => None,
                (_, None, Err(reason)) => self.refused(reason),
                (_, None, Ok(_)) => None,
                (_, Some(file), _) => {
                    let (client, file) = (query.client, file.clone());
                    let is_offer = query.message_type == DhcpMessageType::Discover
                        && context.port == DhcpPort::Dhcp;
                    Some(if is_offer {
                        let by_proxy = context.mode == DhcpMode::Proxy;
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

    fn refused(&mut self, reason: &NoReply) -> Option<Observation> {
        let diagnosis = match reason {
            NoReply::NoLoader { .. } | NoReply::NoLoaderFor(_) | NoReply::SecureHttp => {
                Diagnosis::NoLoader {
                    reason: reason.to_string(),
                }
            }
            NoReply::Undeclared | NoReply::Unknown => Diagnosis::NotDeclared {
                never_seen: self.names_of_unseen()?,
            },
            _ => return None,
        };
        Some(Observation::NoBootFile(diagnosis))
    }

    /// Names declared machines that were never seen. The list is computed at most once per second, however many
    /// undeclared machines send messages.
    fn names_of_unseen(&mut self) -> Option<String> {
        let now = self.now.mono;
        let cached = self.server.volatile.progress.never_seen.as_ref();
        if let Some((_, names)) = cached.filter(|(at, _)| now.since(*at) < UNSEEN_CACHE_TIME) {
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
            .take(MAX_NAMED)
            .map(|node| node.name.value.to_string())
            .collect();
        (!names.is_empty()).then(|| names.join(" or "))
    }

    /// Records what a network boot and its answer show.
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
        // Downloads from another server cannot be observed.
        let is_served_here = repo
            .and_then(|repo| site.repos.get(&repo))
            .is_some_and(|repo| repo.body.url.is_none());
        let has_own_address = ask.from.is_some_and(|from| self.locate(id, from));
        let is_seen = is_served_here && has_own_address;
        self.observe(id, Observation::Script { is_seen });
    }

    /// Stores the address of a machine. If two machines use one address, as behind NAT, neither can be followed.
    fn locate(&mut self, id: MachineId, from: IpAddr) -> bool {
        let before = self.server.volatile.progress.by_address.insert(from, id);
        let previous = self.boot_record(id).address.replace(from);
        if let Some(previous) = previous.filter(|previous| *previous != from)
            && self.server.volatile.progress.by_address.get(&previous) == Some(&id)
        {
            self.server.volatile.progress.by_address.remove(&previous);
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

    /// Records a request for a file of a repo from this address. `bytes` is the file's size; none if it does not
    /// exist.
    pub fn on_repo_file_request(&mut self, from: IpAddr, file: &str, bytes: Option<u64>) {
        let Some(id) = self.server.volatile.progress.by_address.get(&from).copied() else {
            return;
        };
        let observation = match bytes {
            Some(bytes) => Observation::File { bytes },
            None => Observation::Missing(file.into()),
        };
        self.observe(id, observation);
    }

    /// A machine has begun to download a file over TFTP, or a loader over HTTP.
    pub fn on_loader_request(&mut self, id: MachineId, file: &str) {
        self.observe(id, Observation::LoaderRequested(file.into()));
    }

    /// Whether an address belongs to a machine whose boot is followed. Requests from others need no transaction.
    pub fn is_followed(&self, from: IpAddr) -> bool {
        let id = self.server.volatile.progress.by_address.get(&from);
        let record = id.and_then(|id| self.server.volatile.progress.records.get(*id));
        record.is_some_and(|record| record.progress.is_fetching())
    }
}
