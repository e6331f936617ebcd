//! Media that cannot install over the network, media that can, and media whose kernel and packages are in two repos.

use std::{fs, path::Path, process::Command};

use crate::support::rendering::{Rendering, rendering_with};

/// The files of a repo, with their texts.
type Files = &'static [(&'static str, &'static str)];

const DVD: Files = &[
    (
        ".disk/info",
        "Debian GNU/Linux 12.8.0 \"Bookworm\" - Official amd64 DVD Binary-1 with firmware 20241109-11:05",
    ),
    (".disk/base_installable", ""),
    (".disk/cd_type", "dvd"),
    ("dists/bookworm/Release", "Codename: bookworm"),
    ("install.amd/vmlinuz", ""),
    ("install.amd/initrd.gz", ""),
];
/// The second one of a set has neither an installer nor the base system.
const SECOND_DVD: Files = &[
    (
        ".disk/info",
        "Debian GNU/Linux 12.8.0 \"Bookworm\" - Official amd64 DVD Binary-2 20241109-11:05",
    ),
    (".disk/cd_type", "dvd"),
    ("dists/bookworm/Release", "Codename: bookworm"),
];
const NETINST: Files = &[
    (
        ".disk/info",
        "Debian GNU/Linux 12.8.0 \"Bookworm\" - Official amd64 NETINST with firmware 20241109-11:05",
    ),
    (".disk/base_installable", ""),
    (".disk/cd_type", "not_complete"),
    ("dists/bookworm/Release", "Codename: bookworm"),
    ("install.amd/vmlinuz", ""),
    ("install.amd/initrd.gz", ""),
];
const ARM64_DVD: Files = &[
    (
        ".disk/info",
        "Debian GNU/Linux 13.1.0 \"Trixie\" - Official arm64 DVD Binary-1 with firmware 20250906-10:22",
    ),
    (".disk/base_installable", ""),
    (".disk/cd_type", "dvd/single"),
    ("install.a64/vmlinuz", ""),
    ("install.a64/initrd.gz", ""),
];
const NETBOOT: Files = &[
    ("debian-installer/amd64/linux", ""),
    ("debian-installer/amd64/initrd.gz", ""),
];
const ARM64_NETBOOT: Files = &[
    ("debian-installer/arm64/linux", ""),
    ("debian-installer/arm64/initrd.gz", ""),
];
const BOTH_NETBOOT: Files = &[
    ("debian-installer/amd64/linux", ""),
    ("debian-installer/amd64/initrd.gz", ""),
    ("debian-installer/arm64/linux", ""),
    ("debian-installer/arm64/initrd.gz", ""),
];
const MIRROR: Files = &[("dists/trixie/Release", "Codename: trixie")];
const ROCKY_DVD: Files = &[
    (".treeinfo", "[general]\nfamily = Rocky Linux\n"),
    ("images/pxeboot/vmlinuz", ""),
    ("images/pxeboot/initrd.img", ""),
    ("images/install.img", ""),
    ("BaseOS/repodata/repomd.xml", ""),
    ("AppStream/repodata/repomd.xml", ""),
];
const ALMA_MINIMAL: Files = &[
    (".treeinfo", "[general]\nfamily = AlmaLinux\n"),
    ("images/pxeboot/vmlinuz", ""),
    ("images/pxeboot/initrd.img", ""),
    ("images/install.img", ""),
    ("Minimal/repodata/repomd.xml", ""),
];
/// boot.iso, and netinst of Fedora.
const ROCKY_BOOT: Files = &[
    (".treeinfo", "[general]\nfamily = Rocky Linux\n"),
    ("images/pxeboot/vmlinuz", ""),
    ("images/pxeboot/initrd.img", ""),
    ("images/install.img", ""),
];
/// A copy of the directory of the kernel.
const ROCKY_PXEBOOT: Files = &[
    ("images/pxeboot/vmlinuz", ""),
    ("images/pxeboot/initrd.img", ""),
];

