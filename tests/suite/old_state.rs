//! A state directory that is an old copy, is lost, or comes from a backup.

use std::{fs, path::Path, process::Command};

use bootwright::{
    control::DeclaredState,
    serve::{self, offline},
};
use serde_json::Value;

use crate::support::{
    client::{Client, events, log, node, token, until},
    server::{Server, check_program},
    site::TestSite,
};

/// A site with an id, a witness and two nodes.
fn site() -> TestSite {
    let site = TestSite::new(2);
    let config = format!(
        "site-id = \"5f0c\"\n[http]\nallow-from = \"127.0.0.0/8\"\nconfirm-neighbour = \"off\"\n[limits]\n\
         installs-per-hour = 1000000\n[paths]\nstate = \"{}\"\nwitness = \"../witness\"\n",
        site.state().display()
    );
    site.write("bootwright.toml", &config);
    declare(&site, DeclaredState::New);
    site
}

fn declare(site: &TestSite, declared: DeclaredState) -> String {
    offline::declare_state(&site.path(), declared, &check_program()).unwrap()
}

/// Installs a node completely. Returns the seal that it leaves.
fn install(machines: &mut Client, number: usize) -> String {
    let token = token(&machines.boot(number));
    let kickstart = machines.get(&format!("/t/{token}/ks.cfg")).good();
    for stage in ["installing", "installed", "finished"] {
        machines.get(&format!("/t/{token}/stage/{stage}")).good();
    }
    let at = kickstart.find("'bootwright-seal/").unwrap() + 1;
    kickstart[at..].split('\'').next().unwrap().into()
}

fn is_installer(script: &str) -> bool {
    script.contains("/t/")
}

fn health(server: &mut Server) -> String {
    server.machines.get("/healthz").good()
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .unwrap();
    assert!(copied.success());
}

/// Waits until the witness has a number of decisions.
fn witnessed(site: &TestSite, decisions: u64) {
    until("the witness is up to date", || {
        let text = fs::read_to_string(site.beside("witness/position")).unwrap_or_default();
        text.contains(&format!("\ndecisions {decisions}\n"))
            .then_some(())
    });
}

/// Replaces the state directory with an older copy.
fn set_back(site: &TestSite) {
    fs::remove_dir_all(site.state()).unwrap();
    copy(&site.beside("copy"), &site.state());
}

#[test]
fn a_state_that_is_behind_its_witness_installs_nothing() {
    let site = site();
    let mut server = Server::start(&site);
    assert_eq!(health(&mut server), "ok\n");
    server.stop();
    copy(&site.state(), &site.beside("copy"));
    let mut server = Server::start(&site);
    install(&mut server.machines, 1);
    // An attempt and three stages.
    witnessed(&site, 4);
    server.stop();
    set_back(&site);
    for _ in 0..2 {
        let mut server = Server::start(&site);
        let found = health(&mut server);
        assert!(found.contains("is older than its witness"), "{found}");
        assert!(found.contains("has 0 decisions"), "{found}");
        for number in [1, 2] {
            let script = server.machines.boot(number);
            assert!(!is_installer(&script), "{script}");
            assert!(script.contains("older than its witness"), "{script}");
        }
        // The witness still has what it had.
        witnessed(&site, 4);
        server.stop();
    }
    assert_eq!(
        declare(&site, DeclaredState::Installed),
        "2 nodes count as installed"
    );
    let mut server = Server::start(&site);
    assert_eq!(health(&mut server), "ok\n");
    assert!(!is_installer(&server.machines.boot(1)));
    witnessed(&site, 2);
    server.stop();
    // The newer state lacks what happened since, so it is not the right one either.
    set_back(&site);
    let mut server = Server::start(&site);
    let found = health(&mut server);
    assert!(found.contains("is not the one that its witness"), "{found}");
    server.stop();
}

