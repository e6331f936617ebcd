//! A disk that was installed has a seal. It protects the disk when the journal is lost, or is an old copy.

use crate::support::story::replay;

const A: &str = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"debian\"\n[node.b]\nmac = \"52:54:00:00:00:02\"\ntask = \"debian\"\n";
const TWICE: &str = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"debian\"\ninstalls = 2\n";
const ANY: &str = "[policy.any]\nwhen = \"true\"\naccept = \"discovered\"\ntask = \"debian\"\n";
const DISCOVER: &str = "[network.lab]\nsubnet = \"192.0.2.0/24\"\nunknown = \"discover\"\n[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"debian\"\n";

#[test]
fn an_old_copy_of_the_state_does_not_wipe_a_finished_machine() {
    replay(
        &[("a", A)],
        "
        copy
        boot c1 => #1: debian
        read #1 preseed.cfg
        leave #1 S
        callback #1 finished
        wait 1m
        status a => finished; 1 of 1
        rollback
        boot c1 => #2: debian
        read #2 preseed.cfg
        ask #2 S => keep: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`
        status a => held: sealed: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`; 0 of 1
        boot c1 => disk: held: sealed: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`
        release a => a is released; an installation is due at its next network boot
        boot c1 => #3: debian
        read #3 preseed.cfg
        ask #3 S => keep: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`
        mark a installed => a counts as installed
        boot c1 => disk
        reinstall a => a will be installed once more at its next network boot
        boot c1 => #4: debian
        read #4 preseed.cfg
        ask #4 S => overwrite
        callback #4 finished
        boot c1 => disk
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task debian, revision 3c15580
        | boot ipxe efi: installer (attempt 1)
        | document preseed.cfg asked for
        | document preseed.cfg (1.0 kB)
        | failed inferred: sealed: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`
        | held sealed: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`
        | boot ipxe efi: its own disk: held: sealed: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`
        | released by an operator
        | attempt 2 opened: task debian, revision 3c15580
        | boot ipxe efi: installer (attempt 2)
        | document preseed.cfg asked for
        | document preseed.cfg (1.0 kB)
        | failed inferred: sealed: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`
        | held sealed: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`
        | marked installed, by an operator
        | boot ipxe efi: its own disk: nothing is due
        | reinstall an operator requested another installation
        | attempt 3 opened: task debian, revision 3c15580
        | boot ipxe efi: installer (attempt 3)
        | document preseed.cfg asked for
        | document preseed.cfg (1.0 kB)
        | remark its disk has a seal, which is overwritten: an operator requested another installation
        | finished reported by the machine
        | boot ipxe efi: its own disk: nothing is due
        ",
    );
}

#[test]
fn a_copy_from_the_middle_of_an_installation_does_not_wipe_it_either() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: debian
        copy
        read #1 preseed.cfg
        leave #1 S
        callback #1 finished
        wait 1m
        rollback
        boot c1 => #1 again, rendered again
        read #1 preseed.cfg
        ask #1 S => keep: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`
        boot c1 => disk: held: sealed: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`
        release a => a is released; an installation is due at its next network boot
        boot c1 => #2: debian
        read #2 preseed.cfg
        ask #2 S => keep: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`
        status a => held: sealed: its disk has an installation of 2026-11-22T12:00:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`; 0 of 1
        ",
    );
}

#[test]
fn a_reinstallation_that_was_requested_overwrites_the_seal_once() {
    replay(
        &[("a", A), ("twice", TWICE)],
        "
        boot c1 => #1: debian
        read #1 preseed.cfg
        leave #1 S
        callback #1 finished
        wait 1m
        edit twice
        boot c1 => #2: debian
        read #2 preseed.cfg
        ask #2 S => overwrite
        leave #2 T
        callback #2 finished
        wait 1m
        lost
        declare new => 0 marked
        boot c1 => #3: debian
        read #3 preseed.cfg
        ask #3 S => overwrite
        ask #3 T => keep: its disk has an installation of 2026-11-22T12:01:00.000Z, which the journal does not have; to keep it: `bootwright mark a installed`; to overwrite it: `bootwright reinstall a`
        ",
    );
}

#[test]
fn an_attempt_that_follows_a_failed_one_overwrites_its_seal() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: debian
        read #1 preseed.cfg
        callback #1 installing
        leave #1 S
        callback #1 failed the disk does not boot
        wait 1m
        boot c1 => #2: debian
        read #2 preseed.cfg
        ask #2 S => overwrite
        ask #1 S => 404
        status a => installing; 0 of 1
        restart
        ask #2 S => overwrite
        ",
    );
}

#[test]
fn other_seals_are_kept_unless_wipe_is_set() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: debian
        read #1 preseed.cfg
        leave #1 KEY key
        leave #1 SITE site
        leave #1 NEWER newer
        leave #1 DAMAGED damaged
        leave #1 OWN
        boot c2 => #2: debian
        read #2 preseed.cfg
        ask #2 SITE wipe => overwrite
        ask #2 OWN => keep: its disk has the installation of a of 2026-11-22T12:00:00.000Z; `wipe = true` in `disk` overwrites it
        release b => b is released; an installation is due at its next network boot
        reinstall b => b will be installed once more at its next network boot
        boot c2 => #3: debian
        read #3 preseed.cfg
        ask #3 KEY => overwrite
        ask #3 SITE => keep: its seal is of another site; `wipe = true` in `disk` overwrites it
        ask #3 NEWER => keep: its seal is of a newer release of Bootwright; `wipe = true` in `disk` overwrites it
        ask #3 DAMAGED => keep: its seal is damaged; `wipe = true` in `disk` overwrites it
        ask #3 OWN => keep: its disk has the installation of a of 2026-11-22T12:00:00.000Z; `wipe = true` in `disk` overwrites it
        status b => held: sealed: its seal is of another site; `wipe = true` in `disk` overwrites it; 0 of 1
        ",
    );
}

#[test]
fn a_machine_that_was_forgotten_on_purpose_is_installed_again() {
    replay(
        &[("any", ANY)],
        "
        boot c1 => #1: debian by policy any
        read #1 preseed.cfg
        leave #1 S
        callback #1 finished
        wait 1m
        forget 52-54-00-00-00-01 --wipe-allowed => 52-54-00-00-00-01 is forgotten
        boot c1 => #2: debian by policy any
        read #2 preseed.cfg
        ask #2 S => overwrite
        restart
        ask #2 S => overwrite
        ",
    );
}

#[test]
fn a_lost_journal_is_rebuilt_from_the_disks() {
    replay(
        &[("a", A)],
        r#"
        boot c1 => #1: debian
        read #1 preseed.cfg
        leave #1 S
        callback #1 finished
        wait 1m
        lost
        boot c1 => disk: held: the state directory does not know this site
        declare from-machines => 0 marked
        boot c1 => microkernel %1
        report %1 {"disks":[{"path":"/dev/sda"},{"path":"/dev/sdb","seal":"$S"}]} => a reboots: its disk has a seal: it is installed
        status a => finished: its disk has a seal of 2026-11-22T12:00:00.000Z; 1 of 1
        boot c1 => disk
        restart
        status a => finished: its disk has a seal of 2026-11-22T12:00:00.000Z; 1 of 1
        boot c2 => microkernel %2
        report %2 {"disks":[{"path":"/dev/sda"}]} => b reboots: held: nothing is recorded of it, and none of its disks has shown a seal of this site; it boots the microkernel once to report them; if it is new: `bootwright release`
        status b => held: nothing is recorded of it, and none of its disks has shown a seal of this site; it boots the microkernel once to report them; if it is new: `bootwright release`; 0 of 1
        boot c2 => disk: held: nothing is recorded of it, and none of its disks has shown a seal of this site; it boots the microkernel once to report them; if it is new: `bootwright release`
        restart
        boot c2 => disk: held: nothing is recorded of it, and none of its disks has shown a seal of this site; it boots the microkernel once to report them; if it is new: `bootwright release`
        release b => b is released; an installation is due at its next network boot
        boot c2 => #2: debian
        boot c9 => disk
        release --all => 0 released
        boot c9 => disk
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | boot ipxe efi: its own disk: held: the state directory does not know this site
        | held nothing is recorded of it, and none of its disks has shown a seal of this site; it boots the microkernel once to report them; if it is new: `bootwright release`
        | boot ipxe efi: microkernel
        | facts 2 disks
        | restored its disk has a seal: a, installation 1, 2026-11-22T12:00:00.000Z
        | boot ipxe efi: its own disk: nothing is due
        "#,
    );
}

#[test]
fn a_seal_that_is_not_the_machines_own_restores_nothing() {
    replay(
        &[("a", A)],
        r#"
        boot c1 => #1: debian
        read #1 preseed.cfg
        leave #1 OTHER
        leave #1 KEY key
        leave #1 SITE site
        lost
        declare from-machines => 0 marked
        boot c2 => microkernel %1
        report %1 {"disks":[{"path":"/dev/sda","seal":"$OTHER"},{"path":"/dev/sdb","seal":"$KEY"},{"path":"/dev/sdc","seal":"$SITE"}]} => b reboots: held: nothing is recorded of it, and none of its disks has shown a seal of this site; it boots the microkernel once to report them; if it is new: `bootwright release`
        status b => held: nothing is recorded of it, and none of its disks has shown a seal of this site; it boots the microkernel once to report them; if it is new: `bootwright release`; 0 of 1
        "#,
    );
    // A report of another host changes nothing.
    replay(
        &[("a", A)],
        r#"
        boot c1 => #1: debian
        read #1 preseed.cfg
        leave #1 S
        lost
        declare from-machines => 0 marked
        boot c1 from=c1 => microkernel %1
        report %1 from=c9 {"disks":[{"path":"/dev/sdb","seal":"$S"}]} => a waits 30 s: not confirmed: 198.51.100.2 is at 52:54:00:00:00:09, which is not a NIC of this machine
        status a => held: nothing is recorded of it, and none of its disks has shown a seal of this site; it boots the microkernel once to report them; if it is new: `bootwright release`; 0 of 1
        "#,
    );
}

#[test]
fn machines_without_a_record_wait_while_the_state_may_be_old() {
    replay(
        &[("discover", DISCOVER)],
        "
        boot c1 => #1: debian
        suspect
        boot c1 => #1 again
        boot c2 => disk
        status a => bound; 0 of 1
        lost
        declare new => 0 marked
        suspect
        boot c1 => disk: held: the state may be old
        status a => held: the state may be old; 0 of 1
        last a => booted its disk, 0 s ago
        restart
        boot c1 => disk: held: the state may be old
        reinstall a => a will be installed once more at its next network boot
        boot c1 => #2: debian
        release --all => 0 released
        ",
    );
}
