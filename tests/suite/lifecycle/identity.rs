//! Which machine a report belongs to: reports, declarations and histories.

use crate::support::story::replay;

/// One node by its MAC address.
const A: &str = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n";

/// A policy that binds every machine that boots.
const ANY: &str = "[policy.any]\nwhen = \"true\"\naccept = \"discovered\"\ntask = \"esxi\"\n";

#[test]
fn spelling_makes_no_other_machine_and_placeholders_identify_none() {
    let site = "[node.a]\nserial = \"CZ 1x\"\ntask = \"esxi\"\n[node.b]\nuuid = \"4c4c4544-0042-4410-8053-b4c04f4d3232\"\ntask = \"esxi\"\n";
    replay(
        &[("", site)],
        "
        boot serial=cz_1X => #1: esxi
        boot uuid=4C4C4544004244108053B4C04F4D3232 => #2: esxi
        boot mac=52-54-00-00-00-0A => disk
        boot mac=5254.0000.000a => disk
        boot mac=00:00:00:00:00:00 => disk: no identity was reported
        boot mac=ff:ff:ff:ff:ff:ff => disk: no identity was reported
        boot serial=To_be_filled_by_O.E.M. uuid=00000000-0000-0000-0000-000000000000 asset=None => disk: no identity was reported
        boot uuid=FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF serial=Default_string => disk: no identity was reported
        boot serial=123456789 => disk: no identity was reported
        nodes => a bound, b bound, 52-54-00-00-00-0a discovered
        ",
    );
}

#[test]
fn a_board_identifies_only_nodes_that_declare_it_and_no_mac() {
    let site = format!("{A}serial = \"S1\"\n[node.b]\nasset = \"B7\"\ntask = \"debian\"\n");
    replay(
        &[("", &site)],
        "
        boot c1 serial=S1 => #1: esxi
        boot c2 asset=b7 => #2: debian
        boot c3 serial=S1 => disk: its serial number matches a, its MAC addresses do not: was the board replaced?
        status a => bound; 0 of 1
        log a
        | seen mac 52:54:00:00:00:01, serial s1
        | node declared as a
        | facts serial S1, firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 7eba496
        | boot ipxe efi: installer (attempt 1)
        boot c1 serial=S1 => #1 again
        status a => bound; 0 of 1
        boot c1 serial=S9 => disk: its MAC address matches a, its serial number `s9` does not: was the NIC moved?
        status a => bound; 0 of 1
        release a => a is released; an installation is due at its next network boot
        boot c1 serial=S9 => disk: its MAC address matches a, its serial number `s9` does not: was the NIC moved?
        boot c1 => #1 again
        boot c1 serial=None => #1 again
        ",
    );
}

#[test]
fn the_first_machine_that_matches_a_node_without_macs_keeps_it() {
    let declared = "[node.a]\nmac = \"52:54:00:00:00:02\"\nserial = \"S1\"\ntask = \"esxi\"\n";
    replay(
        &[
            ("serial", "[node.a]\nserial = \"S1\"\ntask = \"esxi\"\n"),
            ("card", declared),
        ],
        "
        boot c1 serial=S1 => #1: esxi
        boot c2 serial=S1 => disk: two machines match a: add its `mac`
        boot c1 serial=S1 => #1 again
        nodes => a bound
        edit card
        boot c2 serial=S1 => #1 again, rendered again
        boot c1 serial=S1 => disk: 52:54:00:00:00:01 was a NIC of a, and it is not known whether it still is: declare it, as a `mac` of a or of another node
        nodes => a bound
        ",
    );
}

#[test]
fn a_report_with_macs_of_two_nodes_boots_its_disk_and_changes_neither() {
    let both = format!("{A}[node.b]\nmac = \"52:54:00:00:00:02\"\ntask = \"esxi\"\n");
    replay(
        &[("", &both)],
        "
        boot c1 c2 => disk: declarations a and b match the same machine: correct their `mac`
        nodes => a bound, b bound
        status b => bound; 0 of 1
        boot c1 => #1: esxi
        status a => bound; 0 of 1
        boot c2 => #2: esxi
        status b => bound; 0 of 1
        ",
    );
}

