//! Network cards: those with hardware behind them.

use super::{SystemRoot, leads_to, name, number, text};
use crate::model::{Mac, NicFact};

/// Ethernet, in the kernel's numbers (`ARPHRD_ETHER`).
const ETHERNET: u64 = 1;

/// A card and what the kernel calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nic {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) mac: Mac,
    pub(crate) has_link: bool,
}

/// The cards of this machine in the order of their names.
pub(crate) fn cards(root: &SystemRoot) -> Vec<Nic> {
    let mut cards = Vec::new();
    for path in root.entries("sys/class/net") {
        // Loopback, bridges and the like have no device.
        let is_card = path.join("device").exists() && number(&path.join("type")) == Some(ETHERNET);
        let index = number(&path.join("ifindex")).and_then(|index| u32::try_from(index).ok());
        let mac = text(&path.join("address")).and_then(|mac| mac.parse().ok());
        if let (true, Some(index), Some(mac)) = (is_card, index, mac) {
            // A card that is down answers with an error instead of a number.
            let has_link = number(&path.join("carrier")) == Some(1);
            cards.push(Nic {
                name: name(&path),
                index,
                mac,
                has_link,
            });
        }
    }
    cards
}

/// The facts of each card; `neighbour` knows who is at its other end.
pub(super) fn nics(root: &SystemRoot, neighbour: impl Fn(&Nic) -> Option<String>) -> Vec<NicFact> {
    let told = |card: Nic| {
        let path = root.at(&format!("sys/class/net/{}", card.name));
        NicFact {
            mac: card.mac,
            driver: leads_to(&path.join("device/driver")),
            // Without a link some drivers say -1, which is no speed.
            speed_mbit: number(&path.join("speed")),
            link: Some(card.has_link),
            lldp: neighbour(&card),
        }
    };
    cards(root).into_iter().map(told).collect()
}
