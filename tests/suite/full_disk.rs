//! A disk that becomes full under the journal: running installations continue, new ones wait, nothing is written partially, and
//! the server continues automatically when there is room.

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
fn running_installations_continue_on_a_full_disk_and_new_ones_wait_for_room() {
    in_mount_namespace(test_name!(), full_disk);
}

fn full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(disk)
        .status();
    assert!(mounted.unwrap().success());
    let site = TestSite::in_dir(tempfile::tempdir_in(disk).unwrap(), 3);
    let mut server = Server::start(&site);
    let running = format!("/t/{}", token(&server.machines.boot(1)));
    server.machines.get(&format!("{running}/ks.cfg")).good();
    until("the reserve", || {
        site.state().join("journal/reserve").exists().then_some(())
    });
    fill(disk);
    continues(&mut server, &running, disk);
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
    assert!(site.state().join("journal/reserve").exists());
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
    // What was kept in memory was written.
    let kept = log
        .iter()
        .filter(|line| line.to_string().contains("second-"));
    assert_eq!(kept.count(), 20);
    server.stop();
}

/// Fills a disk completely.
fn fill(disk: &Path) {
    let filler = fs::File::options()
        .append(true)
        .create(true)
        .open(disk.join("filler"));
    let mut filler = filler.unwrap();
    for piece in [64 << 10, 1 << 10, 1] {
        while filler.write_all(&vec![0; piece]).is_ok() {}
    }
}

/// Asserts what a server with a full disk does.
fn continues(server: &mut Server, running: &str, disk: &Path) {
    let machines = &mut server.machines;
    // No write has failed yet.
    let script = machines.boot(2);
    assert!(
        script.contains(
            "Bootwright holds this machine\necho its documents cannot be stored: No space left"
        ),
        "{script}"
    );
    // The last page of the journal's file may have room for some lines. After that, the reserve is used.
    let full = "degraded: the disk under the journal is full\n";
    let is_full = (0..400).any(|step| {
        let accepted = machines.get(&format!("{running}/stage/first-{step}"));
        assert_eq!(accepted.good(), "ok\n");
        machines.get("/healthz").good() == full
    });
    assert!(is_full);
    // The reserve is used up as well: callbacks are kept in memory.
    fill(disk);
    for step in 0..20 {
        let accepted = machines.get(&format!("{running}/log/info/second-{step}"));
        assert_eq!(accepted.good(), "ok\n");
    }
    for number in [2, 2, 3] {
        let script = machines.boot(number);
        assert!(!script.contains("/t/"), "{script}");
        assert!(script.contains("the journal cannot be written"), "{script}");
        assert!(
            script.contains("Bootwright: waiting") || script.contains("sleep"),
            "{script}"
        );
    }
    let document = machines.get(&format!("{running}/ks.cfg"));
    assert_eq!(document.status, 200);
    assert_eq!(machines.get("/healthz").good(), full);
    let now = status(&mut server.operators);
    assert_eq!(now["health"], full.trim_end());
    let waiting = node(&mut server.operators, 3);
    assert_eq!(
        waiting["reason"],
        "waits: the disk under the journal is full"
    );
    let order = server
        .operators
        .post("/api/v1/nodes/n03/hold", "{\"reason\":\"x\"}");
    assert_eq!(order.status, 503, "{}", order.body);
    // What depends on no event is served as usual.
    let file = server.machines.get("/repo/rocky/images/pxeboot/vmlinuz");
    assert_eq!(file.status, 200);
}
