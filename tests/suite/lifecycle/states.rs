//! States, and when an installation is due.

use crate::support::story::replay;

fn a(installs: u32) -> String {
    format!("[node.a]\nmac = \"52:54:00:00:00:01\"\ninstalls = {installs}\ntask = \"esxi\"\n")
}

#[test]
fn each_state_shows_what_the_next_boot_gets() {
    replay(
        &[("a", &a(1)), ("zero", &a(0)), ("none", "")],
        "
        status a => bound; 0 of 1
        boot c1 => #1: esxi
        status a => bound; 0 of 1
        serve #1 ks.cfg
        break #1 ks.cfg
        status a => bound; 0 of 1
        read #1 ks.cfg
        status a => installing; 0 of 1
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        callback #1 installing
        status a => installing; 0 of 1
        callback #1 installed
        status a => installed; 1 of 1
        boot c1 => disk
        callback #1 finished
        status a => finished; 1 of 1
        boot c1 => disk
        callback #1 failed first boot broke
        status a => failed: first boot broke; 1 of 1
        boot c1 => disk
        hold a => a is held until `bootwright release a`
        status a => held: being repaired; 1 of 1
        boot c1 => disk: held: being repaired
        release a => a is released; nothing is due
        edit zero
        status a => protected: its `installs` is 0; 1 of 0
        boot c1 => disk: protected: its `installs` is 0
        edit none
        status a => protected: its declaration is gone; 1 of 1
        boot c1 => disk: protected: its declaration is gone
        boot c2 => disk
        status 52-54-00-00-00-02 => discovered; 0 of 1
        nodes => a protected, 52-54-00-00-00-02 discovered
        ",
    );
}

#[test]
fn an_explanation_shows_what_the_next_boot_gets() {
    let expect = a(1) + "expect = \"facts.cores == 4\"\n";
    replay(
        &[("a", &a(1)), ("zero", &a(0)), ("expect", &expect)],
        "
        explain a => installer (installs wanted 1, done 0)
        pause
        explain a => its own disk: paused: no installation begins until `bootwright resume`
        boot c1 => disk: paused: no installation begins until `bootwright resume`
        explain a => its own disk: paused: no installation begins until `bootwright resume`
        resume
        edit expect
        explain a => its own disk: `facts.cores == 4` is unknown: fact `cores` is not known
        edit a
        boot c1 => #1: esxi
        explain a => installer (installs wanted 1, done 0)
        serve #1 ks.cfg
        read #1 ks.cfg
        explain a => its own disk first: an installation runs
        callback #1 installed
        explain a => its own disk (installs wanted 1, done 1)
        reinstall a => a will be installed once more at its next network boot
        explain a => installer (requested by an operator; installs wanted 1, done 1)
        hold a => a is held until `bootwright release a`
        explain a => its own disk: it is held
        release a => a is released; an installation is due at its next network boot
        edit zero
        explain a => its own disk: it is protected
        boot c2 => disk
        explain 52-54-00-00-00-02 => what the network's `unknown` sets: nothing binds it
        explain b => unknown
        ",
    );
}

#[test]
fn a_deleted_declaration_protects_only_its_own_attempts() {
    replay(
        &[("a", &a(1)), ("none", "")],
        "
        boot c2 => disk
        edit none
        boot c1 => disk
        status 52-54-00-00-00-01 => discovered; 0 of 1
        edit a
        boot c1 => #1: esxi
        edit none
        status a => protected: its declaration is gone; 0 of 1
        boot c1 => disk: protected: its declaration is gone
        read #1 ks.cfg => 404
        reinstall a => refused: a is protected: its declaration was removed; declare it again first
        edit a
        boot c1 => #1 again
        ",
    );
}

#[test]
fn an_installation_is_due_when_installs_exceeds_done() {
    replay(
        &[("1", &a(1)), ("2", &a(2)), ("5", &a(5)), ("0", &a(0))],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        edit 2
        callback #1 installed
        status a => bound; 1 of 2
        boot c1 => #2: esxi
        read #2 ks.cfg
        callback #2 installed
        status a => installed; 2 of 2
        boot c1 => disk
        edit 5
        status a => bound; 2 of 5
        last a => booted its disk, 0 s ago; waiting for a network boot
        boot c1 => #3: esxi
        read #3 ks.cfg
        callback #3 installed
        status a => installed; 5 of 5
        boot c1 => disk
        edit 1
        boot c1 => disk
        status a => installed; 5 of 1
        edit 0
        boot c1 => disk: protected: its `installs` is 0
        edit 5
        boot c1 => disk
        ",
    );
}

