//! What a request may do that is not confirmed: it is answered, and it changes no machine that is known.

use bootwright::model::Mac;

use crate::support::story::{Lab, replay};

const A: &str = "[node.a]\nmac = \"52:54:00:00:00:01\"\nserial = \"S1\"\ntask = \"esxi\"\n";
const ANY: &str = "[policy.any]\nwhen = \"true\"\naccept = \"discovered\"\ntask = \"esxi\"\n";

#[test]
fn listed_macs_merge_nothing_and_are_answered_for_the_boot_nic() {
    replay(
        &[("any", ANY)],
        "
        boot c1 from=c1 => #1: esxi by policy any
        read #1 ks.cfg
        callback #1 finished
        boot c2 from=c2 => #2: esxi by policy any
        boot c3 c1 c2 from=c3 => disk: it also has 52:54:00:00:00:01, the NIC from which 52-54-00-00-00-01 boots: declare the MACs of one machine for one node, `forget` 52-54-00-00-00-01 if it is gone, or add a shared adapter to `ignore-macs` in `[identity]`
        boot c1 c2 from=c3 => disk: not confirmed: 198.51.100.2 is at 52:54:00:00:00:03, which is not a NIC of this machine
        nodes => 52-54-00-00-00-01 finished, 52-54-00-00-00-02 bound, 52-54-00-00-00-03 bound
        boot c2 from=c2 => #2 again
        ",
    );
}

#[test]
fn another_host_neither_breaks_a_running_installation_nor_gets_its_token() {
    replay(
        &[("a", A)],
        "
        boot c1 from=c1 => #1: esxi
        read #1 ks.cfg
        callback #1 installing
        boot c1 from=c9 => disk: not confirmed: 198.51.100.2 is at 52:54:00:00:00:09, which is not a NIC of this machine
        boot c1 from=c9 => disk: not confirmed: 198.51.100.2 is at 52:54:00:00:00:09, which is not a NIC of this machine
        boot c1 c9 from=c9 => disk: not confirmed: 198.51.100.2 is at 52:54:00:00:00:09, which is not a NIC of this machine
        boot c9 c1 from=c9 => disk: it boots from 52:54:00:00:00:09 and also has 52:54:00:00:00:01, which a declares: add 52:54:00:00:00:09 to the `mac` of a
        status a => installing; 0 of 1
        boot c1 from=c1 => disk: its installation may be done; its disk is tried first, reports to #1
        ",
    );
    // Behind a router, a boot counts only if DHCP announced it.
    replay(
        &[("a", A)],
        "
        boot c1 routed => #1: esxi
        read #1 ks.cfg
        callback #1 installing
        boot c1 routed => disk: its installation may be done; its disk is tried first
        boot c1 routed => disk: its installation may be done; its disk is tried first
        status a => installing; 0 of 1
        callback #1 finished
        status a => finished; 1 of 1
        ",
    );
}

#[test]
fn a_refusal_is_one_line_an_hour() {
    let mut lab = Lab::new(&[("a", A)]);
    lab.step("boot c1 from=c1");
    let before = lab.written().len();
    for number in 0..300 {
        lab.step(&format!("boot c1 serial=X{number} from=c9"));
        lab.step(&format!("boot c1 serial=X{number} from=c1"));
        lab.step(&format!("boot c{} serial=S1 c1 from=c9", 10 + number % 5));
    }
    let lines = lab.written().len() - before;
    // One of the machine, and one of all machines that are not known.
    assert!(lines <= 2, "{lines}");
    assert_eq!(lab.step("status a").0, "bound; 0 of 1");
    lab.step("wait 61m");
    let before = lab.written().len();
    lab.step("boot c1 from=c9");
    assert_eq!(lab.written().len() - before, 1);
}

#[test]
fn other_senders_add_at_most_one_line_an_hour() {
    let network = "[network.lab]\nsubnet = \"192.0.2.0/24\"\nunknown = \"discover\"\n";
    let mut lab = Lab::new(&[("lab", network), ("a", A)]);
    lab.step("boot c1 on=lab from=c1");
    let before = lab.written().len();
    for nic in 10..60 {
        let answer = lab.step(&format!("poll %1 from=c{nic}")).0;
        assert!(answer.contains("not confirmed"), "{answer}");
    }
    assert_eq!(lab.written().len() - before, 1);
    // In mode `log` they are answered.
    lab.step("edit a");
    lab.step("wait 61m");
    lab.step("boot c1 from=c1");
    let before = lab.written().len();
    for nic in 10..60 {
        let answer = lab.step(&format!("boot c1 claim=c{nic} as=same")).0;
        assert_eq!(answer, "#1 again");
    }
    let written = &lab.written()[before..];
    let remarks = written.iter().filter(|line| line.contains("not confirmed"));
    assert_eq!(remarks.count(), 1, "{written:#?}");
}

