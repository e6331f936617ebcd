//! The files of an attempt are rendered and stored while other requests take effect.

use crate::support::story::replay;

const LAB: &str = "[network.lab]\nsubnet = \"192.0.2.0/24\"\npool = \"192.0.2.10-192.0.2.13\"\n";

#[test]
fn a_machine_that_boots_again_waits_for_its_files_and_gets_the_same_attempt() {
    let site = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n";
    replay(
        &[("a", site)],
        "
        boot c1 as=x render=slow => its files are being rendered
        boot c1 as=x => its files are being rendered
        boot c1 as=y => its files are being rendered
        rendered => #1: esxi
        boot c1 as=x => #1 again
        status a => bound; 0 of 1
        ",
    );
}

#[test]
fn what_other_machines_may_get_counts_attempts_whose_files_are_being_rendered() {
    let limited = "[limits]\ninstalls-per-hour = 1\n=====\
         [node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n\
         [node.b]\nmac = \"52:54:00:00:00:02\"\ntask = \"esxi\"\n";
    replay(
        &[("limited", limited)],
        "
        boot c1 render=slow => its files are being rendered
        boot c2 => wait: 1 installation began within the last hour (`installs-per-hour`)
        rendered => #1: esxi
        boot c2 => wait: 1 installation began within the last hour (`installs-per-hour`)
        ",
    );
    let few = "[policy.few]\norder = 1\nwhen = \"true\"\nmax-count = 1\naccept = \"discovered\"\ntask = \"esxi\"\n\
               [policy.rest]\norder = 2\nwhen = \"true\"\naccept = \"discovered\"\ntask = \"debian\"\n";
    replay(
        &[("few", few)],
        "
        boot c1 render=slow => its files are being rendered
        boot c2 => #1: debian by policy rest
        rendered => #2: esxi by policy few
        ",
    );
    let pool = format!(
        "{LAB}[policy.any]\nwhen = \"true\"\naccept = \"discovered\"\ntask = \"esxi\"\naddresses = \"pool\"\n"
    );
    replay(
        &[("pool", &pool)],
        "
        boot c1 render=slow => its files are being rendered
        boot c2 render=slow => its files are being rendered
        boot c3 => #1: esxi by policy any at 192.0.2.12
        rendered => #2: esxi by policy any at 192.0.2.10
        rendered => #3: esxi by policy any at 192.0.2.11
        ",
    );
    let named = "[policy.any]\nwhen = \"true\"\naccept = \"discovered\"\ntask = \"esxi\"\nhostname = \"web\"\n";
    replay(
        &[("named", named)],
        "
        boot c1 render=slow => its files are being rendered
        boot c2 => disk: its host name would be web, which belongs to 52-54-00-00-00-01
        rendered => #1: esxi by policy any
        ",
    );
}

#[test]
fn files_that_cannot_be_stored_free_what_they_reserved() {
    let few =
        "[policy.few]\nwhen = \"true\"\nmax-count = 1\naccept = \"discovered\"\ntask = \"esxi\"\n";
    replay(
        &[("few", few)],
        "
        boot c1 as=x render=broken => disk: its installation cannot be prepared; see the server's log
        boot c2 => #1: esxi by policy few
        ",
    );
}

#[test]
fn an_operator_who_acts_while_files_are_rendered_is_obeyed() {
    let site = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n";
    replay(
        &[("a", site)],
        "
        boot c1 render=slow => its files are being rendered
        hold a => a is held until `bootwright release a`
        rendered => decided again
        boot c1 => disk: held: being repaired
        release a => a is released; an installation is due at its next network boot
        boot c1 render=slow => its files are being rendered
        pause
        rendered => decided again
        boot c1 => disk: paused: no installation begins until `bootwright resume`
        resume
        boot c1 render=slow => its files are being rendered
        forget a --wipe-allowed => a is forgotten
        rendered => decided again
        boot c1 => #1: esxi
        ",
    );
}
