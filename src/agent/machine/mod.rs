//! The machine's life, from its drivers to the last order.

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

/// What is loaded whatever the hardware: no device asks for it.
const ALWAYS: [&str; 5] = ["af_packet", "efivarfs", "ipmi_si", "ipmi_devintf", "sd_mod"];

/// How long devices that appear one after the other (a bus behind a bus) are waited for.
const SETTLING: Duration = Duration::from_millis(300);
/// And how often at most.
const ROUNDS: usize = 10;

/// How long the card that the machine booted from may take to have a link.
const LINK: Duration = Duration::from_secs(15);

/// How often addresses are looked after while the machine waits.
const TICK: Duration = Duration::from_secs(5);

/// Long enough to be read on a screen.
const SEEN: Duration = Duration::from_secs(2);

/// An order that cannot be read is asked for again after so long.
const ODD: Duration = Duration::from_secs(30);

pub(super) struct MicrokernelAgent {
    root: PathBuf,
    hardware: SystemRoot,
    words: KernelCommandLine,
    modules: ModuleTable,
    tried: BTreeSet<String>,
    screen: Consoles,
    shown: ScreenContent,
    clients: Vec<DhcpClient>,
    neighbours: LldpNeighbours,
    reported: Option<Facts>,
    /// The management controller's address, once it has said it.
    controller: Arc<OnceLock<String>>,
}

impl MicrokernelAgent {
    /// A machine whose kernel has just started us.
    pub(super) fn new(root: &Path) -> MicrokernelAgent {
        let mut trouble = Vec::new();
        if let Err(error) = init::mount_all() {
            trouble.push(error.to_string());
        }
        let line = std::fs::read_to_string(root.join("proc/cmdline")).unwrap_or_default();
        let words = KernelCommandLine::read(&line);
        let modules = table(root).unwrap_or_else(|error| {
            trouble.push(format!("no table of modules: {error}"));
            ModuleTable::default()
        });
        let shown = ScreenContent {
            server: words
                .server()
                .unwrap_or("none is named on the kernel's command line")
                .into(),
            doing: "looks at the hardware".into(),
            trouble,
            ..ScreenContent::default()
        };
        MicrokernelAgent {
            root: root.into(),
            hardware: SystemRoot::new(root),
            words,
            modules,
            tried: BTreeSet::new(),
            screen: Consoles::open(),
            shown,
            clients: Vec::new(),
            neighbours: LldpNeighbours::default(),
            reported: None,
            controller: Arc::default(),
        }
    }

    /// Runs for ever.
    pub(super) fn run(mut self) -> ! {
        self.show();
        for name in ALWAYS {
            self.load(name);
        }
        self.drive();
        if let Err(error) = init::mount_variables() {
            self.trouble(error.to_string());
        }
        self.tell_who();
        self.ask_controller();
        let (url, order) = (self.words.url.clone(), self.words.order.clone());
        if url.is_none() && order.is_none() {
            self.doing("has nobody to ask: `bootwright.url` is not on the kernel's command line");
            loop {
                thread::sleep(TICK);
            }
        }
        match LldpNeighbours::listen() {
            Ok(neighbours) => self.neighbours = neighbours,
            Err(error) => self.trouble(format!("switches are not heard: {error}")),
        }
        let links = self.links();
        self.connect(&links);
        match (order, url) {
            (Some(order), _) => self.install(&links, &order),
            (None, url) => self.obey(&links, &CheckInServer::new(&url.unwrap_or_default())),
        }
    }

    fn links(&mut self) -> Netlink {
        let mut failures = 0;
        loop {
            match Netlink::open() {
                Ok(links) => return links,
                Err(error) => {
                    failures += 1;
                    self.doing(&format!("cannot reach the kernel's network: {error}"));
                    thread::sleep(backoff::after(failures));
                }
            }
        }
    }

    /// Gets an address on the card that the machine booted from; when that gets none, on any that has a link.
    fn connect(&mut self, links: &Netlink) {
        let begun = Instant::now();
        let mut failures = 0;
        loop {
            self.drive();
            self.find_cards(links);
            let patient = failures == 0 && begun.elapsed() < LINK;
            let mut last = "no card has a link".to_owned();
            for at in self.in_turn() {
                let card = self.clients[at].card().clone();
                let is_boot = self.words.card.is_none_or(|mac| card.mac == mac);
                if !card.has_link || (patient && !is_boot) {
                    continue;
                }
                self.doing(&format!("asks for an address on {}", card.mac));
                match self.clients[at].keep(links, true, 3) {
                    Ok(()) => return self.tell_address(),
                    Err(error) => last = format!("{}: {error}", card.mac),
                }
                failures += 1;
            }
            self.doing(&format!("has no address: {last}"));
            let pause = if failures == 0 {
                SETTLING
            } else {
                backoff::after(failures)
            };
            thread::sleep(pause);
        }
    }

