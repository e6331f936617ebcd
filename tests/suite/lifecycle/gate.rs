//! A condition that blocks an installation blocks it in each phase, until the machine has read a document of its
//! attempt.

use crate::support::story::replay;

const A: &str = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n";

#[test]
fn an_expectation_counts_at_each_request_until_something_was_read() {
    let expects = format!("{A}expect = \"facts.manufacturer == 'Dell'\"\n");
    replay(
        &[("a", A), ("expects", &expects)],
        "
        boot c1 as=x => #1: esxi
        edit expects
        read #1 ks.cfg => 404
        status a => bound; 0 of 1
        boot c1 as=x => disk: held: `facts.manufacturer == 'Dell'` is unknown: fact `manufacturer` is not known
        edit a
        boot c1 as=y => #1 again
        read #1 ks.cfg
        edit expects
        read #1 ks.cfg
        ",
    );
}

#[test]
fn a_document_of_another_binding_is_refused_until_something_was_read() {
    let other = A.replace("esxi", "debian");
    replay(
        &[("a", A), ("other", &other)],
        "
        boot c1 as=x => #1: esxi
        edit other
        read #1 ks.cfg => 404
        boot c1 as=x => #2: debian
        read #2 preseed.cfg
        edit a
        read #2 preseed.cfg
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision 764d384
        | boot ipxe efi: installer (attempt 1)
        | refused ks.cfg: its binding changed after its attempt was opened
        | closed attempt 1: its binding changed after its attempt was opened
        | attempt 2 opened: task debian, revision 0bc1fd9
        | boot ipxe efi: installer (attempt 2)
        | document preseed.cfg asked for
        | document preseed.cfg (1.0 kB)
        | document preseed.cfg asked for
        | document preseed.cfg (1.0 kB)
        ",
    );
}

#[test]
fn an_attempt_is_too_old_for_a_request_of_the_same_boot_as_well() {
    replay(
        &[("a", A)],
        "
        boot c1 as=x => #1: esxi
        wait 25h
        boot c1 as=x => #2: esxi
        ",
    );
}

#[test]
fn an_image_that_is_not_the_right_one_is_not_read_from() {
    let site = "[repo.big]\niso = \"big.iso\"\ntask = \"esxi\"\n\
                [node.a]\nmac = \"52:54:00:00:00:01\"\nrepo = \"big\"\n";
    replay(
        &[("a", site)],
        "
        boot c1 => #1: esxi
        unverified big is not the one
        read #1 ks.cfg => 404
        unverified big
        read #1 ks.cfg
        unverified big is not the one
        read #1 ks.cfg
        ",
    );
}

#[test]
fn a_host_name_that_a_declaration_takes_stops_an_attempt_of_which_nothing_was_read() {
    let free = "[policy.any]\nwhen = \"true\"\naccept = \"discovered\"\ntask = \"esxi\"\nhostname = \"web\"\n";
    let taken = format!("{free}[node.web]\nmac = \"52:54:00:00:00:09\"\ntask = \"esxi\"\n");
    replay(
        &[("free", free), ("taken", &taken)],
        "
        boot c1 as=x => #1: esxi by policy any
        edit taken
        read #1 ks.cfg => 404
        boot c1 as=x => disk: its host name would be web, which belongs to web
        edit free
        boot c1 as=y => #1 again
        read #1 ks.cfg
        edit taken
        read #1 ks.cfg
        ",
    );
}

#[test]
fn an_address_that_another_host_uses_stops_every_request_until_something_was_read() {
    let site = "[network.lab]\nsubnet = \"192.0.2.0/24\"\n\
                [node.a]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.0.2.21\"\ntask = \"esxi\"\n";
    let held = "held: 192.0.2.21 is used by 52:54:00:00:00:09, which is not a NIC of this machine: free the address or \
                declare another one; the hold ends automatically";
    replay(
        &[("a", site)],
        &"
        links 192.0.2.0/24
        boot c1 as=x => probe 192.0.2.21
        arp 192.0.2.21
        boot c1 as=x => #1: esxi
        arp 192.0.2.21 c9
        read #1 ks.cfg => 404
        boot c1 as=x => disk: HELD
        wait 10s
        arp 192.0.2.21
        boot c1 as=y => #1 again
        read #1 ks.cfg
        arp 192.0.2.21 c9
        read #1 ks.cfg
        "
        .replace("HELD", held),
    );
}

#[test]
fn a_machine_in_the_microkernel_waits_while_another_host_uses_its_address() {
    let site = "[network.lab]\nsubnet = \"192.0.2.0/24\"\npool = \"192.0.2.50-192.0.2.59\"\nunknown = \"discover\"\n\
                [policy.any]\nwhen = \"facts.cores == 4\"\naccept = \"discovered\"\ntask = \"esxi\"\nnetwork = \"lab\"\n\
                addresses = \"pool\"\n";
    let held = "held: 192.0.2.50 is used by 52:54:00:00:00:09, which is not a NIC of this machine: free the address or \
                declare another one; the hold ends automatically";
    replay(
        &[("a", site)],
        &r#"
        links 192.0.2.0/24
        boot c1 on=lab => microkernel %1
        arp 192.0.2.50 c9
        report %1 {"cores": 4} => 52-54-00-00-00-01 waits 30 s: HELD
        wait 10s
        arp 192.0.2.50
        poll %1 => 52-54-00-00-00-01 reboots: policy any takes it
        "#
        .replace("HELD", held),
    );
}

#[test]
fn a_pause_does_not_keep_a_machine_from_a_task_that_installs_nothing() {
    let lab = "[network.lab]\nsubnet = \"192.0.2.0/24\"\nunknown = \"discover\"\n";
    let local = format!("{lab}[node.web]\nmac = \"52:54:00:00:00:01\"\ntask = \"local\"\n");
    replay(
        &[("nothing", lab), ("local", &local)],
        "
        boot c1 on=lab => microkernel %1
        edit local
        pause
        poll %1 => web reboots: its declaration gives it task local
        boot c1 on=lab => script of local
        ",
    );
}

#[test]
fn a_protected_machine_that_is_held_is_shown_as_protected() {
    let zero = format!("{A}installs = 0\n");
    replay(
        &[("a", A), ("zero", &zero)],
        "
        hold a => a is held until `bootwright release a`
        edit zero
        status a => protected: its `installs` is 0; 0 of 0
        boot c1 => disk: protected: its `installs` is 0
        edit a
        status a => held: being repaired; 0 of 1
        boot c1 => disk: held: being repaired
        ",
    );
}
