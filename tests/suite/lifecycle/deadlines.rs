//! A missed deadline changes the status of a machine, and never what it gets.

use crate::support::story::replay;

const A: &str = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n";

#[test]
fn each_deadline_ends_at_its_stage() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        last a => installer served, 0 s ago; document due in 10 m
        wait 9m
        status a => bound; 0 of 1
        wait 1m
        status a => failed: no `document` in time (reports still accepted); 0 of 1
        boot c1 => #1 again
        wait 12m
        read #1 ks.cfg
        status a => installing; 0 of 1
        wait 44m
        status a => installing; 0 of 1
        wait 1m
        status a => failed: no `installing` in time (reports still accepted); 0 of 1
        wait 12m
        callback #1 installing
        status a => installing; 0 of 1
        wait 60m
        status a => failed: no `installed` in time (reports still accepted); 0 of 1
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        callback #1 installed
        status a => installed; 1 of 1
        wait 30m
        status a => failed: no `finished` in time (reports still accepted); 1 of 1
        boot c1 => disk
        wait 12m
        callback #1 finished
        status a => finished; 1 of 1
        wait 10d
        status a => finished; 1 of 1
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | failed no `document` for 10 m
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | failed no `installing` for 45 m
        | installing reported by the machine; late by 12 m
        | failed no `installed` for 1 h
        | boot ipxe efi: its own disk: its installation may be done; its disk is tried first
        | installed reported by the machine; late by 0 s
        | failed no `finished` for 30 m
        | boot ipxe efi: its own disk: nothing is due
        | finished reported by the machine; late by 12 m
        ",
    );
}

#[test]
fn without_installing_the_deadline_of_installed_begins_at_the_document() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        wait 45m
        status a => failed: no `installing` in time (reports still accepted); 0 of 1
        wait 14m
        status a => failed: no `installing` in time (reports still accepted); 0 of 1
        wait 1m
        status a => failed: no `installed` in time (reports still accepted); 0 of 1
        wait 5m
        callback #1 installed
        status a => installed; 1 of 1
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | failed no `installing` for 45 m
        | failed no `installed` for 1 h
        | installed reported by the machine; late by 5 m
        ",
    );
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        wait 50m
        callback #1 installed
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | failed no `installing` for 45 m
        | installed reported by the machine
        ",
    );
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        wait 55m
        callback #1 installing
        status a => installing; 0 of 1
        wait 59m
        status a => installing; 0 of 1
        wait 1m
        status a => failed: no `installed` in time (reports still accepted); 0 of 1
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | failed no `installing` for 45 m
        | installing reported by the machine; late by 10 m
        | failed no `installed` for 1 h
        ",
    );
}

#[test]
fn deadlines_are_settings_of_node_policy_and_defaults() {
    let site = "[defaults]\ndeadlines = { document = \"1m\", installing = \"2m\" }\n[policy.p]\ntask = \"esxi\"\ndeadlines = { installing = \"3m\", installed = \"4m\" }\n[node.a]\nmac = \"52:54:00:00:00:01\"\npolicy = \"p\"\ndeadlines = { installed = \"5m\" }\n";
    replay(
        &[("", site)],
        "
        boot c1 => #1: esxi by policy p
        last a => installer served, 0 s ago; document due in 1 m
        read #1 ks.cfg
        last a => ks.cfg, 0 s ago; installing due in 3 m
        callback #1 installing
        last a => installing, 0 s ago; installed due in 5 m
        callback #1 installed
        last a => installed, 0 s ago; finished due in 30 m
        ",
    );
}

#[test]
fn a_custom_stage_meets_no_deadline() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 partitioned
        wait 45m
        status a => failed: no `installing` in time (reports still accepted); 0 of 1
        callback #1 copied
        status a => failed: no `installing` in time (reports still accepted); 0 of 1
        callback #1 installing
        status a => installing; 0 of 1
        ",
    );
}

#[test]
fn a_task_without_a_finished_report_has_no_deadline() {
    replay(
        &[(
            "",
            "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"no-report\"\n",
        )],
        "
        boot c1 => #1: no-report
        read #1 ks.cfg
        callback #1 installed
        wait 31m
        status a => installed; 1 of 1
        last a => installed, 31 m ago
        ",
    );
}

#[test]
fn after_a_start_each_deadline_is_at_least_fifteen_minutes_away() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        wait 9m
        restart
        last a => installer served, 9 m ago; document due in 15 m
        wait 14m
        status a => bound; 0 of 1
        wait 1m
        status a => failed: no `document` in time (reports still accepted); 0 of 1
        restart
        wait 20m
        read #1 ks.cfg
        restart
        last a => ks.cfg, 0 s ago; installing due in 45 m
        clock +12h
        restart
        last a => ks.cfg, 12 h ago; installing due in 15 m
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | failed no `document` for 10 m
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        ",
    );
    // A deadline that was missed is still missed after a restart, and not later.
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 installing
        wait 70m
        restart
        status a => failed: no `installed` in time (reports still accepted); 0 of 1
        wait 2m
        callback #1 installed
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | installing reported by the machine
        | failed no `installed` for 1 h
        | installed reported by the machine; late by 12 m
        ",
    );
}

#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        clock +40h
        status a => bound; 0 of 1
        boot c1 => #1 again
        clock -80h
        boot c1 => #1 again
        read #1 ks.cfg
        clock +30h
        status a => installing; 0 of 1
        read #1 other.cfg
        wait 44m
        status a => installing; 0 of 1
        clock -1h
        wait 1m
        status a => failed: no `installing` in time (reports still accepted); 0 of 1
        ",
    );
}
