//! The start of a server: with errors in the site, state without its site, damaged journals, and a state directory
//! in use.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use bootwright::{
    control::DeclaredState,
    disk::journal::{Journal, JournalEntry, JournalOptions},
    serve::offline,
};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, events, log, node, status, token, until},
    server::{Server, check_program},
    site::{TestSite, boot_path, declaration, name, node_file},
};

fn break_site(site: &TestSite) {
    let broken = declaration(1, "adress = \"192.0.2.99\"");
    site.write(&node_file(1), &broken);
}

fn health(server: &mut Server) -> String {
    server.machines.get("/healthz").good()
}

/// Installs a node completely.
fn install(machines: &mut Client, number: usize) {
    let token = token(&machines.boot(number));
    machines.get(&format!("/t/{token}/ks.cfg")).good();
    for stage in ["installing", "installed", "finished"] {
        let answer = machines.get(&format!("/t/{token}/stage/{stage}"));
        assert_eq!(answer.good(), "ok\n");
    }
}

fn is_installer(script: &str) -> bool {
    script.contains("/t/")
}

#[test]
fn a_broken_site_is_served_from_its_last_good_copy() {
    let site = TestSite::new(2);
    let mut server = Server::start(&site);
    let good = status(&mut server.operators)["revision"].clone();
    until("the copy is kept", || {
        site.state().join("last-good").exists().then_some(())
    });
    server.stop();
    break_site(&site);
    let mut server = Server::start(&site);
    assert_eq!(server.banner.errors, 1);
    assert_eq!(
        health(&mut server),
        format!(
            "degraded: the site has 1 error; revision {} is served\n",
            good.as_str().unwrap()
        )
    );
    let now = status(&mut server.operators);
    assert_eq!(now["revision"], good);
    let found = &now["rejected"]["diagnostics"][0];
    assert_eq!(found["file"], json!(node_file(1)));
    install(&mut server.machines, 1);
    // After the fix it goes live without a restart.
    site.declare_node(1, "packages = [\"tmux\"]");
    until("the site is sound", || {
        (health(&mut server) == "ok\n").then_some(())
    });
    install(&mut server.machines, 2);
    server.stop();
}

#[test]
fn a_broken_site_without_a_copy_sends_every_machine_to_its_disk() {
    let site = TestSite::new(2);
    break_site(&site);
    let mut server = Server::start(&site);
    assert!(health(&mut server).starts_with("degraded: the site has 1 error"));
    for number in [1, 2] {
        let script = server.machines.boot(number);
        assert!(
            script.contains("exit 1") && !is_installer(&script),
            "{script}"
        );
    }
    site.declare_node(1, "");
    until("the site is sound", || {
        (health(&mut server) == "ok\n").then_some(())
    });
    install(&mut server.machines, 1);
    server.stop();
}

/// A site with an id whose state was lost.
fn lost() -> TestSite {
    let site = TestSite::new(2);
    let state = site.state();
    let config = format!(
        "site-id = \"7d3f\"\n[http]\nallow-from = \"127.0.0.0/8\"\nconfirm-neighbour = \"off\"\n[limits]\ninstalls-per-hour = 1000000\n[paths]\nstate = \"{}\"\nwitness = \"../witness\"\n",
        state.display()
    );
    site.write("bootwright.toml", &config);
    site
}