#[test]
fn two_declarations_that_claim_one_history_install_nothing() {
    let one = A.replace(
        "\"52:54:00:00:00:01\"",
        "[\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]",
    );
    let two = format!("{A}[node.b]\nmac = \"52:54:00:00:00:02\"\ntask = \"esxi\"\n");
    replay(
        &[("one", &one), ("two", &two)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 installed
        edit two
        boot c1 => disk: declarations a and b match the history of one machine: correct their identities
        boot c2 => disk: declarations a and b match the history of one machine: correct their identities
        nodes => a installed, b installed
        status b => installed: declarations a and b match the history of one machine: correct their identities; 1 of 1
        edit one
        boot c2 => disk
        status a => installed; 1 of 1
        ",
    );
}

#[test]
fn undeclared_histories_are_not_merged_by_the_macs_that_a_report_lists() {
    let declared = "[node.a]\nmac = \"52:54:00:00:00:03\"\ntask = \"esxi\"\n";
    replay(
        &[("none", ""), ("declared", declared)],
        "
        boot c1 serial=S => disk
        wait 1m
        boot c2 serial=S => disk
        nodes => 52-54-00-00-00-01 discovered, 52-54-00-00-00-02 discovered
        boot c1 c2 => disk
        nodes => 52-54-00-00-00-01 discovered, 52-54-00-00-00-02 discovered
        log 52-54-00-00-00-01
        | seen mac 52:54:00:00:00:01
        | facts serial S, firmware efi
        | boot ipxe efi: its own disk: nothing is due
        | nics 52:54:00:00:00:01, 52:54:00:00:00:02
        | boot ipxe efi: its own disk: nothing is due
        boot c3 => disk
        edit declared
        boot c1 c3 => disk: it boots from 52:54:00:00:00:01 and also has 52:54:00:00:00:03, which a declares: add 52:54:00:00:00:01 to the `mac` of a
        nodes => a bound, 52-54-00-00-00-01 discovered, 52-54-00-00-00-02 discovered
        boot c2 => disk
        log a
        | seen mac 52:54:00:00:00:03
        | facts firmware efi
        | boot ipxe efi: its own disk: nothing is due
        | node declared as a
        ",
    );
}

#[test]
fn a_listed_mac_neither_merges_histories_nor_continues_an_attempt() {
    replay(
        &[("none", ""), ("any", ANY)],
        "
        boot c2 => disk
        wait 1m
        edit any
        boot c1 => #1: esxi by policy any
        boot c1 c2 => #1 again
        wait 1m
        read #1 ks.cfg
        callback #1 installing
        status 52-54-00-00-00-01 => installing; 0 of 1
        restart
        boot c2 => #2: esxi by policy any
        callback #1 installed
        boot c1 => disk
        boot c2 => #2 again
        nodes => 52-54-00-00-00-02 bound, 52-54-00-00-00-01 installed
        log 52-54-00-00-00-02
        | seen mac 52:54:00:00:00:02
        | facts firmware efi
        | boot ipxe efi: its own disk: nothing is due
        | bound by policy any
        | attempt 1 opened: task esxi, revision 4c9468d
        | boot ipxe efi: installer (attempt 1)
        | boot ipxe efi: installer (attempt 1)
        ",
    );
}

/// A declaration of both NICs merges their histories. What each has installed counts.
#[test]
fn attempts_of_two_histories_continue_when_one_declaration_claims_both() {
    let both = "[node.a]\nmac = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]\ntask = \"esxi\"\n";
    let sites = [("any", ANY), ("both", both)];
    // If both have an open attempt, the one that may be writing the disk continues.
    replay(
        &sites,
        "
        boot c1 => #1: esxi by policy any
        wait 1m
        boot c2 => #2: esxi by policy any
        read #2 ks.cfg
        edit both
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #2
        read #1 ks.cfg => 404
        read #2 ks.cfg
        restart
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #2
        callback #2 installed
        boot c2 => disk
        ",
    );
    // An attempt of which nothing was read is no longer due when the other history has installed the machine.
    replay(
        &sites,
        "
        boot c1 => #1: esxi by policy any
        wait 1m
        boot c2 => #2: esxi by policy any
        read #2 ks.cfg
        callback #2 installed
        edit both
        boot c1 => disk
        read #1 ks.cfg => 404
        status a => installed; 1 of 1
        ",
    );
    // An operator's request remains if the other history has an open attempt.
    replay(
        &sites,
        "
        boot c1 => #1: esxi by policy any
        wait 1m
        boot c2 => #2: esxi by policy any
        read #2 ks.cfg
        reinstall 52-54-00-00-00-02 => 52-54-00-00-00-02 will be installed once more at its next network boot
        edit both
        boot c1 => #3: esxi
        read #2 ks.cfg => 404
        read #3 ks.cfg
        callback #3 installed
        boot c1 => disk
        ",
    );
}

#[test]
fn the_histories_of_a_declaration_merge_when_it_is_loaded() {
    let other = A.replace("00:01", "00:02");
    replay(
        &[
            ("a", &format!("{A}{ANY}")),
            ("other", &format!("{other}{ANY}")),
        ],
        "
        mark a => a counts as installed
        boot c2 => #1: esxi by policy any
        edit other
        hold a => a is held until `bootwright release a`
        read #1 ks.cfg => 404
        release a => a is released; nothing is due
        read #1 ks.cfg => 404
        boot c2 => disk
        nodes => a installed
        ",
    );
}

#[test]
fn a_machine_stays_the_same_when_renamed_moved_or_given_a_new_nic() {
    let renamed = A.replace("node.a", "node.b");
    let recarded = A.replace("00:01", "00:02");
    let renamed_recarded = recarded.replace("node.a", "node.c");
    replay(
        &[
            ("a", A),
            ("renamed", &renamed),
            ("none", ""),
            ("recarded", &recarded),
            ("both", &renamed_recarded),
        ],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 installed
        callback #1 finished
        edit renamed
        boot c1 => disk
        nodes => b finished
        edit none
        boot c1 => disk: protected: its declaration is gone
        status b => protected: its declaration is gone; 1 of 1
        edit a
        boot c1 => disk
        status a => finished; 1 of 1
        edit recarded
        boot c2 => disk
        boot c1 => disk: 52:54:00:00:00:01 was a NIC of a, and it is not known whether it still is: declare it, as a `mac` of a or of another node
        status a => finished: took over the history of mac 52:54:00:00:00:01; reinstall it to install; 1 of 1
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | installed reported by the machine
        | finished reported by the machine
        | node declared as b
        | boot ipxe efi: its own disk: nothing is due
        | boot ipxe efi: its own disk: protected: its declaration is gone
        | node declared as a
        | boot ipxe efi: its own disk: nothing is due
        | node declared as a with mac 52:54:00:00:00:02; took over the history of mac 52:54:00:00:00:01
        | boot ipxe efi: its own disk: nothing is due
        restart
        status a => finished: took over the history of mac 52:54:00:00:00:01; reinstall it to install; 1 of 1
        edit both
        boot c2 => disk
        status c => finished: took over the history of mac 52:54:00:00:00:01; reinstall it to install; 1 of 1
        nodes => c finished
        ",
    );
}

#[test]
fn exchanged_names_leave_each_machine_its_history() {
    let two = |a: &str, b: &str| {
        format!(
            "[node.{a}]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n[node.{b}]\nmac = \"52:54:00:00:00:02\"\ntask = \"esxi\"\n"
        )
    };
    replay(
        &[("straight", &two("a", "b")), ("crossed", &two("b", "a"))],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 installed
        edit crossed
        nodes => a bound, b installed
        boot c1 => disk
        boot c2 => #2: esxi
        ",
    );
}

#[test]
fn a_name_taken_over_installs_only_on_request() {
    let other = A.replace("00:01", "00:09");
    replay(
        &[("a", A), ("other", &other)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 installed
        edit other
        status a => installed: took over the history of mac 52:54:00:00:00:01; reinstall it to install; 1 of 1
        boot c9 => disk
        status a => installed: took over the history of mac 52:54:00:00:00:01; reinstall it to install; 1 of 1
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | installed reported by the machine
        | node declared as a with mac 52:54:00:00:00:09; took over the history of mac 52:54:00:00:00:01
        | boot ipxe efi: its own disk: nothing is due
        reinstall a => a will be installed once more at its next network boot
        status a => bound; 1 of 1
        boot c9 => #2: esxi
        status a => bound; 1 of 1
        read #2 ks.cfg
        callback #2 installed
        status a => installed; 1 of 1
        ",
    );
    replay(
        &[("a", A), ("other", &other)],
        "
        mark a => a counts as installed
        edit other
        status a => installed: took over the history of mac 52:54:00:00:00:01; reinstall it to install; 1 of 1
        mark a => a counts as installed
        status a => installed: set by an operator; 1 of 1
        ",
    );
    // A machine that was never installed is installed anyway, without a warning.
    replay(
        &[("a", A), ("other", &other)],
        "
        boot c1 => #1: esxi
        edit other
        status a => bound; 0 of 1
        boot c9 => #1 again, rendered again
        ",
    );
    // Another NIC does not make it another machine.
    let more = A.replace(
        "\"52:54:00:00:00:01\"",
        "[\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]",
    );
    replay(
        &[("a", A), ("more", &more)],
        "
        mark a => a counts as installed
        edit more
        status a => installed: set by an operator; 1 of 1
        boot c2 => disk
        ",
    );
}

#[test]
fn a_machine_that_was_declared_or_installed_does_not_become_undeclared() {
    let any = format!("{ANY}{A}");
    replay(
        &[("both", &any), ("any", ANY)],
        "
        boot c1 => #1: esxi
        edit any
        boot c1 => disk: protected: its declaration is gone
        status a => protected: its declaration is gone; 0 of 1
        boot c2 serial=S2 => #2: esxi by policy any
        read #2 ks.cfg
        callback #2 installed
        boot c2 serial=S2 => disk
        boot c3 serial=S2 => disk
        status 52-54-00-00-00-03 => discovered; 0 of 1
        forget 52-54-00-00-00-02 => refused: 52-54-00-00-00-02 was installed: forgotten, it may be installed again; use --wipe-allowed if that is intended
        forget 52-54-00-00-00-02 --wipe-allowed => 52-54-00-00-00-02 is forgotten
        boot c2 serial=S2 => #3: esxi by policy any
        ",
    );
}

#[test]
fn forget_needs_confirmation_if_it_could_wipe() {
    replay(
        &[("a", A)],
        "
        forget a => refused: a is declared: forgotten, it may be installed again; use --wipe-allowed if that is intended
        forget a --wipe-allowed => a is forgotten
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 installed
        forget a => refused: a was installed: forgotten, it may be installed again; use --wipe-allowed if that is intended
        forget a --wipe-allowed => a is forgotten
        callback #1 finished => 404
        boot c1 => #2: esxi
        boot c2 => disk
        forget 52-54-00-00-00-02 => 52-54-00-00-00-02 is forgotten
        nodes => a bound
        forget nobody => refused: there is no node `nobody`
        ",
    );
}

#[test]
fn the_oldest_undeclared_machine_is_dropped_at_the_limit() {
    let two = format!(
        "[limits]\ndiscovered = 2\n====={A}[policy.gpu]\nwhen = \"facts.manufacturer == 'Nvidia'\"\naccept = \"discovered\"\ntask = \"esxi\"\n"
    );
    replay(
        &[("two", &two)],
        "
        boot c1 => #1: esxi
        boot c2 maker=Nvidia => #2: esxi by policy gpu
        wait 1m
        boot c3 => disk
        hold 52-54-00-00-00-03 => 52-54-00-00-00-03 is held until `bootwright release 52-54-00-00-00-03`
        wait 1m
        boot c4 => disk
        mark 52-54-00-00-00-04 => 52-54-00-00-00-04 counts as installed
        wait 1m
        boot c5 => disk
        wait 1m
        boot c6 => disk
        wait 1m
        boot c5 => disk
        wait 1m
        boot c7 => disk
        nodes => a bound, 52-54-00-00-00-05 discovered, 52-54-00-00-00-04 installed, 52-54-00-00-00-02 bound, 52-54-00-00-00-07 discovered, 52-54-00-00-00-03 held
        ",
    );
}
