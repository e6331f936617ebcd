//! DHCP without sockets: messages as received from the network, and the table of answers.

use std::net::Ipv4Addr;

use bootwright::{
    boot::{
        ClientArch, LoaderPreference, boot_file,
        dhcp::{
            AddressAssignment, BootFile, Client, Destination, DhcpMessage, DhcpMessageType,
            DhcpParseError, DhcpPort, NetworkOptions, NoReply, ReplyContext, ReplyType, decide,
        },
    },
    model::DhcpMode,
};
use dhcproto::v4::{DhcpOption, DhcpOptions, OptionCode};
use proptest::prelude::*;

use crate::support::dhcp::{OVMF, PHONE, datagram, infiniband};

pub(crate) const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 21);
const FREE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

pub(crate) fn query(kind: u8, options: &[(u8, &[u8])]) -> DhcpMessage {
    DhcpMessage::read(&datagram(kind, options)).unwrap()
}

fn network_options() -> NetworkOptions {
    NetworkOptions {
        subnet: "192.0.2.0/24".parse().unwrap(),
        gateways: vec![ROUTER],
        dns: vec![ROUTER],
        domain: Some("lab.example".into()),
        search: vec!["lab.example".into()],
        ntp: Vec::new(),
        mtu: Some(1_500),
        lease: std::time::Duration::from_secs(3_600),
        on_link: false,
        site: Vec::new(),
    }
}

pub(crate) fn context(mode: DhcpMode, declared: bool, held: AddressAssignment) -> ReplyContext {
    ReplyContext {
        port: DhcpPort::Dhcp,
        mode,
        server_ip: US,
        options: network_options(),
        declared,
        assignment: held,
        boot: Ok(BootFile {
            file: "snponly.efi".into(),
            options: DhcpOptions::new(),
        }),
        other_server: None,
    }
}

#[test]
fn a_client_message_is_parsed() {
    let query = query(1, OVMF);
    assert_eq!(query.message_type, DhcpMessageType::Discover);
    assert_eq!(query.client, Client::Pxe(ClientArch::EfiX64));
    assert_eq!(
        (query.xid, query.secs, query.broadcast),
        (0xdead_beef, 4, false)
    );
    assert_eq!(query.mac.to_string(), "52:54:00:00:00:01");
    assert_eq!(query.max_size, 1_500);
    assert_eq!(query.guid.map(|guid| guid.len()), Some(17));
}

#[test]
fn messages_of_real_firmware_are_classified() {
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds/dhcp");
    let cases = [
        (
            "ipxe-bios-discover",
            DhcpMessageType::Discover,
            "iPXE, BIOS",
        ),
        (
            "ipxe-uefi-request",
            DhcpMessageType::Request,
            "iPXE, UEFI x64",
        ),
        (
            "ovmf-http-discover",
            DhcpMessageType::Discover,
            "UEFI x64 HTTP",
        ),
        (
            "ovmf-pxe-discover",
            DhcpMessageType::Discover,
            "UEFI x64 PXE",
        ),
        ("ovmf-pxe-request", DhcpMessageType::Request, "UEFI x64 PXE"),
        ("phone-discover", DhcpMessageType::Discover, "host"),
        (
            "relayed-discover",
            DhcpMessageType::Discover,
            "UEFI x64 PXE",
        ),
    ];
    let mut files: Vec<_> = std::fs::read_dir(&seeds)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let names: Vec<&str> = cases.iter().map(|(name, ..)| *name).collect();
    assert_eq!(files, names);
    for (name, asks, client) in cases {
        let query = DhcpMessage::read(&std::fs::read(seeds.join(name)).unwrap()).unwrap();
        assert_eq!(
            (query.message_type, &*query.client.to_string()),
            (asks, client),
            "{name}"
        );
        assert_eq!(query.guid.is_some(), query.client.boots(), "{name}");
        let is_relayed = name.starts_with("relayed");
        assert_eq!(query.giaddr.is_some(), is_relayed, "{name}");
        assert_eq!(query.relay_info.is_some(), is_relayed, "{name}");
        let own = query.requested.unwrap_or(OWN);
        let server = context(DhcpMode::Server, true, AddressAssignment::Reserved(own));
        let kind = decide(&query, &server).map(|answer| answer.kind);
        let expected = match asks {
            DhcpMessageType::Discover => ReplyType::Offer,
            _ => ReplyType::Ack,
        };
        assert_eq!(kind, Ok(expected), "{name}");
    }
}