#[test]
fn a_state_directory_of_another_site_holds_every_installation_until_it_is_declared() {
    for (installed, state) in [(false, "bound"), (true, "installed")] {
        let site = lost();
        let mut server = Server::start(&site);
        assert!(
            health(&mut server)
                .starts_with("degraded: installations are held: the state directory")
        );
        for number in [1, 2] {
            let script = server.machines.boot(number);
            assert!(!is_installer(&script), "{script}");
            assert!(script.contains("bootwright init --state new"), "{script}");
        }
        // The result persists across a restart.
        server.stop();
        let mut server = Server::start(&site);
        assert!(!is_installer(&server.machines.boot(1)));
        server.stop();
        let declared = offline::declare_state(
            &site.path(),
            if installed {
                DeclaredState::Installed
            } else {
                DeclaredState::New
            },
            &check_program(),
        );
        declared.unwrap();
        let mut server = Server::start(&site);
        assert_eq!(health(&mut server), "ok\n");
        assert_eq!(node(&mut server.operators, 1)["state"], state);
        assert_eq!(is_installer(&server.machines.boot(1)), !installed);
        server.stop();
    }
}

#[test]
fn a_second_server_reports_the_first() {
    let site = TestSite::new(1);
    let server = Server::start(&site);
    let second = Server::try_start(&site.path(), &site.state());
    let Err(refusal) = second.map(Server::stop) else {
        panic!("two servers write one journal");
    };
    let expected = format!(
        "the state directory is in use by process {}, which serves `{}`",
        std::process::id(),
        site.path().display()
    );
    assert!(format!("{refusal:#}").contains(&expected), "{refusal:#}");
    server.stop();
    Server::start(&site).stop();
}

/// A server whose first node is finished and whose second is installing, stopped regularly.
fn after_work(site: &TestSite) {
    let mut server = Server::start(site);
    install(&mut server.machines, 1);
    let token = token(&server.machines.boot(2));
    server.machines.get(&format!("/t/{token}/ks.cfg")).good();
    server.stop();
}

fn shown_states(server: &mut Server) -> Vec<Value> {
    [1, 2, 3]
        .map(|number| node(&mut server.operators, number))
        .map(|node| {
            json!([
                node["name"],
                node["state"],
                node["attempt"],
                node["installs"]
            ])
        })
        .into()
}

#[test]
fn a_torn_last_line_is_removed_with_a_warning() {
    let site = TestSite::new(3);
    after_work(&site);
    let before = fs::read(site.segment()).unwrap();
    let mut segment = fs::OpenOptions::new()
        .append(true)
        .open(site.segment())
        .unwrap();
    segment
        .write_all(b"{\"at\":\"2026-01-01T00:00:00.000Z\",\"mach")
        .unwrap();
    drop(segment);
    let mut server = Server::start(&site);
    let warned = server
        .banner
        .start_warnings
        .iter()
        .any(|warning| warning.contains("the last line of `00000001.jsonl` is incomplete"));
    assert!(warned, "{:?}", server.banner.start_warnings);
    let cut = site
        .state()
        .join(format!("journal/cut-00000001-{}", before.len()));
    assert!(fs::read(cut).unwrap().ends_with(b"\"mach"));
    assert_eq!(
        shown_states(&mut server)[0],
        json!(["n01", "finished", 1, {"wanted": 1, "done": 1}])
    );
    server.stop();
    assert!(fs::read(site.segment()).unwrap().starts_with(&before));
}

#[test]
fn a_journal_without_its_checkpoint_gives_the_same_state() {
    let site = TestSite::new(3);
    after_work(&site);
    let checkpoint = site.state().join("journal/checkpoint");
    let mut server = Server::start(&site);
    let expected = shown_states(&mut server);
    assert_eq!(
        expected[1],
        json!(["n02", "installing", 1, {"wanted": 1, "done": 0}])
    );
    server.stop();
    let whole = fs::read(&checkpoint).unwrap();
    let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    // The header is valid, and the rest has the right length and no content.
    let hollow = [&whole[..head], &vec![b'x'; whole.len() - head]].concat();
    let cases: [(&str, Option<&[u8]>); 5] = [
        ("gone", None),
        ("empty", Some(b"")),
        ("cut short", Some(&whole[..whole.len() / 2])),
        ("garbage", Some(&[0xff; 300])),
        ("hollow", Some(&hollow)),
    ];
    for (case, content) in cases {
        match content {
            Some(content) => fs::write(&checkpoint, content).unwrap(),
            None => fs::remove_file(&checkpoint).unwrap(),
        }
        let mut server = Server::start(&site);
        assert_eq!(shown_states(&mut server), expected, "{case}");
        assert_eq!(health(&mut server), "ok\n", "{case}");
        assert!(!is_installer(&server.machines.boot(1)), "{case}");
        server.stop();
    }
}

