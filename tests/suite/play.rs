//! What a virtual machine asks of a server, and what becomes of it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

use bootwright::{
    cli::play::{BootOutcome, Hardware, InjectedFaults, PlayStep, VirtualMachine},
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
            http_alone: true,
            throwaway: true,
        };
        let running = runtime.block_on(start(options)).unwrap();
        Server {
            machines: format!("http://{}", running.machines),
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
        trouble: InjectedFaults,
        boots: usize,
    ) -> (Vec<BootOutcome>, Vec<PlayStep>) {
        let hardware = Hardware {
            macs: vec![mac.parse().unwrap()],
            serial: Some("ABC123".into()),
            uuid: Some("4c4c4544-0051-3610-8057-b7c04f4a5231".into()),
            asset: None,
            platform,
            arch: Arch::X86_64,
        };
        let mut steps = Vec::new();
        let mut machine = VirtualMachine::new(hardware, trouble, |step| steps.push(step));
        let booted = (0..boots).map(|_| machine.boot(&self.machines)).collect();
        drop(machine);
        (booted, steps)
    }

    /// What `/boot` answers.
    fn script(&self, mac: &str, platform: Platform) -> String {
        let address = self.machines.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        let mac = mac.replace(':', "-");
        let ask = format!("GET /boot?mac={mac}&platform={platform} HTTP/1.0\r\n\r\n");
        stream.write_all(ask.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"));
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop()).unwrap();
        }
    }
}

/// What was asked for and told, in order, without what differs from run to run.
fn paths(steps: &[PlayStep]) -> Vec<String> {
    let lines = steps.iter().filter_map(|step| match step {
        PlayStep::Fetched { answer, .. } => {
            assert!(answer.is_some_and(|(status, _)| status == 200), "{step}");
            Some(step.to_string())
        }
        PlayStep::Called { status, .. } => {
            assert_eq!(*status, Some(200), "{step}");
            Some(step.to_string())
        }
        PlayStep::Lost { .. } => Some(step.to_string()),
        PlayStep::Screen(_) | PlayStep::Result(_) => None,
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

const SOUND: InjectedFaults = InjectedFaults {
    fails: false,
    loses_callbacks: false,
};

#[test]
fn a_machine_asks_as_firmware_loader_and_installer_do() {
    let server = Server::start();
    let (booted, steps) = server.play("00:50:56:00:00:01", Platform::Efi, SOUND, 4);
    assert_eq!(
        booted,
        [
            BootOutcome::Installed,
            BootOutcome::Disk,
            BootOutcome::Disk,
            BootOutcome::Disk
        ]
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
}

#[test]
fn a_finished_machine_boots_its_disk_five_times_more_as_its_firmware_must() {
    let server = Server::start();
    for (mac, platform, ends) in [
        ("00:50:56:00:00:01", Platform::Efi, "exit 1"),
        ("52:54:00:00:00:02", Platform::Pcbios, SANBOOT),
        ("52:54:00:00:00:03", Platform::Efi, "exit 1"),
    ] {
        let (booted, steps) = server.play(mac, platform, SOUND, 7);
        assert_eq!(booted[0], BootOutcome::Installed, "{mac}");
        // UEFI that is told of success would stop in its menu.
        assert_eq!(booted[1..], [BootOutcome::Disk; 6], "{mac}");
        let paths = paths(&steps);
        let finished = paths.iter().filter(|path| path.ends_with("/finished"));
        assert_eq!(finished.count(), 1, "{mac}: {paths:#?}");
        // After that it asks for nothing but its script.
        let five: Vec<&str> = paths[paths.len() - 10..]
            .iter()
            .map(String::as_str)
            .collect();
        assert_eq!(
            five,
            ["fetches /boot.ipxe", "fetches /boot?…"].repeat(5),
            "{mac}"
        );
        let script = server.script(mac, platform);
        assert!(script.trim_end().ends_with(ends), "{mac}: {script}");
        assert_eq!(script.contains("sanboot"), platform == Platform::Pcbios);
    }
}

/// How a BIOS leaves for its disk.
const SANBOOT: &str = "sanboot --no-describe --drive 0x80 ||\nexit";

#[test]
fn a_machine_whose_reports_are_all_lost_is_installed_once() {
    let server = Server::start();
    let lost = InjectedFaults {
        loses_callbacks: true,
        ..SOUND
    };
    for (mac, platform) in [
        ("00:50:56:00:00:01", Platform::Efi),
        ("52:54:00:00:00:02", Platform::Pcbios),
        ("52:54:00:00:00:03", Platform::Efi),
    ] {
        let (booted, steps) = server.play(mac, platform, lost, 6);
        assert_eq!(booted[0], BootOutcome::Installed, "{mac}");
        assert!(
            booted[1..]
                .iter()
                .all(|booted| *booted == BootOutcome::Disk),
            "{mac}: {booted:?}"
        );
        assert!(
            steps
                .iter()
                .any(|step| matches!(step, PlayStep::Lost { .. })),
            "{mac}"
        );
    }
}

#[test]
fn a_machine_that_nobody_declared_gets_its_own_disk() {
    let server = Server::start();
    let (booted, _) = server.play("02:00:00:00:00:99", Platform::Efi, SOUND, 1);
    assert_eq!(booted, [BootOutcome::NothingOnDisk]);
}
