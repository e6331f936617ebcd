//! The agent's main loop: drivers, IP address, reports, instructions.

mod install;
mod status;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use super::{
    backoff,
    cmdline::KernelCommandLine,
    hardware::{self, Nic, SystemRoot},
    init,
    modules::{self, ModuleTable},
    network::{DhcpClient, LldpNeighbours, Netlink},
    screen::{Consoles, ScreenContent},
    server::{CheckInServer, InstructionError},
};
use crate::model::{AgentAction, AgentInstruction, Facts};

/// Modules that are always loaded: no device has their alias.
const ALWAYS_LOADED: [&str; 5] = ["af_packet", "efivarfs", "ipmi_si", "ipmi_devintf", "sd_mod"];

/// The wait for devices that appear after a driver was loaded, such as those behind a bus.
const SETTLE_TIME: Duration = Duration::from_millis(300);
/// The number of such waits.
const MAX_ROUNDS: usize = 10;

/// The wait for a link on the NIC that the machine booted from.
const LINK_TIMEOUT: Duration = Duration::from_secs(15);

/// The interval at which leases are checked while the machine waits.
const LEASE_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long a status stays on the screen before the machine restarts.
const READING_TIME: Duration = Duration::from_secs(2);

/// The delay before another poll after an unexpected answer.
const RETRY_DELAY: Duration = Duration::from_secs(30);

pub(super) struct MicrokernelAgent {
    root: PathBuf,
    hardware: SystemRoot,
    parameters: KernelCommandLine,
    modules: ModuleTable,
    tried: BTreeSet<String>,
    consoles: Consoles,
    screen_content: ScreenContent,
    clients: Vec<DhcpClient>,
    neighbours: LldpNeighbours,
    reported: Option<Facts>,
    /// The management controller's address, once it has answered.
    bmc: Arc<OnceLock<String>>,
}

impl MicrokernelAgent {
    pub(super) fn new(root: &Path) -> MicrokernelAgent {
        let mut problems = Vec::new();
        if let Err(error) = init::mount_all() {
            problems.push(error.to_string());
        }
        let line = std::fs::read_to_string(root.join("proc/cmdline")).unwrap_or_default();
        let parameters = KernelCommandLine::read(&line);
        let modules = table(root).unwrap_or_else(|error| {
            problems.push(format!("cannot read the module table: {error}"));
            ModuleTable::default()
        });
        let screen_content = ScreenContent {
            server: parameters
                .server()
                .unwrap_or("none on the kernel's command line")
                .into(),
            status: "detecting hardware".into(),
            problems,
            ..ScreenContent::default()
        };
        MicrokernelAgent {
            root: root.into(),
            hardware: SystemRoot::new(root),
            parameters,
            modules,
            tried: BTreeSet::new(),
            consoles: Consoles::open(),
            screen_content,
            clients: Vec::new(),
            neighbours: LldpNeighbours::default(),
            reported: None,
            bmc: Arc::default(),
        }
    }

    pub(super) fn run(mut self) -> ! {
        self.show();
        for name in ALWAYS_LOADED {
            self.load(name);
        }
        self.load_drivers();
        if let Err(error) = init::mount_variables() {
            self.add_problem(error.to_string());
        }
        self.show_machine();
        self.query_bmc();
        let (url, instruction) = (
            self.parameters.check_in_url.clone(),
            self.parameters.instruction_url.clone(),
        );
        if url.is_none() && instruction.is_none() {
            self.set_status("stopped: `bootwright.url` is missing on the kernel's command line");
            loop {
                thread::sleep(LEASE_CHECK_INTERVAL);
            }
        }
        match LldpNeighbours::listen() {
            Ok(neighbours) => self.neighbours = neighbours,
            Err(error) => self.add_problem(format!("cannot receive LLDP: {error}")),
        }
        let netlink = self.open_netlink();
        self.connect(&netlink);
        match (instruction, url) {
            (Some(instruction), _) => self.install(&netlink, &instruction),
            (None, url) => self.poll_loop(&netlink, &CheckInServer::new(&url.unwrap_or_default())),
        }
    }

