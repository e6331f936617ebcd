//! Time zones, locales and keyboards: one setting for all installers, each in the installer's own form.

use std::{fs, path::Path, process::Command};

use crate::support::{
    installer::{self, RELEASES},
    needs::{needs, program},
    rendering::{Rendering, SITE, rendering},
};

/// The site of the golden files with other regional settings in its defaults.
fn site(settings: &str) -> Rendering {
    let toml = SITE.replace("timezone = \"Etc/UTC\"\nkeyboard = \"us\"\n", settings);
    let rendering = rendering(&toml, &[]);
    assert_eq!(rendering.shown(&rendering.found), Vec::<String>::new());
    rendering
}

/// The lines of a document that begin with one of these words, without indentation.
fn lines(rendering: &Rendering, node: &str, file: &str, starts: &[&str]) -> Vec<String> {
    let text = rendering.text(node, file);
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| starts.iter().any(|start| line.starts_with(start)))
        .map(String::from)
        .collect()
}

#[test]
fn one_keyboard_is_written_in_the_form_of_each_system() {
    let nothing: &[&str] = &[];
    for (keyboard, redhat, debian, late, image, esxi) in [
        (
            "uk",
            "--xlayouts=gb",
            "gb",
            nothing,
            &["layout: \"gb\""][..],
            "\"United Kingdom\"",
        ),
        (
            "German",
            "--xlayouts=de",
            "de",
            nothing,
            &["layout: \"de\""],
            "German",
        ),
        (
            "ch(fr)",
            "--xlayouts=\"ch (fr)\"",
            "ch(fr)",
            nothing,
            &["layout: \"ch\"", "variant: \"fr\""],
            "\"Swiss French\"",
        ),
        (
            "fr",
            "--xlayouts=fr",
            "fr(latin9)",
            &["XKBLAYOUT=\"fr\"", "XKBVARIANT=\"\"", "XKBOPTIONS=\"\""],
            &["layout: \"fr\""],
            "French",
        ),
        (
            "de(nodeadkeys)",
            "--xlayouts=\"de (nodeadkeys)\"",
            "de",
            &[
                "XKBLAYOUT=\"de\"",
                "XKBVARIANT=\"nodeadkeys\"",
                "XKBOPTIONS=\"\"",
            ],
            &["layout: \"de\"", "variant: \"nodeadkeys\""],
            "German",
        ),
        (
            "us,de(neo)",
            "--xlayouts=\"us,de (neo)\" --switch=grp:alt_shift_toggle",
            "us",
            &[
                "XKBLAYOUT=\"us,de\"",
                "XKBVARIANT=\",neo\"",
                "XKBOPTIONS=\"grp:alt_shift_toggle\"",
            ],
            &[
                "layout: \"us,de\"",
                "variant: \",neo\"",
                "options: \"grp:alt_shift_toggle\"",
            ],
            "\"US Default\"",
        ),
    ] {
        let rendering = site(&format!("keyboard = \"{keyboard}\"\n"));
        let of = |node: &str, file: &str, starts: &[&str]| lines(&rendering, node, file, starts);
        assert_eq!(
            of("rocky-static", "ks.cfg", &["keyboard"]),
            [format!("keyboard {redhat}")]
        );
        assert_eq!(
            of(
                "debian-static",
                "preseed.cfg",
                &["d-i keyboard-configuration"]
            ),
            [format!(
                "d-i keyboard-configuration/xkb-keymap select {debian}"
            )]
        );
        let of_late = of(
            "debian-static",
            "late.sh",
            &["XKBLAYOUT", "XKBVARIANT", "XKBOPTIONS"],
        );
        assert_eq!(of_late, late, "{keyboard}");
        let of_image = of(
            "image-static",
            "user-data",
            &["layout:", "variant:", "options:"],
        );
        assert_eq!(of_image, image, "{keyboard}");
        assert_eq!(
            of("esx-static", "ks.cfg", &["keyboard"]),
            [format!("keyboard {esxi}")]
        );
    }
}

