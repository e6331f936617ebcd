//! No rendered preseed file leaves a question that Debian's installer stops at, held to the installer's own scripts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
};

use bootwright::render::check::NEEDED;
use flate2::{Compression, write::GzEncoder};

use crate::support::{
    installer::{Installer, RELEASES, root_directory},
    needs::needs,
    rendering::{Rendering, SITE, rendering},
};

/// The hosts that a machine reaches in a network without Internet.
const LOCAL: [&str; 2] = ["mirror.example", "192.0.2.1"];

/// The same, and Debian's own.
const INTERNET: [&str; 3] = ["mirror.example", "192.0.2.1", "security.debian.org"];

/// Every node with a preseed file.
fn debians(rendering: &Rendering) -> Vec<String> {
    let nodes = rendering.site.nodes.keys().map(ToString::to_string);
    let found: Vec<String> = nodes.filter(|node| node.starts_with("debian")).collect();
    assert!(found.len() > 4, "{found:?}");
    found
}

/// The questions that an installer asks, each with its component.
fn asked(release: u8, preseed: &str, reachable: &[&str]) -> Vec<String> {
    Installer::new(release, preseed, reachable).install()
}

/// The preseed file of a node.
fn preseed(node: &str) -> String {
    rendering(SITE, &[]).text(node, "preseed.cfg")
}

#[test]
fn the_installer_asks_no_question_of_any_node() {
    needs!("debian-installer", "unshare");
    let rendering = rendering(SITE, &[]);
    for node in debians(&rendering) {
        let preseed = rendering.text(&node, "preseed.cfg");
        for release in RELEASES {
            // Each node in one of both, since a run takes a second.
            let reachable = if node.len() % 2 == 0 {
                &LOCAL[..]
            } else {
                &INTERNET
            };
            let asked = asked(release, &preseed, reachable);
            assert_eq!(asked, Vec::<String>::new(), "{node}, Debian {release}");
        }
    }
}

/// The tests answer the questions themselves, since the installer's script takes seconds for a file. It has the same
/// result.
#[test]
fn the_installers_own_script_reads_the_same_answers() {
    needs!("debian-installer", "unshare");
    let preseed = preseed("debian-static");
    for release in RELEASES {
        let read = Installer::new(release, &preseed, &LOCAL);
        let mut own = Installer::new(release, "", &LOCAL);
        own.write("preseed.cfg", &preseed);
        assert_eq!(own.ask("debconf-set-selections /preseed.cfg"), vec![]);
        assert_eq!(
            own.debconf.answers(),
            read.debconf.answers(),
            "Debian {release}"
        );
        assert!(read.debconf.answers().len() > 40);
    }
}

/// Sites with what was asked about before, and what people have besides.
#[test]
fn the_installer_asks_no_question_where_sites_differ() {
    needs!("debian-installer", "unshare");
    let base = "[network.lab]\nsubnet = \"192.0.2.0/24\"\ngateway = \"192.0.2.1\"\ndomain = \"lab.example\"\n\
        [repo.debian]\npath = \"debian\"\ntask = \"debian\"\n";
    let mut seen = 0;
    for (title, vars, node) in [
        (
            "no root password",
            "mirror = \"http://mirror.example/debian\"",
            "",
        ),
        ("packages from an image", "", ""),
        (
            "no security",
            "mirror = \"http://mirror.example/debian\", security = false, updates = false",
            "",
        ),
        (
            "an own mirror of security",
            "mirror = \"http://mirror.example/debian\", security = \"http://mirror.example/debian-security\"",
            "",
        ),
        (
            "every source",
            "mirror = \"http://mirror.example/debian\", backports = true, components = [\"main\", \"contrib\", \"non-free-firmware\"], \
             proxy = \"http://192.0.2.1:3128\", repos = { docker = \"http://mirror.example/docker trixie stable\" }, \
             repo-keys = { docker = \"http://mirror.example/docker.asc\" }",
            "",
        ),
        (
            "an account that Ubuntu reserves",
            "mirror = \"http://mirror.example/debian\"",
            "user = { name = \"admin\" }",
        ),
        (
            "an account with an underscore",
            "mirror = \"http://mirror.example/debian\"",
            "user = { name = \"_ops\", sudo = true }",
        ),
        (
            "a locale of another country",
            "mirror = \"http://mirror.example/debian\"",
            "locale = \"de_AT.UTF-8\"\nkeyboard = \"de\"\ntimezone = \"Europe/Vienna\"\nntp = \"192.0.2.1\"",
        ),
    ] {
        let toml = format!(
            "{base}vars = {{ {vars} }}\n[node.db1]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.0.2.31\"\nrepo = \"debian\"\n{node}\n"
        );
        let rendering = rendering(&toml, &[]);
        let preseed = rendering.text("db1", "preseed.cfg");
        for release in RELEASES {
            let asked = asked(release, &preseed, &LOCAL);
            assert_eq!(asked, Vec::<String>::new(), "{title}, Debian {release}");
            seen += 1;
        }
    }
    assert_eq!(seen, 16);
}