/// Ends the first segment, so that what follows is in another one.
fn seal(site: &TestSite) {
    let journal = site.state().join("journal");
    let (journal, replay) = Journal::open(
        &journal,
        &site.path(),
        JournalOptions {
            segment: 1,
            reserve: 0,
        },
    )
    .unwrap();
    drop(replay);
    let text = r#"{"at":"2026-01-01T00:00:00.000Z","event":"started","version":"0"}"#;
    let entry = JournalEntry {
        text: text.into(),
        durable: true,
        reports: false,
    };
    journal.append(vec![entry]).wait().unwrap();
    drop(journal);
    fs::remove_file(site.state().join("journal/checkpoint")).unwrap();
}

#[test]
fn a_missing_segment_holds_the_machines_in_it() {
    let site = TestSite::new(3);
    // The identities are in a segment before the lost one.
    let mut server = Server::start(&site);
    let token = token(&server.machines.boot(1));
    server.machines.boot(3);
    server.stop();
    seal(&site);
    let mut server = Server::start(&site);
    server.machines.get(&format!("/t/{token}/ks.cfg")).good();
    server
        .machines
        .get(&format!("/t/{token}/stage/installed"))
        .good();
    server.stop();
    let second = site.state().join("journal/00000002.jsonl");
    let third = site.state().join("journal/00000003.jsonl");
    seal(&site);
    assert!(third.exists());
    fs::remove_file(second).unwrap();
    let mut server = Server::start(&site);
    let [n01, n02, n03] = [1, 2, 3].map(|number| node(&mut server.operators, number));
    assert_eq!(n01["state"], "held", "{n01}");
    assert!(
        n01["reason"].to_string().contains("00000002.jsonl"),
        "{n01}"
    );
    assert!(!is_installer(&server.machines.boot(1)));
    for (node, number) in [(n02, 2), (n03, 3)] {
        assert_ne!(node["state"], "held", "{node}");
        assert!(is_installer(&server.machines.boot(number)));
    }
    // An operator who has checked the machine marks it.
    let marked = server
        .operators
        .post("/api/v1/nodes/n01/mark", "{\"state\":\"installed\"}");
    marked.good();
    let released = server.operators.post("/api/v1/nodes/n01/release", "{}");
    released.good();
    server.stop();
    let mut server = Server::start(&site);
    assert_eq!(node(&mut server.operators, 1)["state"], "installed");
    assert!(!is_installer(&server.machines.boot(1)));
    server.stop();
}

#[test]
fn a_missing_segment_with_identities_holds_every_machine() {
    let site = lost();
    offline::adopt(&site.path()).unwrap();
    let mut server = Server::start(&site);
    install(&mut server.machines, 1);
    server.stop();
    seal(&site);
    fs::remove_file(site.segment()).unwrap();
    let mut server = Server::start(&site);
    assert!(
        health(&mut server)
            .starts_with("degraded: installations are held: part of the journal is lost")
    );
    for number in [1, 2] {
        let script = server.machines.boot(number);
        assert!(!is_installer(&script), "{}: {script}", name(number));
    }
    server.stop();
    let declared = offline::declare_state(&site.path(), DeclaredState::Installed, &check_program());
    declared.unwrap();
    let mut server = Server::start(&site);
    assert_eq!(health(&mut server), "ok\n");
    assert!(!is_installer(&server.machines.boot(1)));
    assert_eq!(node(&mut server.operators, 1)["state"], "installed");
    let log = log(&mut server.operators, 1);
    assert!(events(&log).contains(&"marked"), "{log:?}");
    server.stop();
}

