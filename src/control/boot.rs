//! What a network boot is answered with.
//!
//! Booting never advances a machine: it opens an attempt or repeats one, and only what the machine then
//! reads and reports moves it on.

use std::{net::IpAddr, time::Duration};

use super::{Bound, Layers, Turn, Unbound, who::Who, world::LatestBoot};
use crate::{
    journal::{AttemptId, Event, Given, HoldCause, Machine, MachineId},
    matcher::Verdict,
    model::{
        Arch, Facts, LocalBoot, Mac, NetworkName, Node, Platform, PolicyName, RepoName, TaskName,
        Unknown,
    },
};

/// What a machine says of itself when it boots from the network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Report {
    /// The card it boots from first.
    pub macs: Vec<Mac>,
    /// SMBIOS type 1.
    pub serial: Option<String>,
    /// SMBIOS type 1.
    pub uuid: Option<String>,
    /// SMBIOS type 3.
    pub asset: Option<String>,
    /// SMBIOS type 1.
    pub manufacturer: Option<String>,
    /// SMBIOS type 1.
    pub product: Option<String>,
    /// Its firmware.
    pub platform: Option<Platform>,
    /// Its processor.
    pub arch: Option<Arch>,
}

/// A network boot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct BootAsk {
    /// What the machine says of itself.
    pub report: Report,
    /// The random number that its entry script carries on.
    pub boot: Option<String>,
    /// The network whose subnet holds the address of ours that was asked.
    pub network: Option<NetworkName>,
    /// What could not be read and was dropped.
    pub dropped: Vec<String>,
    /// Why the machine is not taken for who it says it is, if so: its card is not confirmed.
    pub unconfirmed: Option<String>,
}

/// What a network boot is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Decision {
    /// The machine's own disk.
    Disk(Disk),
    /// A script that asks again, with the reason.
    Wait(String),
    /// The microkernel.
    Microkernel,
    /// The script of a task that installs nothing.
    Script(MachineId, TaskName),
    /// The installer of an attempt that is open and of which nothing was read yet. The site may have changed
    /// since its documents were rendered.
    Repeat {
        /// The machine.
        machine: MachineId,
        /// Its attempt.
        attempt: AttemptId,
        /// Whether the documents are to be rendered again.
        is_stale: bool,
    },
    /// The installer of an attempt that is to be opened once its documents are rendered and kept.
    Open(Opening),
}

/// How a machine is sent to its disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Disk {
    /// How, as its settings say.
    pub how: LocalBoot,
    /// Its firmware, if it said.
    pub platform: Option<Platform>,
    /// What its screen says; none when there is nothing to say.
    pub reason: Option<String>,
    /// The attempt to which the script reports that the disk did not boot.
    pub report_to: Option<AttemptId>,
}

/// An attempt that is to be opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Opening {
    /// The machine.
    pub machine: MachineId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The node's `installs`.
    pub installs: u32,
    /// What installs.
    pub task: TaskName,
    /// From where.
    pub repo: Option<RepoName>,
    /// The policy.
    pub policy: Option<PolicyName>,
    /// The address from the network's pool.
    pub address: Option<IpAddr>,
    /// Its firmware, if it said.
    pub platform: Option<Platform>,
    /// How it would be sent to its disk.
    pub how: LocalBoot,
}

/// For how long requests that carry no number are the same boot.
const SAME_BOOT: Duration = Duration::from_secs(60);

/// For how long an attempt's documents are served.
pub(crate) const DOCUMENTS_LIVE: Duration = Duration::from_secs(24 * 3_600);

