//! How long the URLs of a token are served, and its callbacks accepted.

use crate::support::story::replay;

const A: &str = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n";

#[test]
fn documents_are_served_until_installed_or_the_next_attempt_or_a_day_is_over() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        read #1 ks.cfg
        restart
        read #1 ks.cfg
        callback #1 failed once
        read #1 ks.cfg
        boot c1 => #2: esxi
        read #1 ks.cfg => 404
        wait 23h
        read #2 ks.cfg
        wait 59m
        read #2 other.cfg
        wait 1m
        read #2 ks.cfg => 404
        callback #2 installed
        read #2 ks.cfg => 404
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | failed reported by the machine: once
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | attempt 2 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 2)
        | refused ks.cfg: its token has ended
        | failed no `document` for 10 m
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | failed no `installing` for 45 m
        | document other.cfg asked for
        | document other.cfg (1.0 kB)
        | failed no `installed` for 1 h
        | refused ks.cfg: its attempt was opened more than 24 hours ago
        | installed reported by the machine; late by 0 s
        | refused ks.cfg: its token has ended
        ",
    );
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        wait 24h
        read #1 ks.cfg => 404
        boot c1 => #2: esxi
        read #2 ks.cfg
        ",
    );
}

#[test]
fn callbacks_are_accepted_until_the_first_document_of_the_next_attempt() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 failed once
        boot c1 => #2: esxi
        wait 3d
        callback #1 installing
        log #1 info still here
        boot c1 => #3: esxi
        read #3 ks.cfg
        callback #1 installed => 404
        fact #1 rack 7 => 404
        log #2 info still here => 404
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | failed reported by the machine: once
        | attempt 2 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 2)
        | failed no `document` for 10 m
        | installing reported by the machine
        | log info: still here
        | closed attempt 2: its attempt was opened more than 24 hours ago
        | attempt 3 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 3)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | refused stage installed: its token has ended
        | refused fact rack: its token has ended
        | refused log: its token has ended
        forget a --wipe-allowed => a is forgotten
        callback #3 installed => 404
        ",
    );
}

#[test]
fn a_hold_stops_documents_and_not_callbacks() {
    let zero = format!("{A}installs = 0\n");
    replay(
        &[("a", A), ("zero", &zero), ("none", "")],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        hold a => a is held until `bootwright release a`
        read #1 ks.cfg => 404
        release a => a is released; an installation is due at its next network boot
        read #1 ks.cfg
        edit zero
        read #1 ks.cfg => 404
        edit none
        read #1 ks.cfg => 404
        edit a
        pause
        read #1 ks.cfg
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
        | held by an operator: being repaired
        | refused ks.cfg: held: being repaired
        | released by an operator
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | refused ks.cfg: protected: its `installs` is 0
        | refused ks.cfg: protected: its declaration is gone
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | installed reported by the machine
        ",
    );
}

#[test]
fn a_callback_twice_is_one_and_a_later_one_implies_the_earlier() {
    replay(
        &[("a", A)],
        "
        boot c1 => #1: esxi
        read #1 ks.cfg
        callback #1 partitioned
        callback #1 partitioned
        fact #1 rack 7
        fact #1 rack 7
        fact #1 cores many
        callback #1 finished
        callback #1 finished
        callback #1 installed
        callback #1 installing
        status a => finished; 1 of 1
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | stage partitioned: reported by the machine
        | facts rack 7
        | dropped fact `cores` is not of its type
        | finished reported by the machine
        | installed reported by the machine
        | installing reported by the machine
        ",
    );
}
