//! Diagnostics for mistakes in templates and settings.

use bootwright::render::render_attempt;

use crate::support::rendering::{SITE, rendering};

/// A site of one node whose task is the site's own.
const OWN: &str = r#"
[network.lab]
subnet = "192.0.2.0/24"
gateway = "192.0.2.1"
dns = "192.0.2.2"
domain = "lab.example"
[policy.mine]
task = "mine"
[node.n1]
mac = "52:54:00:00:00:01"
address = "192.0.2.11"
policy = "mine"
"#;

const TASK: &str =
    "title = \"Mine\"\n[[file]]\nname = \"a.cfg\"\ntemplate = \"a.j2\"\nquoting = \"shell\"\n";

/// The diagnostics for a site's own task with these templates: from compiling or, if there are none, from rendering.
fn diagnostics_of(toml: &str, files: &[(&str, &str)]) -> Vec<String> {
    let rendering = rendering(toml, files);
    let found = rendering.shown(&rendering.found);
    if !found.is_empty() {
        return found;
    }
    rendering.shown(&rendering.inspect("n1").1)
}

fn of_template(text: &str) -> Vec<String> {
    diagnostics_of(
        OWN,
        &[
            ("templates/tasks/mine/task.toml", TASK),
            ("templates/tasks/mine/a.j2", text),
        ],
    )
}

#[test]
fn a_repo_by_https_is_a_warning_if_a_loader_fetches_its_kernel() {
    let site = |url: &str, task: &str| {
        format!(
            "[repo.r]\nurl = \"{url}\"\ntask = \"{task}\"\n[node.n]\nmac = \"52:54:00:00:00:01\"\nrepo = \"r\"\n"
        )
    };
    let warning = "policies.d/site.toml:2: the loader of a machine fetches the kernel of repo `r` by HTTPS, which Debian's iPXE and \
                   GRUB cannot = use `http://`, or serve the files from here (`iso`, `path`); an iPXE that is built with HTTPS and \
                   `TRUST=` can fetch them";
    for (url, task, expected) in [
        ("https://192.0.2.1/r", "redhat", vec![warning]),
        ("https://192.0.2.1/r", "debian", vec![warning]),
        ("https://192.0.2.1/r", "esxi", vec![warning]),
        // The agent fetches images, and reports what it cannot fetch.
        ("https://192.0.2.1/r", "image", vec![]),
        ("http://192.0.2.1/r", "redhat", vec![]),
    ] {
        let rendering = rendering(&site(url, task), &[]);
        assert_eq!(rendering.shown(&rendering.found), expected, "{url} {task}");
    }
}

#[test]
fn an_invalid_template_is_reported_when_it_is_loaded() {
    let at = |line: usize, message: &str| {
        vec![format!(
            "templates/tasks/mine/a.j2:{line}: template mine/a.j2, line {line}: {message}"
        )]
    };
    for (text, expected) in [
        (
            "one\n{{ 1 +",
            at(
                2,
                "syntax error: unexpected end of input, expected expression",
            ),
        ),
        (
            "{% nonsense %}",
            at(1, "syntax error: unknown statement nonsense"),
        ),
        (
            "\n\n{{ node.name | shh }}",
            at(3, "there is no filter `shh`"),
        ),
        (
            "{% if node is sunny %}{% endif %}",
            at(1, "there is no test `sunny`"),
        ),
        (
            "x\n{% include \"b.j2\" %}",
            at(2, "there is no template `b.j2`"),
        ),
        (
            "{% extends \"redhat/none.j2\" %}",
            at(1, "there is no template `redhat/none.j2`"),
        ),
        (
            "x\n{% include \"a.j2\" %}",
            at(2, "templates include each other in a loop: `a.j2` → `a.j2`"),
        ),
    ] {
        assert_eq!(of_template(text), expected, "{text}");
    }
}

