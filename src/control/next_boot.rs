//! What the next network boot of a machine gets, as far as it is known now. Nothing is changed.
//!
//! This is a forecast: at the boot itself the network's `unknown`, the state of the disk and address probes count as well.

use std::sync::Arc;

use super::{
    Transaction,
    install::{
        blocked::Blocked,
        gate::{Phase, Ready},
    },
};
use crate::{
    journal::{HoldCause, MachineId},
    matcher,
    model::{Facts, Node, TaskName},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextBoot {
    Installer,
    /// A task that installs nothing.
    Task(TaskName),
    /// The local disk, because an installation is running. If that disk does not boot, another attempt may follow.
    DiskFirst,
    Blocked(Blocked),
}

impl Transaction<'_> {
    pub fn next_boot(&self, id: Option<MachineId>, node: Option<&Arc<Node>>) -> NextBoot {
        let node = node.map(AsRef::as_ref);
        let machine = id.map(|id| self.machine(id));
        if let Some(blocked) = self.barred(machine, node) {
            return NextBoot::Blocked(blocked);
        }
        if let Some(ambiguity) = node.and_then(|node| self.shared_history(node)) {
            return NextBoot::Blocked(Blocked::Ambiguous(ambiguity));
        }
        let Some((id, machine)) = id.zip(machine) else {
            return self.first_boot(node).unwrap_or_else(NextBoot::Blocked);
        };
        let open = || self.readiness(id, node, Phase::Open);
        let ready = match machine.open() {
            Some(attempt) if attempt.failed.is_some() => match self.used_up_attempts(id, node) {
                Some(reason) => Err(Blocked::Held {
                    cause: HoldCause::Attempts,
                    reason,
                }),
                None => open(),
            },
            Some(attempt) if attempt.is_begun() => return NextBoot::DiskFirst,
            Some(_) => match self.readiness(id, node, Phase::Repeat) {
                Err(blocked) if blocked.ends_attempt() => open(),
                ready => ready,
            },
            None => open(),
        };
        match ready {
            Ok(Ready::Task(bound)) => NextBoot::Task(bound.task),
            // Addresses are probed when the machine boots.
            Ok(_) | Err(Blocked::AddressUnprobed(_)) => NextBoot::Installer,
            Err(blocked) => NextBoot::Blocked(blocked),
        }
    }

    /// The same for a declared machine that has never booted.
    fn first_boot(&self, node: Option<&Node>) -> Result<NextBoot, Blocked> {
        let node = node.ok_or(Blocked::NoIdentity)?;
        let bound = self.binding_unseen(node).map_err(|reason| {
            let (site, rules) = (&self.snapshot.site, &self.snapshot.rules);
            let tags = matcher::tags(site, rules, Some(node), &Facts::default());
            Blocked::Unbound {
                reason,
                tags: tags.yes.len(),
            }
        })?;
        let task = self.snapshot.tasks.get(&bound.task);
        match task {
            None => Err(Blocked::NoSuchTask(bound.task)),
            Some(task) if !task.installs => Ok(NextBoot::Task(bound.task)),
            Some(_) if self.server.state.paused => Err(Blocked::Paused),
            Some(_) => {
                if let Some(blocked) = self.unrecorded(None) {
                    return Err(blocked);
                }
                let blocked = self.image_unverified(bound.repo.as_ref());
                let others = self.reserved_by_others(None);
                let announced = others.filter(|opening| self.is_declared(opening.machine));
                let announced = announced.count();
                let blocked = blocked.or_else(|| self.rate_limited(true, announced));
                blocked.map_or(Ok(NextBoot::Installer), Err)
            }
        }
    }
}
