//! A server that is killed has everything that it confirmed, and continues from there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    client::{Answer, Client, events, find_token, log, node, token},
    server::{Process, Server},
    site::{TestSite, boot_path, name},
};

/// How many machines are active at the same time.
const MACHINES: usize = 4;

/// How often the server is killed.
const KILLS: usize = 100;

/// What was confirmed to one machine and its operator. The log must contain it.
#[derive(Default)]
struct Confirmed {
    /// Unique words.
    words: BTreeSet<String>,
    /// The number of events of each kind.
    counts: BTreeMap<&'static str, usize>,
}

/// A machine with its operator, which sends requests until the server stops answering.
struct Machine<'a> {
    number: usize,
    round: usize,
    step: usize,
    machines: Client,
    operators: Client,
    confirmed: &'a mut Confirmed,
}

impl Machine<'_> {
    fn run(mut self) {
        loop {
            match self.install() {
                Ok(()) => {}
                // A wrong answer. Any other error is a connection to a killed server.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => panic!("{error}"),
                Err(_) => return,
            }
        }
    }

    /// One installation, from the operator's command to its end.
    fn install(&mut self) -> io::Result<()> {
        let word = self.word("hold");
        self.send_command("hold", &format!("{{\"reason\":\"{word}\"}}"))?;
        self.confirmed.words.insert(word);
        self.send_command("release", "{}")?;
        self.keep("released");
        self.send_command("reinstall", "{}")?;
        self.keep("reinstall");
        let script = good(self.machines.ask("GET", &boot_path(self.number), "")?)?;
        let token = find_token(&script).ok_or_else(|| wrong(&script))?;
        self.keep("attempt");
        good(
            self.machines
                .ask("GET", &format!("/t/{token}/ks.cfg"), "")?,
        )?;
        self.keep("serving");
        for (before, after) in [
            ("stage/", ""),
            ("log/info/", ""),
            ("fact/", "/1"),
            ("stage/failed?reason=", ""),
        ] {
            let word = self.word("step");
            self.ok(&format!("/t/{token}/{before}{word}{after}"))?;
            self.confirmed.words.insert(word);
        }
        self.ok(&format!("/t/{token}/stage/installed"))?;
        self.keep("stage");
        Ok(())
    }

    fn send_command(&mut self, what: &str, json: &str) -> io::Result<()> {
        let path = format!("/api/v1/nodes/{}/{what}", name(self.number));
        good(self.operators.ask("POST", &path, json)?).map(drop)
    }

    fn ok(&mut self, path: &str) -> io::Result<()> {
        let output = good(self.machines.ask("GET", path, "")?)?;
        (output == "ok\n")
            .then_some(())
            .ok_or_else(|| wrong(&output))
    }

    fn word(&mut self, kind: &str) -> String {
        self.step += 1;
        format!("{kind}-{}-{}", self.round, self.step)
    }

    fn keep(&mut self, event: &'static str) {
        *self.confirmed.counts.entry(event).or_default() += 1;
    }
}

fn good(answer: Answer) -> io::Result<String> {
    match answer.status {
        200 => Ok(answer.body),
        _ => Err(wrong(&answer.body)),
    }
}

fn wrong(body: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, body)
}

/// Asserts that a log contains everything that was confirmed.
fn assert_confirmed(log: &[Value], confirmed: &Confirmed) {
    let texts: String = log.iter().map(|line| format!("{line}\n")).collect();
    let words: BTreeSet<&str> = texts.split('"').collect();
    for word in &confirmed.words {
        assert!(words.contains(word.as_str()), "{word} is missing");
    }
    let events = events(log);
    for (event, count) in &confirmed.counts {
        let found = events.iter().filter(|found| *found == event).count();
        assert!(found >= *count, "{found} of {count} {event} are left");
    }
}

/// A simple generator of random durations. They need to differ, not to be unpredictable.
fn random_durations(longest: u64) -> impl Iterator<Item = Duration> {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::from_fn(move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        Some(Duration::from_micros(seed % longest))
    })
}

