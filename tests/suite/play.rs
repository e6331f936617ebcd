//! Whole installations over HTTP as machines go through them, and what the server writes down of each.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use bootwright::{
    cli::play::{Booted, Hardware, Machine, Step, Trouble},
    journal::{Line, Parsed, words},
    model::{Arch, Platform},
    serve::{Options, Running, start},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A server of the quickstart example with state of its own.
struct Server {
    runtime: Runtime,
    running: Option<Running>,
    machines: String,
    operators: String,
    _state: TempDir,
}

impl Server {
    fn start() -> Server {
        let state = tempfile::tempdir().unwrap();
        let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart");
        let runtime = Runtime::new().unwrap();
        let loopback = "127.0.0.1:0".parse().ok();
        let options = Options {
            site,
            state: Some(state.path().join("state")),
            listen: loopback,
            operator: loopback,
        };
        let running = runtime.block_on(start(options)).unwrap();
        Server {
            machines: format!("http://{}", running.machines),
            operators: format!("http://{}", running.operators),
            running: Some(running),
            runtime,
            _state: state,
        }
    }

    /// Plays the boots of one machine and returns what became of each, and every step.
    fn play(
        &self,
        mac: &str,
        platform: Platform,
        trouble: Trouble,
        boots: usize,
    ) -> (Vec<Booted>, Vec<Step>) {
        let hardware = Hardware {
            macs: vec![mac.parse().unwrap()],
            serial: Some("ABC123".into()),
            uuid: Some("4c4c4544-0051-3610-8057-b7c04f4a5231".into()),
            asset: None,
            platform,
            arch: Arch::X86_64,
        };
        let mut steps = Vec::new();
        let mut machine = Machine::new(hardware, trouble, |step| steps.push(step));
        let booted = (0..boots).map(|_| machine.boot(&self.machines)).collect();
        drop(machine);
        (booted, steps)
    }

    /// The log of one machine as `bootwright nodes NAME log` shows it, without what differs from run to run. What
    /// merely tells is written within a second, so it is waited for.
    fn log(&self, node: &str, lines: usize) -> Vec<String> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let url = format!("{}/api/v1/nodes/{node}/log", self.operators);
            let text = ureq::get(url)
                .call()
                .unwrap()
                .into_body()
                .read_to_string()
                .unwrap();
            let log: Vec<String> = text.lines().map(worded).collect();
            if log.len() >= lines || Instant::now() > until {
                return log;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop()).unwrap();
        }
    }
}

fn worded(line: &str) -> String {
    let Ok(Parsed::Known(line)) = Line::parse(line) else {
        panic!("not a known line: {line}");
    };
    let words = words(&line);
    let line = format!("{:<10}  {}", words.kind, words.detail);
    let line = line
        .split_once(", revision ")
        .map_or(line.as_str(), |(before, _)| before);
    // How long a document is changes with its template.
    match line.split_once(" (").filter(|_| words.kind == "document") {
        Some((name, _)) => format!("{name} (N)"),
        None => line.into(),
    }
}

