//! The time between the decision to start an installer and the files of its attempt.
//!
//! Files are rendered and written while the state is not locked, so other requests can change it. [`Transaction::reserve`]
//! reserves what the attempt will use: its share of the policy's `max-count` and of `installs-per-hour`, its pool address and
//! its host name. [`Transaction::complete`] decides again before the attempt is opened.

use std::net::IpAddr;

use super::rendering::{RenderFor, RenderJob};
use crate::control::identity::sender::Confirmation;
use crate::{
    control::{BootFromDisk, Decision, NetworkBoot, NewAttempt, Transaction},
    journal::{AttemptId, MachineId},
    model::PolicyName,
};

/// What the files are rendered for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Preparation {
    /// An attempt that is to be opened.
    New(NewAttempt),
    /// An open attempt of which the machine has read nothing.
    Again(AttemptId),
}

impl Preparation {
    /// Returns the attempt.
    pub fn attempt(&self) -> AttemptId {
        match self {
            Preparation::New(opening) => opening.attempt,
            Preparation::Again(attempt) => *attempt,
        }
    }

    fn opening(&self) -> Option<&NewAttempt> {
        match self {
            Preparation::New(opening) => Some(opening),
            Preparation::Again(_) => None,
        }
    }
}

impl Transaction<'_> {
    /// Reserves what an attempt will use, and returns the job that renders its files. Returns `None` if the attempt may no
    /// longer be repeated, or if its files are already being rendered. `base` is the server's URL.
    pub fn reserve(
        &mut self,
        preparation: &Preparation,
        request: &NetworkBoot,
        base: &str,
    ) -> Option<RenderJob> {
        let attempt = preparation.attempt();
        let id = attempt.machine;
        if self.is_preparing(id) {
            return None;
        }
        let job = match preparation {
            Preparation::New(opening) => {
                let target = RenderFor {
                    attempt,
                    policy: opening.policy.as_ref(),
                    address: opening.address,
                    seal: Some((opening.installs, opening.sealed)),
                };
                self.render_job(&target, &request.report, base)
            }
            Preparation::Again(_) => {
                if !self.may_repeat(id, attempt) {
                    return None;
                }
                let binding = self.machine(id).binding.as_ref();
                let target = RenderFor {
                    attempt,
                    policy: binding.and_then(|binding| binding.policy.as_ref()),
                    address: binding.and_then(|binding| binding.address),
                    seal: self
                        .machine(id)
                        .attempt(attempt)
                        .map(|attempt| (attempt.installs, attempt.sealed)),
                };
                self.render_job(&target, &request.report, base)
            }
        };
        let preparing = &mut self.server.volatile.attempts.preparing;
        preparing.insert(id, preparation.clone());
        self.reserved = Some(id);
        Some(job)
    }

    /// Opens the attempt and ends the reservation, if the machine would still get the attempt. Otherwise returns false: the
    /// files are useless, and the boot has to be decided again after [`Transaction::cancel`].
    pub fn complete(&mut self, preparation: &Preparation, request: &NetworkBoot) -> bool {
        let id = preparation.attempt().machine;
        if !self.is_reserved(preparation) {
            return false;
        }
        let is_same = match preparation {
            Preparation::New(opening) => {
                let node = self.node_of(id);
                let decision = self.decide(id, node.as_deref(), request);
                let is_same = matches!(&decision, Decision::Open(now) if now.is_same(opening));
                if is_same {
                    self.opened(opening);
                } else {
                    self.server.volatile.boots.latest.remove(id);
                }
                is_same
            }
            Preparation::Again(attempt) => {
                let is_same = self.may_repeat(id, *attempt);
                if is_same {
                    self.mark_refreshed(id);
                }
                is_same
            }
        };
        if is_same {
            self.cancel(preparation);
        }
        is_same
    }

    /// Returns whether a request comes from the machine of an attempt.
    pub fn is_from_machine(&self, preparation: &Preparation, request: &NetworkBoot) -> bool {
        let confirmation = self.confirm_machine(preparation.attempt().machine, &request.sender);
        confirmation.is_ok_and(Confirmation::is_confirmed)
    }

    /// Ends the reservation of an attempt whose files could not be rendered or stored. Returns how the machine of a new attempt
    /// boots its disk.
    pub fn fail(&mut self, preparation: &Preparation, reason: String) -> Option<BootFromDisk> {
        let is_reserved = self.is_reserved(preparation);
        self.cancel(preparation);
        let opening = preparation.opening().filter(|_| is_reserved)?;
        Some(self.not_opened(opening, reason))
    }

    /// Ends a reservation. It does not exist any more if the machine was forgotten or merged.
    pub fn cancel(&mut self, preparation: &Preparation) {
        if self.is_reserved(preparation) {
            let id = preparation.attempt().machine;
            self.server.volatile.attempts.preparing.remove(&id);
        }
    }

    fn is_reserved(&self, preparation: &Preparation) -> bool {
        let preparing = &self.server.volatile.attempts.preparing;
        preparing.get(&preparation.attempt().machine) == Some(preparation)
    }

    /// Returns whether files for the machine are being rendered.
    pub(crate) fn is_preparing(&self, id: MachineId) -> bool {
        self.server.volatile.attempts.preparing.contains_key(&id)
    }

    /// Returns whether the files of this attempt are being replaced.
    pub(crate) fn is_replacing(&self, attempt: AttemptId) -> bool {
        let preparing = &self.server.volatile.attempts.preparing;
        preparing.get(&attempt.machine) == Some(&Preparation::Again(attempt))
    }

    /// Returns the machines other than `besides` for which a policy is reserved.
    pub(crate) fn reserved_policy<'s>(
        &'s self,
        policy: &'s PolicyName,
        besides: Option<MachineId>,
    ) -> impl Iterator<Item = MachineId> + 's {
        let others = self.reserved_by_others(besides);
        let same = others.filter(move |opening| opening.policy.as_ref() == Some(policy));
        same.map(|opening| opening.machine)
    }

    /// Returns the pool addresses that are reserved for other machines.
    pub(crate) fn reserved_addresses(&self, besides: MachineId) -> impl Iterator<Item = IpAddr> {
        let others = self.reserved_by_others(Some(besides));
        others.filter_map(|opening| opening.address)
    }

    /// Returns the attempts of other machines that are to be opened.
    pub(crate) fn reserved_by_others(
        &self,
        besides: Option<MachineId>,
    ) -> impl Iterator<Item = &NewAttempt> {
        let all = self.server.volatile.attempts.preparing.values();
        all.filter_map(Preparation::opening)
            .filter(move |opening| Some(opening.machine) != besides)
    }
}
