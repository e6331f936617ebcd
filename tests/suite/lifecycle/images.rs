//! Images that are not verified to be the ones that the site declares.

use crate::support::story::replay;

const SITE: &str = r#"
[repo.big]
iso = "big.iso"
task = "esxi"
[repo.other]
iso = "other.iso"
task = "esxi"
[node.a]
mac = "52:54:00:00:00:01"
repo = "big"
[node.b]
mac = "52:54:00:00:00:02"
repo = "other"
"#;

#[test]
fn nothing_is_installed_from_an_image_until_it_is_verified() {
    replay(
        &[("a", SITE)],
        "
        unverified big is being verified, 3 %
        boot c1 as=x => wait: is being verified, 3 %
        boot c2 => #1: esxi
        unverified big is being verified, 60 %
        boot c1 as=x => wait: is being verified, 60 %
        unverified big
        boot c1 as=x => #2: esxi
        boot c1 as=x => #2 again
        ",
    );
}

#[test]
fn an_image_replaced_before_a_document_was_read_is_verified_first() {
    replay(
        &[("a", SITE)],
        "
        boot c1 as=x => #1: esxi
        unverified big is not the one
        boot c1 as=x => wait: is not the one
        boot c1 as=y => wait: is not the one
        unverified big
        boot c1 as=y => #1 again
        read #1 ks.cfg
        unverified big is not the one
        boot c1 as=z => disk: its installation may be done; its disk is tried first, reports to #1
        ",
    );
}

#[test]
fn the_first_boot_of_a_declared_machine_is_forecast_to_wait_for_its_image() {
    replay(
        &[("a", SITE)],
        "
        unverified big is being verified, 3 %
        explain a => a wait, then the installer: is being verified, 3 %
        explain b => installer (installs wanted 1, done 0)
        unverified big
        explain a => installer (installs wanted 1, done 0)
        ",
    );
}
