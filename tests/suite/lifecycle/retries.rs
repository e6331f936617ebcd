//! An installation that fails without a report, and one whose callbacks are lost.

use crate::support::story::replay;

const A: &str = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n";

#[test]
fn a_callback_and_a_boot_within_five_minutes_is_another_attempt() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        log #1 info starting
        wait 10m
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        wait 6m
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        wait 5m
        boot c1 => #2: esxi
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | log info: starting
        | boot ipxe efi: its own disk: its installation may be done; its disk is tried first
        | boot ipxe efi: its own disk: its installation may be done; its disk is tried first
        | failed attempt 1: its disk does not boot: it booted from the network again within 5 minutes
        | attempt 2 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 2)
        ",
    );
}

#[test]
fn a_callback_and_no_disk_is_another_attempt() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 installing
        wait 10m
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        callback #1 no-disk
        wait 1h
        boot c1 => #2: esxi
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
        | boot ipxe efi: its own disk: its installation may be done; its disk is tried first
        | no-disk reported by the machine
        | failed no `installed` for 1 h
        | failed attempt 1: its disk does not boot: reported by the boot script
        | attempt 2 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 2)
        ",
    );
}

#[test]
fn any_callback_of_the_installer_is_a_callback() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        fact #1 rack 7
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        wait 1m
        boot c1 => #2: esxi
        ",
    );
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 partitioned
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        wait 1m
        boot c1 => #2: esxi
        ",
    );
}

#[test]
fn without_callbacks_a_machine_is_installed_once() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        wait 10m
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        wait 10m
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        wait 3m
        boot c1 => disk: held: its disk does not boot, and no callback was received
        status a => held: its disk does not boot, and no callback was received; 0 of 1
        boot c1 => disk: held: its disk does not boot, and no callback was received
        release a => a is released; an installation is due at its next network boot
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        wait 3m
        boot c1 => disk: held: its disk does not boot, and no callback was received
        reinstall a => a will be installed once more at its next network boot
        boot c1 => #2: esxi
        ",
    );
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        callback #1 no-disk
        wait 1h
        boot c1 => disk: held: its disk does not boot, and no callback was received
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | boot ipxe efi: its own disk: its installation may be done; its disk is tried first
        | no-disk reported by the machine
        | failed no `installing` for 45 m
        | failed no `installed` for 1 h
        | held its disk does not boot, and no callback was received
        | boot ipxe efi: its own disk: held: its disk does not boot, and no callback was received
        ",
    );
}

#[test]
fn a_reported_error_is_another_attempt_until_the_retries_are_used_up() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 failed no space
        status a => failed: no space; 0 of 1
        boot c1 => #2: esxi
        read #2 ks.cfg
        callback #2 failed still no space
        boot c1 => #3: esxi
        read #3 ks.cfg
        callback #3 failed
        status a => failed: no reason given; 0 of 1
        boot c1 => disk: held: 3 attempts failed: no reason given
        status a => held: 3 attempts failed: no reason given; 0 of 1
        boot c1 => disk: held: 3 attempts failed: no reason given
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | failed reported by the machine: no space
        | attempt 2 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 2)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | failed reported by the machine: still no space
        | attempt 3 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 3)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | failed reported by the machine
        | held 3 attempts failed: no reason given
        | boot ipxe efi: its own disk: held: 3 attempts failed: no reason given
        | boot ipxe efi: its own disk: held: 3 attempts failed: no reason given
        release a => a is released; an installation is due at its next network boot
        boot c1 => #4: esxi
        read #4 ks.cfg
        callback #4 failed again
        reinstall a => a will be installed once more at its next network boot
        boot c1 => #5: esxi
        ",
    );
}

#[test]
fn retries_are_a_setting() {
    let none = format!("{A}retries = 0\n");
    replay(
        &[("none", &none)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 failed once
        boot c1 => disk: held: 1 attempt failed: once
        ",
    );
}

#[test]
fn a_restart_resets_the_five_minutes() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 installing
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        restart
        wait 1m
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        clock +3h
        boot c1 => #2: esxi
        ",
    );
}

#[test]
fn after_installed_there_is_no_retry() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 installed
        callback #1 failed first boot broke
        status a => failed: first boot broke; 1 of 1
        boot c1 => disk
        wait 1m
        boot c1 => disk
        callback #1 no-disk
        boot c1 => disk
        status a => failed: first boot broke; 1 of 1
        callback #1 finished
        status a => finished; 1 of 1
        callback #1 failed and again
        status a => failed: and again; 1 of 1
        ",
    );
}

#[test]
fn installed_from_any_attempt_closes_every_open_one() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 failed it thought so
        boot c1 => #2: esxi
        callback #1 failed it still thinks so
        callback #1 installed
        status a => installed; 1 of 1
        read #2 ks.cfg => 404
        boot c1 => disk
        callback #2 failed whatever
        status a => failed: whatever; 1 of 1
        boot c1 => disk
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | failed reported by the machine: it thought so
        | attempt 2 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 2)
        | installed reported by the machine
        | refused ks.cfg: its token has ended
        | boot ipxe efi: its own disk: nothing is due
        | failed reported by the machine: whatever
        | boot ipxe efi: its own disk: nothing is due
        ",
    );
}

#[test]
fn a_failure_of_an_older_attempt_is_logged_only() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 installing
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        wait 1m
        boot c1 => #2: esxi
        callback #1 failed late news
        status a => bound; 0 of 1
        boot c1 => #2 again
        read #2 ks.cfg
        callback #1 installed => 404
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
        | boot ipxe efi: its own disk: its installation may be done; its disk is tried first
        | failed attempt 1: its disk does not boot: it booted from the network again within 5 minutes
        | attempt 2 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 2)
        | failed reported by the machine: late news
        | boot ipxe efi: installer (attempt 2)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | refused stage installed: its token has ended
        ",
    );
}
