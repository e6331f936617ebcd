//! Decides whether an installation may proceed.
//!
//! Every condition applies in every phase of an installation, unless [`table`] gives a reason why it does not. This is the only
//! place that decides: network boots, repeated scripts, documents and check-ins all call [`Transaction::readiness`].

mod table;

use std::{cell::OnceCell, collections::BTreeSet, net::IpAddr};

pub(crate) use table::Phase;
use table::{
    Condition,
    Effect::{Counts, Ignored, UntilRead},
    TABLE,
};

use super::{
    address_conflict::AddressConflict,
    binding::{Bound, NoAddress, Unbound},
    blocked::{Blocked, Protection},
};
use crate::{
    control::{SettingLayers, Transaction},
    journal::{Attempt, HoldCause, Machine, MachineId, installs_of},
    matcher::{self, TruthValue},
    model::{Node, RepoName},
};

/// An installation that may proceed, and what it needs.
#[derive(Debug, Clone)]
pub(crate) enum Ready {
    /// A new installation, with its pool address.
    Install {
        bound: Bound,
        address: Option<IpAddr>,
    },
    /// The task installs nothing, so the remaining conditions of an installation do not apply.
    Task(Bound),
    /// The open attempt continues.
    Attempt,
}

/// A machine in a phase, with what several conditions need.
struct InstallSubject<'a> {
    id: MachineId,
    machine: &'a Machine,
    node: Option<&'a Node>,
    phase: Phase,
    /// The attempt that is repeated or served.
    attempt: Option<&'a Attempt>,
    tags: OnceCell<matcher::TagSet>,
    bound: OnceCell<Result<Bound, Unbound>>,
    address: OnceCell<Result<Option<IpAddr>, NoAddress>>,
}