#[test]
fn other_datagrams_are_rejected_with_a_reason() {
    let good = datagram(1, PHONE);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        DhcpMessage::read(&bytes).map(|query| query.message_type)
    };
    let cases = [
        (with(0, 1), Ok(DhcpMessageType::Discover)),
        (with(0, 2), Err(DhcpParseError::ServerReply)),
        (with(0, 3), Err(DhcpParseError::NotDhcp)),
        (with(1, 6), Err(DhcpParseError::NotEthernet)),
        (with(1, 32), Err(DhcpParseError::InfiniBand)),
        // A length that exceeds the datagram.
        (with(2, 255), Err(DhcpParseError::NotEthernet)),
        (with(2, 0), Err(DhcpParseError::NotEthernet)),
        (with(28, 1), Err(DhcpParseError::NotEthernet)),
        (with(236, 0), Err(DhcpParseError::NotDhcp)),
        (with(242, 2), Err(DhcpParseError::NoType)),
        (with(242, 99), Err(DhcpParseError::NoType)),
    ];
    for (at, (found, expected)) in cases.into_iter().enumerate() {
        assert_eq!(found, expected, "case {at}");
    }
    for length in 0..240 {
        assert!(
            DhcpMessage::read(&good[..length]).is_err(),
            "{length} bytes"
        );
    }
}

#[test]
fn a_message_over_infiniband_is_rejected_whatever_address_it_has() {
    for kind in [1, 3, 4, 7, 8] {
        for options in [OVMF, PHONE] {
            let without = infiniband(&datagram(kind, options));
            // iPXE sends an address of six octets that it makes of the GUID.
            let mut with = without.clone();
            with[2] = 6;
            with[28..34].copy_from_slice(&[0x7c, 0xfe, 0x90, 0x29, 0x1b, 0x8b]);
            let mut long = without.clone();
            long[2] = 20;
            for bytes in [without, with, long] {
                assert_eq!(DhcpMessage::read(&bytes), Err(DhcpParseError::InfiniBand));
            }
        }
    }
}

#[test]
fn options_continue_in_the_sname_and_file_fields() {
    let mut bytes = datagram(1, &[(52, &[3])]);
    bytes[108..117].copy_from_slice(&[60, 6, b'M', b'S', b'F', b'T', b' ', b'5', 255]);
    bytes[44..48].copy_from_slice(&[12, 1, b'a', 255]);
    let query = DhcpMessage::read(&bytes).unwrap();
    assert_eq!(query.hostname.as_deref(), Some("a"));
}

#[test]
fn a_malformed_option_leaves_those_before_it() {
    let mut bytes = datagram(1, OVMF);
    bytes.pop();
    bytes.extend([12, 200, b'x']);
    let query = DhcpMessage::read(&bytes).unwrap();
    assert_eq!(query.client, Client::Pxe(ClientArch::EfiX64));
    assert_eq!(query.hostname, None);
}

