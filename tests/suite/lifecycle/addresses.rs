//! Another host uses the address of a machine.

use crate::support::story::replay;

const SITE: &str = r#"
[network.lab]
subnet = "192.0.2.0/24"
pool = "192.0.2.60-192.0.2.61"
[network.far]
subnet = "198.51.100.0/24"
[node.a]
mac = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
address = "192.0.2.21"
task = "esxi"
[node.b]
mac = "52:54:00:00:00:03"
address = "198.51.100.22"
task = "esxi"
[policy.any]
when = "true"
accept = "discovered"
task = "esxi"
network = "lab"
addresses = "pool"
"#;

const IN_USE: &str = "192.0.2.21 is used by 52:54:00:00:00:09, which is not a NIC of this machine: free the address or \
                     declare another one; the hold ends automatically";

fn replay_with_links(story: &str) {
    replay(&[("a", SITE)], &story.replace("TAKEN", IN_USE));
}

#[test]
fn an_installation_begins_after_its_address_is_found_free() {
    replay_with_links(
        "
        links 192.0.2.0/24
        boot c1 as=x => probe 192.0.2.21
        boot c1 as=x => probe 192.0.2.21
        arp 192.0.2.21
        boot c1 as=x => #1: esxi
        boot c1 as=x => #1 again
        wait 2m
        boot c1 as=x => #1 again
        boot c1 as=y => probe 192.0.2.21
        arp 192.0.2.21
        boot c1 as=y => #1 again
        read #1 ks.cfg
        callback #1 installed
        wait 2m
        boot c1 => disk
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a with mac 52:54:00:00:00:02
        | facts firmware efi
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision c5a74b6
        | boot ipxe efi: installer (attempt 1)
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | installed reported by the machine
        | boot ipxe efi: its own disk: nothing is due
        ",
    );
}

#[test]
fn a_machine_whose_address_is_in_use_is_held_until_it_is_free() {
    replay_with_links(
        "
        links 192.0.2.0/24
        boot c1 => probe 192.0.2.21
        arp 192.0.2.21 c9
        boot c1 => disk: held: TAKEN
        status a => held: TAKEN; 0 of 1
        wait 10s
        arp 192.0.2.21 c9
        status a => held: TAKEN; 0 of 1
        wait 10s
        arp 192.0.2.21
        status a => bound; 0 of 1
        boot c1 => #1: esxi
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a with mac 52:54:00:00:00:02
        | facts firmware efi
        | held TAKEN
        | boot ipxe efi: its own disk: held: TAKEN
        | released the conflict over its address is over
        | bound by its own declaration
        | attempt 1 opened: task esxi, revision c5a74b6
        | boot ipxe efi: installer (attempt 1)
        ",
    );
}

#[test]
fn an_old_conflict_is_checked_again_when_the_machine_boots() {
    replay_with_links(
        "
        links 192.0.2.0/24
        boot c1 => probe 192.0.2.21
        arp 192.0.2.21 c9
        boot c1 => disk: held: TAKEN
        wait 9s
        boot c1 => probe 192.0.2.21
        arp 192.0.2.21
        boot c1 => #1: esxi
        ",
    );
}

#[test]
fn a_released_machine_is_held_again_while_the_conflict_lasts() {
    replay_with_links(
        "
        links 192.0.2.0/24
        boot c1 => probe 192.0.2.21
        arp 192.0.2.21 c9
        boot c1 => disk: held: TAKEN
        restart
        links 192.0.2.0/24
        status a => held: TAKEN; 0 of 1
        release a => a is released; an installation is due at its next network boot
        boot c1 => probe 192.0.2.21
        arp 192.0.2.21 c9
        boot c1 => disk: held: TAKEN
        ",
    );
}

#[test]
fn a_machines_own_mac_may_have_its_address() {
    replay_with_links(
        "
        links 192.0.2.0/24
        boot c1 => probe 192.0.2.21
        arp 192.0.2.21 c1 c2
        boot c1 => #1: esxi
        ",
    );
}

#[test]
fn an_address_on_no_local_link_is_not_checked() {
    replay_with_links(
        "
        links 192.0.2.0/24
        boot c3 => #1: esxi
        ",
    );
    replay_with_links("boot c1 => #1: esxi");
}

#[test]
fn an_address_of_a_pool_is_checked_before_it_is_assigned() {
    let taken = IN_USE.replace("192.0.2.21", "192.0.2.60");
    replay(
        &[("a", SITE)],
        &"
        links 192.0.2.0/24
        boot c7 => probe 192.0.2.60
        arp 192.0.2.60 c9
        boot c7 => disk: held: TAKEN
        wait 10s
        arp 192.0.2.60 c9
        status 52-54-00-00-00-07 => held: TAKEN; 0 of 1
        wait 10s
        arp 192.0.2.60
        status 52-54-00-00-00-07 => bound; 0 of 1
        boot c7 => #1: esxi by policy any at 192.0.2.60
        "
        .replace("TAKEN", &taken),
    );
}

#[test]
fn an_attempt_without_a_read_document_waits_for_the_check() {
    replay_with_links(
        "
        links 192.0.2.0/24
        boot c1 => probe 192.0.2.21
        arp 192.0.2.21
        boot c1 => #1: esxi
        wait 10m
        boot c1 => probe 192.0.2.21
        arp 192.0.2.21 c9
        boot c1 => disk: held: TAKEN
        read #1 ks.cfg => 404
        wait 10s
        arp 192.0.2.21
        boot c1 => #1 again
        read #1 ks.cfg
        callback #1 installed
        arp 192.0.2.21 c9
        wait 10m
        boot c1 => disk
        ",
    );
}
