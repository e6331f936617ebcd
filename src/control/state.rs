//! The state of the server: the fold of the journal with its indexes, and what is kept in memory only.
//!
//! What is kept in memory only is lost when the server stops. Every use of it is safe without it: at worst, a
//! machine boots its local disk once more.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    net::Ipv4Addr,
};

use super::{
    install::{
        seal::SealAuthority,
        token::{TokenKey, UrlToken},
    },
    undeclared::{undeclared, undeclared_since},
    volatile::VolatileState,
};
use crate::{
    journal::{
        AttemptId, Event, JournalLine, JournalState, LeaseEvent, Machine, MachineEvent, MachineId,
        SiteEvent,
    },
    model::{
        Asset, Identity, Mac, MonotonicTime, NodeName, Now, Revision, Serial, SmallSet, Timestamp,
        Uuid,
    },
};

/// Everything that decisions depend on besides the site.
#[derive(Debug, Clone)]
pub struct ServerState {
    /// The fold of the journal.
    pub state: JournalState,
    pub(crate) index: MachineIndex,
    pub(crate) volatile: VolatileState,
    /// What makes and checks seals; none for a site without an id.
    pub(crate) seals: Option<SealAuthority>,
}

/// The machines by identity, name and token.
#[derive(Debug, Clone)]
pub(crate) struct MachineIndex {
    key: TokenKey,
    pub(crate) mac: HashMap<Mac, SmallSet<MachineId>>,
    pub(crate) serial: HashMap<Serial, SmallSet<MachineId>>,
    pub(crate) uuid: HashMap<Uuid, SmallSet<MachineId>>,
    pub(crate) asset: HashMap<Asset, SmallSet<MachineId>>,
    pub(crate) name: HashMap<NodeName, SmallSet<MachineId>>,
    pub(crate) token: HashMap<UrlToken, AttemptId>,
    /// The tokens of boot scripts that try the disk first.
    pub(crate) no_disk: HashMap<UrlToken, AttemptId>,
    /// Machines that may run the microkernel: all undeclared or not installed ones, and those that got it as a boot
    /// answer.
    check_in: HashMap<UrlToken, MachineId>,
    pub(crate) lease: HashMap<Mac, SmallSet<Ipv4Addr>>,
    /// The machines that may be removed at the limit, by the time of their last event.
    pub(crate) undeclared: BTreeSet<(Timestamp, MachineId)>,
}

/// What is kept in memory about an open attempt.
struct AttemptAge {
    of: AttemptId,
    since: MonotonicTime,
    rendered: Option<Revision>,
}

impl ServerState {
    /// Builds the indexes of `state`. `seed` is random; `now` is the time of the start.
    pub fn new(mut state: JournalState, key: TokenKey, seed: u64, now: Now) -> Self {
        // A checkpoint of an earlier version may have more facts than the limit.
        let machines = state.machines.values_mut();
        machines.for_each(|machine| drop(machine.facts.limit()));
        let mut index = MachineIndex {
            key,
            mac: HashMap::new(),
            serial: HashMap::new(),
            uuid: HashMap::new(),
            asset: HashMap::new(),
            name: HashMap::new(),
            token: HashMap::new(),
            no_disk: HashMap::new(),
            check_in: HashMap::new(),
            lease: HashMap::new(),
            undeclared: undeclared(&state),
        };
        for (address, lease) in &state.leases {
            index.lease(*address, lease.mac);
        }
        let mut volatile = VolatileState::new(seed);
        for machine in state.machines.values() {
            index.add(machine);
            if let Some(attempt) = machine.open() {
                volatile
                    .attempts
                    .since
                    .insert(machine.id, now.earlier(attempt.opened));
            }
        }
        // The token of a merged machine belongs to the machine that it was merged into.
        for merged in state.merged.keys() {
            let token = index.key.check_in(*merged);
            index.check_in.insert(token, *merged);
        }
        let times = |opened: &[Timestamp]| opened.iter().map(|at| now.earlier(*at)).collect();
        volatile.attempts.opened = times(&state.opened);
        volatile.attempts.opened_undeclared = times(&state.opened_undeclared);
        ServerState {
            state,
            index,
            volatile,
            seals: None,
        }
    }

    /// Makes and checks seals.
    pub fn with_seals(self, authority: SealAuthority) -> Self {
        ServerState {
            seals: Some(authority),
            ..self
        }
    }

