//! What programs are still to hear: every delivery is noted together with what it is of, and again when it was made, so that
//! none is lost between the two, whatever ends the server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DeliveryEvent, MachineId};
use crate::model::{LifecycleEvent, Recipient, Timestamp};

/// The deliveries that are still to be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct DeliveryQueue {
    /// By number, oldest first.
    pub due: BTreeMap<u64, PendingDelivery>,
    /// The number of the latest.
    pub last: u64,
}

/// One that is still to be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PendingDelivery {
    /// Who is to hear of it.
    pub to: Recipient,
    /// Of what.
    pub on: LifecycleEvent,
    /// When it happened.
    pub at: Timestamp,
    /// To which machine.
    pub machine: MachineId,
    /// What that was called.
    pub node: String,
    /// In which of its attempts.
    pub attempt: Option<u32>,
    /// Why, where it says so.
    pub reason: Option<String>,
}

impl DeliveryQueue {
    pub(super) fn apply(
        &mut self,
        machine: Option<MachineId>,
        event: &DeliveryEvent,
        at: Timestamp,
    ) {
        match (event, machine) {
            (
                DeliveryEvent::Due {
                    delivery,
                    to,
                    on,
                    node,
                    attempt,
                    reason,
                },
                Some(machine),
            ) => {
                let due = PendingDelivery {
                    to: to.clone(),
                    on: *on,
                    at,
                    machine,
                    node: node.clone(),
                    attempt: *attempt,
                    reason: reason.clone(),
                };
                self.due.insert(*delivery, due);
                self.last = self.last.max(*delivery);
            }
            // A delivery without a machine is never written.
            (DeliveryEvent::Due { .. }, None) => {}
            (
                DeliveryEvent::Delivered { delivery, .. }
                | DeliveryEvent::Undeliverable { delivery, .. },
                _,
            ) => {
                self.due.remove(delivery);
            }
            // It is tried again.
            (DeliveryEvent::Undelivered { .. }, _) => {}
        }
    }
}