#[test]
fn a_keyboard_that_esxi_lacks_is_a_warning_with_the_one_that_is_used() {
    let has = "if that is right, set it for this policy or node; ESXi has be, br, ch, ch(fr), cz, de, dk, ee, es, fi, fr, gb, gr, hr, is, it, jp, latam, no, pl, pt, ru, se, si, tr, ua, us, us(dvorak)";
    for (keyboard, used) in [
        ("hu", Some("US Default")),
        ("de(nodeadkeys)", Some("German")),
        ("fr-latin9", Some("French")),
        ("us,de", Some("US Default")),
        ("de", None),
        ("Swiss German", None),
    ] {
        let rendering = site(&format!("keyboard = \"{keyboard}\"\n"));
        let (rendered, found) = rendering.inspect("esx-static");
        assert!(rendered.is_some(), "{keyboard}: it is a warning");
        let expected = used.map(|used| {
            format!("policies.d/site.toml:6: ESXi has no keyboard `{keyboard}`: `{used}` is used [for node esx-static (policy esxi)] = {has}")
        });
        assert_eq!(
            rendering.shown(&found),
            Vec::from_iter(expected),
            "{keyboard}"
        );
    }
}

#[test]
fn an_old_name_of_a_time_zone_is_written_as_the_current_one_where_it_may_be_missing() {
    for (zone, current) in [
        ("US/Eastern", "America/New_York"),
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("Europe/Kiev", "Europe/Kyiv"),
        ("Europe/Berlin", "Europe/Berlin"),
    ] {
        let rendering = site(&format!("timezone = \"{zone}\"\n"));
        let of = |node: &str, file: &str, starts: &[&str]| lines(&rendering, node, file, starts);
        // A release of the RHEL family may be older than the current name.
        let expected = [format!("timezone {zone} --utc")];
        assert_eq!(of("rocky-static", "ks.cfg", &["timezone"]), expected);
        let expected = [format!("d-i time/zone string {current}")];
        assert_eq!(of("debian-static", "preseed.cfg", &["d-i time/"]), expected);
        let expected = [format!("timezone: \"{current}\"")];
        assert_eq!(of("image-static", "user-data", &["timezone"]), expected);
    }
}

#[test]
fn a_locale_is_written_as_glibc_spells_it() {
    for (locale, spelled, language, generated) in [
        ("de_DE", "de_DE.UTF-8", "en", Some("de_DE.UTF-8 UTF-8")),
        ("en_US.utf8", "en_US.UTF-8", "en", Some("en_US.UTF-8 UTF-8")),
        ("hi_IN.UTF-8", "hi_IN", "en", Some("hi_IN UTF-8")),
        ("POSIX", "C", "C", None),
        ("C.utf8", "C.UTF-8", "en", None),
    ] {
        let rendering = site(&format!("locale = \"{locale}\"\n"));
        let of = |node: &str, file: &str, starts: &[&str]| lines(&rendering, node, file, starts);
        assert_eq!(
            of("rocky-static", "ks.cfg", &["lang "]),
            [format!("lang {spelled}")]
        );
        assert_eq!(
            of("debian-static", "preseed.cfg", &["d-i debian-installer/l"]),
            [
                format!("d-i debian-installer/language string {language}"),
                format!("d-i debian-installer/locale string {spelled}"),
            ]
        );
        let expected = [format!("locale: \"{spelled}\"")];
        assert_eq!(of("image-static", "user-data", &["locale"]), expected);
        let seed = rendering.text("image-static", "user-data");
        assert_eq!(seed.contains("/etc/locale.gen"), generated.is_some());
        if let Some(line) = generated {
            assert!(
                seed.contains(&format!("    content: \"{line}\\n\"\n")),
                "{seed}"
            );
        }
    }
}

#[test]
fn esxi_has_utc_by_any_of_its_names() {
    for (settings, is_silent) in [
        ("timezone = \"UTC\"\nlocale = \"POSIX\"\n", true),
        ("timezone = \"Zulu\"\nlocale = \"en_US.utf8\"\n", true),
        ("timezone = \"Etc/GMT\"\n", false),
        ("locale = \"de_DE.UTF-8\"\n", false),
    ] {
        let rendering = site(settings);
        let (_, found) = rendering.inspect("esx-static");
        assert_eq!(found.is_empty(), is_silent, "{settings}: {found:?}");
    }
}

#[test]
fn ksvalidator_accepts_every_form_of_a_keyboard_and_a_locale() {
    needs!("ksvalidator");
    let ksvalidator = program("ksvalidator").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ks.cfg");
    for settings in [
        "keyboard = \"us,de(neo),ch-fr,us(altgr-intl)\"\nlocale = \"ca_ES@valencia\"\n",
        "keyboard = \"Latin American\"\nlocale = \"POSIX\"\ntimezone = \"Etc/GMT+5\"\n",
    ] {
        let text = site(settings).text("rocky-static", "ks.cfg");
        fs::write(&path, text).unwrap();
        for release in ["RHEL8", "RHEL10"] {
            let output = Command::new(&ksvalidator)
                .args(["-e", "-v", release])
                .arg(&path)
                .output()
                .unwrap();
            assert!(output.status.success(), "{settings}, {release}: {output:?}");
        }
    }
}