impl Transaction<'_> {
    /// Returns whether a machine's installation may proceed in a phase, or the first condition that blocks it.
    pub(crate) fn readiness(
        &self,
        id: MachineId,
        node: Option<&Node>,
        phase: Phase,
    ) -> Result<Ready, Blocked> {
        let subject = self.subject(id, node, phase);
        let attempt = subject.attempt;
        let is_begun = attempt.is_some_and(Attempt::is_begun);
        for row in &TABLE {
            let counts = match row.effects[phase as usize] {
                Counts => true,
                UntilRead(_) => !is_begun,
                Ignored(_) => false,
            };
            if counts && let Some(blocked) = self.blocked_by(row.condition, &subject) {
                return Err(blocked);
            }
            if row.condition == Condition::TaskExists && attempt.is_none() {
                let bound = self
                    .bound_of(&subject)
                    .as_ref()
                    .expect("`Bound` was checked");
                if !self.installs(bound) {
                    return Ok(Ready::Task(bound.clone()));
                }
            }
        }
        if attempt.is_some() {
            return Ok(Ready::Attempt);
        }
        let address = *self
            .address_of(&subject)
            .as_ref()
            .expect("`Address` was checked");
        let bound = subject.bound.into_inner();
        let bound = bound.and_then(Result::ok).expect("`Bound` was checked");
        Ok(Ready::Install { bound, address })
    }

    /// Like [`Transaction::readiness`], but updates holds first: a machine is held if an operator has to act, and a hold whose
    /// cause is gone ends.
    pub(crate) fn readiness_or_hold(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        phase: Phase,
    ) -> Result<Ready, Blocked> {
        self.recheck_holds(id, node, phase)?;
        // This remarks unknown tags in the machine's log.
        self.tags(id, node);
        let blocked = match self.readiness(id, node, phase) {
            Ok(ready) => return Ok(ready),
            Err(blocked) => blocked,
        };
        let cause = match &blocked {
            Blocked::Unmet { .. } => HoldCause::Expect,
            Blocked::AddressInUse { .. } => HoldCause::Address,
            Blocked::Unrecorded(_) => HoldCause::Unrecorded,
            Blocked::NameInUse { .. } => {
                self.remark_once(id, blocked.to_string());
                return Err(blocked);
            }
            _ => return Err(blocked),
        };
        let reason = blocked.to_string();
        self.hold(id, cause, &reason);
        Err(Blocked::Held { cause, reason })
    }

    /// Returns what blocks every installer of a machine, whether or not an installation is due.
    pub(crate) fn barred(&self, machine: Option<&Machine>, node: Option<&Node>) -> Option<Blocked> {
        self.state_lost()
            .or_else(|| protection(machine, node))
            .or_else(|| held(machine?))
    }

    /// Rechecks the holds that the server itself has set. Returns the reason that blocks an installation in any phase as an
    /// error.
    pub(crate) fn recheck_holds(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        phase: Phase,
    ) -> Result<(), Blocked> {
        if let Some(blocked) = self
            .state_lost()
            .or_else(|| protection(Some(self.machine(id)), node))
        {
            return Err(blocked);
        }
        self.recheck_record(id);
        self.recheck_expectation(id, node);
        // Addresses of machines in the microkernel are probed in the background: a check-in does not wait for a probe.
        if phase != Phase::CheckIn
            && let Some(addresses) = self.recheck_address(id, node)
        {
            return Err(Blocked::AddressUnprobed(addresses));
        }
        held(self.machine(id)).map_or(Ok(()), Err)
    }

    /// Returns the block of a machine of which nothing is recorded, if the state may be older than the machines.
    pub(crate) fn unrecorded(&self, machine: Option<&Machine>) -> Option<Blocked> {
        let reason = self.server.state.unrecorded.as_ref()?;
        let is_unrecorded = machine.is_none_or(Machine::is_unrecorded);
        is_unrecorded.then(|| Blocked::Unrecorded(reason.clone()))
    }

    /// Ends the hold of a machine of which nothing was recorded, if that has changed.
    fn recheck_record(&mut self, id: MachineId) {
        if self.unrecorded(Some(self.machine(id))).is_none() {
            self.end_hold(id, HoldCause::Unrecorded);
        }
    }

    fn blocked_by(&self, condition: Condition, subject: &InstallSubject<'_>) -> Option<Blocked> {
        let (machine, node) = (subject.machine, subject.node);
        match condition {
            Condition::StateKnown => self.state_lost(),
            Condition::NotProtected => protection(Some(machine), node),
            Condition::NotHeld => held(machine),
            Condition::Due => (!machine.is_due(node)).then_some(Blocked::NotDue),
            Condition::Recent => self.is_expired(subject.id).then_some(Blocked::Expired),
            Condition::Bound => match self.bound_of(subject) {
                Ok(_) => None,
                Err(reason) => Some(Blocked::Unbound {
                    reason: reason.clone(),
                    tags: self.tags_of(subject).yes.len(),
                }),
            },
            Condition::SameBinding => self.binding_changed(subject),
            Condition::TaskExists => {
                let task = &self.bound_of(subject).as_ref().ok()?.task;
                let is_missing = !self.snapshot.tasks.contains_key(task);
                is_missing.then(|| Blocked::NoSuchTask(task.clone()))
            }
            Condition::Recorded => self.unrecorded(Some(machine)),
            Condition::NotPaused => self.server.state.paused.then_some(Blocked::Paused),
            Condition::Expected => self.unmet(subject),
            Condition::Address => {
                let address = self.address_of(subject).as_ref();
                address.err().cloned().map(Blocked::NoAddress)
            }
            Condition::NameFree => self.name_in_use(subject),
            Condition::ImageVerified => {
                let bound = self.bound_of(subject).as_ref().ok();
                let repo = match subject.attempt {
                    Some(attempt) => attempt.repo.as_ref(),
                    None => bound.and_then(|bound| bound.repo.as_ref()),
                };
                self.image_unverified(repo)
            }
            Condition::WithinRate => {
                let is_declared = subject.node.is_some();
                let reserved = self.reserved_by_others(Some(subject.id));
                let mut announced: BTreeSet<MachineId> =
                    reserved.map(|opening| opening.machine).collect();
                if subject.phase == Phase::CheckIn {
                    announced.extend(self.rebooting(subject.id));
                }
                announced.retain(|id| self.is_declared(*id) == is_declared);
                self.rate_limited(is_declared, announced.len())
            }
            Condition::AddressProbed => match self.conflict(subject) {
                AddressConflict::NeedsProbe(addresses) => Some(Blocked::AddressUnprobed(addresses)),
                _ => None,
            },
            Condition::AddressFree => match self.conflict(subject) {
                AddressConflict::InUse(address, mac) => {
                    Some(Blocked::AddressInUse { address, mac })
                }
                _ => None,
            },
        }
    }

    pub(crate) fn is_declared(&self, id: MachineId) -> bool {
        let machine = self.server.state.machine(id);
        machine.is_some_and(|machine| machine.node.is_some())
    }

    pub(crate) fn image_unverified(&self, repo: Option<&RepoName>) -> Option<Blocked> {
        let repo = repo?;
        let declared = self.snapshot.site.repos.get(repo);
        let installer = declared.and_then(|repo| repo.body.installer.as_ref());
        let mut used = installer.map(|at| &at.value).into_iter().chain([repo]);
        let reason = used.find_map(|repo| self.server.volatile.unverified.get(repo))?;
        Some(Blocked::ImageUnverified(reason.clone()))
    }

    /// Returns the block if a machine's `expect` is not true. The outer `None` means that the machine is not bound.
    pub(crate) fn expectation(
        &self,
        id: MachineId,
        node: Option<&Node>,
    ) -> Option<Option<Blocked>> {
        let subject = self.subject(id, node, Phase::Open);
        let is_bound = self.bound_of(&subject).is_ok();
        is_bound.then(|| self.unmet(&subject))
    }

    fn subject<'s>(
        &'s self,
        id: MachineId,
        node: Option<&'s Node>,
        phase: Phase,
    ) -> InstallSubject<'s> {
        let machine = self.machine(id);
        let attempt = match phase {
            Phase::Open | Phase::CheckIn => None,
            Phase::Repeat | Phase::SameBoot | Phase::Serve => machine.open(),
        };
        InstallSubject {
            id,
            machine,
            node,
            phase,
            attempt,
            tags: OnceCell::new(),
            bound: OnceCell::new(),
            address: OnceCell::new(),
        }
    }

    fn state_lost(&self) -> Option<Blocked> {
        self.server.state.lost.clone().map(Blocked::StateLost)
    }

    fn tags_of<'s>(&self, subject: &'s InstallSubject<'_>) -> &'s matcher::TagSet {
        subject.tags.get_or_init(|| {
            let (site, rules) = (&self.snapshot.site, &self.snapshot.rules);
            matcher::tags(site, rules, subject.node, &subject.machine.facts)
        })
    }

    fn bound_of<'s>(&self, subject: &'s InstallSubject<'_>) -> &'s Result<Bound, Unbound> {
        subject
            .bound
            .get_or_init(|| self.binding_of(subject.machine, subject.node, self.tags_of(subject)))
    }

    fn address_of<'s>(
        &self,
        subject: &'s InstallSubject<'_>,
    ) -> &'s Result<Option<IpAddr>, NoAddress> {
        subject
            .address
            .get_or_init(|| match self.bound_of(subject) {
                Ok(bound) => self.pooled(subject.id, subject.node, bound),
                // `Condition::Bound` reports it.
                Err(_) => Ok(None),
            })
    }

    /// Returns the block if the machine would now get another policy, task, repo or address than its attempt was opened for.
    fn binding_changed(&self, subject: &InstallSubject<'_>) -> Option<Blocked> {
        let attempt = subject.attempt?;
        let bound = self.bound_of(subject).as_ref().ok()?;
        let before = subject.machine.binding.as_ref();
        let policy = bound.policy.as_ref().map(|policy| &policy.name.value);
        let is_same = bound.task == attempt.task
            && bound.repo == attempt.repo
            && policy == before.and_then(|binding| binding.policy.as_ref())
            && *self.address_of(subject) == Ok(before.and_then(|binding| binding.address));
        (!is_same).then_some(Blocked::BindingChanged)
    }

    fn unmet(&self, subject: &InstallSubject<'_>) -> Option<Blocked> {
        let bound = self.bound_of(subject).as_ref().ok()?;
        let policy = bound.policy.as_deref();
        let layers = SettingLayers::new(&self.snapshot.site, subject.node, policy);
        let expect = layers.get(|settings| settings.expect.as_deref())?;
        let (facts, tags) = (&subject.machine.facts, self.tags_of(subject));
        let unknown = match self.snapshot.rules.policy(expect, facts, tags) {
            TruthValue::Yes => return None,
            TruthValue::No => None,
            TruthValue::Unknown(reason) => Some(reason),
        };
        Some(Blocked::Unmet {
            expect: expect.to_string(),
            unknown,
        })
    }

    /// Returns the block if another machine has the host name. Declared names are compared when the site is loaded, and the
    /// names in documents of the current revision were compared when they were rendered.
    fn name_in_use(&self, subject: &InstallSubject<'_>) -> Option<Blocked> {
        let rendered = self.server.volatile.attempts.rendered.get(subject.id);
        let is_compared =
            subject.attempt.is_some() && rendered == Some(&self.snapshot.site.revision);
        if subject.node.is_some() || is_compared {
            return None;
        }
        let bound = self.bound_of(subject).as_ref().ok()?;
        let address = *self.address_of(subject).as_ref().ok()?;
        let policy = bound.policy.as_deref();
        let (name, owner) = self.owner_of_host_name(subject.id, policy, address)?;
        Some(Blocked::NameInUse { name, owner })
    }

    fn conflict(&self, subject: &InstallSubject<'_>) -> AddressConflict {
        let pooled = match subject.attempt {
            Some(_) => subject.machine.binding.as_ref().and_then(|has| has.address),
            None => self.address_of(subject).as_ref().ok().copied().flatten(),
        };
        self.address_conflict(subject.id, subject.node, pooled)
    }

    fn installs(&self, bound: &Bound) -> bool {
        let traits = self.snapshot.tasks.get(&bound.task);
        traits.is_none_or(|traits| traits.installs)
    }
}

fn protection(machine: Option<&Machine>, node: Option<&Node>) -> Option<Blocked> {
    if installs_of(node) == 0 {
        return Some(Blocked::Protected(Protection::InstallsZero));
    }
    let was_declared = machine.is_some_and(|machine| machine.node.is_some() && machine.opened > 0);
    (node.is_none() && was_declared).then_some(Blocked::Protected(Protection::DeclarationGone))
}

fn held(machine: &Machine) -> Option<Blocked> {
    let (cause, reason) = machine.holds.first_key_value()?;
    Some(Blocked::Held {
        cause: *cause,
        reason: reason.clone(),
    })
}

#[cfg(test)]
mod tests;
