//! Edits of every kind go live while the server is running, and edits with errors do not.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{
    client::{Client, events, log, node, status, token, until},
    needs::needs,
    server::{Process, Server},
    site::{TestSite, address, declaration, name, node_file},
};

/// Waits until a node is listed with an address.
#[track_caller]
fn live_at(operators: &mut Client, number: usize, address: &str) {
    until(&format!("{} at {address}", name(number)), || {
        (node(operators, number)["address"] == json!(address)).then_some(())
    });
}

/// Waits until a revision of the site is rejected, and returns its errors.
#[track_caller]
fn refused(operators: &mut Client) -> Value {
    until("a refused edit", || {
        let rejected = status(operators)["rejected"].take();
        (!rejected.is_null()).then_some(rejected)
    })
}

fn moved(number: usize, to: u8) -> String {
    declaration(number, "").replace(&address(number), &format!("192.0.2.{to}"))
}

fn health(server: &mut Server) -> String {
    server.machines.get("/healthz").good()
}

#[test]
fn an_edit_goes_live_in_each_way_an_editor_saves() {
    let site = TestSite::new(2);
    let mut server = Server::start(&site);
    live_at(&mut server.operators, 1, "192.0.2.11");
    // In place.
    site.write(&node_file(1), &moved(1, 51));
    live_at(&mut server.operators, 1, "192.0.2.51");
    // A new file replaces the old one, beside leftovers of editors.
    let nodes = site.path().join("policies.d/nodes");
    for leftover in [".#n01.toml", "n01.toml~", ".n01.toml.swp", "4913"] {
        fs::write(nodes.join(leftover), "no = [ toml").unwrap();
    }
    fs::write(site.beside("new"), moved(1, 52)).unwrap();
    fs::rename(site.beside("new"), nodes.join("n01.toml")).unwrap();
    live_at(&mut server.operators, 1, "192.0.2.52");
    assert_eq!(status(&mut server.operators)["rejected"], Value::Null);
    // Another file, in a subdirectory, and in the other format.
    fs::remove_file(nodes.join("n01.toml")).unwrap();
    let kdl = r#"node "n01" { mac "52:54:00:00:00:01"; address "192.0.2.53"; repo "rocky" }"#;
    site.write("policies.d/some/where/else.kdl", kdl);
    live_at(&mut server.operators, 1, "192.0.2.53");
    // A new node.
    site.declare_node(3, "");
    until("n03", || {
        let nodes = server.operators.get("/api/v1/nodes").json();
        (nodes.as_array().unwrap().len() == 3).then_some(())
    });
    assert_eq!(health(&mut server), "ok\n");
    server.stop();
}

#[test]
fn an_invalid_edit_changes_nothing_and_is_reported_with_its_line() {
    let site = TestSite::new(2);
    let mut server = Server::start(&site);
    let before = status(&mut server.operators);
    site.write(&node_file(2), &moved(2, 62));
    live_at(&mut server.operators, 2, "192.0.2.62");
    let good = status(&mut server.operators)["revision"].clone();
    assert_ne!(good, before["revision"]);
    // A valid edit beside one with an error waits for it.
    let broken = declaration(1, "adress = \"192.0.2.99\"");
    site.write(&node_file(1), &broken);
    let rejected = refused(&mut server.operators);
    site.write(&node_file(2), &moved(2, 63));
    until("both edits are seen", || {
        let now = status(&mut server.operators)["rejected"]["revision"].clone();
        (now != rejected["revision"]).then_some(())
    });
    let now = status(&mut server.operators);
    assert_eq!(now["revision"], good);
    let found = &now["rejected"]["diagnostics"][0];
    let place = ["file", "line", "column"].map(|key| found[key].clone());
    assert_eq!(place, [json!(node_file(1)), json!(5), json!(1)]);
    assert_eq!(now["rejected"]["errors"], 1);
    let (message, help) = (&found["message"], &found["help"]);
    assert!(
        message.as_str().unwrap().contains("`adress`"),
        "{message} {help}"
    );
    let good = good.as_str().unwrap();
    let output = format!("degraded: the site has 1 error; revision {good} is served\n");
    assert_eq!(health(&mut server), output);
    assert_eq!(node(&mut server.operators, 2)["address"], "192.0.2.62");
    assert!(server.machines.boot(1).contains("n01.lab.example"));
    // When the error is fixed, everything goes live at once.
    site.declare_node(1, "packages = [\"tmux\"]");
    live_at(&mut server.operators, 2, "192.0.2.63");
    let now = status(&mut server.operators);
    assert_eq!(
        (&now["rejected"], &now["health"]),
        (&Value::Null, &json!("ok"))
    );
    assert_eq!(health(&mut server), "ok\n");
    server.stop();
}

