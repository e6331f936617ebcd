//! Answers DHCP messages: identifies the machine, assigns its address, selects its boot file, and records the
//! result.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use crate::control::{
    Bound, Decision, NetworkBoot, Report, Sender, SettingLayers, Transaction, dhcp::lease,
    dhcp::requester::DhcpRequester, diagnosis::progress::Observation, volatile::MachineBoot,
};
use crate::{
    boot::{
        Loader, LoaderPreference, Program, boot_file,
        dhcp::{
            AddressAssignment, BootFile, DhcpMessage, DhcpMessageType, DhcpPort, DhcpReply,
            NoReply, ReplyContext, ReplyType, decide,
        },
    },
    journal::{DhcpOutcome, MachineEvent, MachineId},
    model::{BootProgram, DhcpMode, Identity, LocalBoot, Network, RepoName, SmallSet},
    render::boot::mboot,
};

/// The same line is not written to a log again within this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// An unanswered DISCOVER counts as a network boot at most once in this time.
const SILENT_BOOT_INTERVAL: Duration = Duration::from_secs(180);

/// A DHCP message, and where it arrived.
#[derive(Debug, Clone)]
pub struct ReceivedQuery {
    pub query: DhcpMessage,
    /// The port on which it arrived.
    pub dhcp_port: DhcpPort,
    /// This host's address on the interface where it arrived, or the one that the relay used.
    pub server_ip: Ipv4Addr,
    /// The server's URL as the machine reaches it.
    pub base: String,
    /// Another DHCP server that answers on this network.
    pub other_server: Option<Ipv4Addr>,
}

