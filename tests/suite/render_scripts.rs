//! iPXE scripts that belong to no attempt.

use bootwright::{
    cli::play::ipxe::{self, IpxeExit, IpxeSettings},
    model::{LocalBoot, Platform},
    render::boot::{BootAction, DiskBoot, MicrokernelBoot, ipxe::IpxeScripts},
};

use crate::support::rendering::{SITE, rendering};

const URL: &str = "http://192.0.2.1/boot?boot=5f2e";
const NO_DISK: &str = "http://192.0.2.1/t/0/stage/no-disk";

fn script(scripts: &IpxeScripts, action: BootAction) -> String {
    String::from_utf8(scripts.answer(&action, || URL.into())).unwrap()
}

fn local(scripts: &IpxeScripts, disk: DiskBoot) -> String {
    script(scripts, BootAction::Disk(disk))
}

fn wait(scripts: &IpxeScripts, reason: &str) -> String {
    script(scripts, BootAction::Wait(reason.into()))
}

#[test]
fn boot_scripts_render_to_their_golden_file() {
    let rendering = rendering(SITE, &[]);
    let scripts = rendering.library.ipxe_scripts();
    let reason = "it's ${net0/mac}\nexit; reboot || true # & grüße";
    let reported = DiskBoot {
        no_disk: Some(NO_DISK.into()),
        ..DiskBoot::because(reason)
    };
    let held = BootAction::Held {
        reason: reason.into(),
        disk: DiskBoot::default(),
    };
    let all = [
        ("entry", scripts.entry("http://192.0.2.1", "5f2e")),
        ("wait", wait(scripts, "10 installations in an hour")),
        ("held", script(scripts, held)),
        ("local", local(scripts, reported.clone())),
        (
            "local of a BIOS",
            local(
                scripts,
                DiskBoot {
                    platform: Some(Platform::Pcbios),
                    ..reported.clone()
                },
            ),
        ),
        (
            "local of UEFI",
            local(
                scripts,
                DiskBoot {
                    platform: Some(Platform::Efi),
                    ..reported.clone()
                },
            ),
        ),
        (
            "exit",
            local(
                scripts,
                DiskBoot {
                    how: Some(LocalBoot::Exit),
                    ..DiskBoot::default()
                },
            ),
        ),
        (
            "exit1",
            local(
                scripts,
                DiskBoot {
                    how: Some(LocalBoot::Exit1),
                    ..DiskBoot::default()
                },
            ),
        ),
        (
            "sanboot",
            local(
                scripts,
                DiskBoot {
                    how: Some(LocalBoot::Sanboot),
                    ..reported.clone()
                },
            ),
        ),
        (
            "microkernel",
            script(
                scripts,
                BootAction::Microkernel(MicrokernelBoot {
                    base: "http://192.0.2.1/microkernel".into(),
                    kernel: "linux",
                    initrd: "initrd",
                    cmdline: vec!["quiet".into(), "bootwright=http://192.0.2.1/c/0".into()],
                }),
            ),
        ),
    ];
    let text: Vec<String> = all
        .iter()
        .map(|(name, text)| format!("==> {name} <==\n{text}"))
        .collect();
    for (name, text) in &all {
        assert!(text.starts_with("#!ipxe\n"), "{name}");
        assert!(
            text.ends_with("exit\n") || text.ends_with("exit 1\n"),
            "{name} would end at a prompt"
        );
    }
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!("scripts", text.join("\n"));
    });
}

#[test]
fn a_site_can_replace_a_boot_script_and_its_errors_are_reported() {
    let own = rendering(
        SITE,
        &[("templates/ipxe/local.ipxe.j2", "#!ipxe\necho ours\nexit\n")],
    );
    assert_eq!(own.shown(&own.found), Vec::<String>::new());
    assert_eq!(
        local(own.library.ipxe_scripts(), DiskBoot::default()),
        "#!ipxe\necho ours\nexit\n"
    );
    let broken = rendering(
        SITE,
        &[("templates/ipxe/local.ipxe.j2", "#!ipxe\necho {{ reasn }}\n")],
    );
    assert_eq!(
        broken.shown(&broken.found),
        [
            "templates/ipxe/local.ipxe.j2:2: template ipxe/local.ipxe.j2, line 2: `reasn` is not defined = write `reasn | default(\"\")`"
        ]
    );
    assert!(local(broken.library.ipxe_scripts(), DiskBoot::default()).contains("sanboot"));
}

/// A machine whose server stops after the machine has fetched the script.
struct Deserted {
    script: String,
    has_system: bool,
    /// The time waited so far, and the number of requests.
    seconds: u64,
    requests: u32,
}

impl Deserted {
    /// The timeout of a request in milliseconds, as set in the script.
    fn timeout(&self) -> u64 {
        let timeout = self.script.split("--timeout ").nth(1).unwrap();
        let milliseconds = timeout.split(' ').next().unwrap();
        milliseconds.parse::<u64>().unwrap() / 1_000
    }
}

impl ipxe::IpxeEnvironment for Deserted {
    fn fetch(&mut self, url: &str) -> Option<Vec<u8>> {
        if url.ends_with("/script") {
            return Some(self.script.clone().into_bytes());
        }
        self.requests += 1;
        self.seconds += self.timeout();
        None
    }

    fn print(&mut self, line: &str) {
        let waits = line.strip_prefix("(waits ");
        let seconds = waits.and_then(|rest| rest.strip_suffix(" s)"));
        self.seconds += seconds.map_or(0, |seconds| seconds.parse().unwrap());
    }

    fn has_system(&self) -> bool {
        self.has_system
    }
}

#[test]
fn a_machine_without_an_answer_boots_its_disk_within_three_minutes() {
    let rendering = rendering(SITE, &[]);
    let scripts = rendering.library.ipxe_scripts();
    let entry = scripts.entry("http://192.0.2.1", "5f2e");
    let wait = wait(scripts, "full");
    let exit = |success| IpxeExit::Exit { success };
    let cases = [
        (&entry, "pcbios", true, IpxeExit::Disk, (9, 170)),
        (&entry, "pcbios", false, exit(true), (9, 170)),
        (&entry, "efi", true, exit(false), (9, 170)),
        (&wait, "pcbios", true, IpxeExit::Disk, (5, 175)),
        (&wait, "efi", true, exit(false), (5, 175)),
    ];
    for (script, platform, has_system, left, expected) in cases {
        let mut server_gone = Deserted {
            script: script.clone(),
            has_system,
            seconds: 0,
            requests: 0,
        };
        let mut settings = IpxeSettings::default();
        settings.set("platform", ipxe::IpxeSetting::Text(platform.into()));
        settings.set("ip", ipxe::IpxeSetting::Text("192.0.2.21".into()));
        let found = ipxe::run("http://192.0.2.1/script", settings, &mut server_gone);
        assert_eq!(found, left, "{platform}: {script}");
        assert_eq!(
            (server_gone.requests, server_gone.seconds),
            expected,
            "{platform}: {script}"
        );
        assert!(server_gone.seconds <= 180, "three minutes");
    }
}