/// What the shipped template had before, and what a site's own may have. Each answer that is missing or not accepted
/// stops the installer.
#[test]
fn the_installer_asks_where_an_answer_is_not_accepted() {
    needs!("debian-installer", "unshare");
    let preseed = preseed("debian-static");
    let account = |name: &str| {
        format!(
            "d-i passwd/make-user boolean true\nd-i passwd/user-fullname string x\n\
             d-i passwd/username string {name}\nd-i passwd/user-password-crypted password *"
        )
    };
    let password = preseed
        .lines()
        .find(|line| line.contains("root-password-crypted"))
        .unwrap()
        .to_owned();
    for (was, is, expected) in [
        (
            password.as_str(),
            "d-i passwd/root-password-crypted password !",
            "user-setup: critical passwd/root-password",
        ),
        (
            "d-i apt-setup/service-failed note",
            "",
            "apt-setup: critical apt-setup/service-failed",
        ),
        (
            "d-i passwd/make-user boolean false",
            &account("admin"),
            "user-setup: critical passwd/username-reserved",
        ),
        (
            "d-i passwd/make-user boolean false",
            &account("operator"),
            "user-setup: critical passwd/username-reserved",
        ),
        (
            "d-i passwd/make-user boolean false",
            &account("_ops"),
            "user-setup: critical passwd/username-bad",
        ),
        (
            "sh /tmp/bootwright-late.sh; true",
            "false",
            "late_command: critical preseed/command_failed",
        ),
        (
            "mirror.example",
            "other.example",
            "choose-mirror: critical mirror/bad",
        ),
    ] {
        assert!(preseed.contains(was), "{was}");
        let changed = preseed.replace(was, is);
        for release in RELEASES {
            let asked = asked(release, &changed, &LOCAL);
            assert_eq!(
                asked.first().map(String::as_str),
                Some(expected),
                "Debian {release}"
            );
        }
    }
}

/// `check` warns of a question exactly where the installer asks it.
#[test]
fn the_installer_asks_where_check_finds_no_answer() {
    needs!("debian-installer", "unshare");
    let preseed = preseed("debian-static");
    let mut confirmed = 0;
    for needed in NEEDED {
        let answers: Vec<&str> = needed.answers.concat();
        let without: String = preseed
            .lines()
            .filter(|line| {
                !answers
                    .iter()
                    .any(|answer| line.contains(&format!(" {answer} ")))
            })
            .map(|line| format!("{line}\n"))
            .collect();
        for release in RELEASES {
            let component = needed.question.split('/').next().unwrap();
            let mut installer = Installer::new(release, &without, &LOCAL);
            // `time/zone` belongs to the clock, and a mirror comes before the sources of packages.
            let (_, asked) = installer.run(|name| match component {
                "time" => ["localechooser", "clock-setup"].contains(&name),
                "mirror" => name == "choose-mirror",
                "apt-setup" => ["choose-mirror", "apt-setup"].contains(&name),
                "passwd" => name == "user-setup",
                "keyboard-configuration" => name == "console-setup",
                "finish-install" => name == "reboot",
                other => name == other,
            });
            let asks = asked.iter().any(|asked| asked.ends_with(needed.question));
            // The components of the disk and of the boot loader do not run here.
            let runs = !["partman", "grub-installer"]
                .iter()
                .any(|component| needed.question.starts_with(component));
            let runs = runs && installer.debconf.has_template(needed.question);
            assert_eq!(
                asks, runs,
                "Debian {release}, {}: {asked:?}",
                needed.question
            );
            confirmed += usize::from(asks);
        }
    }
    assert!(confirmed >= 14, "{confirmed} questions");
}

