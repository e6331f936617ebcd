//! A virtual machine: cards, firmware, a disk, and what it does from power on until its disk or an installer runs.

use super::{
    PlayStep,
    bootcfg::MbootConfig,
    http::HttpClient,
    ipxe::{self, IpxeEnvironment, IpxeExit, IpxeSetting, IpxeSettings, join},
    urls::{AttemptUrl, is_first_boot, links},
};
use crate::model::{Arch, Mac, Platform};

/// What a machine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardware {
    /// Its cards; it boots from the first.
    pub macs: Vec<Mac>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its asset tag.
    pub asset: Option<String>,
    /// Its firmware.
    pub platform: Platform,
    /// Its processor.
    pub arch: Arch,
}

/// What goes wrong with a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InjectedFaults {
    /// Its installer ends with an error after it has begun.
    pub fails: bool,
    /// None of its callbacks reaches the server.
    pub loses_callbacks: bool,
}

/// What became of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootOutcome {
    /// An installer ran to its end.
    Installed,
    /// An installer ran and ended with an error.
    InstallerFailed,
    /// The system on the disk runs.
    Disk,
    /// There is no system on the disk.
    NothingOnDisk,
    /// The firmware stopped in its menu.
    FirmwareMenu,
    /// The server keeps it waiting.
    Waiting,
    /// A kernel runs that installs nothing.
    Kernel,
    /// Nobody answered.
    NoAnswer,
}

/// A virtual machine.
pub struct VirtualMachine<'t> {
    hardware: Hardware,
    trouble: InjectedFaults,
    wire: HttpClient,
    disk: VirtualDisk,
    tell: Box<dyn FnMut(PlayStep) + 't>,
}

/// What the disk holds.
enum VirtualDisk {
    Blank,
    /// A system, and the callbacks that its first boot makes.
    System(Vec<String>),
}

