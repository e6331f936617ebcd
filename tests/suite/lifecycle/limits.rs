//! Limits that prevent the installation of many machines.

use bootwright::control::{NetworkBoot, Report};

use crate::support::story::{Lab, replay};

const A: &str = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n";

#[test]
fn attempts_of_an_hour_are_limited_retries_included() {
    let two = "[limits]\ninstalls-per-hour = 2\n=====[policy.any]\nwhen = \"true\"\naccept = \"discovered\"\ntask = \"esxi\"\n";
    replay(
        &[("two", two)],
        "
        boot c1 => #1: esxi by policy any
        read #1 ks.cfg
        callback #1 failed once
        wait 10m
        boot c1 => #2: esxi by policy any
        boot c2 as=w => wait: 2 installations began within the last hour (`installs-per-hour`)
        boot c2 as=w => wait: 2 installations began within the last hour (`installs-per-hour`)
        wait 30s
        boot c2 as=w => wait: 2 installations began within the last hour (`installs-per-hour`)
        restart
        boot c2 as=w => wait: 2 installations began within the last hour (`installs-per-hour`)
        boot c1 => #2 again, rendered again
        wait 50m
        boot c2 => #3: esxi by policy any
        boot c3 => wait: 2 installations began within the last hour (`installs-per-hour`)
        wait 10m
        boot c3 => #4: esxi by policy any
        log 52-54-00-00-00-02
        | seen mac 52:54:00:00:00:02
        | facts firmware efi
        | boot ipxe efi: waits: 2 installations began within the last hour (`installs-per-hour`)
        | boot ipxe efi: waits: 2 installations began within the last hour (`installs-per-hour`)
        | bound by policy any
        | attempt 1 opened: task esxi, revision bdaed17
        | boot ipxe efi: installer (attempt 1)
        | failed no `document` for 10 m
        ",
    );
}

#[test]
fn an_edit_that_makes_more_than_ten_finished_machines_due_holds_them() {
    let fleet = |count: u32, installs: u32| {
        let node = |n| {
            format!(
                "[node.n{n:02}]\nmac = \"52:54:00:00:00:{n:02x}\"\ninstalls = {installs}\ntask = \"esxi\"\n"
            )
        };
        (1..=count).map(node).collect::<String>()
    };
    let limits = "[limits]\ninstalls-per-hour = 100\n=====";
    let done = format!("{limits}{}", fleet(12, 1));
    let ten = fleet(12, 1).replacen("installs = 1", "installs = 2", 10);
    let mut story = String::new();
    for n in 1..=12 {
        story += &format!("mark n{n:02} => n{n:02} counts as installed\n");
    }
    let held = "held: one edit makes 12 finished machines due: run `bootwright release --all` if that is intended";
    let reported = format!(
        "
        edit ten
        boot c1 => #1: esxi
        status n01 => bound; 1 of 2
        edit done
        boot c1 => disk
        edit all
        boot c2 => disk: {held}
        status n03 => {held}; 1 of 2
        release n02 => n02 is released; an installation is due at its next network boot
        boot c2 => #2: esxi
        release --all => 11 released
        boot c3 => #3: esxi
        boot c11 => #4: esxi
        "
    );
    replay(
        &[
            ("done", &done),
            ("ten", &format!("{limits}{ten}")),
            ("all", &format!("{limits}{}", fleet(12, 2))),
        ],
        &format!("{story}{reported}"),
    );
}

#[test]
fn pause_stops_new_attempts_and_no_running_one() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 failed once
        pause
        boot c1 => disk: paused: no installation begins until `bootwright resume`
        restart
        boot c1 => disk: paused: no installation begins until `bootwright resume`
        read #1 ks.cfg
        resume
        boot c1 => #2: esxi
        pause
        boot c1 => disk: paused: no installation begins until `bootwright resume`
        read #2 ks.cfg
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #2
        resume
        ",
    );
}