    /// The clients, that of the card which the machine booted from first.
    fn in_turn(&self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.clients.len()).collect();
        order.sort_by_key(|at| Some(self.clients[*at].card().mac) != self.words.card);
        order
    }

    fn obey(mut self, links: &Netlink, server: &CheckInServer) -> ! {
        let mut failures = 0;
        loop {
            match self.ask(server) {
                Ok(order) => {
                    failures = 0;
                    self.shown.node.clone_from(&order.node);
                    self.follow(links, &order);
                }
                Err(InstructionError::Unknown) => {
                    self.doing("is not known to the server any more; starts anew in 30 s");
                    self.wait(links, ODD);
                    self.restart();
                }
                Err(error) => {
                    failures += 1;
                    let pause = match error {
                        InstructionError::Refused(_) => ODD.max(backoff::after(failures)),
                        _ => backoff::after(failures),
                    };
                    self.doing(&format!("{error}; tries again in {} s", pause.as_secs()));
                    self.wait(links, backoff::spread(pause, backoff::chance()));
                }
            }
        }
    }

    fn ask(&mut self, server: &CheckInServer) -> Result<AgentInstruction, InstructionError> {
        self.drive();
        let facts = self.facts();
        if self.reported.as_ref() == Some(&facts) {
            return server.order();
        }
        let order = server.report(&facts)?;
        self.reported = Some(facts);
        Ok(order)
    }

    fn follow(&mut self, links: &Netlink, order: &AgentInstruction) {
        match order.action {
            AgentAction::Wait { seconds } => {
                let pause = backoff::spread(Duration::from_secs(seconds.into()), backoff::chance());
                self.doing(&format!(
                    "waits: {}; asks again in {} s",
                    order.reason,
                    pause.as_secs()
                ));
                self.wait(links, pause);
            }
            AgentAction::Reboot => {
                self.doing(&format!("starts anew: {}", order.reason));
                self.restart();
            }
            AgentAction::PowerOff => {
                self.doing(&format!("switches itself off: {}", order.reason));
                thread::sleep(SEEN);
                let error = init::power_off();
                self.trouble(format!("cannot switch itself off: {error}"));
                self.wait(links, ODD);
            }
        }
    }

    fn restart(&mut self) {
        thread::sleep(SEEN);
        let error = init::restart();
        self.trouble(format!("cannot start anew: {error}"));
        thread::sleep(ODD);
    }

    /// Waits, and looks after the addresses meanwhile.
    fn wait(&mut self, links: &Netlink, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(TICK));
            self.keep_addresses(links);
        }
    }

    /// Asks for addresses before they run out, and for those of cards that have a link since.
    fn keep_addresses(&mut self, links: &Netlink) {
        self.find_cards(links);
        let mut has_way = false;
        for at in self.in_turn() {
            let client = &mut self.clients[at];
            if client.card().has_link && !client.rests() {
                // The way out is by the first card that has an address; what another does not get is asked for later.
                if let Err(error) = client.keep(links, !has_way, 1) {
                    let mac = client.card().mac;
                    self.trouble(format!("{mac}: {error}"));
                }
            }
            has_way |= self.clients[at].lease().is_some();
        }
        self.tell_address();
    }

    /// Switches on what cards there are, and looks which have a link.
    fn find_cards(&mut self, links: &Netlink) {
        for card in hardware::cards(&self.hardware) {
            match self
                .clients
                .iter_mut()
                .find(|client| client.card().index == card.index)
            {
                Some(client) => client.see(card),
                None => self.take(links, card),
            }
        }
    }

    fn take(&mut self, links: &Netlink, card: Nic) {
        match links.up(card.index) {
            Ok(()) => self.clients.push(DhcpClient::new(card)),
            Err(error) => self.trouble(format!("{}: {error}", card.mac)),
        }
    }

    fn facts(&self) -> Facts {
        let mut facts = hardware::facts(&self.hardware, |card| self.neighbours.of(card.index));
        facts.bmc = self.controller.get().cloned();
        facts
    }

    /// Asks the management controller for its address, which may take it a while.
    fn ask_controller(&mut self) {
        let place = self.controller.clone();
        let asking = thread::Builder::new().spawn(move || {
            if let Some(address) = hardware::controller() {
                // It is asked once.
                drop(place.set(address));
            }
        });
        if let Err(error) = asking {
            self.trouble(format!(
                "the management controller cannot be asked: {error}"
            ));
        }
    }

    /// Loads what drives the devices that the kernel has found.
    fn drive(&mut self) {
        for _ in 0..ROUNDS {
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
            thread::sleep(SETTLING);
        }
    }

    fn load(&mut self, name: &str) {
        let due = self.modules.in_order(name).into_iter().map(str::to_owned);
        for name in due.collect::<Vec<_>>() {
            if !self.tried.insert(name.clone()) {
                continue;
            }
            // "No such device": a module that looks for its hardware itself, and does not find it.
            match modules::load(&self.root, &name) {
                Err(error) if error.raw_os_error() != Some(nix::libc::ENODEV) => {
                    self.trouble(format!("module {name}: {error}"));
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