impl<'t> VirtualMachine<'t> {
    /// A machine with a blank disk, which tells every step to `tell`.
    pub fn new(
        hardware: Hardware,
        trouble: InjectedFaults,
        tell: impl FnMut(PlayStep) + 't,
    ) -> VirtualMachine<'t> {
        VirtualMachine {
            hardware,
            trouble,
            wire: HttpClient::new(),
            disk: VirtualDisk::Blank,
            tell: Box::new(tell),
        }
    }

    /// The same with a system on its disk, from before.
    pub fn with_system(self) -> VirtualMachine<'t> {
        VirtualMachine {
            disk: VirtualDisk::System(Vec::new()),
            ..self
        }
    }

    /// Turns it on, network first, with `server` (`http://192.0.2.1:8080`) where DHCP would point.
    pub fn boot(&mut self, server: &str) -> BootOutcome {
        let url = format!("{server}/boot.ipxe");
        let settings = self.settings();
        let mut screen = IpxeHost {
            has_system: matches!(self.disk, VirtualDisk::System(_)),
            answered: false,
            machine: self,
        };
        let left = ipxe::run(&url, settings, &mut screen);
        if !screen.answered {
            return BootOutcome::NoAnswer;
        }
        let efi = self.hardware.platform == Platform::Efi;
        match left {
            IpxeExit::Disk => self.boot_disk(),
            // UEFI takes success for an end: it goes on to the disk only after an error.
            IpxeExit::Exit { success: true } if efi => {
                self.ends("stops in its firmware's menu", BootOutcome::FirmwareMenu)
            }
            IpxeExit::Exit { .. } => self.boot_disk(),
            IpxeExit::Program { url, words } => self.program(&url, &words),
            IpxeExit::Restart => self.ends("starts anew", BootOutcome::Kernel),
            IpxeExit::Halt => self.ends("waits for a person", BootOutcome::FirmwareMenu),
            IpxeExit::Waiting => self.ends("is kept waiting", BootOutcome::Waiting),
        }
    }

    fn settings(&self) -> IpxeSettings {
        let hardware = &self.hardware;
        let mut settings = IpxeSettings::default();
        for (index, mac) in hardware.macs.iter().enumerate() {
            settings.set(&format!("net{index}/mac"), IpxeSetting::Mac(*mac));
        }
        if let Some(mac) = hardware.macs.first() {
            settings.set("netX/mac", IpxeSetting::Mac(*mac));
            settings.set("mac", IpxeSetting::Mac(*mac));
        }
        let words = [
            ("uuid", hardware.uuid.clone()),
            ("serial", hardware.serial.clone()),
            ("asset", hardware.asset.clone()),
            ("manufacturer", Some("Bootwright".into())),
            ("product", Some("Virtual machine".into())),
            ("platform", Some(hardware.platform.to_string())),
            ("buildarch", Some(hardware.arch.to_string())),
            ("ip", Some("127.0.0.1".into())),
        ];
        for (name, value) in words {
            if let Some(value) = value {
                settings.set(name, IpxeSetting::Text(value));
            }
        }
        settings
    }

    fn boot_disk(&mut self) -> BootOutcome {
        let VirtualDisk::System(first_boot) = &mut self.disk else {
            return self.ends("finds no system on its disk", BootOutcome::NothingOnDisk);
        };
        let callbacks = std::mem::take(first_boot);
        self.became("boots its disk");
        callbacks.iter().for_each(|url| self.call(url));
        BootOutcome::Disk
    }

    fn program(&mut self, url: &str, words: &[String]) -> BootOutcome {
        let name = ipxe::split(url).1.rsplit('/').next().unwrap_or_default();
        match name {
            "mboot.efi" | "bootx64.efi" | "mboot.c32" => self.mboot(url, words),
            _ => self.kernel(words),
        }
    }

    /// ESXi's loader: a boot.cfg of this machine's own beside the loader, else the common one, or the one it is told.
    fn mboot(&mut self, url: &str, words: &[String]) -> BootOutcome {
        let told = words
            .iter()
            .position(|word| word == "-c")
            .and_then(|at| words.get(at + 1));
        let own = self
            .hardware
            .macs
            .first()
            .map(|mac| format!("01-{}/boot.cfg", mac.hyphens()));
        let places = match told {
            Some(told) => vec![told.clone()],
            None => own.into_iter().chain(["boot.cfg".into()]).collect(),
        };
        let found = places
            .iter()
            .map(|place| join(url, place))
            .find_map(|place| {
                let text = self.text(&place)?;
                Some(MbootConfig::read(&place, &text))
            });
        let Some(bootcfg) = found else {
            return self.ends(
                "has a loader without a boot.cfg",
                BootOutcome::InstallerFailed,
            );
        };
        if told.is_none() {
            // Only there for hosts with Secure Boot; the loader does without it.
            self.fetch(&join(url, "crypto64.efi"));
        }
        for file in &bootcfg.files {
            if self.fetch(file).is_none() {
                return self.ends(
                    &format!("has a loader that misses {file}"),
                    BootOutcome::InstallerFailed,
                );
            }
        }
        self.kernel(&bootcfg.words)
    }

    /// An installer's kernel: its command line names the document that it installs by.
    fn kernel(&mut self, words: &[String]) -> BootOutcome {
        let named = |keys: &[&str]| {
            let pairs = words.iter().filter_map(|word| word.split_once('='));
            pairs
                .rev()
                .find(|(key, _)| keys.contains(key))
                .map(|(_, value)| value.to_string())
        };
        let Some(document) = named(&["ks", "inst.ks", "url", "preseed/url"]) else {
            return self.ends("runs a kernel that installs nothing", BootOutcome::Kernel);
        };
        if let Some(tree) = named(&["inst.stage2", "inst.repo"]) {
            let tree = format!("{}/", tree.trim_end_matches('/'));
            self.fetch(&join(&tree, ".treeinfo"));
            self.fetch(&join(&tree, "images/install.img"));
        }
        self.install(&document)
    }

    fn install(&mut self, document: &str) -> BootOutcome {
        let Some(text) = self.text(document) else {
            return self.ends(
                "has an installer without its document",
                BootOutcome::InstallerFailed,
            );
        };
        let attempt = document.rfind('/').map_or(document, |at| &document[..=at]);
        let mut installer = Installer {
            attempt,
            done: Vec::new(),
            first_boot: Vec::new(),
            is_written: false,
        };
        if !installer.follow(self, &text) {
            return self.ends(
                "has an installer that ended with an error",
                BootOutcome::InstallerFailed,
            );
        }
        let Installer { first_boot, .. } = installer;
        self.disk = VirtualDisk::System(first_boot);
        self.ends("has a system on its disk", BootOutcome::Installed)
    }

    fn ends(&mut self, what: &str, booted: BootOutcome) -> BootOutcome {
        self.became(what);
        booted
    }

    fn became(&mut self, what: &str) {
        (self.tell)(PlayStep::Became(what.into()));
    }

    fn call(&mut self, url: &str) {
        if self.trouble.loses_callbacks {
            return (self.tell)(PlayStep::Lost { url: url.into() });
        }
        // That nobody answered is part of what is told.
        let status = self.wire.get(url).ok().map(|answer| answer.status);
        (self.tell)(PlayStep::Called {
            url: url.into(),
            status,
        });
    }

    fn fetch(&mut self, url: &str) -> Option<Vec<u8>> {
        // That nobody answered is part of what is told.
        let answer = self.wire.get(url).ok();
        let told = answer.as_ref().map(|answer| (answer.status, answer.length));
        (self.tell)(PlayStep::Fetched {
            url: url.into(),
            answer: told,
        });
        answer
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.body)
    }

    fn text(&mut self, url: &str) -> Option<String> {
        let bytes = self.fetch(url)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// An installer at work: it does what its documents say, in the order in which they say it.
struct Installer<'a> {
    /// What every URL of the attempt begins with.
    attempt: &'a str,
    done: Vec<AttemptUrl>,
    first_boot: Vec<String>,
    is_written: bool,
}