/// What was asked for and told, in order, without what differs from run to run.
fn paths(steps: &[Step]) -> Vec<String> {
    let lines = steps.iter().filter_map(|step| match step {
        Step::Fetched { answer, .. } => {
            assert!(answer.is_some_and(|(status, _)| status == 200), "{step}");
            Some(step.to_string())
        }
        Step::Called { status, .. } => {
            assert_eq!(*status, Some(200), "{step}");
            Some(step.to_string())
        }
        Step::Lost { .. } => Some(step.to_string()),
        Step::Screen(_) | Step::Became(_) => None,
    });
    lines
        .map(|line| {
            line.split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

const SOUND: Trouble = Trouble {
    fails: false,
    loses_callbacks: false,
};

#[test]
fn esxi_is_installed_once_and_says_every_step() {
    let server = Server::start();
    let (booted, steps) = server.play("00:50:56:00:00:01", Platform::Efi, SOUND, 4);
    assert_eq!(
        booted,
        [Booted::Installed, Booted::Disk, Booted::Disk, Booted::Disk]
    );
    assert_eq!(
        paths(&steps),
        [
            "fetches /boot.ipxe",
            "fetches /boot?…",
            "fetches /t/…/mboot.efi",
            "fetches /t/…/01-00-50-56-00-00-01/boot.cfg",
            "fetches /t/…/crypto64.efi",
            "fetches /repo/esxi/b.b00",
            "fetches /repo/esxi/jumpstrt.gz",
            "fetches /repo/esxi/useropts.gz",
            "fetches /repo/esxi/features.gz",
            "fetches /repo/esxi/k.b00",
            "fetches /repo/esxi/s.v00",
            "fetches /repo/esxi/weaselin.v00",
            "fetches /repo/esxi/imgdb.tgz",
            "fetches /repo/esxi/imgpayld.tgz",
            "fetches /t/…/ks.cfg",
            "reports /t/…/stage/installing",
            "reports /t/…/stage/installed",
            "fetches /boot.ipxe",
            "fetches /boot?…",
            "reports /t/…/stage/finished",
            "fetches /boot.ipxe",
            "fetches /boot?…",
            "fetches /boot.ipxe",
            "fetches /boot?…",
        ]
    );
    assert_eq!(
        server.log("esx01", 17),
        [
            "seen        mac 00:50:56:00:00:01, serial abc123, uuid 4c4c4544-0051-3610-8057-b7c04f4a5231",
            "node        declared as esx01",
            "facts       manufacturer Bootwright, product Virtual machine, serial ABC123, uuid 4c4c4544-0051-3610-8057-b7c04f4a5231, firmware efi",
            "bound       by policy esxi",
            "attempt     1 opened: task esxi from repo esxi",
            "boot        ipxe efi: installer (attempt 1)",
            "file        mboot.efi",
            "file        01-00-50-56-00-00-01/boot.cfg",
            "file        crypto64.efi",
            "document    ks.cfg asked for",
            "document    ks.cfg (N)",
            "installing  the machine says so",
            "installed   the machine says so",
            "boot        ipxe efi: its own disk: nothing is due",
            "finished    the machine says so",
            "boot        ipxe efi: its own disk: nothing is due",
            "boot        ipxe efi: its own disk: nothing is due",
        ]
    );
}

#[test]
fn debian_is_installed_once_and_says_every_step() {
    let server = Server::start();
    let (booted, _) = server.play("52:54:00:00:00:02", Platform::Pcbios, SOUND, 3);
    assert_eq!(booted, [Booted::Installed, Booted::Disk, Booted::Disk]);
    assert_eq!(
        server.log("web01", 16),
        [
            "seen        mac 52:54:00:00:00:02, serial abc123, uuid 4c4c4544-0051-3610-8057-b7c04f4a5231",
            "node        declared as web01",
            "facts       manufacturer Bootwright, product Virtual machine, serial ABC123, uuid 4c4c4544-0051-3610-8057-b7c04f4a5231, firmware pcbios",
            "bound       by its own declaration",
            "attempt     1 opened: task debian from repo debian",
            "boot        ipxe pcbios: installer (attempt 1)",
            "document    preseed.cfg asked for",
            "document    preseed.cfg (N)",
            "installing  the machine says so",
            "file        disk.sh",
            "file        late.sh",
            "file        first-boot.sh",
            "installed   the machine says so",
            "boot        ipxe pcbios: its own disk: nothing is due",
            "finished    the machine says so",
            "boot        ipxe pcbios: its own disk: nothing is due",
        ]
    );
}

#[test]
fn rocky_is_installed_once_and_says_every_step() {
    let server = Server::start();
    let (booted, _) = server.play("52:54:00:00:00:03", Platform::Efi, SOUND, 3);
    assert_eq!(booted, [Booted::Installed, Booted::Disk, Booted::Disk]);
    assert_eq!(
        server.log("db01", 14),
        [
            "seen        mac 52:54:00:00:00:03, serial abc123, uuid 4c4c4544-0051-3610-8057-b7c04f4a5231",
            "node        declared as db01",
            "facts       manufacturer Bootwright, product Virtual machine, serial ABC123, uuid 4c4c4544-0051-3610-8057-b7c04f4a5231, firmware efi",
            "bound       by policy rocky",
            "attempt     1 opened: task redhat from repo rocky",
            "boot        ipxe efi: installer (attempt 1)",
            "document    ks.cfg asked for",
            "document    ks.cfg (N)",
            "installing  the machine says so",
            "file        first-boot.sh",
            "installed   the machine says so",
            "boot        ipxe efi: its own disk: nothing is due",
            "finished    the machine says so",
            "boot        ipxe efi: its own disk: nothing is due",
        ]
    );
}

#[test]
fn a_machine_whose_reports_are_all_lost_is_installed_once() {
    let server = Server::start();
    let lost = Trouble {
        loses_callbacks: true,
        ..SOUND
    };
    for (mac, platform) in [
        ("00:50:56:00:00:01", Platform::Efi),
        ("52:54:00:00:00:02", Platform::Pcbios),
        ("52:54:00:00:00:03", Platform::Efi),
    ] {
        let (booted, steps) = server.play(mac, platform, lost, 6);
        assert_eq!(booted[0], Booted::Installed, "{mac}");
        assert!(
            booted[1..].iter().all(|booted| *booted == Booted::Disk),
            "{mac}: {booted:?}"
        );
        assert!(
            steps.iter().any(|step| matches!(step, Step::Lost { .. })),
            "{mac}"
        );
    }
}

#[test]
fn an_installer_that_says_it_failed_is_tried_again_until_it_is_held() {
    let server = Server::start();
    let fails = Trouble {
        fails: true,
        ..SOUND
    };
    let (booted, _) = server.play("52:54:00:00:00:03", Platform::Efi, fails, 5);
    let failed = Booted::InstallerFailed;
    assert_eq!(
        booted,
        [
            failed,
            failed,
            failed,
            Booted::NothingOnDisk,
            Booted::NothingOnDisk
        ]
    );
    let log = server.log("db01", 24);
    let held: Vec<&String> = log.iter().filter(|line| line.starts_with("held")).collect();
    assert_eq!(held.len(), 1, "{log:#?}");
}

#[test]
fn a_machine_that_nobody_declared_gets_its_own_disk() {
    let server = Server::start();
    let (booted, _) = server.play("02:00:00:00:00:99", Platform::Efi, SOUND, 1);
    assert_eq!(booted, [Booted::NothingOnDisk]);
}
