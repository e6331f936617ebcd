//! Hooks and brokers receive each event, even if the server stops in between.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use serde_json::Value;

use crate::support::{
    client::{Client, events, log, token, until},
    needs::needs,
    server::{Process, Server},
    site::TestSite,
    sources::root,
};

/// Fails until a file exists that lets it succeed, and then stores its standard input.
const PROGRAM: &str = "#!/bin/sh
[ -e ../works ] || { echo noise >&2; echo not yet >&2; exit 3; }
cat >> ../calls-$1
";

const HOOKS: &str = r#"
[broker.cmdb]
kind = "program"
run = ["hooks/program", "broker"]
rack = 7
[hook.all]
on = ["bound", "installing", "installed", "finished"]
run = ["hooks/program", "hook"]
[hook.missing]
on = "held"
run = "hooks/missing"
"#;

fn site() -> TestSite {
    let site = TestSite::new(0);
    for number in [1, 2] {
        site.declare_node(number, "broker = \"cmdb\"");
    }
    site.write("policies.d/hooks.toml", HOOKS);
    write_program(&site, "program", PROGRAM);
    site
}

fn write_program(site: &TestSite, name: &str, text: &str) {
    let path = format!("hooks/{name}");
    site.write(&path, text);
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(site.path().join(path), executable).unwrap();
}

/// Installs a node, from its first boot to its first-boot script.
fn install(machines: &mut Client, number: usize) {
    let token = token(&machines.boot(number));
    machines.get(&format!("/t/{token}/ks.cfg")).good();
    for stage in ["installing", "installed", "finished"] {
        let output = machines.get(&format!("/t/{token}/stage/{stage}")).good();
        assert_eq!(output, "ok\n");
    }
}