impl Turn<'_> {
    /// Decides a network boot. An [`Decision::Open`] is completed by [`Turn::opened`] or [`Turn::not_opened`].
    pub fn boot(&mut self, ask: &BootAsk) -> Decision {
        if self.is_ignored(ask) {
            return disk(ask, LocalBoot::Auto, None);
        }
        if let Some(reason) = &ask.unconfirmed {
            return self.refuse_unconfirmed(ask, reason);
        }
        let (id, node) = match self.identify(&ask.report) {
            Who::Nobody => {
                return disk(
                    ask,
                    LocalBoot::Auto,
                    Some("no identity was reported".into()),
                );
            }
            Who::Doubt(id, reason) => return self.doubtful(ask, id, reason),
            Who::Machine(id, node) => (id, node),
        };
        self.take_facts(id, ask);
        if let Some(same) = self.same_boot(id, ask) {
            return same;
        }
        let decision = self.decide(id, node.as_deref(), ask);
        if let Some(given) = given(&decision) {
            self.record(
                id,
                Event::Boot {
                    platform: ask.report.platform,
                    given,
                },
            );
        }
        self.remember(id, ask, &decision);
        decision
    }

    /// Opens the attempt: its documents are rendered and kept.
    pub fn opened(&mut self, opening: &Opening) {
        let id = opening.machine;
        let binding = self.machine(id).binding.as_ref();
        let same = binding
            .is_some_and(|has| has.policy == opening.policy && has.address == opening.address);
        if !same {
            self.record(
                id,
                Event::Bound {
                    policy: opening.policy.clone(),
                    address: opening.address,
                },
            );
        }
        self.record(
            id,
            Event::Attempt {
                attempt: opening.attempt.number,
                installs: opening.installs,
                task: opening.task.clone(),
                repo: opening.repo.clone(),
            },
        );
        self.world.run.disk_tried.remove(&id);
        let given = Given::Installer(opening.attempt.number);
        self.record(
            id,
            Event::Boot {
                platform: opening.platform,
                given,
            },
        );
        if let Some(latest) = self.world.run.boots.get_mut(&id) {
            latest.decision = Decision::Repeat {
                machine: id,
                attempt: opening.attempt,
                is_stale: false,
            };
        }
    }

    /// Does not open the attempt: its documents could not be rendered or kept.
    pub fn not_opened(&mut self, opening: &Opening, reason: String) -> Decision {
        let id = opening.machine;
        self.record(
            id,
            Event::Unrendered {
                reason: reason.clone(),
            },
        );
        let decision = Decision::Disk(Disk {
            how: opening.how,
            platform: opening.platform,
            reason: Some("its installation cannot be prepared; see the server's log".into()),
            report_to: None,
        });
        self.record(
            id,
            Event::Boot {
                platform: opening.platform,
                given: Given::Disk(reason),
            },
        );
        // The next request may find it mended.
        self.world.run.boots.remove(&id);
        decision
    }

    /// Notes that the documents of an attempt of which nothing was read were rendered again.
    pub fn refreshed(&mut self, machine: MachineId) {
        self.world
            .run
            .rendered
            .insert(machine, self.snapshot.site.revision.clone());
    }

    /// On a network that ignores strangers, a stranger leaves no trace.
    fn is_ignored(&self, ask: &BootAsk) -> bool {
        let identity = ask.report.identity();
        let network = ask
            .network
            .as_ref()
            .and_then(|name| self.snapshot.site.networks.get(name));
        let ignores = network.and_then(|network| network.body.unknown.as_ref());
        ignores.is_some_and(|unknown| unknown.value == Unknown::Ignore)
            && self.is_strange(&identity)
            && self.world.bearing(&identity).is_empty()
    }

    fn is_strange(&self, identity: &crate::model::Identity) -> bool {
        let declared = &self.snapshot.site.identities;
        !identity
            .mac
            .iter()
            .any(|mac| declared.mac.contains_key(mac))
            && !identity
                .serial
                .iter()
                .any(|serial| declared.serial.contains_key(serial))
            && !identity
                .uuid
                .iter()
                .any(|uuid| declared.uuid.contains_key(uuid))
            && !identity
                .asset
                .iter()
                .any(|asset| declared.asset.contains_key(asset))
    }

    fn doubtful(&mut self, ask: &BootAsk, id: Option<MachineId>, reason: String) -> Decision {
        let reason = format!("held: {reason}");
        if let Some(id) = id {
            let given = Given::Disk(reason.clone());
            self.record(
                id,
                Event::Boot {
                    platform: ask.report.platform,
                    given,
                },
            );
        }
        disk(ask, LocalBoot::Auto, Some(reason))
    }

    /// What iPXE says of the machine are facts like any others.
    fn take_facts(&mut self, id: MachineId, ask: &BootAsk) {
        let report = &ask.report;
        let reported = Facts {
            manufacturer: report.manufacturer.clone(),
            product: report.product.clone(),
            serial: report.serial.clone(),
            uuid: report.uuid.clone(),
            asset: report.asset.clone(),
            firmware: report.platform,
            ..Facts::default()
        };
        let known = &self.machine(id).facts;
        let mut merged = known.clone();
        merged.update(reported.clone());
        if merged != *known {
            self.record(
                id,
                Event::Facts {
                    facts: Box::new(reported),
                },
            );
        }
        for what in &ask.dropped {
            self.record(id, Event::Dropped { what: what.clone() });
        }
    }

    /// Requests with the same number, or without one shortly after another, are one boot and get one answer.
    fn same_boot(&mut self, id: MachineId, ask: &BootAsk) -> Option<Decision> {
        let now = self.now.mono;
        let latest = self.world.run.boots.get_mut(&id)?;
        let same = match (&latest.id, &ask.boot) {
            (Some(a), Some(b)) => a == b,
            (_, None) => now.since(latest.at) <= SAME_BOOT,
            (None, Some(_)) => false,
        };
        if !same {
            return None;
        }
        latest.at = now;
        let decision = latest.decision.clone();
        let holds = match &decision {
            Decision::Repeat {
                machine, attempt, ..
            } => self.may_repeat(*machine, *attempt),
            Decision::Open(_) | Decision::Wait(_) => false,
            Decision::Disk(_) | Decision::Microkernel | Decision::Script(..) => true,
        };
        holds.then_some(decision)
    }

    fn may_repeat(&self, id: MachineId, attempt: AttemptId) -> bool {
        let machine = self.machine(id);
        let open = machine.open().filter(|open| open.id == attempt);
        let fresh = open.is_some_and(|open| !open.is_begun() && open.failed.is_none());
        fresh
            && machine.holds.is_empty()
            && !self.world.state.paused
            && self.obstacle(id, self.node_of(id).as_deref()).is_none()
    }

    fn remember(&mut self, id: MachineId, ask: &BootAsk, decision: &Decision) {
        if matches!(decision, Decision::Wait(_)) {
            self.world.run.boots.remove(&id);
            return;
        }
        let latest = LatestBoot {
            id: ask.boot.clone(),
            at: self.now.mono,
            decision: decision.clone(),
        };
        self.world.run.boots.insert(id, latest);
    }

    fn decide(&mut self, id: MachineId, node: Option<&Node>, ask: &BootAsk) -> Decision {
        let how = self.local_boot(id, node);
        if let Some(reason) = self.obstacle(id, node) {
            return disk(ask, how, Some(reason));
        }
        self.ask_expectation_again(id, node);
        if let Some(reason) = self.machine(id).holds.values().next() {
            return disk(ask, how, Some(format!("held: {reason}")));
        }
        let machine = self.machine(id);
        match machine.open() {
            Some(attempt) if attempt.failed.is_some() => self.next_attempt(id, node, ask, how),
            Some(attempt) if attempt.is_begun() => self.disk_first(id, node, ask, how),
            Some(_) => self.repeat(id, node, ask, how),
            None if is_due(machine, node) => self.open(id, node, ask, how),
            None => disk(ask, how, None),
        }
    }

    /// What keeps installers from a machine whatever its state.
    pub(crate) fn obstacle(&self, id: MachineId, node: Option<&Node>) -> Option<String> {
        let machine = self.machine(id);
        if let Some(lost) = &self.world.state.lost {
            return Some(format!("held: {lost}"));
        }
        if node.is_some_and(|node| installs(Some(node)) == 0) {
            return Some("protected: its `installs` is 0".into());
        }
        let orphaned = node.is_none() && machine.node.is_some() && machine.opened > 0;
        orphaned.then(|| "protected: its declaration is gone".into())
    }

    /// Hands the same attempt out again, unless what it was opened for is no longer what would be done.
    fn repeat(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        ask: &BootAsk,
        how: LocalBoot,
    ) -> Decision {
        if self.world.state.paused {
            return disk(ask, how, Some(PAUSED.into()));
        }
        let machine = self.machine(id);
        let attempt = machine.open().expect("an open attempt is repeated");
        let (number, attempt_id) = (attempt.number, attempt.id);
        let (task, repo) = (attempt.task.clone(), attempt.repo.clone());
        let policy = machine
            .binding
            .as_ref()
            .and_then(|binding| binding.policy.clone());
        let opened = self.world.run.since.get(&id).copied().unwrap_or_default();
        let reason = match self.binding(id, node) {
            _ if self.now.mono.since(opened) >= DOCUMENTS_LIVE => "nothing was read for 24 hours",
            Ok(bound) => {
                let name = bound
                    .policy
                    .as_ref()
                    .map(|policy| policy.name.value.clone());
                if bound.task == task && bound.repo == repo && name == policy {
                    let rendered = self.world.run.rendered.get(&id);
                    let is_stale = rendered != Some(&self.snapshot.site.revision);
                    return Decision::Repeat {
                        machine: id,
                        attempt: attempt_id,
                        is_stale,
                    };
                }
                "its binding changed before anything was read"
            }
            Err(_) => "nothing binds it any more",
        };
        self.record(
            id,
            Event::Closed {
                attempt: number,
                reason: reason.into(),
            },
        );
        if is_due(self.machine(id), node) {
            self.open(id, node, ask, how)
        } else {
            disk(ask, how, None)
        }
    }

    /// Opens an attempt, if everything that must be so is.
    pub(crate) fn open(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        ask: &BootAsk,
        how: LocalBoot,
    ) -> Decision {
        let bound = match self.binding(id, node) {
            Ok(bound) => bound,
            Err(unbound) => return self.unbound(ask, how, node, &unbound),
        };
        let traits = self.snapshot.tasks.get(&bound.task);
        match traits {
            None => return disk(ask, how, Some(format!("there is no task `{}`", bound.task))),
            Some(traits) if !traits.installs => return Decision::Script(id, bound.task),
            Some(_) => {}
        }
        if self.world.state.paused {
            return disk(ask, how, Some(PAUSED.into()));
        }
        if let Some(reason) = self.unmet(id, node, &bound) {
            self.hold(id, HoldCause::Expect, &reason);
            return disk(ask, how, Some(format!("held: {reason}")));
        }
        if let Some(reason) = self.over_limit() {
            return Decision::Wait(reason);
        }
        Decision::Open(Opening {
            machine: id,
            attempt: AttemptId {
                machine: id,
                number: self.machine(id).opened + 1,
            },
            installs: installs(node),
            address: self.pooled(id, node, &bound),
            policy: bound
                .policy
                .as_ref()
                .map(|policy| policy.name.value.clone()),
            task: bound.task,
            repo: bound.repo,
            platform: ask.report.platform,
            how,
        })
    }

    fn unbound(
        &self,
        ask: &BootAsk,
        how: LocalBoot,
        node: Option<&Node>,
        unbound: &Unbound,
    ) -> Decision {
        let network = ask
            .network
            .as_ref()
            .and_then(|name| self.snapshot.site.networks.get(name));
        let unknown = network.and_then(|network| network.body.unknown.as_ref());
        let discovers = unknown.is_some_and(|unknown| unknown.value == Unknown::Discover);
        match unbound {
            Unbound::NoPolicy(_) if discovers => Decision::Microkernel,
            Unbound::NoPolicy(_) if node.is_none() => disk(ask, how, None),
            Unbound::NoPolicy(_) => disk(ask, how, Some("no policy binds it".into())),
            Unbound::Named(policy, misfit) => {
                disk(ask, how, Some(format!("policy {policy}: {misfit}")))
            }
            Unbound::NoTask => disk(ask, how, Some("nothing says which task installs it".into())),
        }
    }

    /// What is expected before anything is wiped, when it does not hold.
    fn unmet(&mut self, id: MachineId, node: Option<&Node>, bound: &Bound) -> Option<String> {
        let layers = Layers::new(&self.snapshot.site, node, bound.policy.as_deref());
        let expect = layers.get(|settings| settings.expect.as_ref())?.clone();
        let tags = self.tags(id, node);
        match self
            .snapshot
            .rules
            .policy(&expect, &self.machine(id).facts, &tags)
        {
            Verdict::Yes => None,
            Verdict::No => Some(format!("`{expect}` does not hold")),
            Verdict::Unknown(reason) => Some(format!("`{expect}` is unknown: {reason}")),
        }
    }

    /// An expectation that holds by now releases by itself.
    fn ask_expectation_again(&mut self, id: MachineId, node: Option<&Node>) {
        if !self.machine(id).holds.contains_key(&HoldCause::Expect) {
            return;
        }
        if let Ok(bound) = self.binding(id, node)
            && self.unmet(id, node, &bound).is_none()
        {
            self.end_hold(id, HoldCause::Expect);
        }
    }

    fn over_limit(&mut self) -> Option<String> {
        let limit = self
            .snapshot
            .site
            .config
            .limits
            .installs_per_hour
            .as_ref()
            .map_or(10, |limit| limit.value);
        let (now, opened) = (self.now.mono, &mut self.world.run.opened);
        while opened
            .front()
            .is_some_and(|at| now.since(*at) >= Duration::from_secs(3_600))
        {
            opened.pop_front();
        }
        let full = opened.len() >= limit as usize;
        full.then(|| {
            format!("{limit} installations were begun within the hour (`installs-per-hour`)")
        })
    }

    fn local_boot(&self, id: MachineId, node: Option<&Node>) -> LocalBoot {
        let binding = self.machine(id).binding.as_ref();
        let policy =
            binding.and_then(|binding| self.snapshot.site.policies.get(binding.policy.as_ref()?));
        let named = node.and_then(|node| {
            self.snapshot
                .site
                .policies
                .get(&node.body.policy.as_ref()?.value)
        });
        let layers = Layers::new(
            &self.snapshot.site,
            node,
            named.or(policy).map(|policy| &**policy),
        );
        layers
            .get(|settings| settings.local_boot.as_ref())
            .copied()
            .unwrap_or(LocalBoot::Auto)
    }
}