    fn open_netlink(&mut self) -> Netlink {
        let mut failures = 0;
        loop {
            match Netlink::open() {
                Ok(netlink) => return netlink,
                Err(error) => {
                    failures += 1;
                    self.set_status(&format!("cannot open netlink: {error}"));
                    thread::sleep(backoff::after(failures));
                }
            }
        }
    }

    /// Gets an address on the NIC that the machine booted from; if that fails, on any NIC with a link.
    fn connect(&mut self, netlink: &Netlink) {
        let begun = Instant::now();
        let mut failures = 0;
        loop {
            self.load_drivers();
            self.update_nics(netlink);
            let only_boot_nic = failures == 0 && begun.elapsed() < LINK_TIMEOUT;
            let mut last = "no NIC has a link".to_owned();
            for at in self.clients_in_order() {
                let nic = self.clients[at].nic().clone();
                let is_boot_nic = self.parameters.boot_mac.is_none_or(|mac| nic.mac == mac);
                if !nic.has_link || (only_boot_nic && !is_boot_nic) {
                    continue;
                }
                self.set_status(&format!("requesting an IP address on {} (DHCP)", nic.mac));
                match self.clients[at].maintain(netlink, true, 3) {
                    Ok(()) => return self.show_addresses(),
                    Err(error) => last = format!("{}: {error}", nic.mac),
                }
                failures += 1;
            }
            self.set_status(&format!("no IP address: {last}"));
            let delay = if failures == 0 {
                SETTLE_TIME
            } else {
                backoff::after(failures)
            };
            thread::sleep(delay);
        }
    }