#[test]
fn an_increase_of_installs_taken_back_before_a_read_installs_nothing() {
    replay(
        &[("1", &a(1)), ("2", &a(2))],
        "
        mark a => a counts as installed
        edit 2
        boot c1 as=x => #1: esxi
        edit 1
        read #1 ks.cfg => 404
        boot c1 as=x => disk
        boot c1 => disk
        status a => installed: set by an operator; 1 of 1
        log a
        | node declared as a with mac 52:54:00:00:00:01
        | marked installed, by an operator
        | seen boots from 52:54:00:00:00:01
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision c6d0054
        | boot ipxe efi: installer (attempt 1)
        | refused ks.cfg: no installation is due
        | closed attempt 1: no installation is due
        | boot ipxe efi: its own disk: nothing is due
        | boot ipxe efi: its own disk: nothing is due
        edit 2
        boot c1 => #2: esxi
        ",
    );
}

#[test]
fn mark_records_an_installation_and_closes_the_attempt() {
    replay(
        &[("2", &a(2)), ("3", &a(3))],
        "
        mark a => a counts as installed
        status a => installed: set by an operator; 2 of 2
        boot c1 => disk
        edit 3
        status a => bound; 2 of 3
        boot c1 => #1: esxi
        mark a => a counts as installed
        status a => installed: set by an operator; 3 of 3
        read #1 ks.cfg => 404
        boot c1 => disk
        log a
        | node declared as a with mac 52:54:00:00:00:01
        | marked installed, by an operator
        | seen boots from 52:54:00:00:00:01
        | facts firmware efi
        | boot ipxe efi: its own disk: nothing is due
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision b47598f
        | boot ipxe efi: installer (attempt 1)
        | marked installed, by an operator
        | refused ks.cfg: its token has ended
        | boot ipxe efi: its own disk: nothing is due
        ",
    );
}

#[test]
fn reinstall_is_one_more_installation_and_keeps_the_counts() {
    replay(
        &[("1", &a(1)), ("0", &a(0)), ("none", "")],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        reinstall a => a will be installed once more at its next network boot
        status a => bound; 0 of 1
        read #1 other.cfg => 404
        boot c1 => #2: esxi
        read #2 ks.cfg
        callback #2 installed
        status a => installed; 1 of 1
        boot c1 => disk
        reinstall a => a will be installed once more at its next network boot
        reinstall a => a will be installed once more at its next network boot
        boot c1 => #3: esxi
        read #3 ks.cfg
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #3
        callback #3 installed
        boot c1 => disk
        status a => installed; 1 of 1
        edit 0
        reinstall a => refused: a is protected: its `installs` is 0; raise it first
        edit none
        reinstall a => refused: a is protected: its declaration was removed; declare it again first
        boot c9 => disk
        reinstall 52-54-00-00-00-09 => refused: nothing binds 52-54-00-00-00-09: declare it, or add a policy that binds it
        reinstall nobody => refused: there is no node `nobody`
        ",
    );
}

#[test]
fn an_undeclared_machine_that_a_policy_installed_can_be_reinstalled() {
    let any = "[policy.any]\nwhen = \"true\"\naccept = \"discovered\"\ntask = \"esxi\"\n";
    replay(
        &[("any", any)],
        "
        boot c1 => #1: esxi by policy any
        read #1 ks.cfg
        callback #1 installed
        boot c1 => disk
        reinstall 52-54-00-00-00-01 => 52-54-00-00-00-01 will be installed once more at its next network boot
        boot c1 => #2: esxi by policy any
        read #2 ks.cfg
        callback #2 installed
        boot c1 => disk
        status 52-54-00-00-00-01 => installed; 1 of 1
        ",
    );
}

#[test]
fn an_older_attempt_that_succeeds_after_all_is_what_counts() {
    replay(
        &[("a", &a(1))],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 installing
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        wait 2m
        boot c1 => #2: esxi
        status a => bound; 0 of 1
        callback #1 installed
        status a => installed; 1 of 1
        read #2 ks.cfg => 404
        boot c1 => disk
        last a => booted its disk, 0 s ago; finished due in 30 m
        wait 31m
        status a => failed: no `finished` in time (reports still accepted); 1 of 1
        callback #1 finished
        status a => finished; 1 of 1
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision ec4fd30
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | installing reported by the machine
        | boot ipxe efi: its own disk: its installation may be done; its disk is tried first
        | failed attempt 1: its disk does not boot: it booted from the network again within 5 minutes
        | attempt 2 opened: task esxi, revision ec4fd30
        | boot ipxe efi: installer (attempt 2)
        | installed reported by the machine
        | refused ks.cfg: its token has ended
        | boot ipxe efi: its own disk: nothing is due
        | failed no `finished` for 30 m
        | finished reported by the machine; late by 1 m
        ",
    );
}