impl Installer<'_> {
    /// Does what a document says; false when the installation ends with an error.
    fn follow(&mut self, machine: &mut VirtualMachine<'_>, text: &str) -> bool {
        for link in links(text, self.attempt) {
            if self.done.contains(&link) {
                continue;
            }
            self.done.push(link.clone());
            match link {
                AttemptUrl::Failure(url) if machine.trouble.fails && !self.is_written => {
                    machine.call(&url);
                    return false;
                }
                AttemptUrl::Failure(_) => {}
                // It was to fail, and its documents have no word for that.
                AttemptUrl::Installed(_) if machine.trouble.fails => return false,
                AttemptUrl::Installed(url) => {
                    self.is_written = true;
                    machine.call(&url);
                }
                AttemptUrl::Finished(url) => self.first_boot.push(url),
                AttemptUrl::Report(url) if self.is_written => self.first_boot.push(url),
                AttemptUrl::Report(url) => machine.call(&url),
                AttemptUrl::Document(url) => {
                    if !self.document(machine, &url) {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn document(&mut self, machine: &mut VirtualMachine<'_>, url: &str) -> bool {
        let Some(text) = machine.text(url) else {
            return false;
        };
        if !is_first_boot(&text) {
            return self.follow(machine, &text);
        }
        let later = links(&text, self.attempt)
            .into_iter()
            .filter_map(|link| match link {
                AttemptUrl::Finished(url) | AttemptUrl::Report(url) => Some(url),
                AttemptUrl::Failure(_) | AttemptUrl::Installed(_) | AttemptUrl::Document(_) => None,
            });
        self.first_boot.extend(later);
        true
    }
}

/// What iPXE sees of the machine.
struct IpxeHost<'m, 't> {
    machine: &'m mut VirtualMachine<'t>,
    has_system: bool,
    /// Whether the server has answered at all.
    answered: bool,
}

impl IpxeEnvironment for IpxeHost<'_, '_> {
    fn fetch(&mut self, url: &str) -> Option<Vec<u8>> {
        if url.contains("/stage/") {
            self.machine.call(url);
            return None;
        }
        let body = self.machine.fetch(url);
        self.answered |= body.is_some();
        body
    }

    fn say(&mut self, line: &str) {
        (self.machine.tell)(PlayStep::Screen(line.into()));
    }

    fn has_system(&self) -> bool {
        self.has_system
    }
}