/// The expected result of a row: kind, address and boot file, or the reason why there is no reply.
type Expected = Result<(ReplyType, Option<Ipv4Addr>, Option<&'static str>), &'static str>;

/// Mode, whether the machine is declared, its address, message, options, whether it boots from the network; the
/// expected result.
type Row<'a> = (
    DhcpMode,
    bool,
    AddressAssignment,
    u8,
    Vec<(u8, &'a [u8])>,
    bool,
    Expected,
);

fn outcome(
    query: &DhcpMessage,
    context: &ReplyContext,
) -> Result<(ReplyType, Option<Ipv4Addr>, Option<String>), String> {
    decide(query, context)
        .map(|answer| (answer.kind, answer.yiaddr, answer.file))
        .map_err(|silence| silence.to_string())
}

#[test]
fn every_mode_replies_as_its_table_says() {
    use DhcpMode::{Off, Proxy, Reserve, Server};
    let us: &[u8] = &US.octets();
    let router: &[u8] = &ROUTER.octets();
    let own: &[u8] = &OWN.octets();
    let free: &[u8] = &FREE.octets();
    let reserved = AddressAssignment::Reserved(OWN);
    const HOST: &str = "it does not boot from the network";
    const UNDECLARED: &str =
        "it is not declared, and `dhcp = \"reserve\"` only answers declared machines";
    let loader = Some("snponly.efi");
    let rows: Vec<Row<'_>> = vec![
        // mode, declared, address, message, options, boots, expected
        (
            Off,
            true,
            reserved,
            1,
            vec![],
            true,
            Err("`dhcp` is off on this network"),
        ),
        (
            Proxy,
            true,
            AddressAssignment::None,
            1,
            vec![],
            true,
            Ok((ReplyType::Offer, None, loader)),
        ),
        (
            Proxy,
            false,
            AddressAssignment::None,
            1,
            vec![],
            false,
            Err(HOST),
        ),
        (
            Proxy,
            true,
            AddressAssignment::None,
            3,
            vec![(54, router)],
            true,
            Err("the request is for the DHCP server that assigned its address"),
        ),
        (
            Proxy,
            true,
            AddressAssignment::None,
            3,
            vec![(54, us)],
            true,
            Ok((ReplyType::Ack, None, loader)),
        ),
        (
            Proxy,
            true,
            AddressAssignment::None,
            8,
            vec![],
            true,
            Ok((ReplyType::Ack, None, loader)),
        ),
        (
            Proxy,
            true,
            AddressAssignment::None,
            7,
            vec![],
            true,
            Err("the message needs no reply"),
        ),
        (
            Reserve,
            true,
            reserved,
            1,
            vec![],
            true,
            Ok((ReplyType::Offer, Some(OWN), loader)),
        ),
        (
            Reserve,
            true,
            reserved,
            1,
            vec![],
            false,
            Ok((ReplyType::Offer, Some(OWN), None)),
        ),
        (
            Reserve,
            false,
            AddressAssignment::None,
            1,
            vec![],
            false,
            Err(UNDECLARED),
        ),
        (
            Reserve,
            false,
            AddressAssignment::None,
            1,
            vec![],
            true,
            Err(UNDECLARED),
        ),
        (
            Reserve,
            true,
            reserved,
            3,
            vec![(54, us), (50, own)],
            true,
            Ok((ReplyType::Ack, Some(OWN), loader)),
        ),
        (
            Reserve,
            true,
            reserved,
            3,
            vec![(54, router), (50, free)],
            true,
            Err("it has accepted the offer of the DHCP server 192.0.2.254"),
        ),
        (
            Reserve,
            true,
            reserved,
            3,
            vec![(50, free)],
            true,
            Err("its lease is not from this server"),
        ),
        (
            Reserve,
            true,
            AddressAssignment::None,
            1,
            vec![],
            true,
            Err("no address is free for it: widen `range`, or declare its address"),
        ),
        (
            Server,
            false,
            AddressAssignment::Free(FREE),
            1,
            vec![],
            false,
            Ok((ReplyType::Offer, Some(FREE), None)),
        ),
        (
            Server,
            true,
            reserved,
            1,
            vec![],
            true,
            Ok((ReplyType::Offer, Some(OWN), loader)),
        ),
        (
            Server,
            false,
            AddressAssignment::Free(FREE),
            3,
            vec![(54, us), (50, free)],
            false,
            Ok((ReplyType::Ack, Some(FREE), None)),
        ),
        (
            Server,
            false,
            AddressAssignment::Free(FREE),
            3,
            vec![(54, us), (50, own)],
            false,
            Ok((ReplyType::Nak, None, None)),
        ),
        // A lease of another server is never refused. Our own lease is confirmed or withdrawn.
        (
            Server,
            false,
            AddressAssignment::Free(FREE),
            3,
            vec![(50, own)],
            false,
            Err("its lease is not from this server"),
        ),
        (
            Server,
            false,
            AddressAssignment::Leased(FREE),
            3,
            vec![(50, free)],
            false,
            Ok((ReplyType::Ack, Some(FREE), None)),
        ),
        (
            Server,
            false,
            AddressAssignment::Leased(FREE),
            3,
            vec![(50, own)],
            false,
            Ok((ReplyType::Nak, None, None)),
        ),
        (
            Server,
            false,
            AddressAssignment::None,
            1,
            vec![],
            false,
            Err("no address is free for it: widen `range`, or declare its address"),
        ),
        (
            Server,
            false,
            AddressAssignment::Leased(FREE),
            4,
            vec![(50, free)],
            false,
            Err("the message needs no reply"),
        ),
        (
            Server,
            false,
            AddressAssignment::Leased(FREE),
            8,
            vec![],
            false,
            Ok((ReplyType::Ack, None, None)),
        ),
    ];
    for (at, (mode, declared, held, kind, extra, boots, expected)) in rows.into_iter().enumerate() {
        let mut options = if boots { OVMF.to_vec() } else { PHONE.to_vec() };
        options.extend(extra);
        let found = outcome(&query(kind, &options), &context(mode, declared, held));
        let expected = expected
            .map(|(kind, ip, file)| (kind, ip, file.map(str::to_owned)))
            .map_err(str::to_owned);
        assert_eq!(found, expected, "row {at}");
    }
}

