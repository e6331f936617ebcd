//! The requests of a simulated machine, and its results.

use bootwright::{
    cli::play::{BootOutcome, Hardware, InjectedFaults, PlayStep, VirtualMachine},
    model::{Arch, Platform},
};
use tempfile::TempDir;

use crate::support::{server::Server, sources::root};

/// A server of the quickstart example with its own state.
struct Quickstart {
    server: Server,
    _state: TempDir,
}

impl Quickstart {
    fn start() -> Quickstart {
        let state = tempfile::tempdir().unwrap();
        let site = root().join("examples/quickstart");
        Quickstart {
            server: Server::throwaway(&site, &state.path().join("state")),
            _state: state,
        }
    }

    /// Plays the boots of one machine, and returns the result of each and every step.
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
            arch: Some(Arch::X86_64),
        };
        let machines = format!("http://{}", self.server.machines.address());
        let mut steps = Vec::new();
        let mut machine = VirtualMachine::new(hardware, trouble, |step| steps.push(step));
        let booted = (0..boots).map(|_| machine.boot(&machines)).collect();
        drop(machine);
        (booted, steps)
    }

    /// The boot script of a machine.
    fn script(&self, mac: &str, platform: Platform) -> String {
        let mac = mac.replace(':', "-");
        let path = format!("/boot?mac={mac}&platform={platform}");
        self.server.machines.clone().get(&path).good()
    }
}

/// The requests and callbacks in order, without what differs between runs.
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

const NO_FAULTS: InjectedFaults = InjectedFaults {
    fails: false,
    loses_callbacks: false,
};

#[test]
fn a_played_machine_sends_the_requests_of_firmware_loader_and_installer() {
    let server = Quickstart::start();
    let (booted, steps) = server.play("00:50:56:00:00:01", Platform::Efi, NO_FAULTS, 4);
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
fn a_finished_machine_boots_its_disk_at_each_further_boot() {
    let server = Quickstart::start();
    for (mac, platform, ends) in [
        ("00:50:56:00:00:01", Platform::Efi, "exit 1"),
        ("52:54:00:00:00:02", Platform::Pcbios, SANBOOT),
        ("52:54:00:00:00:03", Platform::Efi, "exit 1"),
    ] {
        let (booted, steps) = server.play(mac, platform, NO_FAULTS, 7);
        assert_eq!(booted[0], BootOutcome::Installed, "{mac}");
        // UEFI would stop in its menu after a successful exit.
        assert_eq!(booted[1..], [BootOutcome::Disk; 6], "{mac}");
        let paths = paths(&steps);
        let finished = paths.iter().filter(|path| path.ends_with("/finished"));
        assert_eq!(finished.count(), 1, "{mac}: {paths:#?}");
        // After that it only requests its script.
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

/// How a BIOS boots its disk.
const SANBOOT: &str = "sanboot --no-describe --drive 0x80 ||\nexit";

#[test]
fn a_machine_whose_reports_are_all_lost_is_installed_once() {
    let server = Quickstart::start();
    let lost = InjectedFaults {
        loses_callbacks: true,
        ..NO_FAULTS
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
fn an_undeclared_machine_boots_its_disk() {
    let server = Quickstart::start();
    let (booted, _) = server.play("02:00:00:00:00:99", Platform::Efi, NO_FAULTS, 1);
    assert_eq!(booted, [BootOutcome::NothingOnDisk]);
}
