//! A machine that reports the identity of another one is detected by its MAC address. On a link between two network
//! namespaces.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt};

use bootwright::serve::load;
use serde_json::Value;

use crate::support::{
    child::{self, in_network_namespace},
    client::{Client, log, node, token, until},
    namespace::{Host, ip},
    server::{Server, check_program},
    site::{TestSite, boot_path, name},
    test_name,
};

const SERVER: &str = "198.51.100.1";

#[test]
fn an_installer_is_only_given_to_a_declared_mac_address() {
    in_network_namespace(test_name!(), strict_then_log_then_off);
}

/// Writes the secret `door`, and the settings with its directory.
fn write_secret(site: &TestSite) {
    let secrets = site.beside("secrets");
    std::fs::create_dir(&secrets).unwrap();
    let secret = secrets.join("door");
    std::fs::write(&secret, "sesame-in-the-document\n").unwrap();
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&secret, private).unwrap();
    site.write(
        "bootwright.toml",
        &format!(
            "[http]\nconfirm-neighbour = \"log\"\nallow-from = \"198.51.100.0/24\"\n[paths]\nsecrets = {secrets:?}\n"
        ),
    );
}

/// A server that logs mismatches, and whose nodes have a secret in their document.
fn with_secret() -> (TestSite, Server) {
    let site = TestSite::new(0);
    write_secret(&site);
    let script = "#!/bin/sh\necho {{ secret(\"door\") }}\n";
    site.write("templates/first-boot/open.sh.j2", script);
    for number in [1, 2] {
        site.declare_node(number, "first-boot = \"templates/first-boot/open.sh.j2\"");
    }
    let listen = SocketAddr::new(SERVER.parse().unwrap(), 0);
    let server = Server::listening(&site, listen);
    (site, server)
}

#[test]
fn a_secret_that_undeclared_machines_can_get_is_a_warning() {
    const SCRIPT: &str = "templates/first-boot/open.sh.j2";
    let policy = |accept: &str| {
        format!(
            "[network.more]\nsubnet = \"203.0.113.0/24\"\ngateway = \"203.0.113.1\"\ndns = \"203.0.113.2\"\ndomain = \"lab.example\"\n\
             pool = \"203.0.113.50-203.0.113.59\"\n[policy.open]\naccept = \"{accept}\"\nwhen = \"facts.memory_mib > 1\"\n\
             repo = \"rocky\"\nnetwork = \"more\"\naddresses = \"pool\"\nfirst-boot = \"{SCRIPT}\"\n"
        )
    };
    let warning = "policy `open` installs undeclared machines, and their documents contain a secret: any host on the link that \
                   reports what the policy wants gets it";
    for (accept, script, expected) in [
        ("discovered", "{{ secret('door') }}", vec![warning]),
        // The example of `check` does not have this fact.
        (
            "discovered",
            "{% if facts.asset == 'B2' %}{{ secret('door') }}{% endif %}",
            vec![warning],
        ),
        ("discovered", "{{ node.name }}", vec![]),
        ("declared", "{{ secret('door') }}", vec![]),
    ] {
        let site = TestSite::new(1);
        write_secret(&site);
        site.write("policies.d/open.toml", &policy(accept));
        site.write(SCRIPT, &format!("#!/bin/sh\necho {script}\n"));
        let loaded = load::offline(&site.path(), &check_program()).unwrap();
        let found: Vec<&str> = loaded
            .diagnostics
            .iter()
            .map(|one| one.message.as_str())
            .collect();
        assert_eq!(found, expected, "{accept} {script}");
    }
}

