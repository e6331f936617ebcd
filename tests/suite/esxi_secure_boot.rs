//! ESXi with Secure Boot: no script runs at its first boot, so that it is up is seen from outside.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use crate::support::{
    server::{events, log, node, token, until},
    wire::{Ends, Host, Serving, alone},
};

/// Longer than the time between two looks.
const A_LOOK: Duration = Duration::from_secs(11);

#[test]
fn a_host_whose_web_server_answers_has_finished() {
    alone(
        "esxi_secure_boot::a_host_whose_web_server_answers_has_finished",
        observed,
    );
}

fn observed() {
    let host = Host::behind("near");
    host.ip("link set far address 52:54:00:00:00:01");
    host.ip("address add 192.0.2.11/24 dev far");
    let mut serving = Serving::prepared(2, "", |house| house.node(2, "secure-boot = false"));
    serving.edit(
        "stand-ins/rocky\"\ntask = \"redhat\"",
        "stand-ins/esxi\"\ntask = \"esxi\"",
    );
    serving.edit(
        "[defaults]\n",
        "[defaults]\nsecure-boot = true\nroot-password-hash = \"$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/\"\n",
    );
    let script = until("the site is live", || {
        let script = serving.machines.boot(1);
        script.contains("VMware ESXi").then_some(script)
    });
    let token = token(&script);
    let document = serving.machines.get(&format!("/t/{token}/ks.cfg")).good();
    assert!(!document.contains("%firstboot"), "{document}");
    assert!(
        document.contains("%include /tmp/bootwright-disk.ks"),
        "{document}"
    );

    // What was on the disk before answers as well, until it is gone.
    let mut web = host.program("busybox");
    web.args(["nc", "-ll", "-p", "443", "-e", "true"])
        .stdin(Stdio::null());
    let web = Ends(web.spawn().unwrap());
    serving
        .machines
        .get(&format!("/t/{token}/stage/installing"))
        .good();
    std::thread::sleep(A_LOOK);
    assert_eq!(node(&mut serving.operators, 1)["state"], "installing");
    drop(web);
    serving
        .machines
        .get(&format!("/t/{token}/stage/installed"))
        .good();
    std::thread::sleep(A_LOOK);
    assert_eq!(node(&mut serving.operators, 1)["state"], "installed");

    let mut web = host.program("busybox");
    web.args(["nc", "-ll", "-p", "443", "-e", "true"])
        .stdin(Stdio::null());
    let _web = Ends(web.spawn().unwrap());
    // One that runs its scripts says so itself, and its web server answers before they have ended.
    let other = crate::support::server::token(&serving.machines.boot(2));
    let document = serving.machines.get(&format!("/t/{other}/ks.cfg")).good();
    assert!(document.contains("%firstboot"), "{document}");
    for stage in ["installing", "installed"] {
        let path = format!("/t/{other}/stage/{stage}");
        serving.machines.get(&path).good();
    }
    host.ip("address add 192.0.2.12/24 dev far");
    let begun = Instant::now();
    while node(&mut serving.operators, 1)["state"] != "finished" {
        assert!(begun.elapsed() < 3 * A_LOOK, "{}", serving.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(A_LOOK);
    assert_eq!(node(&mut serving.operators, 2)["state"], "installed");
    let finished = format!("/t/{other}/stage/finished");
    serving.machines.get(&finished).good();
    assert_eq!(node(&mut serving.operators, 2)["state"], "finished");
    let log = log(&mut serving.operators, 1);
    assert_eq!(events(&log).last(), Some(&"stage"), "{log:#?}");
    let last = log.last().unwrap();
    assert_eq!(
        (&last["stage"], &last["inferred"]),
        (&"finished".into(), &true.into()),
        "{last}"
    );
}
