//! The deliveries to hooks and brokers that have not succeeded yet. A delivery is recorded together with its event, and again when
//! it has succeeded, so that none is lost if the server stops in between.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DeliveryEvent, MachineId};
use crate::model::{LifecycleEvent, Recipient, Timestamp};

/// The deliveries that have not succeeded yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct DeliveryQueue {
    /// By number, oldest first.
    pub due: BTreeMap<u64, PendingDelivery>,
    /// The number of the latest delivery.
    pub last: u64,
}

/// A delivery that has not succeeded yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PendingDelivery {
    /// The hook or broker.
    pub to: Recipient,
    /// The lifecycle event.
    pub on: LifecycleEvent,
    /// The time of the event.
    pub at: Timestamp,
    pub machine: MachineId,
    /// The machine's name at that time.
    pub node: String,
    /// The machine's attempt.
    pub attempt: Option<u32>,
    /// The reason, if the event has one.
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
            // The delivery is retried.
            (DeliveryEvent::Undelivered { .. }, _) => {}
        }
    }
}
