//! How many facts are kept of a machine, which ones give way, and how much of the journal they take.

use bootwright::{
    control::{CheckedIn, Reported, ServerState, TokenKey},
    journal::{JournalLine, JournalState, Machine, MachineId},
    model::{Facts, MAX_FACTS, MonotonicTime, Now, Timestamp},
};

use crate::support::story::Lab;

const A: &str = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n";
const DISCOVER: &str = "[network.lab]\nsubnet = \"192.0.2.0/24\"\nunknown = \"discover\"\n";

/// The facts of the only machine of a journal.
fn facts_of(journal: &[String]) -> Facts {
    let mut state = JournalState::default();
    for line in journal {
        state.take(&JournalLine::parse(line).unwrap());
    }
    let mut machines = state.machines.in_order();
    let (_, machine) = machines.next().unwrap();
    machine.facts.clone()
}

/// A report of 100 facts of 200 bytes, with names that begin with `prefix`.
fn report(prefix: &str) -> String {
    let text = "x".repeat(200);
    let custom: Vec<_> = (0..100)
        .map(|number| format!("\"{prefix}{number:02}\":\"{text}\""))
        .collect();
    format!("{{{}}}", custom.join(","))
}

fn count(facts: &Facts, prefix: &str) -> usize {
    let names = facts.custom.keys();
    names.filter(|name| name.starts_with(prefix)).count()
}

#[test]
fn callbacks_add_facts_up_to_the_limit_and_the_log_names_the_first_one_without_room() {
    let mut lab = Lab::new(&[("a", A)]);
    lab.step("boot c1");
    lab.step("read #1 ks.cfg");
    let text = "x".repeat(1_000);
    for number in 0..1_000 {
        lab.step(&format!("fact #1 f{number:04} {text}"));
        lab.step("wait 1s");
    }
    let facts = facts_of(&lab.written());
    assert!(facts.size() <= MAX_FACTS && facts.size() > MAX_FACTS - 2_000);
    // The first ones stay, and have new values if there is room.
    assert_eq!(count(&facts, "f"), 30);
    assert!(facts.custom.contains_key("f0000"));
    lab.step("fact #1 f0000 changed");
    assert_eq!(facts_of(&lab.written()).custom["f0000"], "changed");
    let journal = lab.written();
    let remarks: Vec<&String> = journal
        .iter()
        .filter(|line| line.contains("at most 32 KiB"))
        .collect();
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    assert!(remarks[0].contains("no room for `f0030`"), "{remarks:?}");
    lab.step("restart");
}

#[test]
fn a_confirmed_report_has_precedence_over_callbacks_and_an_unconfirmed_one_has_not() {
    let mut lab = Lab::new(&[("lab", DISCOVER)]);
    lab.step("boot c1 on=lab");
    // Behind a router, nothing confirms the report.
    lab.step(&format!("report %1 routed {}", report("claimed")));
    assert_eq!(count(&facts_of(&lab.written()), "claimed"), 100);
    lab.step("wait 2s");
    lab.step(&format!("report %1 {}", report("own")));
    let facts = facts_of(&lab.written());
    assert_eq!(count(&facts, "own"), 100);
    assert!(count(&facts, "claimed") < 100 && facts.size() <= MAX_FACTS);
    lab.step("wait 2s");
    lab.step(&format!("report %1 routed {}", report("later")));
    let facts = facts_of(&lab.written());
    assert_eq!(count(&facts, "own"), 100);
    assert!(count(&facts, "later") < 50 && facts.size() <= MAX_FACTS);
    lab.step("restart");
}

#[test]
fn the_facts_of_an_old_journal_are_limited_too() {
    let custom: Vec<_> = (0..2_000)
        .map(|number| format!("\"f{number}\":\"{}\"", "x".repeat(200)))
        .collect();
    let line = format!(
        r#"{{"at":"2026-01-01T00:00:00.000Z","machine":"0000000000000001","event":"facts","facts":{{"cores":4,"custom":{{{}}}}}}}"#,
        custom.join(",")
    );
    let facts = facts_of(&[line]);
    assert_eq!(facts.cores, Some(4));
    assert!(facts.size() <= MAX_FACTS && facts.size() > MAX_FACTS - 1_000);
}