#[test]
fn an_invalid_line_in_the_middle_holds_every_machine() {
    let site = TestSite::new(2);
    let mut server = Server::start(&site);
    install(&mut server.machines, 1);
    server.stop();
    fs::remove_file(site.state().join("journal/checkpoint")).unwrap();
    let mut bytes = fs::read(site.segment()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4].copy_from_slice(b"\0\xff\0\xff");
    fs::write(site.segment(), &bytes).unwrap();
    let mut server = Server::start(&site);
    let health = health(&mut server);
    assert!(
        health.starts_with("degraded: installations are held: part of the journal is lost"),
        "{health}"
    );
    for number in [1, 2] {
        assert!(!is_installer(&server.machines.boot(number)));
    }
    server.stop();
    // The existing contents remain.
    assert!(fs::read(site.segment()).unwrap().starts_with(&bytes));
}

#[test]
fn a_deleted_journal_is_not_treated_as_a_new_one() {
    let site = lost();
    offline::adopt(&site.path()).unwrap();
    let mut server = Server::start(&site);
    assert_eq!(health(&mut server), "ok\n");
    install(&mut server.machines, 1);
    until("the copy is kept", || {
        site.state().join("last-good").exists().then_some(())
    });
    server.stop();
    fs::remove_dir_all(site.state().join("journal")).unwrap();
    for _ in 0..2 {
        let mut server = Server::start(&site);
        let script = server.machines.boot(1);
        assert!(!is_installer(&script), "{script}");
        assert!(script.contains("bootwright init --state new"), "{script}");
        server.stop();
    }
    let declared = offline::declare_state(&site.path(), DeclaredState::New, &check_program());
    declared.unwrap();
    let mut server = Server::start(&site);
    assert!(is_installer(&server.machines.boot(1)));
    server.stop();
}

#[test]
fn an_unreadable_last_good_copy_is_ignored() {
    let site = TestSite::new(1);
    Server::start(&site).stop();
    for content in ["", "{}", "\u{0}garbage\n"] {
        fs::write(site.state().join("last-good"), content).unwrap();
        let mut server = Server::start(&site);
        assert_eq!(health(&mut server), "ok\n", "{content:?}");
        server.stop();
    }
}

#[test]
fn urls_use_the_address_that_the_machine_reached() {
    let site = TestSite::in_memory(1);
    let server = Server::start(&site);
    let at = |host: &str| {
        let mut stream = TcpStream::connect(server.machines.address()).unwrap();
        let path = boot_path(1);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let mut tokens = Vec::new();
    for host in ["192.0.2.1:8080", "192.0.2.1", "192.0.2.1", "10.0.2.2:8080"] {
        let script = at(host);
        let own = script.matches(&format!("http://{host}/")).count();
        assert!(own > 0, "{host}: {script}");
        assert_eq!(script.matches("http://").count(), own, "{host}: {script}");
        tokens.push(token(&script));
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "it is one attempt");
    server.stop();
}

#[test]
fn a_task_that_installs_nothing_is_booted_at_each_request() {
    let site = TestSite::new(2);
    for (task, says) in [("local", "exit 1"), ("discover", "")] {
        let declared =
            declaration(1, "").replace("repo = \"rocky\"", &format!("task = \"{task}\""));
        site.write(&node_file(1), &declared);
        let mut server = Server::start(&site);
        let script = server.machines.boot(1);
        assert!(
            script.starts_with("#!ipxe") && script.contains(says),
            "{task}: {script}"
        );
        assert!(!is_installer(&script), "{task}: {script}");
        assert!(is_installer(&server.machines.boot(2)));
        let log = log(&mut server.operators, 1);
        assert!(!events(&log).contains(&"attempt"), "{task}: {log:#?}");
        server.stop();
    }
}
