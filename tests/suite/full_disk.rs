//! A disk that becomes full under the journal: installations are held, nothing is written partially, and the server
//! continues automatically when there is room.

use std::{fs, io::Write, path::Path, process::Command};

use serde_json::json;

use crate::support::{
    child::in_mount_namespace,
    client::{events, log, node, status, token, until},
    server::Server,
    site::TestSite,
    test_name,
};

#[test]
fn a_full_disk_holds_installations_until_there_is_room() {
    in_mount_namespace(test_name!(), full_disk);
}

fn full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(disk)
        .status();
    assert!(mounted.unwrap().success());
    let site = TestSite::in_dir(tempfile::tempdir_in(disk).unwrap(), 3);
    let mut server = Server::start(&site);
    let running = format!("/t/{}", token(&server.machines.boot(1)));
    server.machines.get(&format!("{running}/ks.cfg")).good();
    fill(disk);
    refuses(&mut server, &running);
    // The journal has only complete lines, and no document is partial.
    let journal = fs::read_to_string(site.segment()).unwrap();
    assert!(journal.ends_with('\n'));
    for line in journal.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let documents = fs::read_dir(site.state().join("attempts")).unwrap();
    for file in documents {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(!name.starts_with('.'), "{name} is left");
    }
    fs::remove_file(disk.join("filler")).unwrap();
    until("the journal has room", || {
        (server.machines.get("/healthz").good() == "ok\n").then_some(())
    });
    let installed = server.machines.get(&format!("{running}/stage/installed"));
    assert_eq!(installed.good(), "ok\n");
    let waiting = format!("/t/{}", token(&server.machines.boot(2)));
    server.machines.get(&format!("{waiting}/ks.cfg")).good();
    assert_eq!(node(&mut server.operators, 2)["attempt"], 1);
    server.stop();
    // All of it exists after a start that reads every line.
    fs::remove_file(site.state().join("journal/checkpoint")).unwrap();
    let mut server = Server::start(&site);
    let states = [1, 2, 3].map(|number| node(&mut server.operators, number)["state"].take());
    assert_eq!(
        states,
        [json!("installed"), json!("installing"), json!("bound")]
    );
    let log = log(&mut server.operators, 1);
    let stages = events(&log)
        .iter()
        .filter(|event| **event == "stage")
        .count();
    assert!(stages >= 2, "{log:?}");
    server.stop();
}

/// Fills a disk completely.
fn fill(disk: &Path) {
    let mut filler = fs::File::create(disk.join("filler")).unwrap();
    for piece in [64 << 10, 1 << 10, 1] {
        while filler.write_all(&vec![0; piece]).is_ok() {}
    }
}

/// Asserts that a server with a full disk reports this in all its answers.
fn refuses(server: &mut Server, running: &str) {
    let machines = &mut server.machines;
    // No write has failed yet.
    let script = machines.boot(2);
    assert!(
        script.contains(
            "Bootwright holds this machine\necho its documents cannot be stored: No space left"
        ),
        "{script}"
    );
    // The last page of the journal's file may have room for some lines.
    let refused = (0..200).find_map(|step| {
        let answer = machines.get(&format!("{running}/stage/step-{step}"));
        (answer.status != 200).then_some(answer)
    });
    let refused = refused.expect("the disk is full");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.body, "the journal cannot be written; try again\n");
    for number in [2, 2, 3] {
        let script = machines.boot(number);
        assert!(!script.contains("/t/"), "{script}");
        assert!(
            script.contains("Bootwright holds this machine\necho the journal cannot be written"),
            "{script}"
        );
    }
    let document = machines.get(&format!("{running}/ks.cfg"));
    assert_eq!(
        (document.status, document.body.as_str()),
        (503, "the journal cannot be written; see the server's log\n")
    );
    let health = machines.get("/healthz").good();
    assert_eq!(health, "degraded: the disk under the journal is full\n");
    let now = status(&mut server.operators);
    assert_eq!(
        now["health"],
        "degraded: the disk under the journal is full"
    );
    let order = server
        .operators
        .post("/api/v1/nodes/n03/hold", "{\"reason\":\"x\"}");
    assert_eq!(order.status, 503, "{}", order.body);
    // What depends on no event is served as usual.
    let file = server.machines.get("/repo/rocky/images/pxeboot/vmlinuz");
    assert_eq!(file.status, 200);
}
