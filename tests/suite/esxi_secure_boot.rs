//! ESXi with Secure Boot: no script runs at the first boot, so the server probes whether the host is up.

use std::{
    io,
    net::{TcpListener, TcpStream},
    time::Duration,
};

use crate::support::{
    child::in_network_namespace,
    client::{events, log, node, token, until},
    namespace::ip,
    server::Server,
    site::{TestSite, address},
    test_name,
};

/// Between two rounds of probes.
const INTERVAL: Duration = Duration::from_millis(50);

#[test]
fn a_host_whose_web_server_answers_has_finished() {
    in_network_namespace(test_name!(), probes);
}

/// A host's web server, in this process.
struct Web(TcpListener);

impl Web {
    fn start(number: usize) -> Web {
        let listener = TcpListener::bind((address(number), 443)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Web(listener)
    }

    /// The probe that has connected; none if there was none yet.
    fn probe(&self) -> Option<TcpStream> {
        match self.0.accept() {
            Ok((stream, _)) => Some(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Installs a node as far as `stages`, and returns its token and its document.
fn install(server: &mut Server, number: usize, stages: &[&str]) -> (String, String) {
    let token = token(&server.machines.boot(number));
    let document = format!("/t/{token}/ks.cfg");
    let document = server.machines.get(&document).good();
    for stage in stages {
        report(server, &token, stage);
    }
    (token, document)
}

fn report(server: &mut Server, token: &str, stage: &str) {
    let path = format!("/t/{token}/stage/{stage}");
    server.machines.get(&path).good();
}

/// Waits until every host has been probed that is to be: two more hosts have finished, the second in a later round.
fn rounds(server: &mut Server, numbers: [usize; 2]) {
    for number in numbers {
        let web = Web::start(number);
        install(server, number, &["installed"]);
        finished(server, number);
        assert!(web.probe().is_some());
    }
}

fn finished(server: &mut Server, number: usize) {
    until("the host has finished", || {
        (node(&mut server.operators, number)["state"] == "finished").then_some(())
    });
}

fn state(server: &mut Server, number: usize) -> String {
    let state = node(&mut server.operators, number)["state"].take();
    state.as_str().unwrap().to_owned()
}

fn probes() {
    let site = TestSite::new(8);
    site.declare_node(2, "secure-boot = false");
    let file = "policies.d/site.toml";
    let declared = std::fs::read_to_string(site.path().join(file)).unwrap();
    let esxi = declared
        .replace(
            "stand-ins/rocky\"\ntask = \"redhat\"",
            "stand-ins/esxi\"\ntask = \"esxi\"",
        )
        .replace(
            "[defaults]\n",
            "[defaults]\nsecure-boot = true\nroot-password-hash = \"$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/\"\n",
        );
    site.write(file, &esxi);
    for number in 1..=8 {
        ip(&format!("address add {}/32 dev lo", address(number)));
    }
    let mut server = Server::probing(&site, INTERVAL);

    // The system that was on the disk before answers as well, until it is overwritten.
    let web = Web::start(1);
    let (token, document) = install(&mut server, 1, &["installing"]);
    assert!(!document.contains("%firstboot"), "{document}");
    assert!(
        document.contains("%include /tmp/bootwright-disk.ks"),
        "{document}"
    );
    rounds(&mut server, [3, 4]);
    assert!(web.probe().is_none());
    assert_eq!(state(&mut server, 1), "installing");
    drop(web);
    report(&mut server, &token, "installed");
    rounds(&mut server, [5, 6]);
    assert_eq!(state(&mut server, 1), "installed");

    // A host that runs scripts reports when they have ended; its web server answers before that.
    let (scripted_web, _web) = (Web::start(2), Web::start(1));
    let (scripted, document) = install(&mut server, 2, &["installing", "installed"]);
    assert!(document.contains("%firstboot"), "{document}");
    finished(&mut server, 1);
    rounds(&mut server, [7, 8]);
    assert!(scripted_web.probe().is_none());
    assert_eq!(state(&mut server, 2), "installed");
    report(&mut server, &scripted, "finished");
    assert_eq!(state(&mut server, 2), "finished");

    let log = log(&mut server.operators, 1);
    assert_eq!(events(&log).last(), Some(&"stage"), "{log:#?}");
    let last = log.last().unwrap();
    assert_eq!(
        (&last["stage"], &last["inferred"]),
        (&"finished".into(), &true.into()),
        "{last}"
    );
    server.stop();
}