#[test]
fn the_facts_of_an_old_checkpoint_are_limited_too() {
    let (id, at) = (MachineId(1), Timestamp(0));
    let mut machine = Machine::new(id, at);
    let names = (0..2_000).map(|number| format!("f{number}"));
    machine.facts.custom = names.map(|name| (name, "x".repeat(200))).collect();
    let mut state = JournalState::default();
    state.machines.insert(id, Box::new(machine));
    let checkpoint = serde_json::to_vec(&state).unwrap();
    let read = serde_json::from_slice(&checkpoint).unwrap();
    let now = Now {
        wall: at,
        mono: MonotonicTime(0),
    };
    let server = ServerState::new(read, TokenKey([7; 32]), 1, now);
    let facts = &server.state.machines[id].facts;
    assert!(facts.size() <= MAX_FACTS && facts.size() > MAX_FACTS - 1_000);
}

#[test]
fn reports_above_the_budget_are_refused_and_an_unchanged_one_is_not() {
    let mut lab = Lab::new(&[("lab", DISCOVER)]);
    lab.step("boot c1 on=lab");
    let before = lab.written().len();
    let mut refused = 0;
    for number in 0..120 {
        lab.step("wait 1s");
        let (outcome, _) = lab.step(&format!("report %1 {}", report(&format!("n{number}-"))));
        refused += u32::from(outcome == "too often");
    }
    let written: usize = lab.written()[before..].iter().map(String::len).sum();
    assert!(written < 400 << 10, "{written} bytes");
    assert!(refused > 100, "{refused}");
    lab.step("wait 5m");
    for _ in 0..20 {
        lab.step("wait 1s");
        let (outcome, _) = lab.step(&format!("report %1 {}", report("same")));
        assert!(outcome.contains("waits"), "{outcome}");
    }
}

#[test]
fn invented_machines_share_a_budget_of_facts_and_the_first_facts_of_a_boot_need_none() {
    let mut lab = Lab::new(&[("lab", DISCOVER)]);
    let (mut refused, mut bytes) = (0, 0);
    for number in 1..=200 {
        lab.step(&format!("boot c{number} on=lab maker=Dell"));
        let token = lab.admitted_token(number);
        let body = format!(
            "{{\"version\":1,\"facts\":{}}}",
            report(&format!("m{number}-"))
        );
        let reported = Reported::read(body.as_bytes()).unwrap();
        let before = lab.written().len();
        let sender = Default::default();
        let outcome =
            lab.transaction(|transaction| transaction.check_in(token, Some(&reported), &sender));
        refused += u32::from(outcome == CheckedIn::TooOften);
        bytes += lab.written()[before..]
            .iter()
            .map(String::len)
            .sum::<usize>();
    }
    assert!(refused > 150, "{refused}");
    assert!(bytes < 600 << 10, "{bytes} bytes");
    let makers = lab.written();
    let makers = makers.iter().filter(|line| line.contains("Dell"));
    assert_eq!(makers.count(), 200);
}

#[test]
fn a_machine_has_a_limited_number_of_serial_numbers() {
    let mut lab = Lab::new(&[("lab", DISCOVER)]);
    for number in 0..100 {
        lab.step(&format!(
            "boot c1 on=lab uuid=4c4c4544-0042-4410-8053-b4c04f4d3232 serial=S{number} as=b{number}"
        ));
    }
    let journal = lab.written();
    let seen = journal
        .iter()
        .filter(|line| line.contains(r#""event":"seen""#));
    assert_eq!(seen.count(), 8);
}

#[test]
fn macs_that_are_always_different_are_limited() {
    let mut lab = Lab::new(&[("lab", DISCOVER)]);
    let others =
        |boot: usize| (0..60).map(move |nic| format!("mac=02:00:00:00:{boot:02x}:{nic:02x}"));
    for boot in 0..250 {
        let others: Vec<String> = others(boot).collect();
        lab.step(&format!("boot c1 {} on=lab as=b{boot}", others.join(" ")));
    }
    let journal = lab.written();
    let nics = journal
        .iter()
        .filter(|line| line.contains(r#""event":"nics""#));
    let bytes: usize = nics.map(String::len).sum();
    assert!(bytes > 100 << 10 && bytes < 300 << 10, "{bytes} bytes");
    lab.step("restart");
}

#[test]
fn a_report_from_another_nic_does_not_delay_the_machine_s_own() {
    let mut lab = Lab::new(&[("lab", DISCOVER)]);
    lab.step("boot c1 on=lab from=c1");
    let (foreign, _) = lab.step(r#"report %1 from=c2 {"cores": 1}"#);
    assert!(foreign.contains("not confirmed"), "{foreign}");
    let (own, _) = lab.step(r#"report %1 from=c1 {"cores": 4}"#);
    assert!(
        own.contains("waits") && !own.contains("not confirmed"),
        "{own}"
    );
    assert_eq!(facts_of(&lab.written()).cores, Some(4));
}