#[test]
fn a_witness_that_cannot_be_used_is_reported_and_the_server_works() {
    // A file in the place of the directory.
    let first = site();
    fs::remove_dir_all(first.beside("witness")).unwrap();
    fs::write(first.beside("witness"), "").unwrap();
    let mut server = Server::start(&first);
    let warnings = server.banner.start_warnings.join("\n");
    assert!(
        warnings.contains("seal-key` cannot be written"),
        "{warnings}"
    );
    install(&mut server.machines, 1);
    server.stop();
    // The declaration could not be stored, and would be asked for again.
    let error =
        offline::declare_state(&first.path(), DeclaredState::New, &check_program()).unwrap_err();
    assert!(
        format!("{error:#}").contains("witness` cannot be written"),
        "{error:#}"
    );
    // A damaged position.
    let second = site();
    fs::write(second.beside("witness/position"), "x").unwrap();
    let mut server = Server::start(&second);
    let warnings = server.banner.start_warnings.join("\n");
    assert!(
        warnings.contains("position` is damaged: remove it to begin again"),
        "{warnings}"
    );
    install(&mut server.machines, 1);
    server.stop();
    // In the state directory it would be lost or set back with it.
    let third = site();
    let config = fs::read_to_string(third.path().join("bootwright.toml")).unwrap();
    third.write(
        "bootwright.toml",
        &config.replace("../witness", "../state/witness"),
    );
    let server = Server::start(&third);
    let warnings = server.banner.start_warnings.join("\n");
    assert!(
        warnings.contains("is in the state directory, so there is no witness"),
        "{warnings}"
    );
    server.stop();
}

/// Sets the time of everything in the journal back by hours, as it would be in a snapshot of a virtual machine.
fn age(site: &TestSite, hours: i64) {
    let aged = |text: &str| {
        let at: jiff::Timestamp = text.parse().unwrap();
        (at - jiff::SignedDuration::from_hours(hours)).to_string()
    };
    let text = fs::read_to_string(site.segment()).unwrap();
    let lines = text.lines().map(|line| {
        let mut fields: Value = serde_json::from_str(line).unwrap();
        fields["at"] = aged(fields["at"].as_str().unwrap()).into();
        format!("{fields}\n")
    });
    fs::write(site.segment(), lines.collect::<String>()).unwrap();
    let alive = fs::read_to_string(site.state().join("alive")).unwrap();
    fs::write(site.state().join("alive"), aged(alive.trim())).unwrap();
    drop(fs::remove_file(site.state().join("journal/checkpoint")));
}

#[test]
fn machines_without_a_record_wait_after_a_stop_that_was_not_normal_and_a_gap() {
    // (whether it stops normally, the gap in hours, whether new machines are held)
    for (is_normal, hours, is_held) in [(false, 2, true), (false, 0, false), (true, 2, false)] {
        let site = site();
        let mut server = Server::start(&site);
        install(&mut server.machines, 1);
        until("the server has stored that it runs", || {
            site.state().join("alive").exists().then_some(())
        });
        // A copy of the state of a running server has no normal stop.
        let running = site.beside("running");
        if !is_normal {
            copy(&site.state(), &running);
        }
        server.stop();
        if !is_normal {
            fs::remove_dir_all(site.state()).unwrap();
            copy(&running, &site.state());
        }
        age(&site, hours);
        let mut server = Server::start(&site);
        let found = health(&mut server);
        assert_eq!(
            found.contains("machines without a recorded installation are held"),
            is_held,
            "{found}"
        );
        assert_eq!(node(&mut server.operators, 1)["state"], "finished");
        assert_eq!(is_installer(&server.machines.boot(2)), !is_held);
        if is_held {
            assert!(found.contains("bootwright release --all"), "{found}");
            assert_eq!(node(&mut server.operators, 2)["state"], "held");
            let released = server.operators.post("/api/v1/release-all", "{}").good();
            assert!(released.contains("1 machine released"), "{released}");
            assert_eq!(health(&mut server), "ok\n");
            assert!(is_installer(&server.machines.boot(2)));
        }
        server.stop();
    }
}