#[test]
fn a_template_that_fails_is_reported_with_its_line_and_node() {
    for (text, expected) in [
        (
            "one\n{{ vars.license }}",
            "line 2: `vars.license` is not defined [for node n1 (policy mine)] = set it in the node, the policy or the repo, or write `vars.license | default(\"\")`",
        ),
        (
            "{{ vars.license | sh }}",
            "line 1: `vars.license` is not defined [for node n1 (policy mine)] = set it in the node, the policy or the repo, or write `vars.license | default(\"\")`",
        ),
        (
            "{{ facts.memory_mib }}",
            "line 1: `facts.memory_mib` is not defined [for node n1 (policy mine)] = the machine has not reported it; write `facts.memory_mib | default(\"\")`",
        ),
        (
            "{{ node.serial }}",
            "line 1: `node.serial`: this is not set [for node n1 (policy mine)]",
        ),
        (
            "{{ node.macs }}",
            "line 1: `node.macs`: this is a list or a table: loop over it, or use a filter such as `join` or `json` [for node n1 (policy mine)]",
        ),
        (
            "{{ urls.stage(\"done\") }}",
            "line 1: `urls.stage(\"done\")`: there is no such stage; a task declares its own in `stages` of its task.toml [for node n1 (policy mine)]",
        ),
        (
            "{{ secret(\"none\") }}",
            "line 1: `secret(\"none\")`: there is no secret `none` [for node n1 (policy mine)]",
        ),
        (
            "{{ noise() }}",
            "line 1: `noise()`: there is no such function [for node n1 (policy mine)]",
        ),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "line 1: this does too much work, or does not end [for node n1 (policy mine)]",
        ),
        (
            "{% for a in range(9999) %}{{ \"0123456789\" * 100 }}{% endfor %}",
            "line 1: the rendered file is longer than 1024 KiB [for node n1 (policy mine)]",
        ),
    ] {
        let expected = format!(
            "templates/tasks/mine/a.j2:{}: template mine/a.j2, {expected}",
            expected.split([' ', ':']).nth(1).unwrap()
        );
        assert_eq!(of_template(text), [expected], "{text}");
    }
}

#[test]
fn cycles_of_templates_and_tasks_are_reported() {
    let files = [
        ("templates/tasks/mine/task.toml", TASK),
        ("templates/tasks/mine/a.j2", "{% include \"b.j2\" %}"),
        ("templates/tasks/mine/b.j2", "x\n{% include \"c.j2\" %}"),
        ("templates/common/c.j2", "{% include \"a.j2\" %}"),
    ];
    assert_eq!(
        diagnostics_of(OWN, &files),
        [
            "templates/common/c.j2:1: template common/c.j2, line 1: templates include each other in a loop: `a.j2` → `b.j2` → `c.j2` → `a.j2`"
        ]
    );
    let files = [
        ("templates/tasks/mine/task.toml", "base = \"other\""),
        (
            "templates/tasks/other/task.toml",
            "title = \"Other\"\nbase = \"mine\"",
        ),
    ];
    assert_eq!(
        diagnostics_of(OWN, &files),
        [
            "templates/tasks/mine/task.toml:1: the bases of task `mine` form a loop: `mine` → `other` → `mine`",
            "templates/tasks/other/task.toml:2: the bases of task `other` form a loop: `other` → `mine` → `other`",
        ]
    );
    let files = [("templates/tasks/mine/task.toml", "base = \"redhatt\"")];
    assert_eq!(
        diagnostics_of(OWN, &files),
        [
            "templates/tasks/mine/task.toml:1: task `mine` has the base `redhatt`, which does not exist = did you mean `redhat`?"
        ]
    );
}

#[test]
fn an_invalid_task_toml_is_reported() {
    for (text, expected) in [
        (
            "titel = \"x\"",
            "templates/tasks/mine/task.toml:1: unknown key `titel` = did you mean `title`?",
        ),
        (
            "[[file]]\nname = \"a\"\n",
            "templates/tasks/mine/task.toml:1: file `a` needs exactly one of `template`, `repo-file` and `make`",
        ),
        (
            "[[file]]\nname = \"../a\"\ntemplate = \"a.j2\"\n",
            "templates/tasks/mine/task.toml:1: `../a` is not a valid file name: expected letters, digits, `-`, `_`, `.`, `{mac}` and at most one `/`",
        ),
    ] {
        let found = diagnostics_of(
            OWN,
            &[
                ("templates/tasks/mine/task.toml", text),
                ("templates/tasks/mine/a.j2", ""),
            ],
        );
        assert_eq!(found[0], expected, "{text}");
    }
    let found = diagnostics_of(
        OWN,
        &[(
            "templates/tasks/mine/task.toml",
            "expresses = [\"packages\", \"pakages\"]",
        )],
    );
    assert!(found[0].contains("pakages"), "{found:?}");
    assert_eq!(
        diagnostics_of(OWN, &[]),
        [
            "policies.d/site.toml:8: there is no task `mine` = there are debian, discover, esxi, image, local, redhat; a site's own are in templates/tasks/"
        ]
    );
}