/// A site with these repos and one node, which installs from the repo `os`.
fn site(node: &str, repos: &[(&str, Files, &str)]) -> Rendering {
    let repos_toml: String = repos
        .iter()
        .map(|(name, _, more)| format!("[repo.{name}]\npath = \"{name}\"\n{more}\n"))
        .collect();
    let toml = format!(
        "[network.lab]\nsubnet = \"192.0.2.0/24\"\n\n{repos_toml}\n[node.m1]\nmac = \"52:54:00:00:00:01\"\n\
         repo = \"os\"\naddress = \"192.0.2.21\"\nroot-password-hash = \"{HASH}\"\n{node}\n"
    );
    rendering_with(&toml, &[], |repo, path| {
        let (_, files, _) = repos.iter().find(|(name, ..)| *name == repo)?;
        let file = files
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(path));
        file.map(|(_, text)| (*text).to_owned())
    })
}

const HASH: &str = "$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/";
const DEBIAN: &str = "task = \"debian\"";
const REDHAT: &str = "task = \"redhat\"";
const WITH_NETBOOT: &str = "task = \"debian\"\ninstaller = \"boot\"";
const WITH_BOOT: &str = "task = \"redhat\"\ninstaller = \"boot\"";
const WITH_MIRROR: &str = "task = \"debian\"\nvars = { mirror = \"http://mirror.example/debian\" }";

/// What `check` says about the node's documents.
fn found(site: &Rendering) -> Vec<String> {
    let (_, found) = site.inspect("m1");
    let all = site.found.iter().chain(&found);
    let shown: Vec<_> = all.cloned().collect();
    site.shown(&shown)
}

#[test]
fn media_without_an_installer_for_the_network_or_without_packages_are_refused() {
    const DISC: &str = "cannot be started over the network: it searches for a disc, and has no drivers of network cards";
    for (what, repos, expected) in [
        ("a DVD", vec![("os", DVD, DEBIAN)], DISC),
        ("a netinst image", vec![("os", NETINST, DEBIAN)], DISC),
        ("a DVD for ARM", vec![("os", ARM64_DVD, DEBIAN)], DISC),
        ("a DVD with a mirror", vec![("os", DVD, WITH_MIRROR)], DISC),
        (
            "netboot files only",
            vec![("os", NETBOOT, DEBIAN)],
            "repo `os` has no packages: there is no `dists/stable/Release`, nor the like",
        ),
        (
            "a netinst image with an installer",
            vec![("os", NETINST, WITH_NETBOOT), ("boot", NETBOOT, "")],
            "repo `os` lacks packages: its `.disk/cd_type` contains `not_complete`",
        ),
        (
            "the second DVD with an installer",
            vec![("os", SECOND_DVD, WITH_NETBOOT), ("boot", NETBOOT, "")],
            "repo `os` has no packages: there is no `.disk/base_installable`",
        ),
        (
            "a DVD whose installer is another DVD",
            vec![("os", DVD, WITH_NETBOOT), ("boot", DVD, "")],
            DISC,
        ),
        (
            "boot.iso",
            vec![("os", ROCKY_BOOT, REDHAT)],
            "repo `os` has no packages: there is no `repodata/repomd.xml`, nor the like",
        ),
        (
            "packages without a kernel",
            vec![("os", MIRROR, DEBIAN)],
            "repo `os` lacks `debian-installer/amd64/initrd.gz`, `debian-installer/amd64/linux`",
        ),
    ] {
        let found = found(&site("", &repos));
        assert_eq!(found.len(), 1, "{what}: {found:#?}");
        assert!(found[0].contains(expected), "{what}: {found:#?}");
    }
}

