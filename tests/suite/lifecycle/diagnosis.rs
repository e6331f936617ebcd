//! Diagnoses of boots that have stopped: their texts, where they are shown, and for which machines there are none.

use bootwright::{
    boot::{
        Program,
        dhcp::{DhcpMessage, DhcpPort},
    },
    control::{
        Decision, Diagnosis, FailedFetch, Fetched, NetworkBoot, Preparation, ReceivedQuery, Report,
    },
};

use super::dhcp::{Options, ask};
use crate::support::{
    dhcp::{OVMF, datagram},
    story::Lab,
};

fn site(mode: &str) -> String {
    format!(
        r#"
[network.lab]
subnet = "192.0.2.0/24"
dhcp = "{mode}"
[repo.r]
path = "/x"
task = "debian"
[repo.far]
url = "http://192.0.2.9/x"
task = "debian"
[node.n1]
mac = "52:54:00:00:00:01"
address = "192.0.2.21"
repo = "r"
[node.n2]
mac = "52:54:00:00:00:02"
address = "192.0.2.22"
repo = "far"
[node.n3]
mac = "52:54:00:00:00:03"
address = "192.0.2.23"
repo = "r"
"#
    )
}

const OTHER: &[u8] = &[192, 0, 2, 254];

fn lab(mode: &str) -> Lab {
    Lab::new(&[("a", &site(mode))])
}

fn discover(lab: &mut Lab, card: u8) {
    // No reply is a valid result.
    drop(ask(lab, card, 1, OVMF));
}