#[test]
fn another_server_and_a_disk_boot_suppress_every_reply() {
    let mut beside = context(DhcpMode::Server, true, AddressAssignment::Reserved(OWN));
    beside.other_server = Some(ROUTER);
    let found = decide(&query(1, PHONE), &beside);
    assert_eq!(found, Err(NoReply::OtherServer(ROUTER)));
    let mut without_reply = context(DhcpMode::Server, true, AddressAssignment::Reserved(OWN));
    without_reply.boot = Err(NoReply::LocalBoot);
    assert_eq!(
        decide(&query(1, OVMF), &without_reply),
        Err(NoReply::LocalBoot)
    );
    // The installed system still gets its address.
    assert!(decide(&query(1, PHONE), &without_reply).is_ok());
}

#[test]
fn replies_are_sent_to_where_the_client_receives_them() {
    let server = context(DhcpMode::Server, true, AddressAssignment::Reserved(OWN));
    let to = |query: &DhcpMessage| decide(query, &server).unwrap().destination;
    let plain = query(1, OVMF);
    assert_eq!(to(&plain), Destination::Mac(OWN));
    let broadcast = DhcpMessage {
        broadcast: true,
        ..plain.clone()
    };
    assert_eq!(to(&broadcast), Destination::Broadcast);
    let relayed = DhcpMessage {
        giaddr: Some(ROUTER),
        ..broadcast
    };
    assert_eq!(to(&relayed), Destination::Relay(ROUTER));
    let renewing = DhcpMessage {
        message_type: DhcpMessageType::Request,
        ciaddr: Some(OWN),
        ..plain.clone()
    };
    assert_eq!(to(&renewing), Destination::Client(OWN));
    let proxy = context(DhcpMode::Proxy, true, AddressAssignment::None);
    assert_eq!(
        decide(&plain, &proxy).unwrap().destination,
        Destination::Broadcast
    );
}

#[test]
fn a_reply_repeats_the_fields_of_the_request() {
    let relay: &[u8] = b"\x01\x04wire";
    let mut options = OVMF.to_vec();
    options.extend([(61, b"\x01abcdef".as_slice()), (82, relay)]);
    let query = query(1, &options);
    let server = context(DhcpMode::Server, true, AddressAssignment::Reserved(OWN));
    let bytes = decide(&query, &server).unwrap().datagram(&query);
    assert!(bytes.len() >= 300);
    assert_eq!(bytes[0], 2);
    assert_eq!(bytes[4..8], [0xde, 0xad, 0xbe, 0xef]);
    assert_eq!(bytes[16..20], OWN.octets());
    assert_eq!(bytes[20..24], US.octets());
    assert_eq!(&bytes[108..120], b"snponly.efi\0");
    let message = dhcp_options(&bytes);
    let has = |code: u8, value: &[u8]| {
        let found = message.iter().find(|(known, _)| *known == code);
        assert_eq!(
            found.map(|(_, value)| value.as_slice()),
            Some(value),
            "option {code}"
        );
    };
    has(53, &[2]);
    has(54, &US.octets());
    has(1, &[255, 255, 255, 0]);
    has(3, &ROUTER.octets());
    has(51, &3_600_u32.to_be_bytes());
    has(67, b"snponly.efi");
    has(82, relay);
    has(119, b"\x03lab\x07example\0");
    assert_eq!(message.last().map(|(code, _)| *code), Some(82));
    let guid = message.iter().find(|(code, _)| *code == 97);
    assert_eq!(guid.map(|(_, value)| value.len()), Some(17));
}