#[test]
fn a_task_inherits_from_its_base() {
    let task = "title = \"Mine\"\nbase = \"redhat\"\n";
    let toml = OWN.replace(
        "[node.n1]",
        "[repo.tree]\npath = \"tree\"\n[node.n1]\nrepo = \"tree\"",
    );
    let rendering = rendering(
        &toml,
        &[
            ("templates/tasks/mine/task.toml", task),
            (
                "templates/tasks/mine/ks.cfg.j2",
                "{% extends \"redhat/ks.cfg.j2\" %}\n{% block storage %}autopart --type=lvm\n{% endblock %}",
            ),
            (
                "templates/tasks/redhat/boot.ipxe.j2",
                "#!ipxe\n{% include \"failed.ipxe.j2\" %}",
            ),
            (
                "templates/common/failed.ipxe.j2",
                "# from {{ task.name }}\n{% include \"built-in/common/failed.ipxe.j2\" %}",
            ),
        ],
    );
    assert_eq!(rendering.shown(&rendering.found), Vec::<String>::new());
    let kickstart = rendering.text("n1", "ks.cfg");
    assert!(
        kickstart.contains("\nautopart --type=lvm\nreboot\n"),
        "{kickstart}"
    );
    assert!(
        kickstart.contains("network --device=52:54:00:00:00:01"),
        "{kickstart}"
    );
    let script = rendering.text("n1", "boot.ipxe");
    assert!(
        script.starts_with("#!ipxe\n# from mine\n:failed\n"),
        "{script}"
    );
}

#[test]
fn a_setting_that_an_installer_cannot_express_is_an_error_with_task_and_setting() {
    for (node, edit, expected) in [
        (
            "esx-static",
            "packages = \"vim\"",
            "policies.d/site.toml:{}: task `esxi` does not support `packages` [for node esx-static (policy esxi)]",
        ),
        (
            "esx-static",
            "timezone = \"Europe/Berlin\"",
            "policies.d/site.toml:{}: task `esxi` does not support `timezone` [for node esx-static (policy esxi)]",
        ),
        (
            "esx-static",
            "user = { name = \"ops\" }",
            "policies.d/site.toml:{}: task `esxi` does not support `user` [for node esx-static (policy esxi)]",
        ),
        (
            "esx-static",
            "keep = \"naa.1\"",
            "policies.d/site.toml:47: `disk.first` leaves the choice to ESXi, which does not support `keep` [for node esx-static (policy esxi)] = choose the disk by `serial`, `model`, `min-size`, `smallest` or `largest` of `disk`",
        ),
        (
            "esx-static",
            "vars = { license = \"A1B2C-D3E4F\" }",
            "policies.d/site.toml:{}: this is not an ESXi licence key: expected five groups of five letters or digits, separated by hyphens [for node esx-static (policy esxi)]",
        ),
        (
            "esx-static",
            "vars = { license = 5 }",
            "policies.d/site.toml:{}: this is not an ESXi licence key: expected five groups of five letters or digits, separated by hyphens [for node esx-static (policy esxi)]",
        ),
        (
            "esx-static",
            "vars = { license-secret = \"esxi\" }",
            "policies.d/site.toml:{}: `vars.license-secret`: there is no secret `esxi` [for node esx-static (policy esxi)] = put the licence key into a file of that name in the secrets directory",
        ),
        (
            "esx-static",
            "vars = { license = \"x\", license-secret = \"esxi\" }",
            "policies.d/site.toml:{}: `vars.license` and `vars.license-secret` are mutually exclusive [for node esx-static (policy esxi)]",
        ),
        (
            "esx-secure",
            "mtu = 1400",
            "policies.d/site.toml:{}: task `esxi` does not support `mtu`: NIC 00:50:56:00:00:05: 1400 [for node esx-secure (policy esxi)] = it needs a script at the first boot, and scripts do not run with Secure Boot",
        ),
    ] {
        let toml = SITE.replace(&format!("[node.{node}]"), &format!("[node.{node}]\n{edit}"));
        let line = toml.lines().position(|line| line == edit).unwrap() + 1;
        let rendering = rendering(&toml, &[]);
        assert_eq!(rendering.shown(&rendering.found), Vec::<String>::new());
        let found = rendering.shown(&rendering.inspect(node).1);
        // With Secure Boot the default SSH keys are a separate warning.
        let found: Vec<&String> = found
            .iter()
            .filter(|found| !found.contains("`ssh-keys`"))
            .collect();
        let node_line = toml
            .lines()
            .position(|line| line == format!("[node.{node}]"))
            .unwrap()
            + 1;
        let at = |line: usize| expected.replacen("{}", &line.to_string(), 1);
        assert!(
            found == [&at(line)] || found == [&at(node_line)] || found == [&at(node_line + 2)],
            "{found:#?}\n{}",
            at(line)
        );
    }
}

