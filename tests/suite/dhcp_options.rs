//! The DHCP options of the site's own, and the routes to gateways outside of the subnet.

use std::{collections::BTreeMap, net::Ipv4Addr};

use bootwright::{
    boot::dhcp::{AddressAssignment, DhcpMessage, DhcpReply, ReplyContext, decide},
    model::{DHCP_OPTIONS, DhcpMode, SiteOption, SiteOptionValue},
};
use proptest::prelude::*;

use crate::{
    dhcp::{OWN, ROUTER, US, context, dhcp_options, query},
    support::{
        dhcp::{OVMF, PHONE},
        loading::{found, load},
    },
};

fn option(code: u8, bytes: &[u8], always: bool) -> SiteOption {
    SiteOption {
        code,
        value: SiteOptionValue::Bytes(bytes.into()),
        always,
    }
}

fn with(site: Vec<SiteOption>) -> ReplyContext {
    let mut context = context(DhcpMode::Server, true, AddressAssignment::Reserved(OWN));
    context.options.site = site;
    context
}

fn reply(query: &DhcpMessage, context: &ReplyContext) -> (DhcpReply, BTreeMap<u8, Vec<u8>>) {
    let reply = decide(query, context).unwrap();
    let sent = dhcp_options(&reply.datagram(query));
    let count = sent.len();
    let sent: BTreeMap<u8, Vec<u8>> = sent.into_iter().collect();
    assert_eq!(sent.len(), count, "no option is sent twice");
    (reply, sent)
}

/// The options of the site among those that are sent.
fn sent_of(site: &[u8], query: &DhcpMessage, context: &ReplyContext) -> Vec<u8> {
    let (_, sent) = reply(query, context);
    site.iter()
        .copied()
        .filter(|code| sent.contains_key(code))
        .collect()
}