    /// The DHCP clients, that of the boot NIC first.
    fn clients_in_order(&self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.clients.len()).collect();
        order.sort_by_key(|at| Some(self.clients[*at].nic().mac) != self.parameters.boot_mac);
        order
    }

    fn poll_loop(mut self, netlink: &Netlink, server: &CheckInServer) -> ! {
        let mut failures = 0;
        loop {
            match self.poll(server) {
                Ok(instruction) => {
                    failures = 0;
                    self.screen_content.node.clone_from(&instruction.node);
                    self.execute(netlink, &instruction);
                }
                Err(InstructionError::Unknown) => {
                    self.set_status(
                        "the server has no record of this machine any more; restarting in 30 s",
                    );
                    self.wait(netlink, RETRY_DELAY);
                    self.restart();
                }
                Err(error) => {
                    failures += 1;
                    let delay = match error {
                        InstructionError::Refused(_) => RETRY_DELAY.max(backoff::after(failures)),
                        _ => backoff::after(failures),
                    };
                    self.set_status(&format!("{error}; retrying in {} s", delay.as_secs()));
                    self.wait(netlink, backoff::with_jitter(delay, backoff::random()));
                }
            }
        }
    }

    fn poll(&mut self, server: &CheckInServer) -> Result<AgentInstruction, InstructionError> {
        self.load_drivers();
        let facts = self.facts();
        if self.reported.as_ref() == Some(&facts) {
            return server.poll();
        }
        let instruction = server.report(&facts)?;
        self.reported = Some(facts);
        Ok(instruction)
    }

    fn execute(&mut self, netlink: &Netlink, instruction: &AgentInstruction) {
        match instruction.action {
            AgentAction::Wait { seconds } => {
                let delay =
                    backoff::with_jitter(Duration::from_secs(seconds.into()), backoff::random());
                self.set_status(&format!(
                    "waiting: {}; next poll in {} s",
                    instruction.reason,
                    delay.as_secs()
                ));
                self.wait(netlink, delay);
            }
            AgentAction::Reboot => {
                self.set_status(&format!("restarting: {}", instruction.reason));
                self.restart();
            }
            AgentAction::PowerOff => {
                self.set_status(&format!("powering off: {}", instruction.reason));
                thread::sleep(READING_TIME);
                let error = init::power_off();
                self.add_problem(format!("cannot power off: {error}"));
                self.wait(netlink, RETRY_DELAY);
            }
        }
    }

    fn restart(&mut self) {
        thread::sleep(READING_TIME);
        let error = init::restart();
        self.add_problem(format!("cannot restart: {error}"));
        thread::sleep(RETRY_DELAY);
    }

    /// Waits, and renews leases meanwhile.
    fn wait(&mut self, netlink: &Netlink, delay: Duration) {
        let until = Instant::now() + delay;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(LEASE_CHECK_INTERVAL));
            self.maintain_leases(netlink);
        }
    }

    /// Renews leases before they expire, and requests addresses for NICs that have got a link since.
    fn maintain_leases(&mut self, netlink: &Netlink) {
        self.update_nics(netlink);
        let mut has_route = false;
        for at in self.clients_in_order() {
            let client = &mut self.clients[at];
            if client.nic().has_link && !client.is_backing_off() {
                // The default route is that of the first NIC with an address. A failure on another NIC is retried later.
                if let Err(error) = client.maintain(netlink, !has_route, 1) {
                    let mac = client.nic().mac;
                    self.add_problem(format!("{mac}: {error}"));
                }
            }
            has_route |= self.clients[at].lease().is_some();
        }
        self.show_addresses();
    }

    /// Enables new NICs, and updates the link state of known ones.
    fn update_nics(&mut self, netlink: &Netlink) {
        for nic in hardware::nics(&self.hardware) {
            match self
                .clients
                .iter_mut()
                .find(|client| client.nic().index == nic.index)
            {
                Some(client) => client.set_nic(nic),
                None => self.add_nic(netlink, nic),
            }
        }
    }

    fn add_nic(&mut self, netlink: &Netlink, nic: Nic) {
        match netlink.up(nic.index) {
            Ok(()) => self.clients.push(DhcpClient::new(nic)),
            Err(error) => self.add_problem(format!("{}: {error}", nic.mac)),
        }
    }

    fn facts(&self) -> Facts {
        let mut facts = hardware::facts(&self.hardware, |nic| self.neighbours.of(nic.index));
        facts.bmc = self.bmc.get().cloned();
        facts
    }

    /// Queries the management controller's address in a thread of its own, since that may take seconds.
    fn query_bmc(&mut self) {
        let result = self.bmc.clone();
        let query = thread::Builder::new().spawn(move || {
            if let Some(address) = hardware::bmc_address() {
                // It is set only here.
                drop(result.set(address));
            }
        });
        if let Err(error) = query {
            self.add_problem(format!("cannot query the management controller: {error}"));
        }
    }

    /// Loads the drivers of the devices that the kernel has found.
    fn load_drivers(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let modaliases = hardware::modaliases(&self.hardware);
            let driving: BTreeSet<String> = modaliases
                .iter()
                .flat_map(|modalias| self.modules.driving(modalias))
                .filter(|name| !self.tried.contains(*name))
                .map(str::to_owned)
                .collect();
            if driving.is_empty() {
                return;
            }
            for name in driving {
                self.load(&name);
            }
            thread::sleep(SETTLE_TIME);
        }
    }

    fn load(&mut self, name: &str) {
        let order = self.modules.in_order(name).into_iter().map(str::to_owned);
        for name in order.collect::<Vec<_>>() {
            if !self.tried.insert(name.clone()) {
                continue;
            }
            // ENODEV: the module probed for its hardware and did not find it.
            match modules::load(&self.root, &name) {
                Err(error) if error.raw_os_error() != Some(nix::libc::ENODEV) => {
                    self.add_problem(format!("module {name}: {error}"));
                }
                _ => {}
            }
        }
    }
}

fn table(root: &Path) -> io::Result<ModuleTable> {
    let text = std::fs::read(root.join(modules::TABLE))?;
    Ok(serde_json::from_slice(&text)?)
}