#[test]
fn an_image_with_packages_boots_the_kernel_of_another_repo() {
    for (what, repos, file, expected) in [
        (
            "a DVD",
            vec![("os", DVD, WITH_NETBOOT), ("boot", NETBOOT, "")],
            "boot.ipxe",
            vec!["http://192.0.2.1/repo/boot/debian-installer/amd64/linux "],
        ),
        (
            "a DVD",
            vec![("os", DVD, WITH_NETBOOT), ("boot", NETBOOT, "")],
            "preseed.cfg",
            vec![
                "d-i mirror/http/hostname string 192.0.2.1\n",
                "d-i mirror/http/directory string /repo/os\n",
                "d-i debian-installer/allow_unauthenticated boolean true\n",
            ],
        ),
        (
            "a copy of a mirror",
            vec![("os", MIRROR, WITH_NETBOOT), ("boot", NETBOOT, "")],
            "preseed.cfg",
            vec!["d-i mirror/http/directory string /repo/os\n"],
        ),
        (
            "netboot files with a mirror",
            vec![("os", NETBOOT, WITH_MIRROR)],
            "preseed.cfg",
            vec!["d-i mirror/http/hostname string mirror.example\n"],
        ),
        (
            "a DVD of the RHEL family",
            vec![("os", ROCKY_DVD, REDHAT)],
            "boot.ipxe",
            vec!["inst.repo=http://192.0.2.1/repo/os "],
        ),
        (
            "a minimal image of the RHEL family",
            vec![("os", ALMA_MINIMAL, REDHAT)],
            "ks.cfg",
            vec!["url --url=http://192.0.2.1/repo/os\n"],
        ),
        (
            "packages of the RHEL family with boot.iso",
            vec![("os", ROCKY_DVD, WITH_BOOT), ("boot", ROCKY_BOOT, "")],
            "boot.ipxe",
            vec![
                "kernel http://192.0.2.1/repo/boot/images/pxeboot/vmlinuz ",
                "inst.stage2=http://192.0.2.1/repo/boot ",
            ],
        ),
        (
            "packages of the RHEL family with a kernel only",
            vec![("os", ROCKY_DVD, WITH_BOOT), ("boot", ROCKY_PXEBOOT, "")],
            "boot.ipxe",
            vec![
                "kernel http://192.0.2.1/repo/boot/images/pxeboot/vmlinuz ",
                "inst.stage2=http://192.0.2.1/repo/os ",
            ],
        ),
        (
            "packages of the RHEL family with boot.iso",
            vec![("os", ROCKY_DVD, WITH_BOOT), ("boot", ROCKY_BOOT, "")],
            "ks.cfg",
            vec!["url --url=http://192.0.2.1/repo/os\n"],
        ),
    ] {
        let site = site("", &repos);
        assert_eq!(found(&site), [""; 0], "{what}");
        let text = site.text("m1", file);
        for expected in expected {
            assert!(
                text.contains(expected),
                "{what}: {file} lacks `{expected}`:\n{text}"
            );
        }
    }
}

/// The tree of BaseOS alone, out of a mirror of Rocky Linux.
const ROCKY_BASEOS: Files = &[
    (
        ".treeinfo",
        "[general]\nfamily = Rocky Linux\n\n[variant-AppStream]\nrepository = ../../../AppStream/x86_64/os/\n\n[variant-BaseOS]\nrepository = .\n",
    ),
    ("images/pxeboot/vmlinuz", ""),
    ("images/pxeboot/initrd.img", ""),
    ("images/install.img", ""),
    ("repodata/repomd.xml", ""),
];

#[test]
fn packages_that_a_repo_names_outside_of_it_are_a_warning() {
    let outside = "repo `os` names packages outside of it: `../../../AppStream/x86_64/os/`; machines cannot fetch them";
    for (more, expected) in [
        (REDHAT, Some(outside)),
        (
            "task = \"redhat\"\nvars.repos = { appstream = \"http://192.0.2.1/repo/appstream\" }",
            None,
        ),
        (
            "task = \"redhat\"\nvars.mirror = \"http://mirror.example/rocky\"",
            None,
        ),
    ] {
        let found = found(&site("", &[("os", ROCKY_BASEOS, more)]));
        match expected {
            Some(expected) => assert!(
                matches!(&found[..], [one] if one.contains(expected)),
                "{found:#?}"
            ),
            None => assert_eq!(found, [""; 0], "{more}"),
        }
    }
}