#[test]
fn a_hundred_kills_lose_nothing_that_was_acknowledged() {
    // A state directory in memory makes more kills interrupt a write. Syncs are tested with strace elsewhere.
    let site = TestSite::in_memory(MACHINES);
    let mut all: Vec<Confirmed> = std::iter::repeat_with(Confirmed::default)
        .take(MACHINES)
        .collect();
    let began = Instant::now();
    let mut random_durations = random_durations(80_000);
    for round in 0..KILLS {
        if round % 10 == 9 {
            // A server that is killed before it answers.
            let mut starting = Process::command(&[], &site).spawn().unwrap();
            std::thread::sleep(random_durations.next().unwrap() / 4);
            starting.kill().unwrap();
            starting.wait().unwrap();
            continue;
        }
        let process = Process::start(&site);
        let clients = (process.machines.clone(), process.operators.clone());
        std::thread::scope(|scope| {
            for (index, confirmed) in all.iter_mut().enumerate() {
                let machine = Machine {
                    number: index + 1,
                    round,
                    step: 0,
                    machines: clients.0.clone(),
                    operators: clients.1.clone(),
                    confirmed,
                };
                scope.spawn(|| machine.run());
            }
            std::thread::sleep(Duration::from_millis(5) + random_durations.next().unwrap());
            process.kill();
        });
    }
    let mut server = Server::start(&site);
    for (index, confirmed) in all.iter().enumerate() {
        assert_confirmed(&log(&mut server.operators, index + 1), confirmed);
    }
    let words: usize = all.iter().map(|confirmed| confirmed.words.len()).sum();

    let attempts: usize = all
        .iter()
        .map(|confirmed| confirmed.counts["attempt"])
        .sum();
    println!(
        "{KILLS} kills in {:.1} s: {attempts} installers and {words} callbacks and holds were acknowledged, none is missing",
        began.elapsed().as_secs_f32()
    );
    assert!(words > 1_000, "only {words} were acknowledged");
    server.stop();
}

#[test]
fn an_installation_continues_after_a_kill() {
    let site = TestSite::new(1);
    // The port differs between starts, but the advertised address does not.
    site.write("bootwright.toml", "[http]\nadvertise = \"192.0.2.1:80\"\n");
    let mut process = Process::start(&site);
    let script = process.machines.boot(1);
    let path = format!("/t/{}", token(&script));
    // The documents exist before anything is read, and after that.
    let first = process
        .machines
        .get_part(&format!("{path}/ks.cfg"), "bytes=0-");
    process.kill();
    let mut process = Process::start(&site);
    assert_eq!(process.machines.boot(1), script);
    let second = process.machines.get(&format!("{path}/ks.cfg")).good();
    assert_eq!(second, first);
    process
        .machines
        .get(&format!("{path}/stage/installing"))
        .good();
    process.kill();
    let mut process = Process::start(&site);
    assert_eq!(
        process.machines.get(&format!("{path}/ks.cfg")).good(),
        first
    );
    assert_eq!(node(&mut process.operators, 1)["state"], "installing");
    let installed = process.machines.get(&format!("{path}/stage/installed"));
    assert_eq!(installed.good(), "ok\n");
    process.kill();
    let mut process = Process::start(&site);
    assert_eq!(node(&mut process.operators, 1)["state"], "installed");
    assert_eq!(process.machines.get(&format!("{path}/ks.cfg")).status, 404);
    let finished = process.machines.get(&format!("{path}/stage/finished"));
    assert_eq!(finished.good(), "ok\n");
    assert!(!process.machines.boot(1).contains("/t/"));
    process.end();
}

#[test]
fn a_machine_that_was_reading_when_the_server_was_killed_boots_its_disk_first() {
    let site = TestSite::new(1);
    let mut process = Process::start(&site);
    let token = token(&process.machines.boot(1));
    process.machines.get(&format!("/t/{token}/ks.cfg")).good();
    process.kill();
    // The journal after a power failure between the first and the last byte of a document.
    let text = fs::read_to_string(site.segment()).unwrap();
    let serving = text.find("\"event\":\"serving\"").unwrap();
    let end = serving + text[serving..].find('\n').unwrap() + 1;
    fs::write(site.segment(), &text[..end]).unwrap();
    let mut server = Server::start(&site);
    let log = log(&mut server.operators, 1);
    assert!(!events(&log).contains(&"document"), "{log:?}");
    let script = server.machines.boot(1);
    assert!(script.contains("its disk is tried first"), "{script}");
    assert!(
        !script.contains("mboot") && !script.contains("kernel"),
        "{script}"
    );
    // It was installing.
    let finished = server.machines.get(&format!("/t/{token}/stage/installed"));
    assert_eq!(finished.good(), "ok\n");
    assert_eq!(node(&mut server.operators, 1)["state"], "installed");
    server.stop();
}
