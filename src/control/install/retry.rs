//! A network boot during an installation: either the installer has died, or a callback was lost.
//!
//! The server never wipes a disk on a guess: the machine boots its local disk first. Another attempt starts automatically only
//! under two conditions: the installer has sent callbacks (so `installed` was not merely lost), and the disk is observed not
//! to boot.

use std::time::Duration;

use super::blocked::Blocked;
use crate::control::{BootFromDisk, Decision, NetworkBoot, SettingLayers, Transaction, boot::disk};
use crate::{
    journal::{HoldCause, MachineEvent, MachineId, Stage},
    model::{LocalBoot, Node},
};

/// A machine that boots from the network again within this time of its disk boot did not boot its disk.
const DISK_BOOT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

const NO_CALLBACK_REASON: &str = "its disk does not boot, and no callback was received";

impl Transaction<'_> {
    /// Boots the local disk first: the installation may be running, or finished without a report. If the disk does not boot,
    /// starts the next attempt or holds the machine.
    pub(crate) fn try_disk_first(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        request: &NetworkBoot,
        local_boot: LocalBoot,
    ) -> Decision {
        let attempt = self.machine(id).open().expect("an attempt is open");
        let (number, attempt_id, has_reported) = (attempt.number, attempt.id, attempt.has_reported);
        let Some(evidence) =
            self.evidence_of_dead_disk(id, number, attempt.stages.contains_key(&Stage::NoDisk))
        else {
            self.server
                .volatile
                .boots
                .disk_tried
                .insert(id, (number, self.now.mono));
            return Decision::Disk(BootFromDisk {
                local_boot,
                platform: request.report.platform,
                reason: Some(Blocked::DiskFirst),
                report_to: Some(attempt_id),
            });
        };
        if has_reported {
            self.record(
                id,
                MachineEvent::GaveUp {
                    attempt: number,
                    reason: evidence,
                },
            );
            return self.next_attempt(id, node, request, local_boot);
        }
        self.hold_for_attempts(id, NO_CALLBACK_REASON.into(), request, local_boot)
    }

    /// Returns the evidence that the disk does not boot, if there is any.
    fn evidence_of_dead_disk(&self, id: MachineId, number: u32, reported: bool) -> Option<String> {
        if reported {
            return Some("its disk does not boot: reported by the boot script".into());
        }
        let (of, at) = self.server.volatile.boots.disk_tried.get(id)?;
        let back = self.now.mono.since(*at);
        (*of == number && back <= DISK_BOOT_TIMEOUT).then(|| {
            "its disk does not boot: it booted from the network again within 5 minutes".into()
        })
    }

    /// Opens the next attempt after a failed one. Holds the machine if no retry is left.
    pub(crate) fn next_attempt(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        request: &NetworkBoot,
        local_boot: LocalBoot,
    ) -> Decision {
        if let Some(reason) = self.used_up_attempts(id, node) {
            return self.hold_for_attempts(id, reason, request, local_boot);
        }
        if !self.machine(id).is_due(node) {
            return disk(request, local_boot, None);
        }
        self.open(id, node, request, local_boot)
    }

    /// Returns the reason for a hold if more attempts have failed than `retries` permits.
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
        request: &NetworkBoot,
        local_boot: LocalBoot,
    ) -> Decision {
        let cause = HoldCause::Attempts;
        self.hold(id, cause, &reason);
        disk(request, local_boot, Some(Blocked::Held { cause, reason }))
    }

    fn retries(&self, id: MachineId, node: Option<&Node>) -> u32 {
        let site = &self.snapshot.site;
        let binding = self.machine(id).binding.as_ref();
        let policy = binding.and_then(|binding| site.policies.get(binding.policy.as_ref()?));
        let layers = SettingLayers::new(site, node, policy.map(|policy| &**policy));
        layers.effective().retries
    }
}