fn strict_then_log_then_off() {
    let host = Host::new();
    host.connect("near");
    ip(&format!("address add {SERVER}/24 dev near"));
    host.ip("link set far address 52:54:00:00:00:01");
    host.ip("address add 198.51.100.2/24 dev far");
    let fetch = |server: SocketAddr, path: &str| {
        child::output(host.role("http-client", &[&server.to_string(), path]))
    };
    let start = |mode: &str| {
        let site = TestSite::new(2);
        let config =
            format!("[http]\nconfirm-neighbour = \"{mode}\"\nallow-from = \"198.51.100.0/24\"\n");
        site.write("bootwright.toml", &config);
        let listen = SocketAddr::new(SERVER.parse().unwrap(), 0);
        let server = Server::listening(&site, listen);
        (site, server)
    };
    let (_site, mut server) = start("strict");
    let (address, operators) = (server.machines.address(), &mut server.operators);
    // The machine's own identity, that of another machine, and both.
    let refused =
        "not confirmed: 198.51.100.2 is at 52:54:00:00:00:01, which is not a NIC of this machine";
    let script = fetch(address, &boot_path(2));
    assert!(
        !script.contains("/t/") && script.contains(refused),
        "{script}"
    );
    let both = format!("{}&mac=52-54-00-00-00-01", boot_path(2));
    assert!(!fetch(address, &both).contains("/t/"));
    assert!(fetch(address, &boot_path(1)).contains("installing n01.lab.example"));
    // Without a boot number it could be the same boot as a confirmed one.
    let anonymous = boot_path(1).replace("&boot=", "&nothing=");
    assert!(fetch(address, &anonymous).contains("installing n01.lab.example"));
    until("the refusal is in the log", || {
        let log = log(operators, 2);
        log.iter()
            .any(|line| line.to_string().contains(refused))
            .then_some(())
    });
    // A refused request has changed nothing.
    let states = [1, 2].map(|number| node(operators, number)["state"].take());
    assert_eq!(states, ["bound", "bound"].map(Value::from));
    // Requests from this host itself are not compared.
    assert!(
        server
            .machines
            .boot(2)
            .contains("installing n02.lab.example")
    );
    assert!(!fetch(address, &boot_path(2)).contains("/t/"));
    server.stop();

    // The default refuses it too, because the machine is on a link of this host.
    let (_site, server) = start("auto");
    let script = fetch(server.machines.address(), &boot_path(2));
    assert!(script.contains(refused), "{script}");
    let script = fetch(server.machines.address(), &boot_path(1));
    assert!(script.contains("installing n01.lab.example"), "{script}");
    server.stop();

    let (_site, mut server) = start("log");
    let address = server.machines.address();
    for _ in 0..2 {
        let script = fetch(address, &boot_path(2));
        assert!(script.contains("installing n02.lab.example"), "{script}");
    }
    assert!(fetch(address, &boot_path(1)).contains("installing n01.lab.example"));
    let remarks = |log: &[Value]| log.iter().filter(|line| line["event"] == "remark").count();
    until("the mismatch is remarked", || {
        (remarks(&log(&mut server.operators, 2)) > 0).then_some(())
    });
    let counts = [1, 2].map(|number| remarks(&log(&mut server.operators, number)));
    assert_eq!(counts, [0, 1]);
    server.stop();

    // Documents that contain a secret are an exception to the answer.
    let (_site, mut server) = with_secret();
    let address = server.machines.address();
    let script = fetch(address, &boot_path(2));
    let reason = "its documents contain a secret, which only a confirmed machine gets";
    assert!(
        !script.contains("/t/") && script.contains(reason),
        "{script}"
    );
    let script = fetch(address, &boot_path(1));
    let path = format!("/t/{}/first-boot.sh", token(&script));
    assert!(fetch(address, &path).contains("sesame-in-the-document"));
    let other = Client::new(address).get(&path);
    // This host is trusted, because the site is a demonstration.
    assert_eq!(other.status, 200);
    until("the reason is in the log", || {
        let log = log(&mut server.operators, 2);
        log.iter()
            .any(|line| line.to_string().contains(reason))
            .then_some(())
    });
    server.stop();

    let (_site, mut server) = start("off");
    let script = fetch(server.machines.address(), &boot_path(2));
    assert!(script.contains("installing n02.lab.example"), "{script}");
    assert_eq!(remarks(&log(&mut server.operators, 2)), 0, "{}", name(2));
    server.stop();
}