#[test]
fn relay_information_is_echoed_once_and_last_in_every_reply() {
    // RFC 3046 section 2.2: unchanged, with sub-options of any order and kind, and last before End.
    let relay: &[u8] = b"\x02\x03mac\x01\x04wire\xfe\x00\x01\x01x";
    let client = [
        (61, b"\x01abcdef".as_slice()),
        (82, relay),
        (54, &US.octets()),
        (50, &OWN.octets()),
    ]
    .map(|(code, value)| (code, value.to_vec()));
    let mut replies = 0;
    for mode in [DhcpMode::Proxy, DhcpMode::Reserve, DhcpMode::Server] {
        for port in [DhcpPort::Dhcp, DhcpPort::Pxe] {
            for kind in [1, 3, 8] {
                let mut options = OVMF.to_vec();
                options.extend(client.iter().map(|(code, value)| (*code, value.as_slice())));
                let query = DhcpMessage {
                    giaddr: Some(ROUTER),
                    ..query(kind, &options)
                };
                for assignment in [
                    AddressAssignment::Reserved(OWN),
                    AddressAssignment::Leased(ROUTER),
                ] {
                    let mut context = context(mode, true, assignment);
                    context.port = port;
                    let Ok(answer) = decide(&query, &context) else {
                        continue;
                    };
                    replies += 1;
                    let sent = dhcp_options(&answer.datagram(&query));
                    let echoed: Vec<_> = sent.iter().filter(|(code, _)| *code == 82).collect();
                    assert_eq!(echoed, [&(82, relay.to_vec())], "{mode:?} {port:?} {kind}");
                    assert_eq!(sent.last().map(|(code, _)| *code), Some(82));
                }
            }
        }
    }
    assert_eq!(replies, 36);
}