const PAUSED: &str = "paused: no installer is handed out until `bootwright resume`";

/// Tells whether an installation is due.
pub(crate) fn is_due(machine: &Machine, node: Option<&Node>) -> bool {
    machine.reinstall || installs(node) > machine.done
}

/// A node's `installs`; an undeclared machine is installed once.
pub(crate) fn installs(node: Option<&Node>) -> u32 {
    node.and_then(|node| node.body.installs.as_ref())
        .map_or(1, |installs| installs.value)
}

pub(crate) fn disk(ask: &BootAsk, how: LocalBoot, reason: Option<String>) -> Decision {
    Decision::Disk(Disk {
        how,
        platform: ask.report.platform,
        reason,
        report_to: None,
    })
}

/// What the log says a boot was given; an attempt that is yet to be opened is told of when it is.
fn given(decision: &Decision) -> Option<Given> {
    Some(match decision {
        Decision::Disk(disk) => Given::Disk(
            disk.reason
                .clone()
                .unwrap_or_else(|| "nothing is due".into()),
        ),
        Decision::Wait(reason) => Given::Wait(reason.clone()),
        Decision::Microkernel => Given::Microkernel,
        Decision::Script(_, task) => Given::Script(task.clone()),
        Decision::Repeat { attempt, .. } => Given::Installer(attempt.number),
        Decision::Open(_) => return None,
    })
}