#[test]
fn a_broker_has_a_known_kind_and_a_task_that_runs_its_script() {
    let cases = [
        (
            "kind = \"pupet\"",
            "debian",
            &["policies.d/site.toml:12: there is no broker kind `pupet` = did you mean `puppet`?"]
                [..],
        ),
        (
            "kind = \"chef\"",
            "debian",
            &[
                "policies.d/site.toml:12: there is no broker kind `chef` = there are ansible-pull, mine, puppet, script, program, none; a site's own are in templates/brokers/",
            ],
        ),
        (
            "kind = \"program\"",
            "debian",
            &[
                "policies.d/site.toml:12: broker `b`: `run` is missing = set `run` to the program and its arguments",
            ],
        ),
        (
            "kind = \"program\"\nrun = 7",
            "debian",
            &[
                "policies.d/site.toml:12: broker `b`: `run` is missing = set `run` to the program and its arguments",
            ],
        ),
        (
            "kind = \"puppet\"",
            "debian",
            &[
                "template brokers/puppet/hand-over.sh.j2 (built in), line 35: `broker.settings.server` is not defined [for node n1] = set it in the broker, or write `broker.settings.server | default(\"\")`",
            ],
        ),
        (
            "kind = \"mine\"",
            "debian",
            &[
                "templates/brokers/mine/hand-over.sh.j2:2: template brokers/mine/hand-over.sh.j2, line 2: `broker.settings.city` is not defined [for node n1] = set it in the broker, or write `broker.settings.city | default(\"\")`",
            ],
        ),
        ("kind = \"mine\"\ncity = \"Bremen\"", "debian", &[]),
        ("kind = \"none\"", "esxi", &[]),
        ("kind = \"program\"\nrun = \"hand-over\"", "esxi", &[]),
        (
            "kind = \"script\"\ncommands = []",
            "esxi",
            &[
                "policies.d/site.toml:9: task `esxi` does not run broker scripts, which broker `b` needs [for node n1] = use a broker of kind `program`: the server runs it, for every task",
            ],
        ),
    ];
    for (broker, task, expected) in cases {
        let toml = format!(
            "[network.lab]\nsubnet = \"192.0.2.0/24\"\ngateway = \"192.0.2.1\"\ndns = \"192.0.2.2\"\n[node.n1]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.0.2.11\"\nrepo = \"r\"\nbroker = \"b\"\nroot-password-hash = \"$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/\"\n[broker.b]\n{broker}\n[repo.r]\npath = \"r\"\ntask = \"{task}\"\nvars = {{ mirror = \"http://mirror.example/debian\" }}\n"
        );
        let own = [(
            "templates/brokers/mine/hand-over.sh.j2",
            "#!/bin/sh\necho {{ broker.settings.city | sh }}\n",
        )];
        assert_eq!(diagnostics_of(&toml, &own), expected, "{broker}");
    }
}

