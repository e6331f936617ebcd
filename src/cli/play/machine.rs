//! A simulated machine: NICs, firmware, a disk, and its steps from power on until its disk or an installer has run.

use super::{
    PlayStep,
    bootcfg::MbootConfig,
    http::HttpClient,
    ipxe::{self, IpxeEnvironment, IpxeExit, IpxeSetting, IpxeSettings, join},
    urls::{AttemptUrl, attempt_urls, is_first_boot},
};
use crate::model::{Arch, Mac, Platform};

/// What a machine reports to the server when it boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardware {
    /// The MACs of its NICs; it boots from the first.
    pub macs: Vec<Mac>,
    pub serial: Option<String>,
    pub uuid: Option<String>,
    pub asset: Option<String>,
    /// The firmware.
    pub platform: Platform,
    /// The processor architecture; none: one that its repo has files for.
    pub arch: Option<Arch>,
}

/// The faults to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InjectedFaults {
    /// The installer fails after it has started.
    pub fails: bool,
    /// No callback reaches the server.
    pub loses_callbacks: bool,
}

/// The result of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootOutcome {
    /// An installer completed.
    Installed,
    /// An installer failed.
    InstallerFailed,
    /// The system on the disk booted.
    Disk,
    /// The disk has no system.
    NothingOnDisk,
    /// The firmware stopped in its menu.
    FirmwareMenu,
    /// The scripts wait and retry.
    Waiting,
    /// A kernel without an installer was started.
    Kernel,
    /// The server did not answer.
    NoAnswer,
}

pub struct VirtualMachine<'t> {
    hardware: Hardware,
    faults: InjectedFaults,
    client: HttpClient,
    disk: VirtualDisk,
    on_step: Box<dyn FnMut(PlayStep) + 't>,
}

/// The contents of the disk.
enum VirtualDisk {
    Blank,
    /// A system, and the callbacks of its first boot.
    System(Vec<String>),
}

