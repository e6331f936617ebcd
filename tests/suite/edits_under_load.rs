//! Edits under load, half of them with errors: no machine gets a wrong answer, and the server keeps the last good
//! site.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    client::{Client, node, status, token, until},
    server::Server,
    site::{TestSite, address, boot_path, declaration, name, node_file},
};

/// How many edits are made; every second one has an error.
const EDITS: usize = 200;

/// How many requests per second all clients send together.
const OFFERED: u64 = 2_000;

/// The minimum number of answered requests, however slow the machine is.
const AT_LEAST: u64 = 20_000;

const CLIENTS: usize = 8;

/// The node whose declaration is edited. It is requested like all others.
const EDITED: usize = 1;

const NODES: usize = 16;

/// What a machine's requests must be answered with, whatever the state of the site.
struct Expected {
    number: usize,
    /// The path with its token, if it is installing or was.
    path: String,
    document: String,
}

/// Machines in each state in which they send requests.
struct Machines {
    /// They were served an installer and have read nothing: their documents follow the site.
    waiting: Vec<Expected>,
    /// They have read their document: it no longer changes.
    installing: Vec<Expected>,
    /// Nothing is due.
    finished: Vec<usize>,
}

fn prepare(machines: &mut Client) -> Machines {
    let mut ready = Machines {
        waiting: Vec::new(),
        installing: Vec::new(),
        finished: Vec::new(),
    };
    for number in 1..=NODES {
        let path = format!("/t/{}", token(&machines.boot(number)));
        let mut expected = Expected {
            number,
            path,
            document: String::new(),
        };
        if number % 4 == 1 {
            ready.waiting.push(expected);
            continue;
        }
        expected.document = machines.get(&format!("{}/ks.cfg", expected.path)).good();
        if number % 4 == 2 {
            ready.installing.push(expected);
            continue;
        }
        let installed = machines.get(&format!("{}/stage/finished", expected.path));
        assert_eq!(installed.good(), "ok\n");
        ready.finished.push(number);
    }
    ready
}

/// Sends requests at scheduled times until it is stopped.
fn ask(
    mut client: Client,
    index: usize,
    ready: &Machines,
    answered: &AtomicU64,
    ended: &AtomicBool,
) {
    let pause = Duration::from_secs(1) * CLIENTS as u32 / OFFERED as u32;
    let mut at = Instant::now();
    let mut transaction = index;
    while !ended.load(Ordering::Relaxed) {
        transaction += 1;
        match transaction % 8 {
            0 => assert_waiting(&mut client, pick(&ready.waiting, transaction)),
            1 => installs(&mut client, pick(&ready.installing, transaction)),
            2 => calls_back(&mut client, pick(&ready.installing, transaction)),
            3 => reads_a_file(&mut client),
            4 => is_healthy(&mut client),
            _ => is_done(&mut client, *pick(&ready.finished, transaction)),
        }
        answered.fetch_add(1, Ordering::Relaxed);
        at += pause;
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
    }
}

fn pick<T>(list: &[T], transaction: usize) -> &T {
    &list[transaction / 8 % list.len()]
}

fn assert_waiting(client: &mut Client, machine: &Expected) {
    let script = client.get(&boot_path(machine.number)).good();
    assert!(
        script.contains(&format!("installing {}.lab.example", name(machine.number))),
        "{script}"
    );
    assert!(script.contains(&machine.path), "{script}");
    let document = client.get_part(&format!("{}/ks.cfg", machine.path), "bytes=0-");
    assert_address(machine.number, &document);
}

fn installs(client: &mut Client, machine: &Expected) {
    let document = client.get(&format!("{}/ks.cfg", machine.path)).good();
    assert_eq!(document, machine.document);
    assert_address(machine.number, &document);
}

fn calls_back(client: &mut Client, machine: &Expected) {
    let answer = client.get(&format!("{}/log/info/still-here", machine.path));
    assert_eq!(answer.good(), "ok\n");
}

fn is_done(client: &mut Client, number: usize) {
    let script = client.get(&boot_path(number)).good();
    assert!(
        script.contains("booting the disk") || script.contains("nothing is due"),
        "{script}"
    );
    assert!(!script.contains("/t/"), "{script}");
}

fn reads_a_file(client: &mut Client) {
    let file = client.get("/repo/rocky/.treeinfo").good();
    assert!(file.contains("[stage2]"), "{file}");
}

fn is_healthy(client: &mut Client) {
    let health = client.get("/healthz").good();
    let broken = health.starts_with("degraded: the site has 1 error; revision ");
    assert!(broken || health == "ok\n", "{health}");
}

/// Asserts that a document has the address of its machine, and no other.
fn assert_address(number: usize, document: &str) {
    for other in 1..=NODES {
        let has = document.contains(&format!("--ip={} ", address(other)));
        assert_eq!(
            has,
            other == number,
            "{} in the document of {}",
            address(other),
            name(number)
        );
    }
}

/// Makes one edit and waits until the server has read it.
fn edit(site: &TestSite, operators: &mut Client, number: usize, before: &Value) -> Value {
    let is_broken = number.is_multiple_of(2);
    let more = match is_broken {
        true => format!("pakages = [\"p{number}\"]"),
        false => format!("packages = [\"p{number}\"]"),
    };
    site.write(&node_file(EDITED), &declaration(EDITED, &more));
    let now = until("the edit is seen", || {
        let now = status(operators);
        let seen = match is_broken {
            true => !now["rejected"].is_null() && now["rejected"] != before["rejected"],
            false => now["rejected"].is_null() && now["revision"] != before["revision"],
        };
        seen.then_some(now)
    });
    if is_broken {
        assert_eq!(
            now["revision"], before["revision"],
            "a broken site went live"
        );
        let found = &now["rejected"]["diagnostics"][0];
        assert_eq!(
            (&found["file"], &found["line"]),
            (&node_file(EDITED).into(), &5.into())
        );
        assert_eq!(now["rejected"]["errors"], 1);
        assert_eq!(node(operators, EDITED)["address"], address(EDITED));
    }
    now
}

#[test]
fn two_hundred_edits_under_load_cause_no_wrong_response() {
    // With a state directory on a disk, requests would mostly wait for it.
    let site = TestSite::in_memory(NODES);
    let mut server = Server::start(&site);
    let ready = prepare(&mut server.machines);
    let (answered, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for index in 0..CLIENTS {
            let client = server.machines.clone();
            let (ready, answered, ended) = (&ready, &answered, &ended);
            scope.spawn(move || ask(client, index, ready, answered, ended));
        }
        // Stops the clients, however this test ends.
        let _end = End(&ended);
        let mut now = status(&mut server.operators);
        for number in 0..EDITS {
            now = edit(&site, &mut server.operators, number, &now);
        }
        until("enough was asked", || {
            (answered.load(Ordering::Relaxed) >= AT_LEAST).then_some(())
        });
    });
    let (answered, took) = (answered.into_inner(), began.elapsed().as_secs_f64());
    println!(
        "{EDITS} edits in {took:.1} s, half of them broken: {answered} requests ({:.0} a second), each answered rightly",
        answered as f64 / took
    );
    server.stop();
}

/// Sets the flag when it is dropped.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