/// A document with a secret goes only to a confirmed machine, whatever another host has reported before.
#[test]
fn an_unconfirmed_report_does_not_confirm_its_sender() {
    use bootwright::control::{Sender, SenderLink};
    let network = "[network.lab]\nsubnet = \"192.0.2.0/24\"\nunknown = \"discover\"\n";
    let bound = format!("{network}{ANY}");
    let mut lab = Lab::new(&[("lab", network), ("bound", &bound)]);
    assert_eq!(lab.step("boot c1 on=lab claim=c9").0, "microkernel %1");
    let nics =
        r#"[{"mac":"52:54:00:00:00:01","bus":"pci"},{"mac":"52:54:00:00:00:09","bus":"pci"}]"#;
    lab.step(&format!(r#"report %1 claim=c9 {{"nics":{nics}}}"#));
    lab.step("edit bound");
    assert_eq!(lab.step("boot c1 from=c1").0, "#1: esxi by policy any");
    let token = lab.server.token(lab.attempt("#1"));
    for (nic, is_confirmed) in [(1, true), (9, false)] {
        let sender = Sender::Compared {
            ip: "198.51.100.2".parse().unwrap(),
            link: SenderLink::Local {
                macs: [Mac([0x52, 0x54, 0, 0, 0, nic])].into_iter().collect(),
                others: 0,
            },
            strict: false,
        };
        let download = lab.transaction(|t| t.authorize_download(token, "ks.cfg", &sender));
        assert_eq!(download.unwrap().is_confirmed, is_confirmed, "NIC {nic}");
    }
}

#[test]
fn a_node_without_macs_gets_its_machine_by_the_microkernel_only() {
    let site = "[network.lab]\nsubnet = \"192.0.2.0/24\"\nunknown = \"discover\"\n[network.plain]\nsubnet = \"198.51.100.0/24\"\n[node.s]\nserial = \"S7\"\ntask = \"esxi\"\n";
    replay(
        &[("", site)],
        r#"
        boot c1 serial=S7 from=c1 on=plain => disk: not confirmed: its declaration has no `mac`: add it, or let the machine report its NICs in the microkernel (`unknown = "discover"`)
        boot c1 serial=S7 from=c1 on=lab => microkernel %1
        boot c1 serial=S7 from=c1 on=lab => microkernel %1
        report %1 from=c9 {"serial": "S7"} => 52-54-00-00-00-01 waits 30 s: not confirmed: 198.51.100.2 is at 52:54:00:00:00:09, which is not a NIC of this machine
        wait 1m
        report %1 from=c1 {"serial": "S7"} => s reboots: its declaration takes it
        boot c1 serial=S7 from=c1 on=lab => #1: esxi
        boot c2 serial=S7 from=c2 on=lab => disk: not confirmed: 198.51.100.2 is at 52:54:00:00:00:02, which is not a NIC of this machine
        nodes => s bound
        "#,
    );
}

#[test]
fn made_up_machines_use_neither_the_budget_of_declared_ones_nor_more_than_their_own() {
    let limited = format!("[limits]\ninstalls-per-hour = 3\n====={A}{ANY}");
    let mut lab = Lab::new(&[("limited", &limited)]);
    let answers: Vec<String> = (10..20)
        .map(|nic| lab.step(&format!("boot c{nic} from=c{nic}")).0)
        .collect();
    let opened = answers.iter().filter(|answer| answer.starts_with('#'));
    assert_eq!(opened.count(), 3, "{answers:?}");
    assert_eq!(lab.step("boot c1 from=c1").0, "#4: esxi");
}

#[test]
fn five_hundred_machines_become_known_at_once_and_then_one_a_second() {
    let mut lab = Lab::new(&[("", "")]);
    for number in 0..2_000u32 {
        let [_, _, high, low] = number.to_be_bytes();
        lab.step(&format!("boot mac=52:54:99:00:{high:02x}:{low:02x}"));
    }
    let nodes = lab.step("nodes").0;
    assert_eq!(nodes.split(", ").count(), 500);
    let refused = lab.step("boot mac=52:54:99:01:00:00").0;
    assert!(
        refused.starts_with("disk: too many undeclared machines"),
        "{refused}"
    );
    lab.step("wait 3s");
    for number in 0..9 {
        lab.step(&format!("boot mac=52:54:99:02:00:0{number}"));
    }
    assert_eq!(lab.step("nodes").0.split(", ").count(), 503);
}

#[test]
fn the_token_of_a_boot_script_reports_only_that_the_disk_does_not_boot() {
    use bootwright::{
        control::{Callback, CallbackOutcome},
        journal::Stage,
    };
    let mut lab = Lab::new(&[("a", A)]);
    lab.step("boot c1 from=c1");
    let attempt = lab.attempt("#1");
    let token = lab.server.no_disk_token(attempt);
    let report = |lab: &mut Lab, stage| {
        let callback = Callback::Stage {
            stage,
            reason: None,
        };
        lab.transaction(|transaction| transaction.callback(token, &callback))
    };
    for stage in [Stage::Installing, Stage::Installed, Stage::Failed] {
        assert_eq!(report(&mut lab, stage), CallbackOutcome::UnknownToken);
    }
    assert_eq!(report(&mut lab, Stage::NoDisk), CallbackOutcome::Accepted);
}

#[test]
fn a_simulated_machine_is_confirmed_for_two_hours() {
    let mut lab = Lab::new(&[("a", A)]);
    let simulated = |lab: &mut Lab| {
        let macs = lab.transaction(|transaction| transaction.simulated());
        macs.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let done = lab.step("simulate a c1").0;
    assert_eq!(
        done,
        "requests from the server's host count as those of a for two hours"
    );
    lab.step("wait 1h");
    lab.step("simulate 52-54-00-00-00-07 c7");
    assert_eq!(
        simulated(&mut lab),
        ["52:54:00:00:00:01", "52:54:00:00:00:07"]
    );
    lab.step("wait 61m");
    assert_eq!(simulated(&mut lab), ["52:54:00:00:00:07"]);
    let refused = lab.step("simulate nobody c1").0;
    assert_eq!(refused, "refused: there is no node `nobody`");
}