fn request(lab: &mut Lab, card: u8, server: &[u8]) {
    let mut options = OVMF.to_vec();
    options.push((54, server));
    drop(ask(lab, card, 3, options.as_slice() as Options<'_>));
}

/// Boots from an address, and opens the due attempt.
fn boot(lab: &mut Lab, card: u8, from: &str) {
    let mac = format!("52:54:00:00:00:{card:02x}").parse().unwrap();
    let ask = NetworkBoot {
        report: Report {
            macs: vec![mac],
            ..Report::default()
        },
        from: Some(from.parse().unwrap()),
        ..NetworkBoot::default()
    };
    lab.transaction(|transaction| {
        if let Decision::Open(opening) = transaction.boot(&ask) {
            let preparation = Preparation::New(opening);
            assert!(
                transaction
                    .reserve(&preparation, &ask, "http://192.0.2.1")
                    .is_some()
            );
            assert!(transaction.complete(&preparation, &ask));
        }
    });
}

fn waits(lab: &mut Lab, seconds: u32) {
    for _ in 0..seconds {
        lab.step("wait 1s");
    }
}

/// The remarks in a node's log.
fn remarks(lab: &mut Lab, name: &str) -> Vec<String> {
    let log = lab.step(&format!("log {name}")).1;
    let remarks = log.iter().filter_map(|line| line.strip_prefix("remark "));
    remarks.map(str::to_owned).collect()
}

fn status(lab: &mut Lab, name: &str) -> String {
    lab.step(&format!("status {name}")).0
}

#[test]
fn a_diagnosis_is_in_the_log_and_the_status_until_the_machine_gets_further() {
    let mut lab = lab("proxy");
    for wait in [4, 8, 16, 32] {
        discover(&mut lab, 1);
        waits(&mut lab, wait);
    }
    let sentence = Diagnosis::OfferIgnored.to_string();
    assert_eq!(remarks(&mut lab, "n1"), [sentence.as_str()]);
    assert_eq!(status(&mut lab, "n1"), format!("bound: {sentence}; 0 of 1"));
    request(&mut lab, 1, OTHER);
    assert_eq!(status(&mut lab, "n1"), "bound; 0 of 1");
    let server = "192.0.2.254".parse().unwrap();
    let sentence = Diagnosis::NoBootServer { server }.to_string();
    waits(&mut lab, 29);
    assert_eq!(remarks(&mut lab, "n1"), Vec::<String>::new());
    waits(&mut lab, 1);
    assert_eq!(remarks(&mut lab, "n1"), [sentence.as_str()]);
    assert_eq!(status(&mut lab, "n1"), format!("bound: {sentence}; 0 of 1"));
}

#[test]
fn every_dhcp_mode_names_its_own_cause() {
    let server = "192.0.2.254".parse().unwrap();
    let another = Diagnosis::AnotherServer { server };
    let cases = [
        ("proxy", Diagnosis::NoBootServer { server }),
        ("reserve", another.clone()),
        ("server", another),
    ];
    for (mode, diagnosis) in cases {
        let mut lab = lab(mode);
        discover(&mut lab, 1);
        request(&mut lab, 1, OTHER);
        waits(&mut lab, 30);
        assert_eq!(remarks(&mut lab, "n1"), [diagnosis.to_string()], "{mode}");
    }
}

#[test]
fn an_offer_that_is_never_accepted_is_reported() {
    let us: &[u8] = &[192, 0, 2, 1];
    let file = || String::from("snponly.efi");
    let fetched = |outcome| Fetched {
        by: "tftp",
        name: file(),
        program: Some(Program::EfiX64),
        outcome,
    };
    let unheard = FailedFetch {
        reason: "failed after 0 bytes: no acknowledgement of block 0".into(),
        no_response: true,
    };
    let cases = [
        (None, 30, Diagnosis::LoaderNotRequested { file: file() }),
        (
            Some(fetched(Err(unheard))),
            5,
            Diagnosis::TransferUnacknowledged { file: file() },
        ),
        (
            Some(fetched(Ok((173_000, 400)))),
            90,
            Diagnosis::NoRequestFromLoader { file: file() },
        ),
        (
            Some(Fetched {
                program: Some(Program::NotEfi),
                ..fetched(Ok((173_000, 400)))
            }),
            0,
            Diagnosis::WrongLoader {
                file: file(),
                program: Program::NotEfi,
                firmware: "UEFI x64".into(),
            },
        ),
    ];
    for (fetched, seconds, diagnosis) in cases {
        let mut lab = lab("reserve");
        discover(&mut lab, 1);
        let mut options = OVMF.to_vec();
        options.extend([(54, us), (50, &[192, 0, 2, 21][..])]);
        assert!(ask(&mut lab, 1, 3, &options).is_ok());
        let id = lab.machine("n1").unwrap();
        if let Some(fetched) = fetched {
            lab.transaction(|transaction| transaction.on_loader_request(id, &fetched.name));
            lab.transaction(|transaction| transaction.fetched(id, fetched));
        }
        waits(&mut lab, seconds);
        assert_eq!(remarks(&mut lab, "n1"), [diagnosis.to_string()]);
    }
}

#[test]
fn a_missing_loader_is_named_with_its_package() {
    for mode in ["proxy", "reserve", "server"] {
        let mut lab = lab(mode);
        let ask = ReceivedQuery {
            query: DhcpMessage::read(&datagram(1, OVMF)).unwrap(),
            dhcp_port: DhcpPort::Dhcp,
            server_ip: "192.0.2.1".parse().unwrap(),
            base: "http://192.0.2.1".into(),
            other_server: None,
        };
        drop(lab.transaction(|transaction| transaction.dhcp(&ask, &|_| false)));
        let reason = "snponly.efi is missing: apt-get install ipxe".into();
        let sentence = Diagnosis::NoLoader { reason }.to_string();
        assert_eq!(remarks(&mut lab, "n1"), [sentence], "{mode}");
    }
}

#[test]
fn an_undeclared_machine_is_compared_with_nodes_that_never_booted() {
    for mode in ["proxy", "reserve"] {
        let mut lab = lab(mode);
        discover(&mut lab, 2);
        discover(&mut lab, 60);
        let never_seen = "n1 or n3".into();
        let sentence = Diagnosis::NotDeclared { never_seen }.to_string();
        assert_eq!(remarks(&mut lab, "52-54-00-00-00-3c"), [sentence], "{mode}");
    }
    // All declared machines have been seen: an undeclared machine is not one of them.
    let mut lab = lab("reserve");
    for card in [1, 2, 3, 60] {
        discover(&mut lab, card);
    }
    assert_eq!(remarks(&mut lab, "52-54-00-00-00-3c"), Vec::<String>::new());
}

#[test]
fn downloads_are_part_of_the_boot_progress() {
    type Fetch = fn(&mut Lab);
    let nothing: Fetch = |_| {};
    let kernel: Fetch = |lab| {
        lab.transaction(|transaction| {
            transaction.on_repo_file_request(
                "192.0.2.21".parse().unwrap(),
                "repo/r/linux",
                Some(8_000),
            )
        });
    };
    let gone: Fetch = |lab| {
        lab.transaction(|transaction| {
            transaction.on_repo_file_request("192.0.2.21".parse().unwrap(), "repo/r/linux", None)
        });
    };
    let read: Fetch = |lab| {
        lab.step("read #1 preseed.cfg");
    };
    // At the same address as another machine.
    let shared: Fetch = |lab| boot(lab, 3, "192.0.2.21");
    let missing = || Diagnosis::FileMissing {
        file: "repo/r/linux".into(),
    };
    let cases = [
        (1, nothing, Some(Diagnosis::NoKernel)),
        (1, kernel, Some(Diagnosis::NoDocument)),
        (1, gone, Some(missing())),
        (1, shared, None),
        (2, nothing, None),
    ];
    for (at, (card, fetch, diagnosis)) in cases.into_iter().enumerate() {
        let mut lab = lab("reserve");
        boot(&mut lab, card, "192.0.2.21");
        fetch(&mut lab);
        waits(&mut lab, 300);
        let sentence = diagnosis.map(|diagnosis| diagnosis.to_string());
        let expected: Vec<String> = sentence.into_iter().collect();
        let found: Vec<String> = ["n1", "n2", "n3"]
            .iter()
            .filter(|name| lab.machine(name).is_some())
            .map(|name| (*name).to_owned())
            .collect();
        let output: Vec<String> = found
            .iter()
            .flat_map(|name| remarks(&mut lab, name))
            .collect();
        assert_eq!(output, expected, "case {at}");
    }
    let mut lab = Lab::new(&[("a", &site("reserve"))]);
    lab.step("boot c1");
    read(&mut lab);
    waits(&mut lab, 300);
    assert_eq!(remarks(&mut lab, "n1"), Vec::<String>::new());
}

#[test]
fn a_missed_deadline_includes_the_diagnosis() {
    let mut lab = lab("reserve");
    boot(&mut lab, 1, "192.0.2.21");
    waits(&mut lab, 601);
    let sentence = Diagnosis::NoKernel.to_string();
    let expected =
        format!("failed: no `document` in time (reports still accepted); {sentence}; 0 of 1");
    assert_eq!(status(&mut lab, "n1"), expected);
}

#[test]
fn an_installed_machine_has_no_diagnosis() {
    let mut lab = lab("proxy");
    discover(&mut lab, 1);
    lab.step("mark n1");
    for wait in [4, 8, 16, 32] {
        discover(&mut lab, 1);
        waits(&mut lab, wait);
    }
    request(&mut lab, 1, OTHER);
    waits(&mut lab, 60);
    assert_eq!(remarks(&mut lab, "n1"), Vec::<String>::new());
    assert!(status(&mut lab, "n1").starts_with("installed: set by an operator"));
}

#[test]
fn a_refused_boot_is_reported_with_its_reason() {
    let ipxe: Options<'_> = &[(77, b"iPXE"), (93, &[0, 7])];
    for (refused, output) in [(false, 1), (true, 0)] {
        let mut lab = lab("reserve");
        assert!(ask(&mut lab, 1, 1, ipxe).is_ok());
        if refused {
            lab.step("boot c1 from=c99");
        }
        waits(&mut lab, 300);
        assert_eq!(remarks(&mut lab, "n1").len(), output, "refused: {refused}");
    }
}

#[test]
fn files_that_grub_fetches_from_a_repo_are_not_loaders() {
    let mut lab = lab("reserve");
    discover(&mut lab, 1);
    boot(&mut lab, 1, "192.0.2.21");
    let id = lab.machine("n1").unwrap();
    let fetched = Fetched {
        by: "tftp",
        name: "repo/r/initrd.gz".into(),
        program: Some(Program::NotEfi),
        outcome: Ok((40_800_000, 6_900)),
    };
    lab.transaction(|transaction| transaction.fetched(id, fetched));
    assert_eq!(remarks(&mut lab, "n1"), Vec::<String>::new());
}