#[test]
fn an_unsupported_password_hash_is_refused_and_not_printed() {
    for (hash, shown) in [
        (
            format!("$6$rounds=5000$abcdefgh${}", "x".repeat(86)),
            "`$6$` with `rounds=`",
        ),
        (format!("$y$j9T$abcdefgh${}", "x".repeat(43)), "`$y$`"),
        (format!("$5$abcdefgh${}", "x".repeat(43)), "`$5$`"),
    ] {
        let toml = SITE.replace(
            "[node.esx-static]",
            &format!("[node.esx-static]\nroot-password-hash = \"{hash}\""),
        );
        let rendering = rendering(&toml, &[]);
        let found = rendering.shown(&rendering.inspect("esx-static").1);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains(&format!(
                "does not accept this kind of password hash: {shown}"
            )),
            "{found:?}"
        );
        assert!(!found[0].contains("xxxx"), "{found:?}");
    }
}

#[test]
fn a_repo_without_the_boot_files_is_reported() {
    let mut rendering = rendering(SITE, &[]);
    rendering.forget("esxi", "efi/boot/bootx64.efi");
    rendering.forget("rocky", "images/pxeboot/vmlinuz");
    rendering.forget("debian", "debian-installer/amd64/linux");
    rendering.forget("debian", "install.amd/vmlinuz");
    rendering.forget("debian", "install.a64/vmlinuz");
    let at = |name: &str| {
        SITE.lines()
            .position(|line| line == format!("path = \"{name}\""))
            .unwrap()
            + 1
    };
    for (node, repo, expected) in [
        (
            "esx-static",
            "esxi",
            "repo `esxi` lacks `efi/boot/bootx64.efi` [for node esx-static (policy esxi)]",
        ),
        (
            "rocky-static",
            "rocky",
            "repo `rocky` lacks `images/pxeboot/vmlinuz` [for node rocky-static (policy rocky)]",
        ),
        (
            "debian-static",
            "debian",
            "repo `debian` lacks `debian-installer/amd64/linux` [for node debian-static (policy debian)]",
        ),
    ] {
        let found = rendering.shown(&rendering.inspect(node).1);
        assert_eq!(
            found,
            [format!("policies.d/site.toml:{}: {expected}", at(repo))]
        );
    }
    rendering = crate::support::rendering::rendering(SITE, &[]);
    rendering.forget("esxi", "mboot.c32");
    rendering.forget("esxi", "efi/boot/crypto64.efi");
    let (rendered, found) = rendering.inspect("esx-static");
    let names: Vec<String> = rendered
        .unwrap()
        .files
        .into_iter()
        .map(|file| file.name)
        .collect();
    assert_eq!(
        names,
        [
            "boot.ipxe",
            "ks.cfg",
            "boot.cfg",
            "01-00-50-56-00-00-01/boot.cfg",
            "mboot.efi"
        ]
    );
    assert_eq!(found.len(), 1);
    assert!(
        found[0]
            .message
            .ends_with("lacks `efi/boot/crypto64.efi`; it may be incomplete"),
        "{found:?}"
    );
    rendering.forget("esxi", "useropts.gz");
    let found = rendering.inspect("esx-static").1;
    let expected = "repo `esxi`: boot.cfg names `useropts.gz`, which the image does not have";
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].message, expected);
}

