//! What stands on the machine's screen.

use super::MicrokernelAgent;
use crate::agent::hardware;

impl MicrokernelAgent {
    pub(super) fn tell_who(&mut self) {
        let facts = hardware::board(&self.hardware);
        let board = [facts.manufacturer, facts.product].into_iter().flatten();
        let mut machine = board.collect::<Vec<_>>().join(" ");
        if let Some(serial) = facts.serial {
            machine += &format!(", serial {serial}");
        }
        self.shown.machine = machine;
        self.show();
    }

    pub(super) fn tell_address(&mut self) {
        let told = self.clients.iter().filter_map(|client| {
            let lease = client.lease()?;
            Some(format!("{}, {}", client.card().mac, lease.address))
        });
        self.shown.card = told.collect::<Vec<_>>().join("; ");
        self.show();
    }

    pub(super) fn doing(&mut self, what: &str) {
        self.shown.doing = what.into();
        self.show();
    }

    pub(super) fn trouble(&mut self, what: String) {
        if !self.shown.trouble.contains(&what) && self.shown.trouble.len() < 8 {
            self.shown.trouble.push(what);
            self.show();
        }
    }

    pub(super) fn show(&mut self) {
        self.screen.show(&self.shown);
    }
}
