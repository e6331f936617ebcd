//! What `check` reports of documents that their readers would refuse, of `vars`, and of accounts.

use crate::support::rendering::{SITE as GOLDEN, rendering};

const SITE: &str = r#"
[network.lab]
subnet = "192.0.2.0/24"
gateway = "192.0.2.1"
dns = "192.0.2.2"
domain = "lab.example"
[defaults]
ssh-keys = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5DzIGZQt8lBHXMP5/p83B5U36zyJDNPIHSRiFHBSZT example@bootwright"
[repo.debian]
path = "debian"
task = "debian"
vars.mirror = "http://mirror.example/debian"
[node.n1]
mac = "52:54:00:00:00:01"
address = "192.0.2.11"
"#;

/// The diagnostics of a site with these further lines of its node and these templates, without the notes.
fn found(node: &str, files: &[(&str, &str)]) -> Vec<String> {
    let rendering = rendering(&format!("{SITE}{node}\n"), files);
    let mut found = rendering.shown(&rendering.found);
    found.extend(rendering.shown(&rendering.inspect("n1").1));
    found
        .into_iter()
        .filter(|one| !one.contains("nothing uses repo"))
        .map(|one| one.replace(" [for node n1]", ""))
        .collect()
}

/// The diagnostics of a file of a task of the site's own.
fn of_file(name: &str, quoting: &str, text: &str) -> Vec<String> {
    let task = format!(
        "[[file]]\nname = \"{name}\"\ntemplate = \"a.j2\"\nquoting = \"{quoting}\"\ndocument = true\n"
    );
    found(
        "task = \"mine\"",
        &[
            ("templates/tasks/mine/task.toml", &task),
            (
                "templates/tasks/mine/a.j2",
                &format!("# 192.0.2.11\n{text}"),
            ),
        ],
    )
}

#[test]
fn a_document_that_does_not_parse_is_an_error() {
    for (name, quoting, text, expected) in [
        ("user-data", "yaml", "a: 1\nb: 2\n", None),
        (
            "user-data",
            "yaml",
            "a: 1\na: 2\n",
            Some("user-data, line 3: duplicate key `a`"),
        ),
        ("user-data", "yaml", "a: [1\n", Some("user-data, line 3: ")),
        (
            "ks.cfg",
            "kickstart",
            "%packages\n@core\n",
            Some("ks.cfg, line 2: `%packages` has no `%end`"),
        ),
        (
            "answer.toml",
            "plain",
            "a = 1\na = 2\n",
            Some("answer.toml, line 3: duplicate key"),
        ),
        ("a.cfg", "plain", "a: 1\na: 2\n", None),
        // Line ends and the mark of other systems are removed.
        ("late.sh", "shell", "echo\r\n", None),
    ] {
        let found = of_file(name, quoting, text);
        match expected {
            None => assert_eq!(found, Vec::<String>::new(), "{name}: {text:?}"),
            Some(expected) => assert!(
                found.iter().any(|one| one.starts_with(expected)),
                "{name}: {text:?}: {found:?}"
            ),
        }
    }
    // A comment is no JSON and no XML, so these have no address.
    let json = |text: &str| {
        let task = "[[file]]\nname = \"a.json\"\ntemplate = \"a.j2\"\nquoting = \"json\"\ndocument = true\n";
        let files = [
            ("templates/tasks/mine/task.toml", task),
            ("templates/tasks/mine/a.j2", text),
        ];
        found("task = \"mine\"", &files)
    };
    assert_eq!(
        json("{\"ip\": {{ net.ip | json }}}\n"),
        Vec::<String>::new()
    );
    let twice = "{\"ip\": \"192.0.2.11\",\n\"ip\": 2}\n";
    assert_eq!(json(twice), ["a.json, line 2: duplicate key `ip`"]);
}