#[test]
fn a_network_connection_that_an_installer_cannot_configure_is_an_error() {
    let bond = "bond.bond0 = { mode = \"802.3ad\", ports = [\"00:50:56:00:00:06\", \"00:50:56:00:01:06\"], address = \"192.0.2.16\" }";
    let bridge = "bridge.br0 = { ports = [\"00:50:56:00:00:06\"], address = \"192.0.2.16\" }";
    let macs = "mac = [\"00:50:56:00:00:06\", \"00:50:56:00:01:06\"]";
    let lab =
        "[network.lab]\nsubnet = \"192.0.2.0/24\"\ngateway = \"192.0.2.1\"\ndns = \"192.0.2.2\"\n";
    let vlan = "[network.tagged]\nsubnet = \"198.51.100.0/24\"\ngateway = \"198.51.100.1\"\ndns = \"198.51.100.2\"\nvlan = 20\n";
    let blind = "[network.blind]\nsubnet = \"198.51.100.0/24\"\n";
    let hash = "root-password-hash = \"$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/\"";
    for (task, network, node, expected) in [
        (
            "esxi",
            lab,
            format!("{macs}\n{bond}"),
            &[
                "task `esxi` does not support `bond`: bond bond0: mode 802.3ad needs a distributed switch",
            ][..],
        ),
        (
            "esxi",
            lab,
            format!("{macs}\n{bridge}"),
            &[
                "task `esxi` does not support `bridge`: bridge br0: ESXi has virtual switches instead of bridges",
            ],
        ),
        (
            "esxi",
            lab,
            "mac = \"00:50:56:00:00:06\"\naddress = [\"192.0.2.16\", \"192.0.2.17\"]".into(),
            &[
                "task `esxi` does not support `address`: NIC 00:50:56:00:00:06: ESXi supports one IPv4 address for each interface",
            ],
        ),
        (
            "esxi",
            blind,
            "mac = \"00:50:56:00:00:06\"\naddress = \"198.51.100.16\"".into(),
            &[
                "task `esxi` does not support `gateway`: NIC 00:50:56:00:00:06: the installer guesses a gateway if none is set",
                "task `esxi` does not support `dns`: NIC 00:50:56:00:00:06: with a static address the installer needs at least one name server",
            ],
        ),
        (
            "debian",
            vlan,
            "mac = \"00:50:56:00:00:06\"\naddress = \"198.51.100.16\"".into(),
            &[
                "task `debian` does not support `vlan`: VLAN vlan20: the installer does not support VLANs (20); set `boot-network` to the network in which it runs",
            ],
        ),
        (
            "redhat",
            vlan,
            "mac = \"00:50:56:00:00:06\"\naddress = \"198.51.100.16\"".into(),
            &[],
        ),
        (
            "redhat",
            lab,
            format!(
                "mac = \"00:50:56:00:00:06\"\naddress = \"192.0.2.16\"\nkernel-args = \"{}\"",
                "x".repeat(1500)
            ),
            &["1598 bytes of kernel arguments: at most 1500 fit"],
        ),
    ] {
        let toml = format!(
            "{network}[repo.r]\npath = \"r\"\n[node.n1]\n{node}\nrepo = \"r\"\ntask = \"{task}\"\n{hash}\n"
        );
        let rendering = rendering(&toml, &[]);
        let messages: Vec<String> = rendering
            .inspect("n1")
            .1
            .into_iter()
            .map(|found| found.message)
            .collect();
        assert_eq!(messages, expected, "{toml}");
    }
}

#[test]
fn a_host_name_over_64_characters_is_refused_where_the_system_sets_all_of_it() {
    let longest = format!("{}.lab.example", "a".repeat(52));
    let longer = format!("{}.lab.example", "a".repeat(53));
    let labels = format!("{0}.{0}.example", "a".repeat(40));
    for (node, name, expected) in [
        ("rocky-static", &longest, None),
        (
            "rocky-static",
            &longer,
            Some("a system of task `redhat` can set 64"),
        ),
        (
            "esx-static",
            &labels,
            Some("a system of task `esxi` can set 64"),
        ),
        ("debian-static", &labels, None),
        (
            "image-static",
            &labels,
            Some("an image that sets the whole name, as the RHEL family does, can set 64"),
        ),
    ] {
        // The name is plain, or a template, as of a machine that is named from its facts.
        for text in [name.clone(), format!("{{{{ '{name}' }}}}")] {
            let toml = SITE.replace(
                &format!("[node.{node}]"),
                &format!("[node.{node}]\nhostname = \"{text}\""),
            );
            let rendering = rendering(&toml, &[]);
            let (_, found) = rendering.inspect(node);
            let found: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
            let length = name.len();
            let expected =
                expected.map(|end| format!("host name `{name}` has {length} characters: {end}"));
            assert_eq!(found, Vec::from_iter(expected.as_deref()), "{node}");
            let is_error = expected.is_some() && node != "image-static";
            let rendered = rendering.with(node, render_attempt);
            assert_eq!(rendered.is_err(), is_error, "{node}");
        }
    }
}
