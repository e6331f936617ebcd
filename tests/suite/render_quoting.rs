//! Values that would break out of their context.

use std::process::Command;

use bootwright::{model::SecretText, render::check::split};

use crate::support::rendering::{SITE, rendering};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[test]
fn an_ssh_key_with_every_quote_stays_one_argument() {
    let comment = "it's \\\"$(reboot) `reboot` ; ${PATH} # <&>";
    let node = |name: &str| format!("[node.{name}]\nssh-keys = \"{KEY} {comment}\"");
    let mut toml = SITE.to_string();
    for name in ["esx-static", "rocky-static", "debian-static"] {
        toml = toml.replace(&format!("[node.{name}]"), &node(name));
    }
    let rendering = rendering(&toml, &[]);
    let key = format!("{KEY} {}", comment.replace("\\\"", "\""));
    let kickstart = rendering.text("rocky-static", "ks.cfg");
    let line = kickstart
        .lines()
        .find(|line| line.starts_with("sshkey"))
        .unwrap();
    assert_eq!(split(line).unwrap()[2], key);
    for (node, file) in [("esx-static", "ks.cfg"), ("debian-static", "late.sh")] {
        let text = rendering.text(node, file);
        let line = text
            .lines()
            .find(|line| line.starts_with("echo 'ssh-"))
            .unwrap();
        let echo = line
            .split(" >> ")
            .next()
            .unwrap()
            .replacen("echo", "printf %s", 1);
        let output = Command::new("sh").arg("-c").arg(echo).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), key, "{node}");
    }
}

#[test]
fn a_setting_with_a_line_break_is_refused() {
    for (key, value) in [
        ("ssh-keys", format!("{KEY}\\n%post\\nreboot")),
        ("kernel-args", "quiet\\n%end".into()),
        ("boot-args", "a\\nb".into()),
        ("packages", "vim\\n%end\\n%post\\nreboot".into()),
        ("timezone", "UTC\\nreboot".into()),
        ("locale", "C\\nreboot".into()),
        ("keyboard", "us\\nreboot".into()),
        ("keep", "/dev/sda\\nreboot".into()),
    ] {
        let toml = SITE
            .replace(
                "[node.rocky-static]",
                &format!("[node.rocky-static]\n{key} = \"{value}\""),
            )
            .replace("\npackages = [\"chrony\", \"tmux\"]", "");
        let rendering = rendering(&toml, &[]);
        let (rendered, found) = rendering.inspect("rocky-static");
        let found = rendering.shown(&found);
        assert!(
            found
                .iter()
                .any(|found| found.contains("is not a") && !found.contains('\n')),
            "{key}: {found:?}"
        );
        let plain = rendered.is_none_or(|_| !found.is_empty());
        assert!(plain, "{key}");
    }
}

#[test]
fn a_script_that_ends_its_kickstart_section_is_refused() {
    for (line, word) in [
        ("include x", "include"),
        ("%post now", "%post"),
        ("%end", "%end"),
    ] {
        let script = format!("echo one\n{line}\n");
        let rendering = rendering(SITE, &[("templates/first-boot/tune.sh", &script)]);
        let found = rendering.shown(&rendering.inspect("esx-vlan").1);
        assert_eq!(found.len(), 1, "{found:?}");
        let expected = format!(
            "script templates/first-boot/tune.sh, line 2: a line that begins with `{word}` ends the section of an ESXi script"
        );
        assert!(found[0].contains(&expected), "{found:?}");
        // A script in a separate file can have any line.
        assert!(
            rendering
                .text("rocky-vlan", "first-boot.sh")
                .contains(&script)
        );
    }
}

#[test]
fn no_diagnostic_contains_a_secret() {
    let task = "title = \"Mine\"\n[[file]]\nname = \"a.cfg\"\ntemplate = \"a.j2\"\nquoting = \"preseed\"\n";
    for text in [
        "{{ secret(\"licence\") | preseed }}",
        "{{ secret(\"licence\") | int }}",
        "{{ secret(\"licence\").x }}",
        "{{ secret(\"licence\") + 1 }}",
        "{% include secret(\"licence\") %}",
        "{{ [1][secret(\"licence\")] }}",
        "{{ urls.stage(secret(\"licence\")) }}",
        "{{ secret(secret(\"licence\")) }}",
        "{{ vars[secret(\"licence\")] }}",
    ] {
        let toml = SITE
            .replace("[node.seen]", "[node.seen]\nvars = { a = 1 }")
            .replace("task = \"discover\"", "task = \"mine\"");
        let mut rendering = rendering(
            &toml,
            &[
                ("templates/tasks/mine/task.toml", task),
                ("templates/tasks/mine/a.j2", text),
            ],
        );
        assert_eq!(rendering.shown(&rendering.found), Vec::<String>::new());
        rendering
            .external
            .secrets
            .insert("licence".into(), SecretText::new("hunter2\nhunter3"));
        let found = rendering.inspect("seen").1;
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(
            !format!("{found:?}").contains("hunter"),
            "{text}: {found:?}"
        );
    }
}