impl<'t> VirtualMachine<'t> {
    /// A machine with a blank disk; `on_step` is called for every step.
    pub fn new(
        hardware: Hardware,
        faults: InjectedFaults,
        on_step: impl FnMut(PlayStep) + 't,
    ) -> VirtualMachine<'t> {
        VirtualMachine {
            hardware,
            faults,
            client: HttpClient::new(),
            disk: VirtualDisk::Blank,
            on_step: Box::new(on_step),
        }
    }

    /// Puts a system on the disk.
    pub fn with_system(self) -> VirtualMachine<'t> {
        VirtualMachine {
            disk: VirtualDisk::System(Vec::new()),
            ..self
        }
    }

    /// Boots from the network; `server` is the server's URL, as DHCP would provide it (`http://192.0.2.1:8080`).
    pub fn boot(&mut self, server: &str) -> BootOutcome {
        let url = format!("{server}/boot.ipxe");
        let settings = self.settings();
        let mut host = IpxeHost {
            has_system: matches!(self.disk, VirtualDisk::System(_)),
            answered: false,
            machine: self,
        };
        let left = ipxe::run(&url, settings, &mut host);
        if !host.answered {
            return BootOutcome::NoAnswer;
        }
        let efi = self.hardware.platform == Platform::Efi;
        match left {
            IpxeExit::Disk => self.boot_disk(),
            // After a successful exit UEFI opens its menu; only after an error it boots the next entry, the disk.
            IpxeExit::Exit { success: true } if efi => {
                self.end("stops in its firmware's menu", BootOutcome::FirmwareMenu)
            }
            IpxeExit::Exit { .. } => self.boot_disk(),
            IpxeExit::Program { url, arguments } => self.program(&url, &arguments),
            IpxeExit::Restart => self.end("restarts", BootOutcome::Kernel),
            IpxeExit::Halt => self.end("halts", BootOutcome::FirmwareMenu),
            IpxeExit::Waiting => self.end(
                "waits: its script retries until the server has another answer",
                BootOutcome::Waiting,
            ),
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
        let values = [
            ("uuid", hardware.uuid.clone()),
            ("serial", hardware.serial.clone()),
            ("asset", hardware.asset.clone()),
            ("manufacturer", Some("Bootwright".into())),
            ("product", Some("Virtual machine".into())),
            ("platform", Some(hardware.platform.to_string())),
            ("buildarch", hardware.arch.map(|arch| arch.to_string())),
            ("ip", Some("127.0.0.1".into())),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                settings.set(name, IpxeSetting::Text(value));
            }
        }
        settings
    }

    fn boot_disk(&mut self) -> BootOutcome {
        let VirtualDisk::System(first_boot) = &mut self.disk else {
            return self.end("has no system on its disk", BootOutcome::NothingOnDisk);
        };
        let callbacks = std::mem::take(first_boot);
        self.result("boots its disk");
        callbacks.iter().for_each(|url| self.call(url));
        BootOutcome::Disk
    }

    fn program(&mut self, url: &str, arguments: &[String]) -> BootOutcome {
        let name = ipxe::split(url).1.rsplit('/').next().unwrap_or_default();
        match name {
            "mboot.efi" | "bootx64.efi" | "mboot.c32" => self.mboot(url, arguments),
            _ => self.kernel(arguments),
        }
    }

    /// ESXi's loader: the boot.cfg of `-c`, else that of this machine's MAC beside the loader, else the common one there.
    fn mboot(&mut self, url: &str, arguments: &[String]) -> BootOutcome {
        let option = arguments
            .iter()
            .position(|argument| argument == "-c")
            .and_then(|at| arguments.get(at + 1));
        let own = self
            .hardware
            .macs
            .first()
            .map(|mac| format!("01-{}/boot.cfg", mac.hyphens()));
        let candidates = match option {
            Some(url) => vec![url.clone()],
            None => own.into_iter().chain(["boot.cfg".into()]).collect(),
        };
        let bootcfg = candidates
            .iter()
            .map(|candidate| join(url, candidate))
            .find_map(|candidate| {
                let text = self.text(&candidate)?;
                Some(MbootConfig::read(&candidate, &text))
            });
        let Some(bootcfg) = bootcfg else {
            return self.end(
                "stops: its loader found no boot.cfg",
                BootOutcome::InstallerFailed,
            );
        };
        if option.is_none() {
            // Only needed with Secure Boot; the loader continues without it.
            self.fetch(&join(url, "crypto64.efi"));
        }
        for file in &bootcfg.files {
            if self.fetch(file).is_none() {
                return self.end(
                    &format!("stops: its loader cannot fetch {file}"),
                    BootOutcome::InstallerFailed,
                );
            }
        }
        self.kernel(&bootcfg.kernel_arguments)
    }

    /// An installer's kernel: its command line has the URL of its document.
    fn kernel(&mut self, arguments: &[String]) -> BootOutcome {
        let named = |keys: &[&str]| {
            let pairs = arguments
                .iter()
                .filter_map(|argument| argument.split_once('='));
            pairs
                .rev()
                .find(|(key, _)| keys.contains(key))
                .map(|(_, value)| value.to_string())
        };
        let Some(document) = named(&["ks", "inst.ks", "url", "preseed/url"]) else {
            return self.end("runs a kernel that installs nothing", BootOutcome::Kernel);
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
            return self.end(
                "stops: its installer cannot fetch its document",
                BootOutcome::InstallerFailed,
            );
        };
        let attempt = document.rfind('/').map_or(document, |at| &document[..=at]);
        let mut installer = Installer {
            attempt,
            visited: Vec::new(),
            first_boot: Vec::new(),
            is_written: false,
        };
        if !installer.follow(self, &text) {
            return self.end("stops: its installer failed", BootOutcome::InstallerFailed);
        }
        let Installer { first_boot, .. } = installer;
        self.disk = VirtualDisk::System(first_boot);
        self.end("is installed", BootOutcome::Installed)
    }

    fn end(&mut self, result: &str, outcome: BootOutcome) -> BootOutcome {
        self.result(result);
        outcome
    }

    fn result(&mut self, result: &str) {
        (self.on_step)(PlayStep::Result(result.into()));
    }

    fn call(&mut self, url: &str) {
        if self.faults.loses_callbacks {
            return (self.on_step)(PlayStep::Lost { url: url.into() });
        }
        // A missing response is part of the step.
        let status = self.client.get(url).ok().map(|answer| answer.status);
        (self.on_step)(PlayStep::Called {
            url: url.into(),
            status,
        });
    }

    fn fetch(&mut self, url: &str) -> Option<Vec<u8>> {
        // A missing response is part of the step.
        let answer = self.client.get(url).ok();
        let response = answer.as_ref().map(|answer| (answer.status, answer.length));
        (self.on_step)(PlayStep::Fetched {
            url: url.into(),
            answer: response,
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

/// An installer: it fetches and reports the URLs of its documents, in order.
struct Installer<'a> {
    /// The prefix of the attempt's URLs.
    attempt: &'a str,
    visited: Vec<AttemptUrl>,
    first_boot: Vec<String>,
    is_written: bool,
}

impl Installer<'_> {
    /// Visits the URLs of a document; false if the installation fails.
    fn follow(&mut self, machine: &mut VirtualMachine<'_>, text: &str) -> bool {
        for url in attempt_urls(text, self.attempt) {
            if self.visited.contains(&url) {
                continue;
            }
            self.visited.push(url.clone());
            match url {
                AttemptUrl::Failure(url) if machine.faults.fails && !self.is_written => {
                    machine.call(&url);
                    return false;
                }
                AttemptUrl::Failure(_) => {}
                // Its documents have no URL to report the failure.
                AttemptUrl::Installed(_) if machine.faults.fails => return false,
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
        let later = attempt_urls(&text, self.attempt)
            .into_iter()
            .filter_map(|url| match url {
                AttemptUrl::Finished(url) | AttemptUrl::Report(url) => Some(url),
                AttemptUrl::Failure(_) | AttemptUrl::Installed(_) | AttemptUrl::Document(_) => None,
            });
        self.first_boot.extend(later);
        true
    }
}

/// The machine as iPXE's environment.
struct IpxeHost<'m, 't> {
    machine: &'m mut VirtualMachine<'t>,
    has_system: bool,
    /// Whether the server has answered a request.
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

    fn print(&mut self, line: &str) {
        (self.machine.on_step)(PlayStep::Screen(line.into()));
    }

    fn has_system(&self) -> bool {
        self.has_system
    }
}
