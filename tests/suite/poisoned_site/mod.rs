//! Sites that exhaust memory, stack or time, or that have no end: they are rejected with the reason, and the server continues.

mod poisons;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, thread,
    time::{Duration, Instant},
};

use assert_cmd::Command;
use bootwright::serve::CheckLimits;
use serde_json::Value;

use crate::support::{
    client::{Client, status, until},
    server::{Process, Server},
    site::{TestSite, boot_path, declaration, node_file},
};
use poisons::{DEEP, MEMORY, NESTED, Poison, SCRIPT, STACK, declarations, scripts};

/// The resident memory that the server stays below, in KiB. A site that is not poisoned needs about 40 MiB in a build that is not
/// optimized.
const MEMORY_KIB: u64 = 256 << 10;

/// A site whose first node has a script.
fn site() -> TestSite {
    let site = TestSite::new(2);
    site.declare_node(1, &format!("first-boot = [\"{SCRIPT}\"]"));
    site.write(SCRIPT, "echo {{ node.name }}\n");
    let fifo = site.beside("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    site
}

/// Writes the edit. The result takes it back.
fn add<'a>(site: &'a TestSite, poison: &Poison) -> impl FnOnce() + use<'a> {
    const INCLUDED: &str = "templates/common/a.j2";
    let includes = poison.name.contains("includes itself");
    if includes {
        site.write(INCLUDED, "{% include 'common/a.j2' %}");
    }
    let path = site.path().join(poison.file);
    let before = fs::read(&path).ok();
    site.write(poison.file, &poison.text);
    move || {
        if includes {
            fs::remove_file(site.path().join(INCLUDED)).unwrap();
        }
        match before {
            Some(before) => fs::write(path, before).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
    }
}

