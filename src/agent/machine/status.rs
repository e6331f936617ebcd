//! Updates of the status screen.

use super::MicrokernelAgent;
use crate::agent::hardware;

impl MicrokernelAgent {
    pub(super) fn show_machine(&mut self) {
        let facts = hardware::board(&self.hardware);
        let board = [facts.manufacturer, facts.product].into_iter().flatten();
        let mut machine = board.collect::<Vec<_>>().join(" ");
        if let Some(serial) = facts.serial {
            machine += &format!(", serial {serial}");
        }
        self.screen_content.machine = machine;
        self.show();
    }

    pub(super) fn show_addresses(&mut self) {
        let addresses = self.clients.iter().filter_map(|client| {
            let lease = client.lease()?;
            Some(format!("{}, {}", client.nic().mac, lease.address))
        });
        self.screen_content.nic = addresses.collect::<Vec<_>>().join("; ");
        self.show();
    }

    pub(super) fn set_status(&mut self, status: &str) {
        self.screen_content.status = status.into();
        self.show();
    }

    pub(super) fn add_problem(&mut self, problem: String) {
        if !self.screen_content.problems.contains(&problem)
            && self.screen_content.problems.len() < 8
        {
            self.screen_content.problems.push(problem);
            self.show();
        }
    }

    pub(super) fn show(&mut self) {
        self.consoles.show(&self.screen_content);
    }
}
