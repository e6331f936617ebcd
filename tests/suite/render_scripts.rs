//! iPXE scripts that belong to no attempt.

use bootwright::{
    model::{LocalBoot, Platform},
    render::scripts::{self, Local, Microkernel},
};

use crate::render_site::{SITE, rendering};

const NO_DISK: &str = "http://192.0.2.1/t/0/stage/no-disk";

#[test]
fn scripts_are_what_they_always_were() {
    let rendering = rendering(SITE, &[]);
    let library = &rendering.library;
    let reason = "it's ${net0/mac}\nexit; reboot || true # & grüße";
    let local = Local {
        reason: Some(reason),
        no_disk: Some(NO_DISK),
        ..Local::default()
    };
    let all = [
        ("entry", scripts::entry(library, "http://192.0.2.1", "5f2e")),
        (
            "wait",
            scripts::wait(
                library,
                "http://192.0.2.1/boot?boot=5f2e",
                "10 installations in an hour",
            ),
        ),
        ("held", scripts::held(library, reason, &Local::default())),
        ("local", scripts::local(library, &local)),
        (
            "local of a BIOS",
            scripts::local(
                library,
                &Local {
                    platform: Some(Platform::Pcbios),
                    ..local
                },
            ),
        ),
        (
            "local of UEFI",
            scripts::local(
                library,
                &Local {
                    platform: Some(Platform::Efi),
                    ..local
                },
            ),
        ),
        (
            "exit",
            scripts::local(
                library,
                &Local {
                    how: Some(LocalBoot::Exit),
                    ..Local::default()
                },
            ),
        ),
        (
            "exit1",
            scripts::local(
                library,
                &Local {
                    how: Some(LocalBoot::Exit1),
                    ..Local::default()
                },
            ),
        ),
        (
            "sanboot",
            scripts::local(
                library,
                &Local {
                    how: Some(LocalBoot::Sanboot),
                    ..local
                },
            ),
        ),
        (
            "microkernel",
            scripts::microkernel(
                library,
                &Microkernel {
                    kernel: "http://192.0.2.1/microkernel/linux",
                    initrd: "http://192.0.2.1/microkernel/initrd",
                    words: &["quiet".into(), "bootwright=http://192.0.2.1/c/0".into()],
                },
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
            "{name} has no end but a prompt"
        );
    }
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!("scripts", text.join("\n"));
    });
}

#[test]
fn a_site_may_replace_a_script_and_its_mistakes_are_found() {
    let own = rendering(
        SITE,
        &[("templates/ipxe/local.ipxe.j2", "#!ipxe\necho ours\nexit\n")],
    );
    assert_eq!(own.shown(&own.found), Vec::<String>::new());
    assert_eq!(
        scripts::local(&own.library, &Local::default()),
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
    assert!(scripts::local(&broken.library, &Local::default()).contains("sanboot"));
}
