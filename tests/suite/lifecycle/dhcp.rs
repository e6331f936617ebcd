//! DHCP and its effects: which machines are discovered, which address a client gets, what it boots.

use bootwright::{
    boot::dhcp::{DhcpMessage, DhcpPort, DhcpReply, NoReply},
    control::ReceivedQuery,
    journal::{JournalLine, JournalState},
};

use crate::support::dhcp::{OVMF, PHONE, datagram};
use crate::support::story::Lab;

const SERVER: &str = r#"
[network.lab]
subnet = "192.0.2.0/24"
gateway = "192.0.2.101"
dhcp = "server"
range = "192.0.2.100-192.0.2.102"
[repo.r]
path = "/x"
task = "debian"
[policy.safe]
tags = ["safe"]
secure-boot = true
[node.n1]
mac = "52:54:00:00:00:01"
address = "192.0.2.21"
repo = "r"
[node.n2]
mac = "52:54:00:00:00:02"
address = "192.0.2.22"
tags = ["safe"]
repo = "r"
policy = "safe"
"#;

pub(super) type Options<'a> = &'a [(u8, &'a [u8])];

pub(super) fn ask(
    lab: &mut Lab,
    card: u8,
    kind: u8,
    options: Options<'_>,
) -> Result<DhcpReply, NoReply> {
    ask_of(lab, u32::from(card), kind, options)
}

/// The same for any of sixteen million MAC addresses.
fn ask_of(lab: &mut Lab, card: u32, kind: u8, options: Options<'_>) -> Result<DhcpReply, NoReply> {
    let mut bytes = datagram(kind, options);
    bytes[31..34].copy_from_slice(&card.to_be_bytes()[1..]);
    let ask = ReceivedQuery {
        query: DhcpMessage::read(&bytes).unwrap(),
        dhcp_port: DhcpPort::Dhcp,
        server_ip: "192.0.2.1".parse().unwrap(),
        base: "http://192.0.2.1".into(),
        other_server: None,
    };
    lab.transaction(|transaction| transaction.dhcp(&ask, &|_| true))
}

fn address(answer: &Result<DhcpReply, NoReply>) -> String {
    match answer {
        Ok(answer) => answer.yiaddr.map_or("none".into(), |ip| ip.to_string()),
        Err(silence) => silence.to_string(),
    }
}

/// A whole exchange, and its result.
fn lease(lab: &mut Lab, card: u8) -> String {
    let offer = ask(lab, card, 1, PHONE);
    let Some(ip) = offer.as_ref().ok().and_then(|offer| offer.yiaddr) else {
        return address(&offer);
    };
    let (server, ip) = ([192, 0, 2, 1], ip.octets());
    let mut options = PHONE.to_vec();
    options.extend([(54, &server[..]), (50, &ip[..])]);
    address(&ask(lab, card, 3, &options))
}

#[test]
fn a_machine_behind_a_router_is_matched_by_its_lease() {
    let mut lab = Lab::new(&[("a", SERVER)]);
    for card in [1, 50] {
        ask(&mut lab, card, 1, OVMF).unwrap();
    }
    assert_eq!(lease(&mut lab, 50), "192.0.2.100");
    let mut at =
        |ip: &str| lab.transaction(|transaction| transaction.machine_leased(ip.parse().unwrap()));
    // By its declaration, by its lease; a machine that was never seen is not found.
    let (declared, leased) = (at("192.0.2.21"), at("192.0.2.100"));
    assert!(declared.is_some() && leased.is_some() && declared != leased);
    assert_eq!(at("192.0.2.22"), None);
    assert_eq!(at("192.0.2.102"), None);
    assert_eq!(at("2001:db8::1"), None);
}

#[test]
fn phones_get_addresses_and_are_not_listed() {
    let mut lab = Lab::new(&[("a", SERVER)]);
    // .101 is the router's, so no client gets it.
    assert_eq!(lease(&mut lab, 50), "192.0.2.100");
    assert_eq!(lease(&mut lab, 51), "192.0.2.102");
    assert_eq!(
        lease(&mut lab, 52),
        "no address is free for it: widen `range`, or declare its address"
    );
    // A client with a lease keeps it.
    assert_eq!(lease(&mut lab, 50), "192.0.2.100");
    assert_eq!(lab.server.state.machines.ids().len(), 0);
    assert_eq!(lab.server.state.leases.len(), 2);
}

#[test]
fn a_released_lease_is_free_and_a_declined_one_is_not() {
    let mut lab = Lab::new(&[("a", SERVER)]);
    assert_eq!(lease(&mut lab, 50), "192.0.2.100");
    assert_eq!(lease(&mut lab, 51), "192.0.2.102");
    let declined: Options<'_> = &[(54, &[192, 0, 2, 1]), (50, &[192, 0, 2, 100])];
    assert_eq!(ask(&mut lab, 50, 4, declined), Err(NoReply::NotNeeded));
    assert_eq!(
        lease(&mut lab, 52),
        "no address is free for it: widen `range`, or declare its address"
    );
    // A client cannot decline the address of another one.
    let others: Options<'_> = &[(54, &[192, 0, 2, 1]), (50, &[192, 0, 2, 102])];
    assert_eq!(ask(&mut lab, 53, 4, others), Err(NoReply::NotNeeded));
    assert_eq!(lease(&mut lab, 51), "192.0.2.102");
}

#[test]
fn a_declared_machine_has_its_own_address_and_its_own_loader() {
    let mut lab = Lab::new(&[("a", SERVER)]);
    let file = |answer: Result<DhcpReply, NoReply>| answer.unwrap().file;
    let first = ask(&mut lab, 1, 1, OVMF);
    assert_eq!(address(&first), "192.0.2.21");
    assert_eq!(file(first).as_deref(), Some("snponly.efi"));
    // The setting of its policy applies before its first installation.
    let second = ask(&mut lab, 2, 1, OVMF);
    assert_eq!(address(&second), "192.0.2.22");
    assert_eq!(file(second).as_deref(), Some("shimx64.efi"));
    assert_eq!(lab.server.state.machines.ids().len(), 2);
    assert!(lab.server.state.leases.is_empty());
}

#[test]
fn an_undeclared_machine_is_listed_and_gets_no_boot_file() {
    let mut lab = Lab::new(&[("a", SERVER)]);
    let answer = ask(&mut lab, 60, 1, OVMF);
    assert_eq!(address(&answer), "192.0.2.100");
    assert_eq!(answer.unwrap().file, None);
    assert_eq!(lab.server.state.machines.ids().len(), 1);
}

#[test]
fn leases_are_the_fold_of_the_journal() {
    let mut lab = Lab::new(&[("a", SERVER)]);
    assert_eq!(lease(&mut lab, 50), "192.0.2.100");
    assert_eq!(lease(&mut lab, 51), "192.0.2.102");
    let mut folded = JournalState::default();
    for line in lab.written() {
        folded.take(&JournalLine::parse(&line).unwrap());
    }
    assert_eq!(folded.leases, lab.server.state.leases);
}

const STORM: u32 = 100_000;

#[test]
fn a_storm_of_phones_leaves_no_entries_and_declared_machines_are_answered() {
    let mut lab = Lab::new(&[("a", SERVER)]);
    let before = lab.written().len();
    for card in 1_000..1_000 + STORM {
        let answer = ask_of(&mut lab, card, 1, PHONE);
        // An offered address is reserved for its client.
        let none = Err(NoReply::NoAddress);
        assert!(answer.is_ok() || answer == none, "{answer:?}");
        if card % 10_000 == 0 {
            assert_eq!(address(&ask(&mut lab, 1, 1, OVMF)), "192.0.2.21");
        }
        if card % 10_000 == 0 {
            lab.step("wait 1s");
        }
    }
    assert_eq!(lab.server.state.leases.len(), 0);
    // Only the declared machine.
    assert_eq!(lab.server.state.machines.ids().len(), 1);
    let written = lab.written().len() - before;
    assert!(written < 20, "{written} lines");
    // After that, all clients are served.
    lab.step("wait 31s");
    assert_eq!(lease(&mut lab, 50), "192.0.2.100");
}

#[test]
fn a_storm_of_forged_machines_is_limited_and_so_is_its_journal() {
    let few = format!("[limits]\ndiscovered = 50\n====={SERVER}");
    let mut lab = Lab::new(&[("a", &few)]);
    for card in 1_000..1_000 + STORM {
        assert!(!matches!(ask_of(&mut lab, card, 1, OVMF), Ok(answer) if answer.file.is_some()));
        if card % 10_000 == 0 {
            let own = ask(&mut lab, 1, 1, OVMF).unwrap();
            assert_eq!(own.yiaddr, Some("192.0.2.21".parse().unwrap()));
            assert_eq!(own.file.as_deref(), Some("snponly.efi"));
        }
        if card % 1_000 == 0 {
            lab.step("wait 1s");
        }
    }
    // Fifty undeclared machines and the declared one; the oldest were removed.
    assert_eq!(lab.server.state.machines.ids().len(), 51);
    // 500 at once and one per second for 100 s, with a few lines each.
    let written = lab.written();
    assert!(
        (1_500..3_000).contains(&written.len()),
        "{} lines",
        written.len()
    );
    let reported = written
        .iter()
        .filter(|line| line.contains("more than 500 undeclared machines"));
    assert_eq!(reported.count(), 1);
    // After that, an undeclared machine is listed again.
    lab.step("wait 10m");
    ask(&mut lab, 60, 1, OVMF).unwrap();
    assert!(lab.transaction(|transaction| transaction.find("52-54-00-00-00-3c").is_some()));
}

#[test]
fn a_client_that_repeats_its_request_writes_one_line() {
    let mut lab = Lab::new(&[("a", SERVER)]);
    let before = lab.written().len();
    for second in 0..600 {
        assert_eq!(lease(&mut lab, 50), "192.0.2.100", "second {second}");
        lab.step("wait 1s");
    }
    let lines = lab.written().split_off(before);
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

#[test]
fn a_client_that_renews_its_lease_writes_a_line_each_two_days_and_keeps_its_address_after_a_restart()
 {
    let mut lab = Lab::new(&[("a", SERVER)]);
    let before = lab.written().len();
    // It renews a lease of 12 hours after each half of it, for 30 days.
    for day in 0..30 {
        for _ in 0..4 {
            assert_eq!(lease(&mut lab, 50), "192.0.2.100", "day {day}");
            lab.step("wait 6h");
        }
    }
    let lines = lab.written().split_off(before);
    assert!((15..20).contains(&lines.len()), "{} lines", lines.len());
    // After a restart at any time of that, no other client gets its address.
    for hours in 0..8 {
        assert_eq!(lease(&mut lab, 50), "192.0.2.100");
        lab.step("restart");
        for other in 51..60 {
            assert_ne!(lease(&mut lab, other), "192.0.2.100", "{hours}");
        }
        lab.step("wait 6h");
    }
    // While the server runs, the address is free when the lease ends.
    assert_eq!(lease(&mut lab, 50), "192.0.2.100");
    lab.step("wait 13h");
    let found: Vec<String> = (60..64).map(|other| lease(&mut lab, other)).collect();
    assert!(
        found.iter().any(|address| address == "192.0.2.100"),
        "{found:?}"
    );
}

#[test]
fn a_reservation_in_use_by_another_host_is_not_assigned() {
    let declined: Options<'_> = &[(54, &[192, 0, 2, 1]), (50, &[192, 0, 2, 21])];
    // (mode, the offer during the conflict)
    let reserve = SERVER
        .replace("\"server\"", "\"reserve\"")
        .replace("range = \"192.0.2.100-192.0.2.102\"\n", "");
    let used = "its address, 192.0.2.21, is used by another host, and this network has no `range` to assign another one from";
    for (site, meanwhile) in [(SERVER, "192.0.2.100"), (&reserve, used)] {
        let mut lab = Lab::new(&[("a", site)]);
        lab.step("links 192.0.2.0/24");
        assert_eq!(address(&ask(&mut lab, 1, 1, OVMF)), "192.0.2.21");
        // A DHCPDECLINE to another server concerns only that server.
        let others: Options<'_> = &[(54, &[192, 0, 2, 254]), (50, &[192, 0, 2, 21])];
        assert_eq!(ask(&mut lab, 1, 4, others), Err(NoReply::NotNeeded));
        assert_eq!(lab.step("status n1").0, "bound; 0 of 1");
        assert_eq!(ask(&mut lab, 1, 4, declined), Err(NoReply::NotNeeded));
        assert_eq!(
            lab.step("status n1").0,
            "held: 192.0.2.21 is used by another host on network lab, as the machine reports; 0 of 1"
        );
        assert_eq!(address(&ask(&mut lab, 1, 1, OVMF)), meanwhile);
        // An ARP probe finds the other host, and the machine continues when that host is gone.
        lab.step("arp 192.0.2.21 c9");
        let held = lab.step("status n1").0;
        assert!(held.contains("is used by 52:54:00:00:00:09"), "{held}");
        lab.step("wait 10s");
        lab.step("arp 192.0.2.21");
        assert_eq!(address(&ask(&mut lab, 1, 1, OVMF)), "192.0.2.21");
    }
}
