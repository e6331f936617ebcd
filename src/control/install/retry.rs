//! A network boot while an installation runs: either it died, or a callback was lost.
//!
//! Nothing here wipes on a guess. The machine gets its own disk first. Another attempt by itself needs two
//! things: the installer was heard (so callbacks work, and `installed` was not merely lost), and the disk is
//! seen not to boot.

use std::time::Duration;

use super::blocked::Blocked;
use crate::control::{BootFromDisk, Decision, NetworkBoot, SettingLayers, Transaction, boot::disk};
use crate::{
    journal::{HoldCause, MachineEvent, MachineId, Stage},
    model::{LocalBoot, Node},
};

/// A machine that is back this soon after it was sent to its disk did not boot it.
const BACK_WITHIN: Duration = Duration::from_secs(5 * 60);

/// How many more attempts follow one that failed, unless a setting says otherwise.
const RETRIES: u32 = 2;

const SILENT: &str = "disk does not boot, no callback ever came";

impl Transaction<'_> {
    /// An installation may be under way, or done and unheard: its own disk first.
    pub(crate) fn try_disk_first(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        ask: &NetworkBoot,
        how: LocalBoot,
    ) -> Decision {
        let attempt = self.machine(id).open().expect("an attempt is open");
        let (number, attempt_id, heard) = (attempt.number, attempt.id, attempt.heard);
        let Some(evidence) =
            self.evidence_of_dead_disk(id, number, attempt.stages.contains_key(&Stage::NoDisk))
        else {
            self.server
                .volatile
                .boots
                .disk_tried
                .insert(id, (number, self.now.mono));
            return Decision::Disk(BootFromDisk {
                how,
                platform: ask.report.platform,
                reason: Some(Blocked::DiskFirst),
                report_to: Some(attempt_id),
            });
        };
        if heard {
            self.record(
                id,
                MachineEvent::GaveUp {
                    attempt: number,
                    reason: evidence,
                },
            );
            return self.next_attempt(id, node, ask, how);
        }
        self.hold_for_attempts(id, SILENT.into(), ask, how)
    }

    /// Tells how it is seen that the disk does not boot.
    fn evidence_of_dead_disk(&self, id: MachineId, number: u32, said_so: bool) -> Option<String> {
        if said_so {
            return Some("its disk does not boot: the boot script came back".into());
        }
        let (of, at) = self.server.volatile.boots.disk_tried.get(id)?;
        let back = self.now.mono.since(*at);
        (*of == number && back <= BACK_WITHIN)
            .then(|| "its disk does not boot: it came back within five minutes".into())
    }

    /// The attempt failed before anything was installed: the next one, if there is one left.
    pub(crate) fn next_attempt(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        ask: &NetworkBoot,
        how: LocalBoot,
    ) -> Decision {
        if let Some(reason) = self.used_up_attempts(id, node) {
            return self.hold_for_attempts(id, reason, ask, how);
        }
        if !self.machine(id).is_due(node) {
            return disk(ask, how, None);
        }
        self.open(id, node, ask, how)
    }

    /// The reason for a hold if more attempts failed than `retries` allows.
    pub(crate) fn used_up_attempts(&self, id: MachineId, node: Option<&Node>) -> Option<String> {
        let machine = self.machine(id);
        let failures = machine.failures;
        let newest = machine.newest();
        let reason = newest.and_then(|attempt| attempt.failed.as_deref());
        let attempts = if failures == 1 { "attempt" } else { "attempts" };
        (failures > self.retries(id, node)).then(|| {
            format!(
                "{failures} {attempts} failed: {}",
                reason.unwrap_or_default()
            )
        })
    }

    fn hold_for_attempts(
        &mut self,
        id: MachineId,
        reason: String,
        ask: &NetworkBoot,
        how: LocalBoot,
    ) -> Decision {
        let cause = HoldCause::Attempts;
        self.hold(id, cause, &reason);
        disk(ask, how, Some(Blocked::Held { cause, reason }))
    }

    fn retries(&self, id: MachineId, node: Option<&Node>) -> u32 {
        let site = &self.snapshot.site;
        let binding = self.machine(id).binding.as_ref();
        let policy = binding.and_then(|binding| site.policies.get(binding.policy.as_ref()?));
        let layers = SettingLayers::new(site, node, policy.map(|policy| &**policy));
        layers
            .get(|settings| settings.retries.as_deref())
            .copied()
            .unwrap_or(RETRIES)
    }
}