#[test]
fn a_client_gets_the_options_that_it_requests_and_those_that_are_always_sent() {
    let site = [43, 101, 150, 224];
    let all = with(vec![
        option(43, b"\x01\x01a", false),
        option(101, b"Europe/Berlin", false),
        option(150, &US.octets(), false),
        option(224, b"x", true),
    ]);
    let list: &[u8] = &[1, 3, 150, 43];
    let firmware = [OVMF, &[(55, list)]].concat();
    let phone = [PHONE, &[(55, list)]].concat();
    type Case<'a> = (&'a [(u8, &'a [u8])], &'a [u8]);
    let cases: [Case<'_>; 4] = [
        // A client without a list gets everything.
        (PHONE, &[43, 101, 150, 224]),
        (&phone, &[43, 150, 224]),
        // Firmware takes option 43 for a menu of PXE boot servers.
        (OVMF, &[101, 150, 224]),
        (&firmware, &[150, 224]),
    ];
    for (options, expected) in cases {
        for kind in [1, 8] {
            let found = sent_of(&site, &query(kind, options), &all);
            assert_eq!(found, expected, "{options:?}");
        }
    }
    // A proxy's reply has only the boot file.
    let mut proxy = all;
    proxy.mode = DhcpMode::Proxy;
    assert_eq!(sent_of(&site, &query(1, OVMF), &proxy), [0; 0]);
}

#[test]
fn a_value_is_sent_as_it_is() {
    let context = with(vec![option(150, &[192, 0, 2, 5, 192, 0, 2, 6], false)]);
    let (_, sent) = reply(&query(1, PHONE), &context);
    assert_eq!(sent[&150], [192, 0, 2, 5, 192, 0, 2, 6]);
    // The options of the server itself are sent as before.
    assert_eq!(sent[&3], ROUTER.octets());
    assert_eq!(sent[&119], b"\x03lab\x07example\0");
}

#[test]
fn a_reply_is_not_larger_than_the_client_accepts() {
    let long = [b'x'; 150];
    let mut site: Vec<SiteOption> = [200, 201, 202]
        .map(|code| option(code, &long, false))
        .into();
    site.push(option(199, b"short", true));
    let context = with(site);
    // Without option 57, 576 bytes with the headers of IP and UDP (RFC 2132 section 9.10). What the client prefers is first.
    let list: &[u8] = &[202, 200, 201];
    let query_of = |size: Option<u16>| {
        let size = size.map(u16::to_be_bytes);
        let mut options = vec![(55, list)];
        options.extend(size.iter().map(|size| (57, &size[..])));
        query(1, &options)
    };
    for (size, left_out) in [
        (None, vec![200, 201]),
        (Some(300), vec![200, 201]),
        (Some(800), vec![201]),
        (Some(1_000), vec![]),
        (Some(1_500), vec![]),
    ] {
        let query = query_of(size);
        let (answer, sent) = reply(&query, &context);
        let length = answer.datagram(&query).len() + 28;
        assert!(
            length <= usize::from(size.unwrap_or(576).max(576)),
            "{length}"
        );
        assert_eq!(answer.left_out, left_out, "{size:?}");
        assert!(sent.contains_key(&199), "{size:?}");
    }
}

fn routes_of(query: &DhcpMessage, context: &ReplyContext) -> Vec<String> {
    let (_, sent) = reply(query, context);
    let mut rest = sent.get(&121).map_or(&[][..], Vec::as_slice);
    let mut routes = Vec::new();
    while let [length, tail @ ..] = rest {
        let (to, tail) = tail.split_at(usize::from(length.div_ceil(8)));
        let (via, tail) = tail.split_at(4);
        let mut octets = [0; 4];
        octets[..to.len()].copy_from_slice(to);
        let via: [u8; 4] = via.try_into().unwrap();
        routes.push(format!(
            "{}/{length} {}",
            Ipv4Addr::from(octets),
            Ipv4Addr::from(via)
        ));
        rest = tail;
    }
    routes
}

#[test]
fn a_client_behind_a_gateway_outside_of_its_subnet_gets_a_route_to_it() {
    let mut hosted = with(Vec::new());
    hosted.options.gateways = vec![Ipv4Addr::new(172, 31, 1, 1)];
    hosted.options.on_link = true;
    let expected = ["172.31.1.1/32 0.0.0.0", "0.0.0.0/0 172.31.1.1"];
    let list: &[u8] = &[1, 3];
    for options in [PHONE, OVMF, &[(55, list)]] {
        for kind in [1, 8] {
            let query = query(kind, options);
            assert_eq!(routes_of(&query, &hosted), expected, "{options:?}");
            // For clients that do not support option 121.
            assert_eq!(reply(&query, &hosted).1[&3], [172, 31, 1, 1]);
        }
    }
    // A single host has no subnet.
    hosted.options.subnet = "192.0.2.21/32".parse().unwrap();
    assert_eq!(routes_of(&query(1, PHONE), &hosted), expected);
    let inside = with(Vec::new());
    assert_eq!(routes_of(&query(1, PHONE), &inside), [""; 0]);
}

#[test]
fn routes_of_the_site_do_not_take_the_default_route_away() {
    let routes = |routes: &[&str]| SiteOption {
        code: 121,
        value: SiteOptionValue::Routes(
            routes
                .iter()
                .map(|route| route.split_once(" via ").unwrap())
                .map(|(to, via)| (to.parse().unwrap(), via.parse().unwrap()))
                .collect(),
        ),
        always: false,
    };
    let mut context = with(vec![routes(&["10.0.0.0/8 via 192.0.2.2"])]);
    let phone = query(1, PHONE);
    assert_eq!(
        routes_of(&phone, &context),
        ["10.0.0.0/8 192.0.2.2", "0.0.0.0/0 192.0.2.254"]
    );
    // Unless the site has one of its own, or no gateway.
    context.options.site = vec![routes(&["0.0.0.0/0 via 192.0.2.3"])];
    assert_eq!(routes_of(&phone, &context), ["0.0.0.0/0 192.0.2.3"]);
    context.options.gateways = Vec::new();
    context.options.site = vec![routes(&["10.1.2.0/23 via 0.0.0.0"])];
    assert_eq!(routes_of(&phone, &context), ["10.1.2.0/23 0.0.0.0"]);
    // A next hop outside of the subnet is on the link.
    context.options.gateways = vec![Ipv4Addr::new(172, 31, 1, 1)];
    context.options.on_link = true;
    context.options.site = vec![routes(&[
        "10.0.0.0/8 via 172.31.1.2",
        "10.9.0.0/16 via 172.31.1.2",
    ])];
    let expected = [
        "172.31.1.2/32 0.0.0.0",
        "172.31.1.1/32 0.0.0.0",
        "10.0.0.0/8 172.31.1.2",
        "10.9.0.0/16 172.31.1.2",
        "0.0.0.0/0 172.31.1.1",
    ];
    assert_eq!(routes_of(&phone, &context), expected);
}

/// A site with these lines in the `options` of its network. Returns the encoded options.
fn encoded(file: &str, options: &str) -> Vec<(u8, SiteOptionValue)> {
    let (site, diagnostics) = load(&[(file, options)]);
    assert_eq!(found(&site, &diagnostics), [""; 0], "{options}");
    let network = site.networks.values().next().unwrap();
    let options = network.body.options.iter().map(|(key, setting)| {
        let option = setting.value.encode(key, setting.span).unwrap();
        (option.code, option.value)
    });
    options.collect()
}

#[test]
fn every_type_has_its_encoding_in_toml_and_kdl() {
    // TOML, KDL, and the bytes.
    let cases: [(&str, &str, &[u8]); 16] = [
        (
            "time-offset = -3600",
            "time-offset -3600",
            &[255, 255, 241, 240],
        ),
        (
            "arp-cache-timeout = 60",
            "arp-cache-timeout 60",
            &[0, 0, 0, 60],
        ),
        ("boot-size = 300", "boot-size 300", &[1, 44]),
        ("default-ip-ttl = 64", "default-ip-ttl 64", &[64]),
        ("ip-forwarding = true", "ip-forwarding #true", &[1]),
        (
            "swap-server = \"192.0.2.5\"",
            "swap-server \"192.0.2.5\"",
            &[192, 0, 2, 5],
        ),
        (
            "log-servers = [\"192.0.2.5\", \"192.0.2.6\"]",
            "log-servers \"192.0.2.5\" \"192.0.2.6\"",
            &[192, 0, 2, 5, 192, 0, 2, 6],
        ),
        (
            "policy-filter = \"10.0.0.0 255.0.0.0\"",
            "policy-filter \"10.0.0.0 255.0.0.0\"",
            &[10, 0, 0, 0, 255, 0, 0, 0],
        ),
        (
            "path-mtu-plateau-table = [68, 1500]",
            "path-mtu-plateau-table 68 1500",
            &[0, 68, 5, 220],
        ),
        ("wpad = \"a\"", "wpad \"a\"", b"a"),
        ("43 = \"01:A4\"", "\"43\" \"01:A4\"", &[1, 164]),
        (
            "lost-server = \"a.bc\"",
            "lost-server \"a.bc\"",
            b"\x01a\x02bc\0",
        ),
        (
            "sip-servers = [\"a.bc\", \"d\"]",
            "sip-servers \"a.bc\" \"d\"",
            b"\0\x01a\x02bc\0\x01d\0",
        ),
        (
            "sip-servers = \"192.0.2.5\"",
            "sip-servers \"192.0.2.5\"",
            &[1, 192, 0, 2, 5],
        ),
        (
            "224 = { u16 = [1, 2] }",
            "\"224\" { u16 1 2; }",
            &[0, 1, 0, 2],
        ),
        (
            "wpad = { hex = \"00ff\", always = true }",
            "wpad hex=\"00ff\" always=#true",
            &[0, 255],
        ),
    ];
    for (toml, kdl, bytes) in cases {
        let toml = format!(
            "[network.lab]\nsubnet = \"192.0.2.0/24\"\ndhcp = \"server\"\nunknown = \"watch\"\n[network.lab.options]\n{toml}\n"
        );
        let kdl = format!(
            "network \"lab\" {{\n    subnet \"192.0.2.0/24\"\n    dhcp \"server\"\n    unknown \"watch\"\n    options {{\n        {kdl}\n    }}\n}}\n"
        );
        let [toml, kdl] = [("policies.d/a.toml", toml), ("policies.d/a.kdl", kdl)]
            .map(|(file, text)| (encoded(file, &text), text));
        assert_eq!(toml.0, kdl.0, "{}", kdl.1);
        let values: Vec<_> = toml.0.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [SiteOptionValue::Bytes(bytes.into())], "{}", toml.1);
    }
}

