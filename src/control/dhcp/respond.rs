//! DHCP: who asks, which address it has, what it boots; and what is remembered of it.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use crate::control::{
    Bound, Decision, NetworkBoot, Report, SettingLayers, Transaction, dhcp::lease,
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
    journal::{DhcpOutcome, Event, MachineId},
    model::{BootProgram, DhcpMode, Identity, LocalBoot, Network, RepoName, SmallSet},
    render::boot::mboot,
};

/// The same line is not written to a log again within this time.
const SAME_LINE: Duration = Duration::from_secs(60);
/// An unanswered DISCOVER counts as a network boot at most this often.
const SILENT_BOOT: Duration = Duration::from_secs(180);

/// A DHCP question, and where it arrived.
#[derive(Debug, Clone)]
pub struct ReceivedQuery {
    /// The question.
    pub query: DhcpMessage,
    /// The port.
    pub door: DhcpPort,
    /// Our address on the interface that it arrived at, or the one that the relay reached.
    pub us: Ipv4Addr,
    /// The server's URL as the machine reaches it.
    pub base: String,
    /// Another server that answers on this network.
    pub other: Option<Ipv4Addr>,
}

impl Transaction<'_> {
    /// Answers a DHCP question, or says why not. What rests on a lease waits for the turn's ticket.
    pub fn dhcp(
        &mut self,
        ask: &ReceivedQuery,
        has: &dyn Fn(&str) -> bool,
    ) -> Result<DhcpReply, NoReply> {
        let snapshot = self.snapshot;
        let at = ask.query.giaddr.unwrap_or(ask.us);
        let network = snapshot.network_at(at.into()).ok_or(NoReply::Off)?;
        let mode = network
            .body
            .dhcp
            .as_ref()
            .map_or(DhcpMode::Off, |at| at.value);
        let terms = lease::terms(network, at).filter(|_| mode != DhcpMode::Off);
        let terms = terms.ok_or(NoReply::Off)?;
        let requester = self.requester(ask, network);
        let held = match mode {
            DhcpMode::Reserve | DhcpMode::Server => self.held(&ask.query, network, &requester),
            DhcpMode::Proxy | DhcpMode::Off => AddressAssignment::None,
        };
        let boot = self.boot_of(ask, network, &requester, has);
        let ground = ReplyContext {
            port: ask.door,
            mode,
            server_ip: ask.us,
            options: terms,
            declared: requester.node.is_some(),
            assignment: held,
            boot,
            other_server: ask.other,
        };
        let decided = decide(&ask.query, &ground);
        self.take_note(ask, network, &ground, &decided);
        if let Some(id) = requester.id {
            self.log_dhcp(id, ask, &ground, &decided);
            self.observe_dhcp(id, ask, &ground, &decided);
        }
        decided
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
        if node.is_none() && requester.doubt.is_none() && !self.is_taken(requester.id, network) {
            return Err(NoReply::Unknown);
        }
        let bound = requester.id.and_then(|id| self.binding(id, node).ok());
        let policy = requester
            .id
            .and_then(|id| self.policy_of(id, bound.as_ref()));
        let layers = SettingLayers::new(&self.snapshot.site, node, policy.as_deref());
        let of_network = network.body.loader.as_ref().map(|at| at.value.as_str());
        let own = layers.get(|settings| settings.loader.as_deref());
        let secure = layers.get(|settings| settings.secure_boot.as_deref());
        let repo = requester
            .id
            .and_then(|id| self.repo_of_mboot(id, bound.as_ref()));
        let path = repo.map(|repo| mboot::loader_path(repo.as_str()));
        let mut preference = LoaderPreference {
            loader: own.map(String::as_str).or(of_network),
            secure_boot: secure.copied().unwrap_or(false),
            mboot: path.as_deref(),
            ..LoaderPreference::default()
        };
        let cannot_wait = preference.mboot_path(ask.query.client).is_some();
        if let Some(id) = requester.id
            && (cannot_wait || self.local_boot(id, node) == LocalBoot::Silent)
            && self.boots_by_silence(id, ask, cannot_wait)
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

    /// The repo of a machine whose installer ESXi's own loader may start.
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

    /// Whether a machine is sent to its disk by no answer at all, since its `local-boot` is silent, or since it would start
    /// a loader that can neither wait nor reliably leave. That counts as a network boot, at most once in three minutes.
    fn boots_by_silence(&mut self, id: MachineId, ask: &ReceivedQuery, cannot_wait: bool) -> bool {
        let record = self.server.volatile.progress.records.get(id);
        if let Some((at, to_disk)) = record.and_then(|record| record.silent)
            && self.now.mono.since(at) < SILENT_BOOT
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
        self.boot_record(id).silent = Some((now, to_disk));
        // What the machine then asks for is a boot of its own.
        self.server.volatile.boots.latest.remove(id);
        to_disk
    }

    /// Leases, and other servers that a client's message tells of.
    fn take_note(
        &mut self,
        ask: &ReceivedQuery,
        network: &Network,
        ground: &ReplyContext,
        decided: &Result<DhcpReply, NoReply>,
    ) {
        let query = &ask.query;
        match (query.message_type, decided) {
            (DhcpMessageType::Decline, _)
                if ground.mode != DhcpMode::Proxy
                    && query.server.is_none_or(|server| server == ask.us) =>
            {
                self.declined(query, network);
            }
            (DhcpMessageType::Release, _) if ground.mode == DhcpMode::Server => {
                self.released(query)
            }
            (_, Ok(answer)) if ground.mode == DhcpMode::Server => {
                let ours = !matches!(ground.assignment, AddressAssignment::Reserved(_));
                match (answer.kind, answer.yiaddr.filter(|_| ours)) {
                    (ReplyType::Offer, Some(address)) => self.offer(query.mac, address),
                    (ReplyType::Ack, Some(address)) => {
                        self.lease(query.mac, address, ground.options.lease);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Writes to the machine's log what came of a question, once in a minute.
    fn log_dhcp(
        &mut self,
        id: MachineId,
        ask: &ReceivedQuery,
        ground: &ReplyContext,
        decided: &Result<DhcpReply, NoReply>,
    ) {
        let Some(given) = given(ground, decided) else {
            return;
        };
        let client = ask.query.client.to_string();
        let line = format!("{client} {given:?}");
        let now = self.now.mono;
        let record = self.boot_record(id);
        let same = record.logged.as_ref();
        let same = same.is_some_and(|(told, at)| *told == line && now.since(*at) < SAME_LINE);
        if !same {
            record.logged = Some((line, now));
            self.record(id, Event::Dhcp { client, given });
        }
    }

    /// A machine has fetched something over TFTP or HTTP, or has failed to.
    pub fn fetched(&mut self, id: MachineId, fetched: Fetched) {
        let id = self.server.state.resolve(id);
        let Fetched { name, program, .. } = fetched;
        let by = fetched.by.into();
        let is_loader = Loader::named(&name).is_some();
        let observation = match &fetched.outcome {
            // Its own way of fetching, such as GRUB's, is at work.
            Ok(_) if mboot::is_file(&name) => Some(Observation::File { bytes: 0 }),
            Ok(_) if is_loader || program.is_some() => Some(Observation::Loaded {
                file: name.clone(),
                program,
            }),
            Err(broken) if broken.no_response => Some(Observation::Unheard(name.clone())),
            Ok(_) | Err(_) => None,
        };
        let event = match fetched.outcome {
            Ok((bytes, ms)) => {
                if is_loader {
                    let record = self.boot_record(id);
                    record.fetched += 1;
                    record.loader = Some(name.clone());
                }
                Event::Fetched {
                    by,
                    name,
                    bytes,
                    ms,
                }
            }
            Err(BrokenFetch { reason, .. }) => Event::Unfetched { by, name, reason },
        };
        self.record(id, event);
        if let Some(observation) = observation {
            self.observe(id, observation);
        }
    }

    /// A machine has got on since it last asked by DHCP: when it asks again it boots anew.
    pub(crate) fn on_progress(&mut self, id: MachineId) {
        if let Some(record) = self.server.volatile.progress.records.get_mut(id) {
            record.silent = None;
        }
    }

    /// A machine has asked for its script: its loader works.
    pub(crate) fn on_script_request(&mut self, id: MachineId) {
        let Some(record) = self.server.volatile.progress.records.get_mut(id) else {
            return;
        };
        record.fetched = 0;
        if let Some(loader) = record.loader.take() {
            record.worked = Some(loader);
        }
    }

    /// Finds the machine at one of these cards, without making it known.
    pub fn machine_at(&self, cards: SmallSet<crate::model::Mac>) -> Option<MachineId> {
        let identity = Identity {
            mac: cards,
            ..Identity::default()
        };
        match self.server.machines_with(&identity).iter().as_slice() {
            [id] => Some(*id),
            _ => None,
        }
    }

    /// Finds the machine that has an address from us, by its lease or its declaration.
    pub fn machine_leased(&self, ip: IpAddr) -> Option<MachineId> {
        let IpAddr::V4(v4) = ip else {
            return None;
        };
        let leased = self.server.state.leases.get(&v4);
        match leased.and_then(|lease| lease.mac) {
            Some(card) => self.machine_at([card].into_iter().collect()),
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

/// A file that a machine has asked for.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// `tftp` or `http`.
    pub by: &'static str,
    /// The file.
    pub name: String,
    /// What it is, where that is looked at: of loaders.
    pub program: Option<Program>,
    /// Its length in bytes, and how long it took in milliseconds; or why it did not arrive.
    pub outcome: Result<(u64, u64), BrokenFetch>,
}

/// Why a file did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenFetch {
    /// For people.
    pub reason: String,
    /// Whether the machine acknowledged nothing at all of what was sent.
    pub no_response: bool,
}

/// What the log says of it; nothing of what says nothing.
fn given(ground: &ReplyContext, decided: &Result<DhcpReply, NoReply>) -> Option<DhcpOutcome> {
    Some(match decided {
        Ok(answer) => DhcpOutcome::Answer {
            kind: match answer.kind {
                ReplyType::Offer => "offer".into(),
                ReplyType::Ack => "ack".into(),
                ReplyType::Nak => "nak".into(),
            },
            address: answer.yiaddr,
            reserved: matches!(ground.assignment, AddressAssignment::Reserved(_))
                && answer.yiaddr.is_some(),
            file: answer.file.clone(),
        },
        Err(
            NoReply::Off | NoReply::NotBooting | NoReply::NotNeeded | NoReply::AddressedToOther,
        ) => return None,
        Err(silence) => DhcpOutcome::Silence(silence.to_string()),
    })
}