/// Copies the root directory of Debian's installer, with a program that answers its questions from a preseed.
///
/// The programs are those of the installer. The frontend prints every question that has no answer.
fn copy_installer(release: u8, root: &Path) {
    let copied = Command::new("cp")
        .arg("-a")
        .arg(installer::root_directory(release).join("."))
        .arg(root)
        .status()
        .unwrap();
    assert!(copied.success());
    let load = r#"#!/bin/sh
mkdir -p /var/lib/cdebconf
for package in cdebconf-udeb preseed-common localechooser console-setup-udeb; do
  debconf-loadtemplate d-i /var/lib/dpkg/info/$package.templates
done
cp -a /var/lib/cdebconf /tmp/loaded
"#;
    let answer = r#"#!/bin/sh
export DEBIAN_FRONTEND=text TERM=linux TERM_TYPE=$1
rm -rf /var/lib/cdebconf /var/lib/localechooser
mkdir -p /var/lib/localechooser
cp -a /tmp/loaded /var/lib/cdebconf
debconf-set-selections /tmp/preseed.cfg
debconf -odebian-installer /usr/bin/localechooser || echo "localechooser: $?"
debconf -odebian-installer /usr/share/console-setup/keyboard-configuration.config || echo "keyboard: $?"
debconf -odebian-installer /tmp/show
"#;
    let show = r#"#!/bin/sh
. /usr/share/debconf/confmodule
for question in debian-installer/locale debian-installer/language keyboard-configuration/layoutcode keyboard-configuration/variantcode; do
  db_get $question
  echo "$RET" >&2
done
"#;
    for (name, text) in [("load", load), ("answer", answer), ("show", show)] {
        let path = root.join("tmp").join(name);
        fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).unwrap();
    }
    assert_eq!(in_installer(root, &["/tmp/load"]), "");
}

/// Runs a program of the installer, and returns what it prints. One that waits for an answer is ended.
fn in_installer(root: &Path, program: &[&str]) -> String {
    let output = Command::new("busybox")
        .args(["timeout", "60", "chroot"])
        .arg(root)
        .args(program)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn debians_installer_asks_for_no_language_and_no_keyboard() {
    needs!("root", "busybox", "debian-installer");
    for release in RELEASES {
        let folder = tempfile::tempdir().unwrap();
        copy_installer(release, folder.path());
        asks_for_no_language_and_no_keyboard(release, folder.path());
    }
}

fn asks_for_no_language_and_no_keyboard(release: u8, root: &Path) {
    for (settings, expected) in [
        ("", "en_US.UTF-8\nen\nus\n\n"),
        (
            "locale = \"de_DE\"\nkeyboard = \"German\"\n",
            "de_DE.UTF-8\nen\nde\n\n",
        ),
        (
            "locale = \"ja_JP.UTF-8\"\nkeyboard = \"jp106\"\n",
            "ja_JP.UTF-8\nen\njp\n\n",
        ),
        (
            "locale = \"da_DK.UTF-8\"\nkeyboard = \"ch(fr)\"\n",
            "da_DK.UTF-8\nen\nch\nfr\n",
        ),
        (
            "locale = \"sr_RS@latin\"\nkeyboard = \"dvorak\"\n",
            "sr_RS@latin\nen\nus\ndvorak\n",
        ),
        (
            "locale = \"hi_IN.UTF-8\"\nkeyboard = \"uk\"\n",
            "hi_IN\nen\ngb\n\n",
        ),
        (
            "locale = \"eo\"\nkeyboard = \"fr\"\n",
            "eo\nen\nfr\nlatin9\n",
        ),
        ("locale = \"C\"\nkeyboard = \"us,de\"\n", "C\nen\nus\n\n"),
        (
            "locale = \"C.utf8\"\nkeyboard = \"am\"\n",
            "C.UTF-8\nen\nus\n\n",
        ),
    ] {
        let preseed = site(settings).text("debian-static", "preseed.cfg");
        fs::write(root.join("tmp/preseed.cfg"), preseed).unwrap();
        let is_plain = settings.is_empty() || settings.contains("ja_JP");
        for terminal in ["serial", "virtual"].iter().take(1 + usize::from(is_plain)) {
            let text = in_installer(root, &["/tmp/answer", terminal]);
            assert_eq!(
                text, expected,
                "Debian {release}: {settings} on a {terminal} terminal"
            );
        }
    }
}