    /// Applies a line to the fold and to the indexes.
    pub(crate) fn apply(&mut self, line: &JournalLine, now: Now) {
        let event = line.event.machine();
        let id = line.machine.map(|id| self.state.resolve(id));
        let merged = matches!(event, Some(MachineEvent::Merged { .. }));
        let merged_age = id.filter(|_| merged).and_then(|id| self.attempt_age(id));
        if let (Some(id), Some(event)) = (id, event) {
            self.unindex_machine(id, event);
        }
        self.index_lease(line);
        let name = id.and_then(|id| self.state.machines.get(id)?.node.clone());
        let into = match event {
            Some(MachineEvent::Merged { into }) => Some(self.state.resolve(*into)),
            _ => None,
        };
        let concerned = [id, into];
        for machine in concerned.iter().flatten() {
            let undeclared = self.state.machines.get(*machine);
            let undeclared = undeclared.and_then(|machine| undeclared_since(machine));
            undeclared.map(|ids| self.index.undeclared.remove(&ids));
        }
        self.state.apply(line);
        for machine in concerned.iter().flatten() {
            let undeclared = self.state.machines.get(*machine);
            let undeclared = undeclared.and_then(|machine| undeclared_since(machine));
            self.index.undeclared.extend(undeclared);
        }
        if matches!(line.event, Event::Site(SiteEvent::StateDeclared { .. })) {
            // The event ends holds of all machines.
            self.index.undeclared = undeclared(&self.state);
        }
        let Some(machine) = line.machine.and_then(|id| self.state.machine(id)) else {
            return;
        };
        if let Some(age) =
            merged_age.filter(|age| machine.open().map(|open| open.id) == Some(age.of))
        {
            self.volatile.attempts.since.insert(machine.id, age.since);
            self.volatile
                .attempts
                .rendered
                .insert(machine.id, age.rendered);
        }
        match event {
            Some(MachineEvent::Seen { .. } | MachineEvent::Merged { .. }) => {
                self.index.add(machine)
            }
            Some(MachineEvent::Named { .. }) => {
                self.index.rename(machine, name.as_ref());
                self.index.add(machine);
            }
            Some(MachineEvent::Attempt { attempt, .. }) => {
                let id = AttemptId {
                    machine: machine.id,
                    number: *attempt,
                };
                self.index_attempt(id, line.revision.as_ref(), now);
            }
            // Other events do not change the indexes.
            _ => {}
        }
    }

    /// Removes a machine that is merged into another one, or forgotten, from the indexes.
    fn unindex_machine(&mut self, id: MachineId, event: &MachineEvent) {
        let is_forgotten = matches!(event, MachineEvent::Forgotten { .. });
        if !is_forgotten && !matches!(event, MachineEvent::Merged { .. }) {
            return;
        }
        let Some(machine) = self.state.machines.get(id) else {
            return;
        };
        self.index.remove(machine);
        if is_forgotten {
            // The token of a forgotten machine is no longer valid.
            let token = self.index.key.check_in(id);
            self.index.check_in.remove(&token);
        }
        self.volatile.forget(id);
    }

    fn index_attempt(&mut self, id: AttemptId, revision: Option<&Revision>, now: Now) {
        self.index.token.insert(self.index.key.token(id), id);
        self.index.no_disk.insert(self.index.key.no_disk(id), id);
        self.volatile.microkernels.rebooting.remove(&id.machine);
        let attempts = &mut self.volatile.attempts;
        attempts.since.insert(id.machine, now.mono);
        attempts.rendered.insert(id.machine, revision.cloned());
        let machine = self.state.machine(id.machine);
        match machine.is_some_and(|machine| machine.node.is_some()) {
            true => attempts.opened.push_back(now.mono),
            false => attempts.opened_undeclared.push_back(now.mono),
        }
    }

    fn index_lease(&mut self, line: &JournalLine) {
        let (address, mac) = match &line.event {
            Event::Lease(LeaseEvent::Granted { address, mac, .. }) => (*address, *mac),
            Event::Lease(LeaseEvent::Ended { address }) => (*address, None),
            _ => return,
        };
        let before = self.state.leases.get(&address);
        if let Some(before) = before.and_then(|lease| lease.mac)
            && let Some(ids) = self.index.lease.get_mut(&before)
        {
            ids.retain(|ip| *ip != address);
            if ids.is_empty() {
                self.index.lease.remove(&before);
            }
        }
        self.index.lease(address, mac);
    }

    /// The data of a machine's open attempt, which may continue after the machine is merged into another one.
    fn attempt_age(&self, id: MachineId) -> Option<AttemptAge> {
        let of = self.state.machine(id)?.open()?.id;
        Some(AttemptAge {
            of,
            since: *self.volatile.attempts.since.get(id)?,
            rendered: self.volatile.attempts.rendered.get(id).cloned().flatten(),
        })
    }