#[test]
fn the_manual_lists_every_option_with_a_name() {
    let page = include_str!("../../src/manual/networks.md");
    let (_, page) = page.split_once("### Names of options").unwrap();
    let (page, _) = page.split_once("\n## ").unwrap();
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let code: u8 = cells.next()?.parse().ok()?;
        Some((code, cells.next()?, cells.next()?.trim_end_matches(" |")))
    });
    let expected = DHCP_OPTIONS.map(|(code, name, value)| {
        let value = value
            .to_string()
            .replace("pairs of an IPv4 address and a mask", "pairs");
        (code, format!("`{name}`"), value)
    });
    let rows: Vec<_> = rows
        .map(|(code, name, value)| (code, name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(rows, expected);
}

proptest! {
    #[test]
    fn no_answer_is_larger_than_the_client_accepts(
        size in 0..1_600_u16,
        requested in proptest::collection::vec(any::<u8>(), 0..20),
        values in proptest::collection::vec((1..=254_u8, proptest::collection::vec(any::<u8>(), 1..=255), any::<bool>()), 0..12),
        boots in any::<bool>(),
    ) {
        let values: BTreeMap<u8, (Vec<u8>, bool)> = values.into_iter().map(|(code, bytes, always)| (code, (bytes, always))).collect();
        let context = with(values.iter().map(|(code, (bytes, always))| option(*code, bytes, *always)).collect());
        let size_bytes = size.to_be_bytes();
        let mut options = if boots { OVMF[1..].to_vec() } else { PHONE.to_vec() };
        options.extend([(57, &size_bytes[..]), (55, &requested)]);
        let query = query(1, &options);
        let (answer, sent) = reply(&query, &context);
        prop_assert!(answer.datagram(&query).len() + 28 <= usize::from(size.max(576)));
        // The message type, the server, the mask and the lease are those of the server.
        prop_assert_eq!(&sent[&53], &[2]);
        prop_assert_eq!(&sent[&54], &US.octets());
        prop_assert_eq!(&sent[&51], &3_600_u32.to_be_bytes());
    }
}