/// A volume group over several disks is asked about, whatever is answered: the script that chooses the disk has to
/// refuse such a disk.
#[test]
fn the_installer_asks_about_a_volume_group_over_two_disks() {
    needs!("debian-installer", "unshare");
    let preseed = preseed("debian-static");
    for release in RELEASES {
        for (other, expected) in [
            ("/dev/sdb1", vec!["partman-lvm/device_remove_lvm_span"]),
            ("/dev/sda3", vec![]),
        ] {
            let mut installer = Installer::new(release, &preseed, &LOCAL);
            installer.write("device/device", "/dev/sda");
            installer.write("var/lib/partman/lvm", "");
            installer.write(
                "remove.sh",
                &format!(
                    "#!/bin/sh\n. /lib/partman/lib/base.sh\n. /lib/partman/lib/lvm-remove.sh\n\
                     pv_on_device() {{ true; }}\nvg_list() {{ echo data; }}\nvg_list_lvs() {{ true; }}\n\
                     vg_list_pvs() {{ printf '/dev/sda2\\n{other}\\n'; }}\nvg_delete() {{ true; }}\npv_delete() {{ false; }}\n\
                     mapdevfs() {{ echo \"$1\"; }}\ndevice_remove_lvm /device\n"
                ),
            );
            installer.debconf.set("partman-auto/disk", "/dev/sda");
            let asked = installer.ask("/remove.sh");
            let asked: Vec<&str> = asked.iter().map(|asked| asked.name.as_str()).collect();
            assert_eq!(asked, expected, "Debian {release}: {}", installer.log());
        }
    }
}

/// A machine's installer with the scripts that the server has for it.
fn served(release: u8, rendering: &Rendering, kernel: &str) -> Installer {
    let installer = Installer::new(
        release,
        &rendering.text("debian-static", "preseed.cfg"),
        &LOCAL,
    );
    for name in ["early.sh", "late.sh", "first-boot.sh", "disk.sh"] {
        installer.write(
            &format!("served/{name}"),
            &rendering.text("debian-static", name),
        );
    }
    let mut index = GzEncoder::new(Vec::new(), Compression::fast());
    writeln!(index, "Package: ext4-modules\nKernel-Version: {kernel}\n").unwrap();
    let index = index.finish().unwrap();
    fs::write(installer.path("served").join("Packages.gz"), index).unwrap();
    installer.write("target/etc/apt/sources.list", "");
    installer
}

#[test]
fn the_scripts_of_an_installation_run_in_the_installer() {
    needs!("debian-installer", "unshare");
    let rendering = rendering(SITE, &[]);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    for release in RELEASES {
        let mut installer = served(release, &rendering, kernel.trim());
        assert_eq!(
            installer.install(),
            Vec::<String>::new(),
            "Debian {release}"
        );
        let log = installer.log();
        for done in [
            "/stage/installing",
            "in-target useradd -m -s /bin/bash -c ops -U ops",
            "in-target usermod -p * ops",
            "in-target chown -R ops: /home/ops/.ssh",
            "/stage/installed",
        ] {
            assert!(log.contains(done), "Debian {release}: no {done} in {log}");
        }
        assert!(!log.contains("reboot"), "Debian {release}: {log}");
        assert!(!log.contains("/stage/failed"), "Debian {release}: {log}");
        assert!(installer.path("tmp/bootwright-disk.sh").is_file());
        assert!(
            installer
                .path("target/home/ops/.ssh/authorized_keys")
                .is_file()
        );
    }
}

/// What would make the installer wait at a question before the disk is known is reported, and the machine restarts.
#[test]
fn a_mirror_that_the_installer_cannot_use_is_reported() {
    needs!("debian-installer", "unshare");
    let rendering = rendering(SITE, &[]);
    for release in RELEASES {
        for (title, kernel, reachable, expected) in [
            ("no mirror", "6.1.0", &LOCAL[1..], "lacks%20the%20release"),
            ("another kernel", "6.1.0-0", &LOCAL[..], "no%20drivers"),
        ] {
            let mut installer = served(release, &rendering, kernel);
            installer.write("reachable", &format!("{}\n", reachable.join("\n")));
            let asked = installer.ask("preseed_command preseed/early_command");
            assert_eq!(asked, vec![], "{title}");
            let log = installer.log();
            for done in ["/stage/failed", expected, "reboot -f"] {
                assert!(
                    log.contains(done),
                    "Debian {release}, {title}: no {done} in {log}"
                );
            }
        }
    }
}