    /// Returns the machines with any of these identities.
    pub(crate) fn machines_with(&self, identity: &Identity) -> SmallSet<MachineId> {
        let by_mac = find(&self.index.mac, &identity.mac);
        let by_serial = find(&self.index.serial, &identity.serial);
        let by_uuid = find(&self.index.uuid, &identity.uuid);
        let by_asset = find(&self.index.asset, &identity.asset);
        let all = by_mac.chain(by_serial).chain(by_uuid).chain(by_asset);
        all.copied().collect()
    }

    /// Returns the token with which a boot script reports that the disk of an attempt does not boot.
    pub fn no_disk_token(&self, attempt: AttemptId) -> UrlToken {
        self.index.key.no_disk(attempt)
    }

    /// Returns the token of an attempt.
    pub fn token(&self, attempt: AttemptId) -> UrlToken {
        self.index.key.token(attempt)
    }

    /// Allows a machine to check in, and returns its token.
    pub(crate) fn admit(&mut self, machine: MachineId) -> UrlToken {
        let token = self.index.key.check_in(machine);
        self.index.check_in.insert(token, machine);
        token
    }

    /// Returns the machine with a check-in token.
    pub(crate) fn machine_of_check_in(&self, token: UrlToken) -> Option<MachineId> {
        let id = self.state.resolve(*self.index.check_in.get(&token)?);
        self.state.machines.contains(id).then_some(id)
    }

    /// Returns a new machine id.
    pub(crate) fn new_machine_id(&mut self) -> MachineId {
        loop {
            // SplitMix64: the ids must differ, but need not be secret.
            self.volatile.seed = self.volatile.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.volatile.seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let id = MachineId(z ^ (z >> 31));
            if !self.state.machines.contains(id) && !self.state.merged.contains_key(&id) {
                return id;
            }
        }
    }
}

impl MachineIndex {
    fn add(&mut self, machine: &Machine) {
        let id = machine.id;
        let identity = &machine.identity;
        for mac in &identity.mac {
            self.mac.entry(*mac).or_default().insert(id);
        }
        for serial in &identity.serial {
            self.serial.entry(serial.clone()).or_default().insert(id);
        }
        for uuid in &identity.uuid {
            self.uuid.entry(uuid.clone()).or_default().insert(id);
        }
        for asset in &identity.asset {
            self.asset.entry(asset.clone()).or_default().insert(id);
        }
        self.rename(machine, None);
        // A machine that was adopted may still wait in the microkernel.
        if machine.node.is_none() || !machine.installed {
            self.check_in.insert(self.key.check_in(id), id);
        }
        // Ended attempts too: the machine of an expired token is still found.
        let own = (1..=machine.opened).map(|number| AttemptId {
            machine: id,
            number,
        });
        for attempt in own.chain(machine.attempts.iter().map(|attempt| attempt.id)) {
            self.token.insert(self.key.token(attempt), attempt);
            self.no_disk.insert(self.key.no_disk(attempt), attempt);
        }
    }

    fn lease(&mut self, address: Ipv4Addr, mac: Option<Mac>) {
        if let Some(mac) = mac {
            self.lease.entry(mac).or_default().insert(address);
        }
    }

    fn rename(&mut self, machine: &Machine, before: Option<&NodeName>) {
        if let Some(before) = before {
            take(&mut self.name, before, machine.id);
        }
        if let Some(name) = &machine.node {
            self.name
                .entry(name.clone())
                .or_default()
                .insert(machine.id);
        }
    }

    fn remove(&mut self, machine: &Machine) {
        let id = machine.id;
        let identity = &machine.identity;
        identity
            .mac
            .iter()
            .for_each(|key| take(&mut self.mac, key, id));
        identity
            .serial
            .iter()
            .for_each(|key| take(&mut self.serial, key, id));
        identity
            .uuid
            .iter()
            .for_each(|key| take(&mut self.uuid, key, id));
        identity
            .asset
            .iter()
            .for_each(|key| take(&mut self.asset, key, id));
        machine
            .node
            .iter()
            .for_each(|key| take(&mut self.name, key, id));
    }
}

fn find<'a, K: Eq + Hash>(
    map: &'a HashMap<K, SmallSet<MachineId>>,
    keys: &'a SmallSet<K>,
) -> impl Iterator<Item = &'a MachineId> {
    keys.iter().filter_map(|key| map.get(key)).flatten()
}

fn take<K: Eq + Hash>(map: &mut HashMap<K, SmallSet<MachineId>>, key: &K, id: MachineId) {
    if let Some(ids) = map.get_mut(key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}
