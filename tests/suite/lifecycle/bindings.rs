//! What binds a machine, and when.

use crate::support::story::replay;

const GPU: &str = "[tag.gpu]\nwhen = \"false\"\n[policy.gpu]\norder = 1\ntags = \"gpu\"\ntask = \"esxi\"\n[policy.rest]\nwhen = \"true\"\norder = 2\ntask = \"debian\"\n";

fn node(name: &str, card: u32, more: &str) -> String {
    format!("[node.{name}]\nmac = \"52:54:00:00:00:0{card}\"\n{more}\n")
}

#[test]
fn a_binding_stays_until_an_installation_is_due() {
    let tagged = format!("{GPU}{}", node("a", 1, "tags = \"gpu\""));
    let plain = format!("{GPU}{}", node("a", 1, ""));
    let again = format!("{GPU}{}", node("a", 1, "installs = 2"));
    replay(
        &[("tagged", &tagged), ("plain", &plain), ("again", &again)],
        "
        nodes => a bound
        boot c1 => #1: esxi by policy gpu
        read #1 ks.cfg
        edit plain
        boot c1 => disk: its installation may be done; its disk is tried first, reports to #1
        callback #1 installed
        boot c1 => disk
        edit again
        boot c1 => #2: debian by policy rest
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by policy gpu
        | attempt 1 opened: task esxi, revision c0b0813
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | boot ipxe efi: its own disk: its installation may be done; its disk is tried first
        | installed reported by the machine
        | boot ipxe efi: its own disk: nothing is due
        | bound by policy rest
        | attempt 2 opened: task debian, revision 8b727a1
        | boot ipxe efi: installer (attempt 2)
        ",
    );
}

#[test]
fn a_binding_that_changes_before_anything_was_read_is_another_attempt() {
    let tagged = format!("{GPU}{}", node("a", 1, "tags = \"gpu\""));
    let plain = format!("{GPU}{}", node("a", 1, ""));
    let none = format!("[policy.x]\ntask = \"esxi\"\n{}", node("a", 1, ""));
    replay(
        &[("tagged", &tagged), ("plain", &plain), ("none", &none)],
        "
        boot c1 => #1: esxi by policy gpu
        edit plain
        boot c1 => #2: debian by policy rest
        read #1 ks.cfg => 404
        boot c1 => #2 again
        edit none
        boot c1 => disk: 0 tags; no policy takes it; `bootwright explain` shows why
        boot c1 => disk: 0 tags; no policy takes it; `bootwright explain` shows why
        log a
        | seen mac 52:54:00:00:00:01
        | node declared as a
        | facts firmware efi
        | bound by policy gpu
        | attempt 1 opened: task esxi, revision c0b0813
        | boot ipxe efi: installer (attempt 1)
        | closed attempt 1: its binding changed after its attempt was opened
        | bound by policy rest
        | attempt 2 opened: task debian, revision 8d2ca27
        | boot ipxe efi: installer (attempt 2)
        | refused ks.cfg: its token has ended
        | boot ipxe efi: installer (attempt 2)
        | closed attempt 2: 0 tags; no policy takes it; `bootwright explain` shows why
        | boot ipxe efi: its own disk: 0 tags; no policy takes it; `bootwright explain` shows why
        | boot ipxe efi: its own disk: 0 tags; no policy takes it; `bootwright explain` shows why
        ",
    );
}

#[test]
fn max_count_counts_bindings_atomically() {
    let few = "[policy.few]\norder = 1\nwhen = \"true\"\nmax-count = 2\naccept = \"discovered\"\ntask = \"esxi\"\n[policy.rest]\norder = 2\nwhen = \"true\"\naccept = \"discovered\"\ntask = \"debian\"\n";
    replay(
        &[("few", few)],
        "
        boot c1 => #1: esxi by policy few
        boot c2 => #2: esxi by policy few
        boot c3 => #3: debian by policy rest
        boot c1 => #1 again
        callback #1 failed once
        boot c1 => #4: esxi by policy few
        forget 52-54-00-00-00-02 => 52-54-00-00-00-02 is forgotten
        boot c4 => #5: esxi by policy few
        boot c2 => #6: debian by policy rest
        restart
        boot c5 => #7: debian by policy rest
        ",
    );
}

#[test]
fn a_named_policy_ignores_tags_but_not_disabled_or_full() {
    let policy = "[policy.p]\ntags = \"nobody\"\nwhen = \"false\"\ntask = \"esxi\"\nmax-count = 1\n[tag.nobody]\nwhen = \"false\"\n";
    let two = format!(
        "{policy}{}{}",
        node("a", 1, "policy = \"p\""),
        node("b", 2, "policy = \"p\"")
    );
    let disabled = two.replace("[policy.p]", "[policy.p]\nenabled = false");
    replay(
        &[("two", &two), ("disabled", &disabled)],
        "
        boot c1 => #1: esxi by policy p
        boot c2 => disk: policy p: binds 1 machines already (`max-count`)
        boot c1 => #1 again
        edit disabled
        boot c1 => disk: policy p: disabled
        boot c2 => disk: policy p: disabled
        nodes => a bound, b bound
        ",
    );
}

#[test]
fn a_pool_assigns_each_machine_one_permanent_address() {
    let lab = "[network.lab]\nsubnet = \"192.0.2.0/24\"\ngateway = \"192.0.2.10\"\npool = \"192.0.2.10-192.0.2.13\"\n[policy.any]\nwhen = \"true\"\naccept = \"discovered\"\ntask = \"esxi\"\naddresses = \"pool\"\n";
    let named = lab.replace("[policy.any]", "[policy.any]\nnetwork = \"lab\"");
    let declared = format!(
        "{named}{}",
        node("d", 9, "address = \"192.0.2.11\"\ntask = \"esxi\"")
    );
    let taken = format!(
        "{named}{}",
        node("d", 9, "address = \"192.0.2.12\"\ntask = \"esxi\"")
    );
    replay(
        &[
            ("named", &named),
            ("declared", &declared),
            ("taken", &taken),
            ("unnamed", lab),
        ],
        "
        edit declared
        boot c1 => #1: esxi by policy any at 192.0.2.12
        boot c2 => #2: esxi by policy any at 192.0.2.13
        boot c9 => #3: esxi
        boot c3 => disk: no address is free in the pool of network lab
        boot c1 => #1 again
        edit named
        boot c3 => #4: esxi by policy any at 192.0.2.11
        boot c1 => #1 again, rendered again
        restart
        boot c4 => disk: no address is free in the pool of network lab
        read #1 ks.cfg
        callback #1 installed
        reinstall 52-54-00-00-00-01 => 52-54-00-00-00-01 will be installed once more at its next network boot
        boot c1 => #5: esxi by policy any at 192.0.2.12
        edit taken
        boot c1 => disk: no address is free in the pool of network lab
        read #5 ks.cfg => 404
        callback #5 installed
        reinstall 52-54-00-00-00-01 => 52-54-00-00-00-01 will be installed once more at its next network boot
        forget 52-54-00-00-00-02 => 52-54-00-00-00-02 is forgotten
        boot c1 => #6: esxi by policy any at 192.0.2.13
        edit unnamed
        boot c5 => #7: esxi by policy any at 192.0.2.12
        ",
    );
}