#[test]
fn an_installer_is_refused_a_disk_with_a_seal_that_the_journal_does_not_have() {
    let site = site();
    let mut server = Server::start(&site);
    let seal = install(&mut server.machines, 1);
    server.stop();
    fs::remove_dir_all(site.state()).unwrap();
    // An operator's mistake: the machine is installed.
    declare(&site, DeclaredState::New);
    let mut server = Server::start(&site);
    let token = token(&server.machines.boot(1));
    server.machines.get(&format!("/t/{token}/ks.cfg")).good();
    let url = format!("/t/{token}/seal/keep/{seal}");
    assert!(
        server
            .machines
            .get(&url)
            .good()
            .starts_with("keep: its disk has an installation of ")
    );
    let found = node(&mut server.operators, 1);
    assert_eq!(found["state"], "held");
    assert!(found["reason"].as_str().unwrap().starts_with("sealed: "));
    let log = log(&mut server.operators, 1);
    assert!(events(&log).contains(&"stage"), "{log:?}");
    // Whatever follows in the path is no seal.
    for (path, status) in [
        ("seal/keep", 404),
        ("seal/wipe/", 404),
        ("seal/x/y", 404),
        ("seal", 404),
    ] {
        let answer = server.machines.get(&format!("/t/{token}/{path}"));
        assert_eq!(answer.status, status, "{path}");
    }
    let unknown = format!("/t/{}/seal/keep/{seal}", "0".repeat(32));
    assert_eq!(server.machines.get(&unknown).status, 404);
    server.stop();
}

#[test]
fn a_backup_of_a_running_server_is_restored_and_holds_every_installation() {
    let site = site();
    let file = site.beside("backup.tar.gz");
    fs::create_dir_all(site.state().join("microkernel")).unwrap();
    fs::write(site.state().join("microkernel/vmlinuz"), "kernel").unwrap();
    let mut server = Server::start(&site);
    install(&mut server.machines, 1);
    serve::back_up(&site.path(), &file, &check_program()).unwrap();
    // It is not overwritten.
    assert!(serve::back_up(&site.path(), &file, &check_program()).is_err());
    install(&mut server.machines, 2);
    let running = serve::restore(&site.path(), &file, &check_program()).unwrap_err();
    assert!(
        format!("{running:#}").contains("is in use by"),
        "{running:#}"
    );
    server.stop();
    // A backup that was cut short replaces nothing.
    let part = site.beside("part.tar.gz");
    let whole = fs::read(&file).unwrap();
    fs::write(&part, &whole[..whole.len() / 2]).unwrap();
    let error = serve::restore(&site.path(), &part, &check_program()).unwrap_err();
    assert!(
        format!("{error:#}").contains("it was cut short"),
        "{error:#}"
    );
    assert!(!site.beside("state.restoring").exists());
    // Nor does that of another site.
    let config = fs::read_to_string(site.path().join("bootwright.toml")).unwrap();
    site.write("bootwright.toml", &config.replace("5f0c", "7d3f"));
    let error = serve::restore(&site.path(), &file, &check_program()).unwrap_err();
    assert!(
        format!("{error:#}").contains("a backup of another site"),
        "{error:#}"
    );
    site.write("bootwright.toml", &config);

    let restored = serve::restore(&site.path(), &file, &check_program()).unwrap();
    let before = restored.before.unwrap();
    assert!(before.join("journal/00000001.jsonl").exists());
    assert_eq!(
        fs::read(site.state().join("microkernel/vmlinuz")).unwrap(),
        b"kernel"
    );
    let mut server = Server::start(&site);
    let found = health(&mut server);
    assert!(found.contains("was restored from a backup of"), "{found}");
    assert!(!is_installer(&server.machines.boot(2)));
    server.stop();
    let doubt = "machines without a recorded installation boot the microkernel once to report their disks: one with a seal \
                 of this site is `finished`, and one without is held until `bootwright release`";
    assert_eq!(
        declare(&site, DeclaredState::FromMachines),
        format!("recorded as installed: 1 machine; {doubt}")
    );
    let mut server = Server::start(&site);
    assert_eq!(health(&mut server), format!("degraded: {doubt}\n"));
    assert!(!is_installer(&server.machines.boot(2)));
    server.stop();
    assert_eq!(
        declare(&site, DeclaredState::New),
        "recorded as installed: 1 machine; nothing else counts as installed"
    );
    let mut server = Server::start(&site);
    assert_eq!(health(&mut server), "ok\n");
    assert_eq!(node(&mut server.operators, 1)["state"], "finished");
    assert!(is_installer(&server.machines.boot(2)));
    server.stop();
}