/// The questions of priority high and critical that a script may ask: as it writes them, with its path.
fn questions_of_scripts(release: u8) -> BTreeSet<(String, String)> {
    let root = root_directory(release);
    let info = root.join("var/lib/dpkg/info");
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    for entry in fs::read_dir(&info).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "templates") {
            continue;
        }
        let mut name = String::new();
        for line in String::from_utf8_lossy(&fs::read(&path).unwrap()).lines() {
            if let Some(template) = line.strip_prefix("Template: ") {
                name = template.trim().to_owned();
            } else if let Some(kind) = line.strip_prefix("Type: ") {
                kinds.insert(name.clone(), kind.trim().to_owned());
            }
        }
    }
    let mut questions = BTreeSet::new();
    for folder in [
        "bin",
        "sbin",
        "lib",
        "usr/bin",
        "usr/lib",
        "var/lib/dpkg/info",
    ] {
        add_questions(&root, &root.join(folder), &kinds, &mut questions);
    }
    assert!(questions.len() > 50, "{}", questions.len());
    questions
}

fn add_questions(
    root: &Path,
    folder: &Path,
    kinds: &BTreeMap<String, String>,
    questions: &mut BTreeSet<(String, String)>,
) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            add_questions(root, &path, kinds, questions);
        }
        if !kind.is_file() || path.extension().is_some_and(|ending| ending == "templates") {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for call in text.split("db_input ").skip(1) {
            let mut words = call
                .split_whitespace()
                .map(|word| word.trim_matches(['"', ';', ')']));
            let (Some(priority), Some(question)) = (words.next(), words.next()) else {
                continue;
            };
            let is_shown =
                priority == "high" || priority == "critical" || priority.starts_with('$');
            let is_question = !matches!(
                kinds.get(question).map(String::as_str),
                Some("error" | "note" | "text")
            );
            if is_shown && is_question {
                let script = path.strip_prefix(root).unwrap().to_str().unwrap();
                let script = script.strip_prefix("usr/").unwrap_or(script);
                questions.insert((question.to_owned(), script.to_owned()));
            }
        }
    }
}

/// Whether a text fits a pattern with at most one `*`, at its end.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

/// Some components cannot be run here: partman, grub-installer. What their scripts may ask is read from them.
#[test]
fn every_question_in_the_installers_scripts_is_answered_or_never_asked() {
    needs!("debian-installer");
    let preseed = preseed("debian-static");
    let answered = |question: &str| {
        let start = format!("d-i {question} ");
        preseed.lines().any(|line| line.starts_with(&start))
    };
    let reasons: Vec<(&str, &str)> = include_str!("../fixtures/installer/not_asked.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [question, script, reason] = cells[..] else {
                panic!("not three cells: {line}");
            };
            assert!(!reason.is_empty(), "{line}");
            (question, script)
        })
        .collect();
    let has_reason = |question: &str, script: &str| {
        let mut reasons = reasons.iter();
        reasons.any(|(known, scripts)| fits(known, question) && fits(scripts, script))
    };
    let mut found = BTreeSet::new();
    for release in RELEASES {
        for (question, script) in questions_of_scripts(release) {
            if !answered(&question) && !has_reason(&question, &script) {
                found.insert(format!("Debian {release}: {question}, {script}"));
            }
        }
    }
    assert_eq!(found, BTreeSet::new());
    // Without one of the answers, its question would be found.
    let all = questions_of_scripts(13);
    for question in [
        "grub-installer/update-nvram",
        "partman-lvm/device_remove_lvm",
    ] {
        assert!(all.iter().any(|(known, _)| known == question), "{question}");
        assert!(
            answered(question)
                && !all
                    .iter()
                    .any(|(known, script)| known == question && has_reason(known, script))
        );
    }
}
