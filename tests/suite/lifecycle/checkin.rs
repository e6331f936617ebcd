//! The reports of machines in the microkernel, and their instructions.

use crate::support::story::{Lab, replay};

const LAB: &str = r#"
[network.lab]
subnet = "192.0.2.0/24"
unknown = "discover"
pool = "192.0.2.50-192.0.2.59"

[tag.large]
when = "facts.memory_mib >= 65536"
[tag.broken]
when = "facts.memory_mib.nothing.at.all == 3"
[tag.racked]
when = "facts.custom.rack == '7'"
"#;

const LARGE: &str = r#"
[policy.large]
tags = "large"
accept = "discovered"
task = "esxi"
addresses = "pool"
"#;

fn site(more: &str) -> String {
    format!("{LAB}{more}")
}

#[test]
fn an_undeclared_machine_reports_is_bound_and_installed() {
    replay(
        &[("large", &site(LARGE))],
        r#"
        boot c1 on=lab => microkernel %1
        poll %1 => 52-54-00-00-00-01 waits 30 s: 0 tags; no policy takes it; `bootwright explain` shows why
        report %1 {"memory_mib": 131072, "serial": "S1", "nics": [{"mac": "52:54:00:00:00:01"}, {"mac": "52:54:00:00:00:02"}]} => 52-54-00-00-00-01 reboots: policy large takes it
        nodes => 52-54-00-00-00-01 bound
        boot c1 on=lab => #1: esxi by policy large at 192.0.2.50
        read #1 ks.cfg
        callback #1 installed
        log 52-54-00-00-00-01
        | seen mac 52:54:00:00:00:01
        | facts firmware efi
        | remark tag `broken` is unknown: fact `memory_mib` is not known
        | remark tag `large` is unknown: fact `memory_mib` is not known
        | remark tag `racked` is unknown: fact `custom` is not known
        | boot ipxe efi: microkernel
        | seen serial s1
        | nics 52:54:00:00:00:01, 52:54:00:00:00:02
        | facts serial S1, memory_mib 131072, 2 nics
        | remark tag `broken` is unknown: `nothing` is not known
        | bound by policy large, address 192.0.2.50 from the pool
        | attempt 1 opened: task esxi, revision eaabb70
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | installed reported by the machine
        "#,
    );
}

#[test]
fn a_machine_that_has_checked_in_can_boot_again_at_once() {
    // GRUB sends no boot number: a request shortly after another is part of the same boot, except in this case.
    replay(
        &[("large", &site(LARGE))],
        r#"
        boot c1 on=lab as=- => microkernel %1
        boot c1 on=lab as=- => microkernel %1
        report %1 {"memory_mib": 131072} => 52-54-00-00-00-01 reboots: policy large takes it
        boot c1 on=lab as=- => #1: esxi by policy large at 192.0.2.50
        "#,
    );
}

#[test]
fn two_simultaneous_check_ins_get_two_permanent_addresses() {
    let named = LARGE.replace(
        "addresses",
        "hostname = \"big-{{ node.serial | lower }}\"\naddresses",
    );
    replay(
        &[("named", &site(&named))],
        r#"
        boot c1 on=lab => microkernel %1
        boot c2 on=lab => microkernel %2
        report %1 {"memory_mib": 131072, "serial": "S1"} => 52-54-00-00-00-01 reboots: policy large takes it
        report %2 {"memory_mib": 131072, "serial": "S2"} => 52-54-00-00-00-02 reboots: policy large takes it
        boot c2 on=lab => #1: esxi by policy large at 192.0.2.51
        boot c1 on=lab => #2: esxi by policy large at 192.0.2.50
        "#,
    );
}

#[test]
fn two_machines_do_not_get_the_same_name() {
    let named = LARGE.replace(
        "addresses",
        "hostname = \"{{ facts.manufacturer | lower }}\"\naddresses",
    );
    let declared =
        "[node.maker]\nmac = \"52:54:00:00:00:09\"\naddress = \"192.0.2.9\"\ntask = \"debian\"\n";
    replay(
        &[("named", &site(&format!("{named}{declared}")))],
        r#"
        boot c1 on=lab => microkernel %1
        boot c2 on=lab => microkernel %2
        boot c3 on=lab => microkernel %3
        report %1 {"memory_mib": 131072, "manufacturer": "One", "serial": "S1"} => 52-54-00-00-00-01 reboots: policy large takes it
        report %2 {"memory_mib": 131072, "manufacturer": "One", "serial": "S2"} => 52-54-00-00-00-02 waits 30 s: its host name would be one, which belongs to 52-54-00-00-00-01
        report %3 {"memory_mib": 131072, "manufacturer": "Maker", "serial": "S3"} => 52-54-00-00-00-03 waits 30 s: its host name would be maker, which belongs to maker
        boot c2 on=lab => disk: its host name would be one, which belongs to 52-54-00-00-00-01
        boot c1 on=lab => #1: esxi by policy large at 192.0.2.50
        poll %1 => 52-54-00-00-00-01 reboots: policy large takes it
        forget 52-54-00-00-00-01 => 52-54-00-00-00-01 is forgotten
        poll %2 => 52-54-00-00-00-02 reboots: policy large takes it
        boot c2 on=lab => #2: esxi by policy large at 192.0.2.50
        "#,
    );
}