#[test]
fn a_git_checkout_goes_live_when_it_is_complete() {
    needs!("git");
    let site = TestSite::new(2);
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.args([
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@example",
            "-c",
            "init.defaultBranch=main",
        ]);
        let ended = git.current_dir(site.path()).args(words).output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    };
    git(&["init"]);
    git(&["add", "."]);
    git(&["commit", "-m", "one"]);
    git(&["checkout", "-b", "other"]);
    site.write(&node_file(1), &moved(1, 51));
    fs::remove_file(site.path().join(node_file(2))).unwrap();
    git(&["commit", "-am", "two"]);
    git(&["checkout", "main"]);
    let mut server = Server::start(&site);
    let main = status(&mut server.operators)["revision"].clone();
    for (branch, address, nodes) in [("other", "192.0.2.51", 1), ("main", "192.0.2.11", 2)] {
        git(&["checkout", branch]);
        live_at(&mut server.operators, 1, address);
        assert_eq!(status(&mut server.operators)["nodes"], nodes);
    }
    assert_eq!(status(&mut server.operators)["revision"], main);
    server.stop();
}

#[test]
fn a_site_behind_a_symbolic_link_is_replaced() {
    let site = TestSite::new(1);
    let link = site.beside("link");
    symlink("site", &link).unwrap();
    let copy = Command::new("cp")
        .arg("-a")
        .args([site.path(), site.beside("second")])
        .status();
    assert!(copy.unwrap().success());
    fs::write(site.beside("second").join(node_file(1)), moved(1, 51)).unwrap();
    let mut server = Server::try_start(&link, &site.state()).unwrap();
    live_at(&mut server.operators, 1, "192.0.2.11");
    let swap = |to: &str| {
        symlink(to, site.beside("next")).unwrap();
        fs::rename(site.beside("next"), &link).unwrap();
    };
    swap("second");
    live_at(&mut server.operators, 1, "192.0.2.51");
    // The new target is watched, and the old one is not.
    fs::write(site.beside("second").join(node_file(1)), moved(1, 52)).unwrap();
    live_at(&mut server.operators, 1, "192.0.2.52");
    swap("site");
    live_at(&mut server.operators, 1, "192.0.2.11");
    server.stop();
}

#[test]
fn a_deleted_site_stays_live_until_it_exists_again() {
    let site = TestSite::new(1);
    let mut server = Server::start(&site);
    fs::rename(site.path(), site.beside("away")).unwrap();
    let health = until("the site is missed", || {
        let health = health(&mut server);
        (health != "ok\n").then_some(health)
    });
    assert!(
        health.starts_with("degraded: the site cannot be read: "),
        "{health}"
    );
    assert!(
        server
            .machines
            .boot(1)
            .contains("installing n01.lab.example")
    );
    fs::remove_dir_all(site.beside("away")).unwrap();
    let again = TestSite::new(1);
    again.write(&node_file(1), &moved(1, 51));
    let copied = Command::new("cp")
        .arg("-a")
        .args([again.path(), site.path()])
        .status();
    assert!(copied.unwrap().success());
    live_at(&mut server.operators, 1, "192.0.2.51");
    until("the site is found", || {
        (status(&mut server.operators)["health"] == "ok").then_some(())
    });
    // The new directory is watched like the old one.
    site.write(&node_file(1), &moved(1, 52));
    live_at(&mut server.operators, 1, "192.0.2.52");
    server.stop();
}

