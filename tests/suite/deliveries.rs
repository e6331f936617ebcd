//! Programs hear of what happened, whatever happens to the server in between.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::server::{Client, House, Process, Server, events, log, token, until};

/// Fails until a file says that it works, and then writes down what it reads.
const PROGRAM: &str = "#!/bin/sh
[ -e ../works ] || { echo noise >&2; echo not yet >&2; exit 3; }
cat >> ../told-$1
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
run = "hooks/is-not-there"
"#;

fn house() -> House {
    let house = House::new(0);
    for number in [1, 2] {
        house.node(number, "broker = \"cmdb\"");
    }
    house.write("policies.d/hooks.toml", HOOKS);
    house.write("hooks/program", PROGRAM);
    let program = house.site().join("hooks/program");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    house
}

/// Installs a node, from its first boot to its first-boot script.
fn install(machines: &mut Client, number: usize) {
    let token = token(&machines.boot(number));
    machines.get(&format!("/t/{token}/ks.cfg")).good();
    for stage in ["installing", "installed", "finished"] {
        let said = machines.get(&format!("/t/{token}/stage/{stage}")).good();
        assert_eq!(said, "ok\n");
    }
}

/// What was written to a file: one JSON object a line.
fn told(path: &Path) -> Vec<Value> {
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
fn who_fails_at_first_is_told_again_though_the_server_is_killed() {
    let house = house();
    let mut server = Process::start(&house);
    install(&mut server.machines, 1);
    until("two tries that failed", || {
        (count(&mut server.operators, "undelivered") >= 2).then_some(())
    });
    let complaint = log(&mut server.operators, 1);
    let complaint = complaint.iter().find(|line| line["event"] == "undelivered");
    assert_eq!(complaint.unwrap()["reason"], "exit status: 3: not yet");
    server.kill();
    assert!(!house.beside("told-broker").exists());

    fs::write(house.beside("works"), "").unwrap();
    let mut server = Process::start(&house);
    until("everything is told", || {
        (count(&mut server.operators, "delivered") == 5).then_some(())
    });
    let hook = told(&house.beside("told-hook"));
    let events: Vec<_> = hook
        .iter()
        .map(|told| told["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["bound", "installing", "installed", "finished"]);
    for told in &hook {
        assert_eq!(
            (&told["version"], &told["hook"], &told["node"]),
            (&1.into(), &"all".into(), &"n01".into())
        );
    }
    let broker = told(&house.beside("told-broker"));
    assert_eq!(broker.len(), 1, "it is told once");
    let [told] = &broker[..] else { unreachable!() };
    assert_eq!(
        (&told["event"], &told["broker"]),
        (&"finished".into(), &"cmdb".into())
    );
    assert_eq!(told["settings"], serde_json::json!({"rack": 7}));
    assert_eq!(told["status"]["state"], "finished");
    assert_eq!(told["status"]["name"], "n01");
    assert_eq!(told["attempt"], 1);
    assert!(told["status"]["address"].is_string() && told["facts"].is_object());
    let handed = log(&mut server.operators, 1);
    let handed = handed
        .iter()
        .any(|line| line["event"] == "stage" && line["stage"] == "handed-over");
    assert!(handed, "its stage says so");
    // And no second time.
    server.kill();
    let mut server = Process::start(&house);
    install(&mut server.machines, 2);
    until("the other is told of, too", || {
        (told_of(&house, "n02") == 4).then_some(())
    });
    assert_eq!(told_of(&house, "n01"), 4);
    server.end();
}

fn told_of(house: &House, node: &str) -> usize {
    let told = told(&house.beside("told-hook")).into_iter();
    told.filter(|told| told["node"] == node).count()
}

#[test]
fn one_that_cannot_be_told_stops_no_other_and_no_machine() {
    let house = house();
    fs::write(house.beside("works"), "").unwrap();
    let mut server = Server::start(&house);
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
    let begun = Instant::now();
    install(&mut server.machines, 2);
    until("the other is told of", || {
        (told_of(&house, "n02") == 4).then_some(())
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
    // Without its hook it is owed to nobody.
    house.write(
        "policies.d/hooks.toml",
        &HOOKS.replace("[hook.missing]", "[hook.other]"),
    );
    until("nobody is to be told", || {
        (count(&mut server.operators, "undeliverable") == 1).then_some(())
    });
    server.stop();
}

#[test]
fn what_is_owed_to_nobody_is_owed_no_longer_however_much_it_is() {
    const MACHINES: usize = 12;
    let house = House::new(MACHINES);
    house.write(
        "policies.d/hooks.toml",
        "[hook.gone]\non = \"held\"\nrun = \"hooks/is-not-there\"\n",
    );
    let mut server = Server::start(&house);
    for number in 1..=MACHINES {
        let path = format!(
            "/api/v1/nodes/{}/hold",
            crate::support::server::name(number)
        );
        server.operators.post(&path, "{}").good();
    }
    server.stop();
    house.write("policies.d/hooks.toml", "");
    let mut server = Server::start(&house);
    for number in 1..=MACHINES {
        until("nobody is to be told", || {
            let log = log(&mut server.operators, number);
            events(&log).contains(&"undeliverable").then_some(())
        });
    }
    server.stop();
}

/// The script by which a machine hands itself over is served when all else of its attempt is gone, also after a restart, and no longer
/// than it takes.
#[test]
fn a_machine_that_is_installed_fetches_its_hand_over_until_it_is_finished() {
    let house = House::new(0);
    house.node(1, "broker = \"commands\"");
    house.node(2, "");
    let broker = "[broker.commands]\nkind = \"script\"\ncommands = \"touch /handed-over\"\n";
    house.write("policies.d/broker.toml", broker);
    let mut server = Process::start(&house);
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
    // Time enough for what is of no more use to go.
    std::thread::sleep(Duration::from_secs(2));
    is_served(&mut server);
    server.kill();
    let mut server = Process::start(&house);
    is_served(&mut server);
    std::thread::sleep(Duration::from_secs(2));
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
        let kept = fs::read_dir(house.state().join("attempts")).unwrap();
        (kept.count() == 0).then_some(())
    });
    server.end();
}

#[test]
fn a_machine_that_is_only_played_is_told_to_nobody() {
    let house = house();
    fs::write(house.beside("works"), "").unwrap();
    let played = assert_cmd::Command::new(env!("CARGO_BIN_EXE_bootwright"))
        .args(["--site", house.site().to_str().unwrap(), "play", "n01"])
        .output()
        .unwrap();
    let said = String::from_utf8(played.stdout).unwrap();
    assert!(played.status.success(), "{said}");
    assert!(
        said.contains("hook        all is to hear of `finished`"),
        "{said}"
    );
    std::thread::sleep(Duration::from_secs(1));
    assert!(!house.beside("told-hook").exists());
}

#[test]
fn ansible_reads_an_inventory() {
    let house = house();
    let mut server = Server::start(&house);
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
        crate::support::server::address(1)
            .split('/')
            .next()
            .unwrap()
    );
    assert_eq!(host["bootwright"]["state"], "finished");
    assert!(host["bootwright"]["facts"].is_object());
    server.stop();
}