#[test]
fn every_client_gets_its_boot_file_in_the_field_that_it_reads() {
    const URL: &str = "http://192.0.2.1/boot.ipxe";
    const LOADER: &str = "http://192.0.2.1/loader/snponly.efi";
    // The options of the request, the boot file, and another expected option: its code and its first bytes.
    type Case<'a> = (&'a [(u8, &'a [u8])], &'a str, Option<(u8, &'a [u8])>);
    let cases: &[Case<'_>] = &[
        (OVMF, "snponly.efi", None),
        (
            &[(93, &[0, 11]), (60, b"PXEClient:Arch:00011:UNDI:003000")],
            "bootnetaa64.efi",
            None,
        ),
        // U-Boot: with its own architecture number, with UEFI's, and without one.
        (
            &[(93, &[0, 22]), (60, b"U-Boot.armv8")],
            "bootnetaa64.efi",
            None,
        ),
        (
            &[(93, &[0, 11]), (60, b"U-Boot.armv8")],
            "bootnetaa64.efi",
            None,
        ),
        (&[(60, b"U-Boot")], "bootnetaa64.efi", None),
        (
            &[(93, &[0, 16]), (60, b"HTTPClient:Arch:00016:UNDI:003001")],
            LOADER,
            Some((60, b"HTTPClient")),
        ),
        (
            &[(93, &[0, 11]), (77, b"iPXE"), (60, b"PXEClient:Arch:00011")],
            URL,
            None,
        ),
        // A Raspberry Pi continues after its menu, and sends requests to the server of option 66.
        (
            &[
                (93, &[0, 0]),
                (60, b"PXEClient:Arch:00000:UNDI:002001"),
                (97, b"\0RPi4\x14\x31\xd0\0\x32\xb2\xc7\xc1\x04\x77\xa5\xf5"),
            ],
            "bootcode.bin",
            Some((
                43,
                b"\x06\x01\x03\x0a\x04\0PXE\x09\x14\0\0\x11Raspberry Pi Boot\xff",
            )),
        ),
    ];
    for (options, file, also) in cases {
        for (kind, server) in [(1, None), (3, Some((54, &US.octets()[..])))] {
            let address = OWN.octets();
            let mut options = options.to_vec();
            options.extend(server);
            options.extend(server.map(|_| (50, &address[..])));
            let query = query(kind, &options);
            let mut context = context(DhcpMode::Server, true, AddressAssignment::Reserved(OWN));
            let preference = LoaderPreference::default();
            context.boot = boot_file(query.client, &preference, "http://192.0.2.1", |_| true);
            let bytes = decide(&query, &context).unwrap().datagram(&query);
            // The fixed field, the only one that U-Boot reads, has the same value as the option.
            let end = bytes[108..236].iter().position(|byte| *byte == 0).unwrap();
            let field = std::str::from_utf8(&bytes[108..108 + end]).unwrap();
            let sent = dhcp_options(&bytes);
            let has = |code: u8| {
                sent.iter()
                    .find(|(known, _)| *known == code)
                    .map(|(_, value)| &value[..])
            };
            assert_eq!(field, *file, "{}", query.client);
            assert_eq!(has(67), Some(file.as_bytes()), "{}", query.client);
            assert_eq!(bytes[20..24], US.octets(), "{}", query.client);
            assert_eq!(has(66), Some(&b"192.0.2.1"[..]), "{}", query.client);
            if let Some((code, value)) = also {
                assert_eq!(has(*code), Some(*value), "{}", query.client);
            }
        }
    }
}

#[test]
fn the_boot_server_answers_a_machine_that_has_its_address() {
    let mut context = context(DhcpMode::Proxy, true, AddressAssignment::None);
    context.port = DhcpPort::Pxe;
    let query = DhcpMessage {
        ciaddr: Some(OWN),
        ..query(3, OVMF)
    };
    let answer = decide(&query, &context).unwrap();
    assert_eq!(
        (answer.kind, answer.destination),
        (ReplyType::Ack, Destination::Client(OWN))
    );
    let class = answer.options.get(OptionCode::ClassIdentifier);
    assert_eq!(
        class,
        Some(&DhcpOption::ClassIdentifier(b"PXEClient".to_vec()))
    );
}

pub(crate) fn dhcp_options(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut list = Vec::new();
    let mut rest = &bytes[240..];
    while let [code, tail @ ..] = rest {
        match code {
            255 => break,
            0 => rest = tail,
            _ => {
                let length = tail[0] as usize;
                list.push((*code, tail[1..=length].to_vec()));
                rest = &tail[1 + length..];
            }
        }
    }
    list
}

proptest! {
    #[test]
    fn every_datagram_is_handled(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(query) = DhcpMessage::read(&bytes) {
            prop_assert!(query.mac.is_unicast());
        }
    }

    #[test]
    fn every_answer_can_be_encoded_with_any_options(
        kind in 1..=8_u8,
        options in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..12),
    ) {
        let options: Vec<(u8, &[u8])> = options.iter().map(|(code, value)| (*code, value.as_slice())).collect();
        if let Ok(query) = DhcpMessage::read(&datagram(kind, &options)) {
            for mode in [DhcpMode::Proxy, DhcpMode::Reserve, DhcpMode::Server] {
                for held in [AddressAssignment::None, AddressAssignment::Free(FREE), AddressAssignment::Leased(OWN), AddressAssignment::Reserved(OWN)] {
                    if let Ok(answer) = decide(&query, &context(mode, true, held)) {
                        let bytes = answer.datagram(&query);
                        prop_assert!(bytes.len() >= 300);
                        prop_assert_eq!(&bytes[28..34], &query.mac.0);
                    }
                }
            }
        }
    }
}