#[test]
fn an_edited_template_goes_live() {
    let site = TestSite::new(1);
    let mut server = Server::start(&site);
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/tasks/redhat/ks.cfg.j2");
    let text = fs::read_to_string(built_in).unwrap();
    let token = token(&server.machines.boot(1));
    for mark in ["one", "two"] {
        let text = format!("{text}# edited {mark}\n");
        site.write("templates/tasks/redhat/ks.cfg.j2", &text);
        // The attempt's documents follow the site, because nothing of it was read yet.
        until(mark, || {
            server.machines.boot(1);
            let path = format!("/t/{token}/ks.cfg");
            let part = server.machines.get_part(&path, "bytes=1-");
            part.contains(&format!("# edited {mark}")).then_some(())
        });
    }
    site.write("templates/tasks/redhat/ks.cfg.j2", "{{ nonsense.");
    let rejected = refused(&mut server.operators);
    let found = &rejected["diagnostics"][0];
    assert_eq!(
        (&found["file"], &found["line"]),
        (&json!("templates/tasks/redhat/ks.cfg.j2"), &json!(1)),
        "{rejected}"
    );
    fs::remove_dir_all(site.path().join("templates")).unwrap();
    until("the built-in template", || {
        (status(&mut server.operators)["rejected"] == Value::Null).then_some(())
    });
    server.stop();
}

#[test]
fn a_running_installation_keeps_its_documents_and_the_others_follow_the_site() {
    let site = TestSite::new(3);
    let mut server = Server::start(&site);
    let machines = &mut server.machines;
    let tokens = [1, 2].map(|number| token(&machines.boot(number)));
    let [running, waiting] = tokens.map(|token| format!("/t/{token}"));
    let started_with = machines.get(&format!("{running}/ks.cfg")).good();
    assert!(started_with.contains("--ip=192.0.2.11"), "{started_with}");
    for number in 1..=3 {
        let edited =
            moved(number, 50 + number as u8).replace("rocky\"", "rocky\"\npackages = [\"tmux\"]");
        site.write(&node_file(number), &edited);
    }
    live_at(&mut server.operators, 3, "192.0.2.53");
    let machines = &mut server.machines;
    assert_eq!(
        machines.get(&format!("{running}/ks.cfg")).good(),
        started_with
    );
    assert_eq!(
        machines.get(&format!("{running}/stage/installing")).good(),
        "ok\n"
    );
    // A machine that has read nothing sends its request again, and gets the new documents under the old token.
    assert!(machines.boot(2).contains(&waiting));
    let new = machines.get(&format!("{waiting}/ks.cfg")).good();
    assert!(
        new.contains("--ip=192.0.2.52") && new.contains("tmux"),
        "{new}"
    );
    let token = token(&machines.boot(3));
    let third = machines.get(&format!("/t/{token}/ks.cfg")).good();
    assert!(third.contains("--ip=192.0.2.53"), "{third}");
    assert_eq!(
        machines.get(&format!("{running}/stage/installed")).good(),
        "ok\n"
    );
    assert_eq!(machines.get(&format!("{running}/ks.cfg")).status, 404);
    // Events that nothing depends on are written within a second.
    until("the log tells of the dead token", || {
        let log = log(&mut server.operators, 1);
        events(&log).contains(&"dead-token").then_some(())
    });
    server.stop();
}

#[test]
fn sighup_rereads_files_outside_the_site() {
    let site = TestSite::new(1);
    let outside = site.beside("files");
    let late = format!(
        "[repo.late]\npath = \"{}\"\ntask = \"redhat\"\n",
        outside.display()
    );
    site.write("policies.d/late.toml", &late);
    site.write(&node_file(1), &declaration(1, "").replace("rocky", "late"));
    let mut process = Process::start(&site);
    let refused = refused(&mut process.operators);
    assert!(refused.to_string().contains("late"), "{refused}");
    assert!(!process.machines.boot(1).contains("/t/"));
    let rocky = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/stand-ins/rocky");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(rocky)
        .arg(&outside)
        .status();
    assert!(copied.unwrap().success());
    process.signal("-HUP");
    until("the site is sound", || {
        (status(&mut process.operators)["rejected"] == Value::Null).then_some(())
    });
    assert!(
        process
            .machines
            .boot(1)
            .contains("installing n01.lab.example")
    );
    process.end();
}