#[test]
fn an_unmet_expectation_holds_the_machine_and_a_met_one_releases_it() {
    let expect = format!("{A}expect = \"facts.manufacturer == 'Dell'\"\n");
    replay(
        &[("expect", &expect), ("a", A)],
        "
        boot c1 => disk: held: `facts.manufacturer == 'Dell'` is unknown: fact `manufacturer` is not known
        status a => held: `facts.manufacturer == 'Dell'` is unknown: fact `manufacturer` is not known; 0 of 1
        boot c1 maker=HPE => disk: held: `facts.manufacturer == 'Dell'` does not hold
        release a => a is released; an installation is due at its next network boot
        boot c1 => disk: held: `facts.manufacturer == 'Dell'` does not hold
        boot c1 maker=Dell => #1: esxi
        boot c1 maker=HPE => disk: held: `facts.manufacturer == 'Dell'` does not hold
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | held `facts.manufacturer == 'Dell'` is unknown: fact `manufacturer` is not known
        | boot ipxe efi: its own disk: held: `facts.manufacturer == 'Dell'` is unknown: fact `manufacturer` is not known
        | facts manufacturer HPE, firmware efi
        | held `facts.manufacturer == 'Dell'` does not hold
        | boot ipxe efi: its own disk: held: `facts.manufacturer == 'Dell'` does not hold
        | released by an operator
        | held `facts.manufacturer == 'Dell'` does not hold
        | boot ipxe efi: its own disk: held: `facts.manufacturer == 'Dell'` does not hold
        | facts manufacturer Dell, firmware efi
        | released the unmet expectation is over
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision df453fd
        | boot ipxe efi: installer (attempt 1)
        | facts manufacturer HPE, firmware efi
        | held `facts.manufacturer == 'Dell'` does not hold
        | boot ipxe efi: its own disk: held: `facts.manufacturer == 'Dell'` does not hold
        ",
    );
    replay(
        &[("expect", &expect), ("a", A)],
        "
        boot c1 => disk: held: `facts.manufacturer == 'Dell'` is unknown: fact `manufacturer` is not known
        edit a
        boot c1 => #1: esxi
        ",
    );
}

#[test]
fn a_lost_state_holds_every_machine_until_an_operator_declares_it() {
    let two = format!("{A}[node.b]\nmac = \"52:54:00:00:00:02\"\ninstalls = 0\ntask = \"esxi\"\n");
    for (answer, marked, next) in [("installed", 1, "disk"), ("new", 0, "#2: esxi")] {
        let story = format!(
            "
            boot c1 => #1: esxi
            lost
            nodes => a held, b held
            status a => held: the state directory does not know this site; 0 of 1
            boot c1 => disk: held: the state directory does not know this site
            boot c9 => disk: held: the state directory does not know this site
            restart
            boot c1 => disk: held: the state directory does not know this site
            release a => a is released; an installation is due at its next network boot
            boot c1 => disk: held: the state directory does not know this site
            declare {answer} => {marked} marked
            boot c1 => {next}
            boot c2 => disk: protected: its `installs` is 0
            "
        );
        replay(&[("two", &two)], &story);
    }
}

#[test]
fn the_first_boot_of_a_declared_machine_is_forecast_to_wait_for_the_rate() {
    let nodes = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n[node.b]\nmac = \"52:54:00:00:00:02\"\ntask = \"esxi\"\n";
    let site = format!("[limits]\ninstalls-per-hour = 1\n====={nodes}");
    replay(
        &[("a", &site)],
        "
        explain b => installer (installs wanted 1, done 0)
        boot c1 => #1: esxi
        explain b => a wait, then the installer: 1 installation began within the last hour (`installs-per-hour`)
        boot c2 as=w => wait: 1 installation began within the last hour (`installs-per-hour`)
        ",
    );
}

#[test]
fn log_lines_above_the_budget_are_counted_and_stages_are_not_lost() {
    let mut lab = Lab::new(&[("a", A)]);
    lab.step("boot c1");
    lab.step("read #1 ks.cfg");
    let before = lab.written().len();
    for number in 0..20_000 {
        lab.step(&format!("log #1 info line {number}"));
        lab.step(&format!("callback #1 own-{number}"));
    }
    lab.step("callback #1 installed");
    lab.step("wait 1m");
    let written = lab.written().split_off(before);
    let bytes: usize = written.iter().map(|line| line.len() + 1).sum();
    assert!(bytes < 400 << 10, "{bytes} bytes");
    let logged = written
        .iter()
        .filter(|line| line.contains(r#""event":"log""#));
    assert!(logged.count() > 200);
    let installed = r#""stage":"installed""#;
    assert!(written.iter().any(|line| line.contains(installed)));
    let suppressed = written.iter().filter(|line| line.contains("suppressed"));
    let suppressed: Vec<&String> = suppressed.collect();
    assert_eq!(suppressed.len(), 1, "{suppressed:?}");
    lab.step("restart");
}

#[test]
fn one_request_writes_one_line_about_its_invalid_values() {
    let mut lab = Lab::new(&[("a", "")]);
    lab.transaction(|transaction| {
        let report = Report {
            macs: vec!["52:54:00:00:00:09".parse().unwrap()],
            ..Report::default()
        };
        transaction.boot(&NetworkBoot {
            report,
            dropped: (0..700).map(|number| format!("mac `{number}`")).collect(),
            ..NetworkBoot::default()
        })
    });
    let written = lab.written();
    let dropped: Vec<&String> = written
        .iter()
        .filter(|line| line.contains("dropped"))
        .collect();
    assert_eq!(dropped.len(), 1);
    assert!(dropped[0].contains("; and 696 more"), "{dropped:?}");
    assert!(written.len() <= 4 && dropped[0].len() < 400, "{written:?}");
}