#[test]
fn a_machine_gets_the_files_of_its_architecture() {
    let with_mirror = |files| vec![("os", files, WITH_MIRROR)];
    for (what, node, files, expected) in [
        ("only arm64", "", ARM64_NETBOOT, "arm64"),
        ("both", "", BOTH_NETBOOT, "amd64"),
        ("both", "arch = \"arm64\"", BOTH_NETBOOT, "arm64"),
        ("both", "arch = \"aarch64\"", BOTH_NETBOOT, "arm64"),
        ("both", "arch = \"x86_64\"", BOTH_NETBOOT, "amd64"),
    ] {
        let site = site(node, &with_mirror(files)).of_unknown_architecture();
        assert_eq!(found(&site), [""; 0], "{what}, {node}");
        let kernel = format!("/repo/os/debian-installer/{expected}/linux ");
        assert!(
            site.text("m1", "boot.ipxe").contains(&kernel),
            "{what}, {node}"
        );
        let has_grub = site
            .inspect("m1")
            .0
            .unwrap()
            .files
            .iter()
            .any(|file| file.name == "boot.grub");
        assert_eq!(has_grub, expected == "arm64", "{what}, {node}");
    }
    for (what, node, files, expected) in [
        (
            "only arm64",
            "arch = \"amd64\"",
            ARM64_NETBOOT,
            "lacks `debian-installer/amd64/initrd.gz`",
        ),
        (
            "only amd64",
            "arch = \"arm64\"",
            NETBOOT,
            "lacks `debian-installer/arm64/initrd.gz`",
        ),
        (
            "32 bits",
            "arch = \"i386\"",
            NETBOOT,
            "no task installs on 32-bit x86",
        ),
        ("no such thing", "arch = \"riscv64\"", NETBOOT, "`riscv64`"),
    ] {
        let site = site(node, &with_mirror(files)).of_unknown_architecture();
        let found = found(&site);
        assert!(
            found.iter().any(|one| one.contains(expected)),
            "{what}: {found:#?}"
        );
    }
}

#[test]
fn mistakes_in_installer_are_reported() {
    for (repos, expected) in [
        (
            vec![
                ("os", DVD, "task = \"debian\"\ninstaller = \"boott\""),
                ("boot", NETBOOT, ""),
            ],
            "there is no repo `boott` = did you mean `boot`?",
        ),
        (
            vec![("os", DVD, "task = \"debian\"\ninstaller = \"os\"")],
            "repo `os` has an `installer` itself",
        ),
        (
            vec![
                ("os", DVD, WITH_NETBOOT),
                ("boot", DVD, "installer = \"third\""),
                ("third", NETBOOT, ""),
            ],
            "repo `boot` has an `installer` itself",
        ),
        (
            vec![
                ("os", DVD, "task = \"image\"\ninstaller = \"boot\""),
                ("boot", NETBOOT, ""),
            ],
            "task `image` reads all files from one repo",
        ),
    ] {
        let found = found(&site("", &repos));
        assert!(
            found.iter().any(|one| one.contains(expected)),
            "{expected}: {found:#?}"
        );
    }
}

#[test]
fn the_list_of_repos_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let mut toml = String::new();
    for (name, files, more) in [
        ("netinst", NETINST, ""),
        ("rocky-boot", ROCKY_BOOT, ""),
        ("rocky", ROCKY_DVD, ""),
        ("netboot", NETBOOT, ""),
        ("dvd", DVD, "installer = \"netboot\"\n"),
    ] {
        toml += &format!("[repo.{name}]\npath = \"media/{name}\"\n{more}\n");
        for (path, text) in files {
            write(&format!("media/{name}/{path}"), text);
        }
    }
    write("policies.d/site.toml", &toml);
    let output = Command::new(env!("CARGO_BIN_EXE_bootwright"))
        .args(["repos", "--json", "--site"])
        .arg(Path::new(folder.path()))
        .output()
        .unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let troubles: Vec<(&str, Option<&str>)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["trouble"].as_str()))
        .collect();
    assert_eq!(
        troubles,
        [
            ("dvd", None),
            ("netboot", None),
            (
                "netinst",
                Some(
                    "the installer of repo `netinst` (`install.amd/vmlinuz`) cannot be started over the network: it searches for a disc, and has no drivers of network cards"
                )
            ),
            ("rocky", None),
            (
                "rocky-boot",
                Some(
                    "repo `rocky-boot` has no packages: there is no `repodata/repomd.xml`, nor the like"
                )
            ),
        ]
    );
}