impl Transaction<'_> {
    /// Answers a DHCP message, or returns why not. An answer that depends on a lease waits for the transaction's
    /// ticket.
    pub fn dhcp(
        &mut self,
        ask: &ReceivedQuery,
        has: &dyn Fn(&str) -> bool,
    ) -> Result<DhcpReply, NoReply> {
        let snapshot = self.snapshot;
        let at = ask.query.giaddr.unwrap_or(ask.server_ip);
        let network = snapshot.network_at(at.into()).ok_or(NoReply::Off)?;
        let mode = network.body.effective().dhcp;
        let network_options = lease::network_options(network, at).filter(|_| mode != DhcpMode::Off);
        let network_options = network_options.ok_or(NoReply::Off)?;
        let requester = self.requester(ask, network);
        let assignment = match mode {
            DhcpMode::Reserve | DhcpMode::Server => {
                self.assignment(&ask.query, network, &requester)
            }
            DhcpMode::Proxy | DhcpMode::Off => AddressAssignment::None,
        };
        let boot = self.boot_of(ask, network, &requester, has);
        let context = ReplyContext {
            port: ask.dhcp_port,
            mode,
            server_ip: ask.server_ip,
            options: network_options,
            declared: requester.node.is_some(),
            assignment,
            boot,
            other_server: ask.other_server,
        };
        let reply = decide(&ask.query, &context);
        self.record_leases(ask, network, &context, &reply);
        if let Some(id) = requester.id {
            self.log_dhcp(id, ask, &context, &reply);
            self.observe_dhcp(id, ask, &context, &reply);
        }
        reply
    }

    fn boot_of(
        &mut self,
        ask: &ReceivedQuery,
        network: &Network,
        requester: &DhcpRequester,
        has: &dyn Fn(&str) -> bool,
    ) -> Result<BootFile, NoReply> {
        if !ask.query.client.boots() {
            return Err(NoReply::NotBooting);
        }
        let node = requester.node.as_deref();
        if node.is_none() && !requester.is_ambiguous && !self.gets_boot(requester.id, network) {
            return Err(NoReply::Unknown);
        }
        let bound = requester.id.and_then(|id| self.binding(id, node).ok());
        let policy = requester
            .id
            .and_then(|id| self.policy_of(id, bound.as_ref()));
        let layers = SettingLayers::new(&self.snapshot.site, node, policy.as_deref());
        let of_network = network.body.loader.as_ref().map(|at| at.value.as_str());
        let own = layers.get(|settings| settings.loader.as_deref());
        let repo = requester
            .id
            .and_then(|id| self.repo_of_mboot(id, bound.as_ref()));
        let path = repo.map(|repo| mboot::loader_path(repo.as_str()));
        let mut preference = LoaderPreference {
            loader: own.map(String::as_str).or(of_network),
            secure_boot: layers.effective().secure_boot,
            mboot: path.as_deref(),
            ..LoaderPreference::default()
        };
        let cannot_wait = preference.mboot_path(ask.query.client).is_some();
        if let Some(id) = requester.id
            && (cannot_wait || self.local_boot(id, node) == LocalBoot::Silent)
            && self.boots_without_reply(id, ask, cannot_wait)
        {
            return Err(NoReply::LocalBoot);
        }
        if let Some(record) = requester
            .id
            .and_then(|id| self.server.volatile.progress.records.get(id))
        {
            preference.loader_fetches = record.fetched;
            preference.working_loader = record.worked.as_deref();
        }
        boot_file(ask.query.client, &preference, &ask.base, has)
    }

    /// The repo of a machine whose installer can be started by ESXi's own loader.
    fn repo_of_mboot<'b>(
        &'b self,
        id: MachineId,
        bound: Option<&'b Bound>,
    ) -> Option<&'b RepoName> {
        let (task, repo) = match (self.machine(id).open(), bound) {
            (Some(open), _) => (&open.task, open.repo.as_ref()),
            (None, Some(bound)) => (&bound.task, bound.repo.as_ref()),
            (None, None) => return None,
        };
        let traits = self.snapshot.tasks.get(task);
        repo.filter(|_| traits.is_some_and(|traits| traits.by_mboot))
    }

    /// Whether a machine is sent to its local disk by no answer at all: because its `local-boot` is silent, or
    /// because its loader can neither wait nor reliably exit. This counts as a network boot, at most once in three
    /// minutes.
    fn boots_without_reply(
        &mut self,
        id: MachineId,
        ask: &ReceivedQuery,
        cannot_wait: bool,
    ) -> bool {
        let record = self.server.volatile.progress.records.get(id);
        if let Some((at, to_disk)) = record.and_then(|record| record.unanswered)
            && self.now.mono.since(at) < SILENT_BOOT_INTERVAL
        {
            return to_disk;
        }
        let report = Report {
            macs: vec![ask.query.mac],
            by: BootProgram::Firmware,
            platform: ask.query.client.arch().and_then(|arch| arch.platform()),
            ..Report::default()
        };
        let decision = self.boot(&NetworkBoot {
            report,
            sender: Sender::Packet,
            ..NetworkBoot::default()
        });
        let to_disk = match decision {
            Decision::Disk(_) => true,
            Decision::Wait(_) | Decision::Microkernel(_) | Decision::Script(..) => cannot_wait,
            Decision::Repeat { .. }
            | Decision::Open(_)
            | Decision::Preparing
            | Decision::ProbeAddresses(_) => false,
        };
        let now = self.now.mono;
        self.boot_record(id).unanswered = Some((now, to_disk));
        // The machine's next request is a boot of its own.
        self.server.volatile.boots.latest.remove(id);
        to_disk
    }

    /// Records leases and conflicts that a message causes.
    fn record_leases(
        &mut self,
        ask: &ReceivedQuery,
        network: &Network,
        context: &ReplyContext,
        reply: &Result<DhcpReply, NoReply>,
    ) {
        let query = &ask.query;
        match (query.message_type, reply) {
            (DhcpMessageType::Decline, _)
                if context.mode != DhcpMode::Proxy
                    && query.server.is_none_or(|server| server == ask.server_ip) =>
            {
                self.declined(query, network);
            }
            (DhcpMessageType::Release, _) if context.mode == DhcpMode::Server => {
                self.released(query)
            }
            (_, Ok(answer)) if context.mode == DhcpMode::Server => {
                let from_range = !matches!(context.assignment, AddressAssignment::Reserved(_));
                match (answer.kind, answer.yiaddr.filter(|_| from_range)) {
                    (ReplyType::Offer, Some(address)) => self.offer(query.mac, address),
                    (ReplyType::Ack, Some(address)) => {
                        self.lease(query.mac, address, context.options.lease);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Logs the result of a message in the machine's log, the same one at most once a minute.
    fn log_dhcp(
        &mut self,
        id: MachineId,
        ask: &ReceivedQuery,
        context: &ReplyContext,
        reply: &Result<DhcpReply, NoReply>,
    ) {
        let Some(given) = dhcp_outcome(context, reply) else {
            return;
        };
        let client = ask.query.client.to_string();
        let line = format!("{client} {given:?}");
        let now = self.now.mono;
        let record = self.boot_record(id);
        let is_repeated = record.logged.as_ref();
        let is_repeated = is_repeated
            .is_some_and(|(logged, at)| *logged == line && now.since(*at) < LOG_INTERVAL);
        if !is_repeated {
            record.logged = Some((line, now));
            self.record(id, MachineEvent::Dhcp { client, given });
        }
    }

    /// A machine has downloaded a file over TFTP or HTTP, or failed to.
    pub fn fetched(&mut self, id: MachineId, fetched: Fetched) {
        let id = self.server.state.resolve(id);
        let Fetched { name, program, .. } = fetched;
        let by = fetched.by.into();
        let is_loader = Loader::named(&name).is_some();
        let observation = match &fetched.outcome {
            // The boot program, such as GRUB, downloads files itself.
            Ok(_) if mboot::is_file(&name) => Some(Observation::File { bytes: 0 }),
            Ok(_) if is_loader || program.is_some() => Some(Observation::Loaded {
                file: name.clone(),
                program,
            }),
            Err(failure) if failure.no_response => Some(Observation::NotAcknowledged(name.clone())),
            Ok(_) | Err(_) => None,
        };
        let event = match fetched.outcome {
            Ok((bytes, ms)) => {
                if is_loader {
                    let record = self.boot_record(id);
                    record.fetched += 1;
                    record.loader = Some(name.clone());
                }
                MachineEvent::Fetched {
                    by,
                    name,
                    bytes,
                    ms,
                }
            }
            Err(FailedFetch { reason, .. }) => MachineEvent::Unfetched { by, name, reason },
        };
        self.record(id, event);
        if let Some(observation) = observation {
            self.observe(id, observation);
        }
    }

    /// A machine has made progress since its last DHCP message: the next one is a new boot.
    pub(crate) fn on_progress(&mut self, id: MachineId) {
        if let Some(record) = self.server.volatile.progress.records.get_mut(id) {
            record.unanswered = None;
        }
    }

    /// A machine has requested its script, so its loader works.
    pub(crate) fn on_script_request(&mut self, id: MachineId) {
        let Some(record) = self.server.volatile.progress.records.get_mut(id) else {
            return;
        };
        record.fetched = 0;
        if let Some(loader) = record.loader.take() {
            record.worked = Some(loader);
        }
    }

    /// Finds the machine with one of these MAC addresses, without discovering it.
    pub fn machine_at(&self, macs: SmallSet<crate::model::Mac>) -> Option<MachineId> {
        let identity = Identity {
            mac: macs,
            ..Identity::default()
        };
        match self.server.machines_with(&identity).iter().as_slice() {
            [id] => Some(*id),
            _ => None,
        }
    }

    /// Finds the machine with an address that this server assigned, by its lease or its declaration.
    pub fn machine_leased(&self, ip: IpAddr) -> Option<MachineId> {
        let IpAddr::V4(v4) = ip else {
            return None;
        };
        let leased = self.server.state.leases.get(&v4);
        match leased.and_then(|lease| lease.mac) {
            Some(mac) => self.machine_at([mac].into_iter().collect()),
            None => self.machine_at(self.mac_declared_at(ip)?),
        }
    }

    pub(crate) fn boot_record(&mut self, id: MachineId) -> &mut MachineBoot {
        self.server
            .volatile
            .progress
            .records
            .get_or_insert_with(id, MachineBoot::default)
    }
}

/// A file that a machine has requested.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// `tftp` or `http`.
    pub by: &'static str,
    pub name: String,
    /// The kind of a loader's file; none for other files.
    pub program: Option<Program>,
    /// Its size in bytes and the duration in milliseconds, or why the download failed.
    pub outcome: Result<(u64, u64), FailedFetch>,
}

/// Why a download failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedFetch {
    /// For display.
    pub reason: String,
    /// Whether the machine acknowledged nothing of what was sent.
    pub no_response: bool,
}

/// The entry in the machine's log; none for messages that are not logged.
fn dhcp_outcome(context: &ReplyContext, reply: &Result<DhcpReply, NoReply>) -> Option<DhcpOutcome> {
    Some(match reply {
        Ok(answer) => DhcpOutcome::Answer {
            kind: match answer.kind {
                ReplyType::Offer => "offer".into(),
                ReplyType::Ack => "ack".into(),
                ReplyType::Nak => "nak".into(),
            },
            address: answer.yiaddr,
            reserved: matches!(context.assignment, AddressAssignment::Reserved(_))
                && answer.yiaddr.is_some(),
            file: answer.file.clone(),
        },
        Err(
            NoReply::Off | NoReply::NotBooting | NoReply::NotNeeded | NoReply::AddressedToOther,
        ) => return None,
        Err(reason) => DhcpOutcome::Silence(reason.to_string()),
    })
}