/// Waits until the present site is rejected for a reason.
#[track_caller]
fn rejected_for(operators: &mut Client, poison: &Poison) {
    let began = Instant::now();
    loop {
        let found = status(operators)["rejected"].to_string();
        if found.contains(poison.reason) {
            return;
        }
        let is_late = began.elapsed() > Duration::from_secs(60);
        assert!(!is_late, "{}: {found:.900}", poison.name);
        thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn goes_live(operators: &mut Client) {
    until("a valid site", || {
        (status(operators)["rejected"] == Value::Null).then_some(())
    });
}

#[track_caller]
fn all_are_rejected(poisons: &[Poison]) {
    let site = site();
    let mut server = Process::start(&site);
    for poison in poisons {
        let take_back = add(&site, poison);
        rejected_for(&mut server.operators, poison);
        // The last good site is served meanwhile.
        let script = server.machines.boot(2);
        let installs = script.contains("installing n02.lab.example");
        assert!(installs, "{}: {script}", poison.name);
        take_back();
        goes_live(&mut server.operators);
        let memory = server.peak_memory_kib();
        assert!(memory < MEMORY_KIB, "{}: {memory} KiB", poison.name);
    }
    // It still follows edits.
    site.write(&node_file(2), &declaration(2, "").replace("n02", "n03"));
    until("an honest edit", || {
        server.machines.boot(2).contains("n03").then_some(())
    });
    server.end();
}

#[test]
fn a_poisoned_script_is_rejected_and_the_server_continues() {
    let poisons = scripts();
    assert!(poisons.len() > 20);
    all_are_rejected(&poisons);
}

#[test]
fn a_poisoned_declaration_is_rejected_and_the_server_continues() {
    let poisons = declarations();
    assert!(poisons.len() > 15);
    all_are_rejected(&poisons);
}

#[test]
fn machines_are_answered_during_a_check_and_one_that_takes_too_long_is_ended() {
    let endless = format!(
        "{{% set x = [1] %}}{{% set y = [1] %}}{}{{% if x == y %}}a{{% endif %}}\n",
        "{% set x = [x, x] %}{% set y = [y, y] %}".repeat(60)
    );
    let cases = [
        (2, 60, "it takes longer than 2 s"),
        (60, 1, "it takes more than 1 s of processor time"),
    ];
    for (time, processor_time, reason) in cases {
        let site = site();
        let mut server = Server::checking_within(
            &site,
            CheckLimits {
                time: Duration::from_secs(time),
                processor_time: Duration::from_secs(processor_time),
                ..CheckLimits::default()
            },
        );
        let poison = Poison {
            name: "a comparison",
            file: SCRIPT,
            text: endless.clone(),
            reason,
        };
        let take_back = add(&site, &poison);
        let mut slowest = Duration::ZERO;
        let mut answers = 0;
        while status(&mut server.operators)["rejected"] == Value::Null {
            let asked = Instant::now();
            assert!(server.machines.boot(2).contains("installing n02"));
            slowest = slowest.max(asked.elapsed());
            answers += 1;
            thread::sleep(Duration::from_millis(20));
        }
        assert!(answers > 5, "{answers}");
        // The bound is wide for a host that runs all tests at once.
        assert!(slowest < Duration::from_millis(900), "{slowest:?}");
        rejected_for(&mut server.operators, &poison);
        let health = server.machines.get("/healthz").good();
        assert!(
            health.starts_with("degraded: the site has 1 error"),
            "{health}"
        );
        take_back();
        goes_live(&mut server.operators);
        server.stop();
    }
}

#[test]
fn a_machine_whose_facts_make_a_template_grow_gets_no_installer_and_others_do() {
    let site = site();
    site.write(
        SCRIPT,
        "{% if facts.product | default('') == 'Poison' %}{% set all = namespace(x='ab') %}{% for i in range(60) %}\
         {% set all.x = all.x ~ all.x %}{% endfor %}{% endif %}echo {{ node.name }}\n",
    );
    let mut server = Process::start(&site);
    assert_eq!(status(&mut server.operators)["rejected"], Value::Null);
    let script = server
        .machines
        .get(&format!("{}&product=Poison", boot_path(1)));
    let script = script.good();
    assert!(
        script.contains("its installation cannot be prepared"),
        "{script}"
    );
    let memory = server.peak_memory_kib();
    assert!(memory < MEMORY_KIB, "{memory} KiB");
    for number in [1, 2] {
        let path = format!("{}&product=Honest", boot_path(number));
        let script = server.machines.get(&path).good();
        let installs = script.contains(&format!("installing n0{number}"));
        assert!(installs, "{script}");
    }
    server.end();
}

#[test]
fn a_server_starts_with_the_last_good_site_or_an_empty_one_if_its_site_is_poisoned() {
    let reasons = [DEEP, MEMORY, NESTED, STACK];
    for is_known in [true, false] {
        let site = site();
        if is_known {
            let process = Process::start(&site);
            until("the copy is stored", || {
                site.state().join("last-good").exists().then_some(())
            });
            process.end();
        }
        let mut seen = BTreeSet::new();
        for poison in scripts().into_iter().chain(declarations()) {
            // One of each kind: every start takes a while.
            if !reasons.contains(&poison.reason) || !seen.insert(poison.reason) {
                continue;
            }
            let take_back = add(&site, &poison);
            let mut process = Process::start(&site);
            rejected_for(&mut process.operators, &poison);
            let script = process.machines.boot(2);
            let installs = script.contains("installing n02.lab.example");
            assert_eq!(installs, is_known, "{}: {script}", poison.name);
            process.end();
            take_back();
        }
        assert!(seen.len() >= reasons.len() - 1, "{seen:?}");
    }
}

#[test]
fn a_server_does_not_start_with_a_poisoned_configuration_and_says_why() {
    let site = site();
    site.write("bootwright.toml", &format!("x = {}", "[".repeat(10_000)));
    let error = Server::try_start(&site.path(), &site.state())
        .err()
        .unwrap();
    assert!(error.to_string().contains("has errors"), "{error}");
    assert!(format!("{error:#}").contains(NESTED), "{error:#}");
}

/// Runs a command on a site; returns its exit code, standard output and standard error.
fn run(site: &TestSite, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bootwright"))
        .arg("--site")
        .arg(site.path())
        .args(arguments)
        .env_remove("BOOTWRIGHT_SITE")
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), out, err)
}

#[test]
fn check_reports_a_poisoned_site_and_exits_with_1() {
    let site = site();
    let mut by_reason = BTreeMap::new();
    for poison in scripts().into_iter().chain(declarations()) {
        let take_back = add(&site, &poison);
        let (code, out, err) = run(&site, &["check", "--json"]);
        let report: Value = serde_json::from_str(&out).unwrap();
        let found = report["diagnostics"].to_string();
        let is_found = found.contains(poison.reason);
        assert!(is_found, "{}: {found:.900}", poison.name);
        assert_eq!((code, err.as_str()), (Some(1), ""), "{}", poison.name);
        // One of each kind: commands that only read the site are not ended by it either.
        if by_reason.insert(poison.reason, poison.name).is_none() {
            for arguments in [["render", "n01"], ["explain", "n01"], ["nodes", "n02"]] {
                let (code, _, err) = run(&site, &arguments);
                let is_ended = matches!(code, Some(0 | 1 | 3));
                assert!(is_ended, "{} {arguments:?}: {code:?} {err}", poison.name);
            }
        }
        take_back();
    }
}
