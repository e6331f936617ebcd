//! What counts as a network boot, and what opens an attempt.

use crate::support::story::replay;

const A: &str = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n";

#[test]
fn requests_of_one_boot_get_the_same_response() {
    let bumped = format!("{A}installs = 2\n");
    replay(
        &[("1", A), ("2", &bumped)],
        "
        mark a => a counts as installed
        boot c1 as=x => disk
        edit 2
        boot c1 as=x => disk
        wait 50s
        boot c1 as=- => disk
        wait 59s
        boot c1 as=- => disk
        wait 61s
        boot c1 as=- => #1: esxi
        boot c1 as=y => #1 again
        log a
        | node declared as a with mac 52:54:00:00:00:01
        | marked installed, by an operator
        | seen boots from 52:54:00:00:00:01
        | facts firmware efi
        | boot ipxe efi: its own disk: nothing is due
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 3e42978
        | boot ipxe efi: installer (attempt 1)
        | boot ipxe efi: installer (attempt 1)
        ",
    );
}

#[test]
fn an_operator_command_takes_effect_at_the_next_request_of_the_same_boot() {
    let zero = format!("{A}installs = 0\n");
    replay(
        &[("a", A), ("zero", &zero), ("none", "")],
        "
        boot c1 as=x => #1: esxi
        boot c1 as=x => #1 again
        hold a => a is held until `bootwright release a`
        boot c1 as=x => disk: held: being repaired
        release a => a is released; an installation is due at its next network boot
        boot c1 as=x => #1 again
        pause
        boot c1 as=x => disk: paused: no installation begins until `bootwright resume`
        resume
        boot c1 as=x2 => #1 again
        boot c1 as=x2 => #1 again
        edit zero
        boot c1 as=x2 => disk: protected: its `installs` is 0
        edit a
        boot c1 as=x3 => #1 again
        edit none
        boot c1 as=x3 => disk: protected: its declaration is gone
        edit a
        mark a => a counts as installed
        boot c1 as=x3 => disk
        reinstall a => a will be installed once more at its next network boot
        boot c1 as=x3 => #2: esxi
        ",
    );
}

#[test]
fn fifty_requests_are_one_attempt() {
    let mut story = String::from("boot c1 => #1: esxi\n");
    for _ in 1..50 {
        story += "wait 2m\nboot c1 => #1 again\n";
    }
    story += "status a => failed: no `document` in time (reports still accepted); 0 of 1\n";
    story += "read #1 ks.cfg\nstatus a => installing; 0 of 1\n";
    replay(&[("a", A)], &story);
}

#[test]
fn an_attempt_is_repeated_until_a_document_is_read_to_its_end() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        serve #1 ks.cfg
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        break #1 ks.cfg
        boot c1 => #1 again
        restart
        boot c1 => #1 again, rendered again
        serve #1 ks.cfg
        restart
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        status a => installing; 0 of 1
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | boot ipxe efi: its own disk: its installation may be done; its disk is tried first
        | document ks.cfg broken off
        | boot ipxe efi: installer (attempt 1)
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | boot ipxe efi: its own disk: its installation may be done; its disk is tried first
        ",
    );
}

#[test]
fn an_attempt_that_cannot_be_rendered_is_not_opened() {
    replay(
        &[("a", A)],
        "
        boot c1 as=x render=broken => disk: its installation cannot be prepared; see the server's log
        boot c1 as=x => #1: esxi
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | error the template is broken
        | boot ipxe efi: its own disk: the template is broken
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        ",
    );
}

#[test]
fn an_unconfirmed_machine_gets_no_token() {
    replay(
        &[("a", A)],
        "
        boot c1 from=c99 => disk: not confirmed: 198.51.100.2 is at 52:54:00:00:00:63, which is not a NIC of this machine
        boot c1 => #1: esxi
        boot c1 from=c99 => disk: not confirmed: 198.51.100.2 is at 52:54:00:00:00:63, which is not a NIC of this machine
        ",
    );
}

#[test]
fn undeclared_machines_boot_as_their_network_sets() {
    let networks = "[network.lab]\nsubnet = \"192.0.2.0/24\"\nunknown = \"discover\"\n[network.quiet]\nsubnet = \"198.51.100.0/24\"\nunknown = \"ignore\"\n";
    replay(
        &[("", networks)],
        "
        boot c1 on=quiet => disk
        nodes
        boot c1 => disk
        nodes => 52-54-00-00-00-01 discovered
        boot c1 on=lab => microkernel %1
        boot c1 on=quiet => disk
        boot c2 on=lab => microkernel %2
        mark 52-54-00-00-00-02 => 52-54-00-00-00-02 counts as installed
        boot c2 on=lab => disk
        log 52-54-00-00-00-02
        | seen mac 52:54:00:00:00:02
        | facts firmware efi
        | boot ipxe efi: microkernel
        | marked installed, by an operator
        | boot ipxe efi: its own disk: nothing is due
        ",
    );
}

#[test]
fn a_task_that_installs_nothing_opens_nothing() {
    replay(
        &[(
            "",
            "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"local\"\n",
        )],
        "
        boot c1 => script of local
        status a => bound; 0 of 1
        boot c1 => script of local
        ",
    );
}
