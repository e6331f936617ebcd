//! Scripts that people bring: each is run by the interpreter of its first line, whatever system it was written on.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use crate::support::{
    needs::needs,
    rendering::{SITE, rendering},
};

/// Stands in for what reports and what ends the unit.
const STUB: &str = "#!/bin/sh\necho \"${0##*/} $*\" >> \"$LOG\"\n";

/// The URLs that an installed machine reports after it has run a script, and what the script wrote.
fn run(script: &str) -> (String, String) {
    let node = "\n[node.own]\nmac = \"52:54:00:00:00:99\"\npolicy = \"debian\"\naddress = \"192.0.2.99\"\n\
        first-boot = \"templates/first-boot/own\"\n";
    let rendering = rendering(
        &format!("{SITE}{node}"),
        &[("templates/first-boot/own", script)],
    );
    assert_eq!(rendering.shown(&rendering.found), Vec::<String>::new());
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["curl", "systemctl"] {
        fs::write(at(name), STUB).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(at("first-boot.sh"), rendering.text("own", "first-boot.sh")).unwrap();
    // The state of the installed system is in a directory of its own.
    let enter = "mount -t tmpfs none /var/lib && exec sh \"$1\"";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", enter, "sh"])
        .arg(at("first-boot.sh"))
        .env(
            "PATH",
            format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.path().display()),
        )
        .env("LOG", at("log"))
        .env("OUT", at("out"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    (read(&at("log")), read(&at("out")))
}

#[test]
fn a_script_is_run_by_the_interpreter_of_its_first_line() {
    needs!("unshare", "python3");
    for (script, expected) in [
        ("echo plain > \"$OUT\"\n", "plain\n"),
        ("#!/bin/sh -e\nfalse || echo posix > \"$OUT\"\n", "posix\n"),
        (
            "#!/bin/bash\nlist=(a b)\necho ${list[1]} > \"$OUT\"\n",
            "b\n",
        ),
        (
            "#!/usr/bin/env python3\nimport os\nopen(os.environ['OUT'], 'w').write('python\\n')\n",
            "python\n",
        ),
        (
            "#!/usr/bin/env -S python3 -u\nimport os\nopen(os.environ['OUT'], 'w').write('split\\n')\n",
            "split\n",
        ),
        ("#!/bin/sh\r\necho dos > \"$OUT\"\r\n", "dos\n"),
        ("\u{feff}#!/bin/bash\necho mark > \"$OUT\"\n", "mark\n"),
        ("\u{feff}echo both > \"$OUT\"\r\n", "both\n"),
    ] {
        let (log, out) = run(script);
        assert_eq!(out, expected, "{script:?}: {log}");
        assert!(log.contains("/stage/finished"), "{script:?}: {log}");
    }
}

#[test]
fn a_script_without_its_interpreter_or_with_an_error_is_reported() {
    needs!("unshare");
    for script in [
        "#!/usr/bin/no-such-interpreter\nx\n",
        "#!/bin/sh\nexit 3\n",
        "#!/bin/bash\nif true; then\n",
    ] {
        let (log, _) = run(script);
        assert!(log.contains("/stage/failed"), "{script:?}: {log}");
        assert!(!log.contains("/stage/finished"), "{script:?}: {log}");
    }
}

#[test]
fn a_script_that_names_no_interpreter_or_is_no_text_is_an_error() {
    for (script, expected) in [
        (
            "#!python3\nprint(1)\n",
            "policies.d/site.toml:8: script templates/first-boot/own: its first line names no interpreter by its path, such as `#!/bin/sh` [for node own]",
        ),
        (
            "echo a\n\0\n",
            "templates/first-boot/own:2: template first-boot/own, line 2: this file is not a text: it contains a NUL character",
        ),
    ] {
        let site = "[repo.d]\npath = \"d\"\ntask = \"debian\"\nvars = { mirror = \"http://mirror.example/debian\" }\n[node.own]\n\
            mac = \"52:54:00:00:00:99\"\nrepo = \"d\"\nfirst-boot = \"templates/first-boot/own\"\nssh-keys = \"ssh-ed25519 AAAA x\"\n";
        let rendering = rendering(site, &[("templates/first-boot/own", script)]);
        let mut found = rendering.shown(&rendering.found);
        found.extend(rendering.shown(&rendering.inspect("own").1));
        assert!(
            found.iter().any(|one| one.contains(expected)),
            "{script:?}: {found:?}"
        );
    }
}