#[test]
fn a_waiting_machine_is_powered_off_at_its_next_poll() {
    replay(
        &[("nothing", &site(""))],
        r#"
        boot c1 on=lab => microkernel %1
        power-off 52-54-00-00-00-01 => refused: 52-54-00-00-00-01 does not run the microkernel; only a machine that runs it can be powered off
        report %1 {"memory_mib": 4096} => 52-54-00-00-00-01 waits 30 s: 0 tags; no policy takes it; `bootwright explain` shows why
        power-off 52-54-00-00-00-01 => 52-54-00-00-00-01 powers off at its next poll, within a minute
        poll %1 => 52-54-00-00-00-01 powers off: requested by an operator
        poll %1 => 52-54-00-00-00-01 waits 30 s: 0 tags; no policy takes it; `bootwright explain` shows why
        "#,
    );
}

#[test]
fn a_waiting_machine_gets_the_reason_and_continues_when_it_is_gone() {
    let declared = format!(
        "{LAB}[node.web]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.0.2.9\"\ntask = \"debian\"\n"
    );
    let never = format!(
        "{LAB}[node.web]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.0.2.9\"\ntask = \"debian\"\ninstalls = 0\n"
    );
    let expects = LARGE.replace("addresses", "expect = \"facts.cores == 4\"\naddresses");
    replay(
        &[
            ("expects", &site(&expects)),
            ("nothing", &site("")),
            ("declared", &declared),
            ("never", &never),
        ],
        r#"
        boot c1 on=lab => microkernel %1
        report %1 {"memory_mib": 70000} => 52-54-00-00-00-01 waits 30 s: held: `facts.cores == 4` is unknown: fact `cores` is not known
        wait 30s
        pause
        report %1 {"cores": 4} => 52-54-00-00-00-01 waits 30 s: paused: no installation begins until `bootwright resume`
        resume
        edit nothing
        poll %1 => 52-54-00-00-00-01 waits 30 s: 1 tag; no policy takes it; `bootwright explain` shows why
        edit expects
        poll %1 => 52-54-00-00-00-01 reboots: policy large takes it
        edit never
        poll %1 => web waits 30 s: protected: its `installs` is 0
        edit declared
        poll %1 => web reboots: its declaration takes it
        boot c1 on=lab => #1: debian
        "#,
    );
}

#[test]
fn reports_are_limited_to_one_a_second() {
    let mut lab = Lab::new(&[("large", &site(""))]);
    assert_eq!(lab.step("boot c1 on=lab").0, "microkernel %1");
    let before = lab.written().len();
    let mut taken = 0;
    for number in 0..1_000 {
        let report = format!(r#"report %1 {{"memory_mib": {number}}}"#);
        taken += usize::from(lab.step(&report).0 != "too often");
    }
    assert_eq!(taken, 1);
    assert!(lab.written().len() <= before + 3);
    lab.step("wait 1s");
    assert_ne!(lab.step(r#"report %1 {"memory_mib": 2000}"#).0, "too often");
}

#[test]
fn of_fifty_machines_that_match_a_policy_at_once_five_install_and_the_others_wait() {
    let limited = format!("[limits]\ninstalls-per-hour = 5\n====={}", site(LARGE));
    let mut lab = Lab::new(&[("limited", &limited)]);
    let report = r#"{"memory_mib": 131072}"#;
    let mut go = 0;
    for card in 1..=50 {
        let given = lab.step(&format!("boot c{card} on=lab")).0;
        assert_eq!(given, format!("microkernel %{card}"));
        let reported = lab.step(&format!("report %{card} {report}")).0;
        match reported.contains("reboots") {
            true => go += 1,
            false => assert!(reported.contains("5 installations began"), "{reported}"),
        }
    }
    assert_eq!(go, 5);
    // The machines that rebooted open their attempts, which makes no room for others.
    for card in 1..=5 {
        let given = lab.step(&format!("boot c{card} on=lab")).0;
        assert!(
            given.contains("esxi by policy large at 192.0.2.5"),
            "{given}"
        );
    }
    assert!(lab.step("poll %6").0.contains("5 installations began"));
    lab.step("wait 1h");
    assert!(lab.step("poll %6").0.contains("reboots"));
}

#[test]
fn five_machines_with_one_board_are_five_nodes() {
    let mut lab = Lab::new(&[("nothing", &site(""))]);
    let board = r#""serial": "SAME", "uuid": "4c4c4544-0000-2010-8020-80c04f202020""#;
    for card in 1..=5 {
        lab.step(&format!("boot c{card} on=lab"));
        let nics = format!(r#""nics": [{{"mac": "52:54:00:00:00:0{card}"}}]"#);
        let reported = lab.step(&format!("report %{card} {{{board}, {nics}}}")).0;
        let name = format!("52-54-00-00-00-0{card} waits 30 s");
        assert!(reported.starts_with(&name), "{reported}");
    }
    let nodes = lab.step("nodes").0;
    assert_eq!(nodes.matches("discovered").count(), 5, "{nodes}");
}

#[test]
fn a_token_is_valid_as_long_as_its_machine_is_listed() {
    replay(
        &[("nothing", &site(""))],
        r#"
        boot c1 on=lab => microkernel %1
        restart
        poll %1 => 52-54-00-00-00-01 waits 30 s: 0 tags; no policy takes it; `bootwright explain` shows why
        boot c1 on=lab => microkernel %1
        forget 52-54-00-00-00-01 => 52-54-00-00-00-01 is forgotten
        poll %1 => 404
        report %1 {"memory_mib": 1024} => 404
        "#,
    );
}