/// The JSON objects in a file, one per line.
fn calls(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn count(operators: &mut Client, event: &str) -> usize {
    let log = log(operators, 1);
    events(&log)
        .into_iter()
        .filter(|found| *found == event)
        .count()
}

#[test]
fn a_failed_hook_is_retried_after_a_kill_of_the_server() {
    let site = site();
    let mut server = Process::start(&site);
    install(&mut server.machines, 1);
    until("two tries that failed", || {
        (count(&mut server.operators, "undelivered") >= 2).then_some(())
    });
    let complaint = log(&mut server.operators, 1);
    let complaint = complaint.iter().find(|line| line["event"] == "undelivered");
    assert_eq!(complaint.unwrap()["reason"], "exit status: 3: not yet");
    server.kill();
    assert!(!site.beside("calls-broker").exists());

    fs::write(site.beside("works"), "").unwrap();
    let mut server = Process::start(&site);
    until("every event is delivered", || {
        (count(&mut server.operators, "delivered") == 5).then_some(())
    });
    let hook = calls(&site.beside("calls-hook"));
    let events: Vec<_> = hook
        .iter()
        .map(|reported| reported["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["bound", "installing", "installed", "finished"]);
    for reported in &hook {
        assert_eq!(
            (&reported["version"], &reported["hook"], &reported["node"]),
            (&1.into(), &"all".into(), &"n01".into())
        );
    }
    let broker = calls(&site.beside("calls-broker"));
    assert_eq!(broker.len(), 1, "it is delivered once");
    let [reported] = &broker[..] else {
        unreachable!()
    };
    assert_eq!(
        (&reported["event"], &reported["broker"]),
        (&"finished".into(), &"cmdb".into())
    );
    assert_eq!(reported["settings"], serde_json::json!({"rack": 7}));
    assert_eq!(reported["status"]["state"], "finished");
    assert_eq!(reported["status"]["name"], "n01");
    assert_eq!(reported["attempt"], 1);
    assert!(reported["status"]["address"].is_string() && reported["facts"].is_object());
    let handed = log(&mut server.operators, 1);
    let handed = handed
        .iter()
        .any(|line| line["event"] == "stage" && line["stage"] == "handed-over");
    assert!(handed, "its stage is recorded");
    // There is no second delivery.
    server.kill();
    let mut server = Process::start(&site);
    install(&mut server.machines, 2);
    until("the other is delivered, too", || {
        (calls_for(&site, "n02") == 4).then_some(())
    });
    assert_eq!(calls_for(&site, "n01"), 4);
    server.end();
}

fn calls_for(site: &TestSite, node: &str) -> usize {
    let reported = calls(&site.beside("calls-hook")).into_iter();
    reported.filter(|reported| reported["node"] == node).count()
}

#[test]
fn a_hook_that_cannot_start_blocks_no_other_hook_and_no_machine() {
    let site = site();
    fs::write(site.beside("works"), "").unwrap();
    let mut server = Server::start(&site);
    server.operators.post("/api/v1/nodes/n01/hold", "{}").good();
    until("it cannot be started", || {
        let log = log(&mut server.operators, 1);
        let line = log.iter().find(|line| line["event"] == "undelivered")?;
        line["reason"]
            .as_str()
            .unwrap()
            .contains("cannot be started")
            .then_some(())
    });
    install(&mut server.machines, 2);
    until("the other is delivered", || {
        (calls_for(&site, "n02") == 4).then_some(())
    });
    // Without its hook, the delivery has no recipient.
    site.write(
        "policies.d/hooks.toml",
        &HOOKS.replace("[hook.missing]", "[hook.other]"),
    );
    until("nothing is pending", || {
        (count(&mut server.operators, "undeliverable") == 1).then_some(())
    });
    server.stop();
}

#[test]
fn deliveries_of_a_deleted_hook_are_dropped() {
    const MACHINES: usize = 12;
    let site = TestSite::new(MACHINES);
    site.write(
        "policies.d/hooks.toml",
        "[hook.missing]\non = \"held\"\nrun = \"hooks/missing\"\n",
    );
    let mut server = Server::start(&site);
    for number in 1..=MACHINES {
        let path = format!("/api/v1/nodes/{}/hold", crate::support::site::name(number));
        server.operators.post(&path, "{}").good();
    }
    server.stop();
    site.write("policies.d/hooks.toml", "");
    let mut server = Server::start(&site);
    for number in 1..=MACHINES {
        until("nothing is pending", || {
            let log = log(&mut server.operators, number);
            events(&log).contains(&"undeliverable").then_some(())
        });
    }
    server.stop();
}

/// The script with which a machine hands itself over is served after the other documents of its attempt were
/// deleted, also after a restart, and until the hand-over has ended.
#[test]
fn an_installed_machine_can_fetch_its_broker_script_until_it_is_finished() {
    let site = TestSite::new(0);
    site.declare_node(1, "broker = \"commands\"");
    site.declare_node(2, "");
    let broker = "[broker.commands]\nkind = \"script\"\ncommands = \"touch /handed-over\"\n";
    site.write("policies.d/broker.toml", broker);
    let mut server = Process::start(&site);
    let [own, other] = [1, 2].map(|number| token(&server.machines.boot(number)));
    let hand_over = format!("/t/{own}/hand-over.sh");
    let first = server
        .machines
        .get(&format!("/t/{own}/first-boot.sh"))
        .good();
    assert!(first.contains(&hand_over), "{first}");
    for token in [&own, &other] {
        server.machines.get(&format!("/t/{token}/ks.cfg")).good();
        server
            .machines
            .get(&format!("/t/{token}/stage/installed"))
            .good();
    }
    let is_served = |server: &mut Process| {
        let (script, rest) = (
            server.machines.get(&hand_over),
            server.machines.get(&format!("/t/{own}/first-boot.sh")),
        );
        assert_eq!((script.status, rest.status), (200, 404));
        assert!(
            script.body.contains("touch /handed-over"),
            "{}",
            script.body
        );
        let none = server.machines.get(&format!("/t/{other}/hand-over.sh"));
        assert_eq!(none.status, 404, "it has no broker");
    };
    is_served(&mut server);
    // All documents of the other attempt are deleted, and those of this one except the script.
    let only_the_script_is_kept = || {
        let stored_documents = stored_documents(&site);
        let is_script =
            |text: &String| text.contains("touch /handed-over") && !text.contains("%end");
        (stored_documents.len() == 1 && stored_documents.iter().all(is_script)).then_some(())
    };
    until("the other documents are deleted", only_the_script_is_kept);
    is_served(&mut server);
    server.kill();
    let mut server = Process::start(&site);
    is_served(&mut server);
    // Another attempt ends, and its documents are deleted.
    server
        .operators
        .post("/api/v1/nodes/n02/reinstall", "{}")
        .good();
    let again = token(&server.machines.boot(2));
    assert_eq!(stored_documents(&site).len(), 2);
    for path in ["ks.cfg", "stage/installed"] {
        server.machines.get(&format!("/t/{again}/{path}")).good();
    }
    until("the other documents are deleted", only_the_script_is_kept);
    is_served(&mut server);
    server.operators.post("/api/v1/nodes/n01/hold", "{}").good();
    assert_eq!(server.machines.get(&hand_over).status, 404, "it is held");
    server
        .operators
        .post("/api/v1/nodes/n01/release", "{}")
        .good();
    is_served(&mut server);
    for stage in ["handed-over", "finished"] {
        server
            .machines
            .get(&format!("/t/{own}/stage/{stage}"))
            .good();
    }
    assert_eq!(server.machines.get(&hand_over).status, 404);
    until("nothing is kept", || {
        stored_documents(&site).is_empty().then_some(())
    });
    server.end();
}

/// The stored documents, by attempt.
fn stored_documents(site: &TestSite) -> Vec<String> {
    let files = fs::read_dir(site.state().join("attempts")).unwrap();
    // A file that was deleted meanwhile is not stored.
    let texts = files.filter_map(|file| fs::read(file.unwrap().path()).ok());
    texts
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .collect()
}

#[test]
fn a_played_machine_calls_no_hook() {
    let site = site();
    fs::write(site.beside("works"), "").unwrap();
    let played = assert_cmd::Command::new(env!("CARGO_BIN_EXE_bootwright"))
        .args(["--site", site.path().to_str().unwrap(), "play", "n01"])
        .output()
        .unwrap();
    let output = String::from_utf8(played.stdout).unwrap();
    assert!(played.status.success(), "{output}");
    assert!(
        output.contains("hook        all is to receive `finished`"),
        "{output}"
    );
    // Later events of a machine are delivered, and no events of a simulated one.
    let mut server = Server::start(&site);
    install(&mut server.machines, 2);
    until("the hook has received the other machine's events", || {
        (calls_for(&site, "n02") == 4).then_some(())
    });
    assert_eq!(calls_for(&site, "n01"), 0);
    server.stop();
}

#[test]
fn the_webhook_of_the_examples_posts_an_event_until_it_is_accepted() {
    needs!("curl");
    let receiver = tiny_http::Server::http("127.0.0.1:0").unwrap();
    let site = TestSite::new(1);
    let script = fs::read_to_string(root().join("examples/hooks/hooks/webhook")).unwrap();
    write_program(&site, "webhook", &script);
    site.write(
        "policies.d/hooks.toml",
        &format!(
            "[hook.web]\non = \"installed\"\nrun = [\"hooks/webhook\", \"http://{}/events\"]\n",
            receiver.server_addr()
        ),
    );
    let mut server = Server::start(&site);
    install(&mut server.machines, 1);
    for status in [503, 200] {
        let limit = Duration::from_secs(60);
        let mut request = receiver.recv_timeout(limit).unwrap().expect("a request");
        assert_eq!(
            (request.method(), request.url()),
            (&tiny_http::Method::Post, "/events")
        );
        let event: Value = serde_json::from_reader(request.as_reader()).unwrap();
        assert_eq!(
            (&event["event"], &event["node"], &event["hook"]),
            (&"installed".into(), &"n01".into(), &"web".into())
        );
        request.respond(tiny_http::Response::empty(status)).unwrap();
    }
    until("it is delivered", || {
        (count(&mut server.operators, "delivered") == 1).then_some(())
    });
    let log = log(&mut server.operators, 1);
    let failed = log.iter().find(|line| line["event"] == "undelivered");
    let reason = failed.unwrap()["reason"].as_str().unwrap();
    assert!(reason.contains("503"), "{reason}");
    assert!(receiver.try_recv().unwrap().is_none());
    server.stop();
}

#[test]
fn ansible_reads_an_inventory() {
    let site = site();
    let mut server = Server::start(&site);
    install(&mut server.machines, 1);
    let inventory = server.operators.get("/api/v1/ansible-inventory").json();
    assert_eq!(
        inventory["state_finished"]["hosts"],
        serde_json::json!(["n01"])
    );
    assert_eq!(
        inventory["state_bound"]["hosts"],
        serde_json::json!(["n02"])
    );
    assert_eq!(
        inventory["task_redhat"]["hosts"],
        serde_json::json!(["n01", "n02"])
    );
    let groups = inventory["all"]["children"].as_array().unwrap();
    assert!(groups.contains(&"state_finished".into()), "{groups:?}");
    let host = &inventory["_meta"]["hostvars"]["n01"];
    assert_eq!(
        host["ansible_host"],
        crate::support::site::address(1).split('/').next().unwrap()
    );
    assert_eq!(host["bootwright"]["state"], "finished");
    assert!(host["bootwright"]["facts"].is_object());
    server.stop();
}