#[test]
fn an_address_that_no_document_has_is_a_warning() {
    let task = "[[file]]\nname = \"a.cfg\"\ntemplate = \"a.j2\"\ndocument = true\n";
    let files = |text: &'static str| {
        [
            ("templates/tasks/mine/task.toml", task),
            ("templates/tasks/mine/a.j2", text),
        ]
    };
    assert_eq!(
        found("task = \"mine\"", &files("host n1\n")),
        [
            "policies.d/site.toml:13: no file of task `mine` has the address 192.0.2.11 = the installed system would not get it; \
             `net` and `net.ip` have it in templates"
        ]
    );
    // Another address that begins with it does not count.
    let similar = found("task = \"mine\"", &files("ip 192.0.2.111, 1192.0.2.11\n"));
    assert_eq!(similar.len(), 1, "{similar:?}");
    for text in ["ip {{ net.ip }}\n", "ip={{ net.ip }}::192.0.2.1:"] {
        let found = found("task = \"mine\"", &files(text));
        assert_eq!(found, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_question_that_a_template_of_the_site_leaves_open_is_a_warning() {
    let own = "{% extends \"built-in/debian/preseed.cfg.j2\" %}\n{% block storage %}\n\
        d-i partman-auto/method string regular\nd-i partman/confirm boolean true\n\
        d-i partman/confirm_nooverwrite boolean true\nd-i partman/choose_partition select finish\n{% endblock %}\n";
    assert_eq!(
        found(
            "repo = \"debian\"",
            &[("templates/tasks/debian/preseed.cfg.j2", own)]
        ),
        [
            "preseed.cfg: Debian's installer waits at the question `partman-auto/choose_recipe`, which no line answers \
             = answer it, for example: d-i partman-auto/choose_recipe select atomic"
        ]
    );
    let answers = |lines: &str| {
        let own = format!(
            "{{% extends \"built-in/debian/preseed.cfg.j2\" %}}\n{{% block answers %}}\n{lines}\n{{% endblock %}}\n"
        );
        let found = found(
            "repo = \"debian\"",
            &[("templates/tasks/debian/preseed.cfg.j2", &own)],
        );
        found.join("\n")
    };
    for (lines, expected) in [
        (
            "d-i passwd/make-user boolean true",
            "the question `passwd/user-fullname`",
        ),
        (
            "d-i passwd/root-password-crypted password !",
            "the question `passwd/root-password`",
        ),
        (
            "d-i time/zone string Etc/UTC",
            "`time/zone` is also set in line",
        ),
        ("d-i time/zone strng Etc/UTC", "`strng` is not a type"),
        (
            "d-i time/zone",
            "expected an owner, a question, its type and a value",
        ),
        (
            "d-i apt-setup/security_host string https://mirror.example/security",
            "the installer cannot use `https://mirror.example/security` as its source of security updates",
        ),
    ] {
        let found = answers(lines);
        assert!(found.contains(expected), "{lines}: {found}");
    }
    assert_eq!(answers(""), "");
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_and_a_similar_name_a_warning() {
    for (vars, expected) in [
        ("security = \"http://mirror.example/debian-security\"", None),
        ("security = false", None),
        ("anything = [1]", None),
        (
            "security = true",
            Some(
                "policies.d/site.toml:17: `vars.security` has the wrong type for task `debian`: expected a URL such as \
                  `http://mirror.example/debian`, or `false`",
            ),
        ),
        (
            "components = \"contrib\"",
            Some(
                "policies.d/site.toml:17: `vars.components` has the wrong type for task `debian`: expected a list of texts",
            ),
        ),
        (
            "securty = false",
            Some(
                "policies.d/site.toml:17: task `debian` does not read `vars.securty` = there is `vars.security`",
            ),
        ),
        (
            "security = \"https://mirror.example/security\"",
            Some(
                "the installer cannot use `https://mirror.example/security` as its source of security updates",
            ),
        ),
    ] {
        let found = found(&format!("repo = \"debian\"\nvars = {{ {vars} }}"), &[]);
        match expected {
            None => assert_eq!(found, Vec::<String>::new(), "{vars}"),
            Some(expected) => {
                assert!(
                    found.iter().any(|one| one.contains(expected)),
                    "{vars}: {found:?}"
                );
            }
        }
    }
}

#[test]
fn an_account_that_the_system_has_is_an_error() {
    for (name, expected) in [
        ("ops", None),
        ("admin", None),
        ("_ops", None),
        ("root", Some("`user` is an account besides root")),
        (
            "backup",
            Some("`backup` is a user or group of the system itself"),
        ),
        (
            "operator",
            Some("`operator` is a user or group of the system itself"),
        ),
        (
            "sudo",
            Some("`sudo` is a user or group of the system itself"),
        ),
        (
            "wheel",
            Some("`wheel` is a user or group of the system itself"),
        ),
    ] {
        let found = found(
            &format!("repo = \"debian\"\nuser = {{ name = \"{name}\" }}"),
            &[],
        );
        match expected {
            None => assert_eq!(found, Vec::<String>::new(), "{name}"),
            Some(expected) => {
                assert!(
                    found.iter().any(|one| one.contains(expected)),
                    "{name}: {found:?}"
                );
            }
        }
    }
}

#[test]
fn a_script_with_a_mistake_in_its_syntax_is_a_warning() {
    let named = |file: &str, text: &str| {
        let path = format!("templates/first-boot/{file}");
        let node = format!("repo = \"debian\"\nfirst-boot = \"{path}\"");
        found(&node, &[(&path, text)])
    };
    for (file, text, expected) in [
        ("a.sh", "#!/bin/sh\necho x\n", None),
        (
            "a.sh",
            "#!/bin/bash\na=(1 2)\nif true; then\n  echo\n",
            Some(4),
        ),
        ("a.sh", "echo a\nfi\n", Some(2)),
        (
            "a.sh.j2",
            "#!/bin/sh\n{% if true %}\n{{ node.short }}() {\n{% endif %}\necho x\n",
            Some(3),
        ),
        (
            "a.sh.j2",
            "#!/bin/sh\n{% if node.name %}\necho {{ node.short }}\n{% endif %}\n",
            None,
        ),
        (
            "a.py",
            "#!/usr/bin/python3\nprint('it is (not) a shell'\n",
            None,
        ),
        (
            "a.sh",
            "#!/usr/bin/env bash\nwhile read -r x; do echo \"$x\"; fi\n",
            Some(2),
        ),
    ] {
        let found = named(file, text);
        match expected {
            None => assert_eq!(found, [""; 0], "{file}: {text}"),
            Some(line) => {
                let start = format!(
                    "policies.d/site.toml:17: script templates/first-boot/{file}, line {line}: "
                );
                assert_eq!(found.len(), 1, "{file}: {text}: {found:?}");
                assert!(found[0].starts_with(&start), "{file}: {text}: {found:?}");
            }
        }
    }
    // Files of tasks, and sections of a kickstart.
    let late = "{% extends \"built-in/debian/late.sh.j2\" %}\n{% block late %}\nif true; then\n{% endblock %}\n";
    let of_late = found(
        "repo = \"debian\"",
        &[("templates/tasks/debian/late.sh.j2", late)],
    );
    assert!(
        matches!(&of_late[..], [one] if one.starts_with("late.sh, line ")),
        "{of_late:?}"
    );
    let post = "%post\necho 192.0.2.11\necho (\n%end\n";
    let of_post = of_file("ks.cfg", "kickstart", post);
    assert_eq!(
        of_post,
        ["ks.cfg, line 4: the script ends within a command of the shell"]
    );
}

#[test]
fn no_script_of_a_shipped_task_has_a_mistake() {
    // A template of the site has the scripts of its task checked.
    let own = [
        (
            "templates/tasks/debian/preseed.cfg.j2",
            "{% extends \"built-in/debian/preseed.cfg.j2\" %}\n",
        ),
        (
            "templates/tasks/redhat/ks.cfg.j2",
            "{% extends \"built-in/redhat/ks.cfg.j2\" %}\n",
        ),
        (
            "templates/tasks/image/user-data.j2",
            "{% extends \"built-in/image/user-data.j2\" %}\n",
        ),
    ];
    let rendering = rendering(GOLDEN, &own);
    let mut scripts = 0;
    for node in rendering.site.nodes.keys() {
        let (rendered, found) = rendering.inspect(node.as_str());
        let found = rendering.shown(&found);
        assert!(
            found.iter().all(|one| !one.contains("syntax")),
            "{node}: {found:#?}"
        );
        let files = rendered.into_iter().flat_map(|rendered| rendered.files);
        scripts += files
            .filter(|file| file.name.ends_with(".sh") || file.name == "ks.cfg")
            .count();
    }
    assert!(scripts > 30, "{scripts}");
}

#[test]
fn a_document_has_a_limit_up_to_which_its_check_is_quick() {
    let found_in = |bytes: usize| {
        let begun = std::time::Instant::now();
        for (name, quoting, line, expected) in [
            ("a.yaml", "yaml", "- a\n", ""),
            ("ks.cfg", "kickstart", "%packages\n@core\n%end\n", ""),
            ("late.sh", "shell", "echo a\n", ""),
            (
                "preseed.cfg",
                "preseed",
                "# a/b string c\n",
                "waits at the question",
            ),
            ("a.toml", "plain", "[[a]]\nb = 1\n", ""),
            ("a.cfg", "plain", "xxxxxxxx", ""),
        ] {
            let found = of_file(name, quoting, &line.repeat(bytes / line.len()));
            let is_too_long =
                |one: &String| one.contains("the rendered file is longer than 1024 KiB");
            if bytes > 1 << 20 {
                assert!(
                    matches!(&found[..], [one] if is_too_long(one)),
                    "{name}: {:.300}",
                    format!("{found:?}")
                );
            } else {
                assert!(
                    found
                        .iter()
                        .all(|one| one.contains(expected) && !expected.is_empty()),
                    "{name}: {:.300}",
                    format!("{found:?}")
                );
            }
        }
        begun.elapsed()
    };
    let (most, too_long) = (found_in(1_000_000), found_in(10_000_000));
    assert!(
        most.as_secs() < 60 && too_long.as_secs() < 60,
        "{most:?}, {too_long:?}"
    );
}
