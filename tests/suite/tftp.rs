//! TFTP over a loopback interface: what a client receives, what is refused, and how the server reports the end of a transfer.

use std::{
    io::Write,
    net::{SocketAddr, UdpSocket},
    ops::RangeInclusive,
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use bootwright::{
    control::SenderLink,
    disk::repo::Blob,
    net::neighbour,
    net::tftp::{
        FileContent, FileRequest, OpenedFile, OutcomeCallback, TftpFiles, TftpHandle, TftpRefusal,
        TftpServer, TransferOutcome,
    },
};

use crate::support::{
    child,
    client::until,
    namespace::{Host, ip},
    needs::needs,
    program::SERVER,
    udp::hex,
};

/// The addresses of [`routed_host`].
const NEAR: &str = "192.0.2.9";
const ROUTED: &str = "198.51.100.7";

/// Files by name. The outcome of each transfer is recorded.
struct Files {
    large: Vec<u8>,
    outcomes: Arc<Mutex<Vec<(String, TransferOutcome)>>>,
}

impl TftpFiles for Files {
    fn open(&self, ask: &FileRequest) -> Result<OpenedFile, TftpRefusal> {
        let content = match ask.name.as_str() {
            "small" => FileContent::Bytes("hello".into()),
            "empty" => FileContent::Bytes("".into()),
            "even" => FileContent::Bytes(vec![7; 1_024].into()),
            "large" => {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&self.large).unwrap();
                FileContent::File(Blob::of(file).unwrap())
            }
            "forbidden" => return Err(TftpRefusal::Forbidden),
            _ => return Err(TftpRefusal::NotFound),
        };
        let (outcomes, name) = (self.outcomes.clone(), ask.name.clone());
        Ok(OpenedFile {
            content,
            on_end: OutcomeCallback::new(move |outcome| {
                outcomes.lock().unwrap().push((name, outcome))
            }),
        })
    }
}

struct Service {
    address: SocketAddr,
    outcomes: Arc<Mutex<Vec<(String, TransferOutcome)>>>,
    large: Vec<u8>,
    _handle: TftpHandle,
}

fn serve(size: usize) -> Service {
    serve_at("127.0.0.1:0", size, None)
}

fn serve_at(address: &str, size: usize, ports: Option<RangeInclusive<u16>>) -> Service {
    let large: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let server = TftpServer::bind(address.parse().unwrap(), ports).unwrap();
    let address = server.local_address().unwrap();
    let files = Files {
        large: large.clone(),
        outcomes: outcomes.clone(),
    };
    Service {
        address,
        outcomes,
        large,
        _handle: server.serve(Arc::new(files)).unwrap(),
    }
}

impl Service {
    /// The outcomes so far, once there are so many.
    fn outcomes(&self, count: usize) -> Vec<(String, TransferOutcome)> {
        until("the end of a transfer", || {
            let outcomes = self.outcomes.lock().unwrap();
            (outcomes.len() >= count).then(|| outcomes.clone())
        })
    }
}

/// A simple client.
struct Client {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Client {
    fn new(server: SocketAddr) -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Client { socket, server }
    }

    /// Asserts that nothing which this client has sent so far was answered: the answer to another request comes first. The server
    /// answers in order.
    #[track_caller]
    fn expect_silence(&self) {
        self.ask("gone", &[]);
        assert_eq!(self.receive().unwrap(), b"\0\x05\0\x01no such file\0");
    }

    fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.server).unwrap();
    }

    fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 70_000];
        let length = self.socket.recv(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }

    /// Everything that has arrived.
    fn received(&self) -> Vec<Vec<u8>> {
        self.socket.set_nonblocking(true).unwrap();
        std::iter::from_fn(|| self.receive()).collect()
    }

    fn ask(&self, name: &str, options: &[(&str, &str)]) {
        let mut request = b"\0\x01".to_vec();
        let options = options.iter().flat_map(|(name, value)| [*name, *value]);
        for word in [name, "octet"].into_iter().chain(options) {
            request.extend(word.as_bytes());
            request.push(0);
        }
        self.send(&request);
    }

    fn ack(&self, block: u16) {
        let [high, low] = block.to_be_bytes();
        self.send(&[0, 4, high, low]);
    }

    /// Fetches a file, and returns it with the options of the server's acknowledgement. `lost` decides which of the datagrams that
    /// arrive are dropped.
    fn fetch(
        &self,
        name: &str,
        options: &[(&str, &str)],
        mut lost: impl FnMut() -> bool,
    ) -> Result<(Vec<u8>, String), String> {
        let (mut block, mut window) = (512, 1_u16);
        let mut agreed = String::new();
        let mut content: Vec<u8> = Vec::new();
        let (mut next, mut in_window) = (1_u16, 0);
        self.ask(name, options);
        loop {
            let packet = self.receive().ok_or("no packet arrives")?;
            if lost() {
                continue;
            }
            match &packet[..] {
                [0, 6, rest @ ..] => {
                    agreed = String::from_utf8_lossy(rest).replace('\0', " ");
                    let words: Vec<&str> = agreed.split(' ').collect();
                    for pair in words.chunks(2) {
                        match pair {
                            ["blksize", size] => block = size.parse().unwrap(),
                            ["windowsize", size] => window = size.parse().unwrap(),
                            _ => {}
                        }
                    }
                    self.ack(0);
                }
                [0, 3, high, low, data @ ..] => {
                    let number = u16::from_be_bytes([*high, *low]);
                    if number != next {
                        // A gap, or an old block: acknowledge the last one again.
                        self.ack(next.wrapping_sub(1));
                        in_window = 0;
                        continue;
                    }
                    content.extend(data);
                    next = next.wrapping_add(1);
                    in_window += 1;
                    if in_window == window || data.len() < block {
                        self.ack(number);
                        in_window = 0;
                    }
                    if data.len() < block {
                        return Ok((content, agreed));
                    }
                }
                [0, 5, _, code, text @ ..] => {
                    let text = String::from_utf8_lossy(text);
                    return Err(format!("{code} {}", text.trim_end_matches('\0')));
                }
                other => return Err(format!("unexpected: {other:?}")),
            }
        }
    }
}

fn never() -> bool {
    false
}

#[test]
fn files_arrive_whole_with_all_options() {
    let service = serve(300_000);
    for (name, options, agreed) in [
        ("small", vec![], ""),
        ("empty", vec![], ""),
        ("even", vec![], ""),
        ("large", vec![], ""),
        ("large", vec![("blksize", "1468")], "blksize 1468 "),
        (
            "large",
            vec![("tsize", "0"), ("blksize", "1024"), ("windowsize", "16")],
            "blksize 1024 tsize 300000 windowsize 16 ",
        ),
        // Too large a window is reduced, and unknown options are ignored.
        (
            "large",
            vec![("windowsize", "65535"), ("utimeout", "1"), ("x", "y")],
            "windowsize 64 ",
        ),
    ] {
        let client = Client::new(service.address);
        let (content, found) = client.fetch(name, &options, never).unwrap();
        let expected: &[u8] = match name {
            "small" => b"hello",
            "empty" => b"",
            "even" => &[7; 1_024],
            _ => &service.large,
        };
        assert!(content == expected, "{name} with {options:?}");
        assert_eq!(found, agreed, "{name} with {options:?}");
    }
    let outcomes = service.outcomes(7);
    assert_eq!(outcomes.len(), 7);
    assert!(
        outcomes
            .iter()
            .all(|(_, outcome)| matches!(outcome, TransferOutcome::Completed { .. }))
    );
}

#[test]
fn a_file_that_is_not_served_is_refused_with_a_reason() {
    let service = serve(0);
    for (name, expected) in [
        ("gone", "1 no such file"),
        ("forbidden", "2 access denied"),
        ("../../etc/shadow", "2 the name leaves the served directory"),
        ("..\\windows", "2 the name leaves the served directory"),
        ("..\\", "2 the name leaves the served directory"),
        (
            "\\..\\..\\etc\\shadow",
            "2 the name leaves the served directory",
        ),
        ("a/../../b", "2 the name leaves the served directory"),
        ("/etc/shadow", "1 no such file"),
        ("C:\\windows", "1 no such file"),
        // After a NUL comes the mode, and there is no such mode.
        ("small\0../../etc/shadow", "4 only octet mode is supported"),
        ("\0small", "4 only octet mode is supported"),
        ("a\nb", "2 the name has control characters"),
        ("", "2 the name is empty"),
    ] {
        let client = Client::new(service.address);
        let failed = client.fetch(name, &[], never).unwrap_err();
        assert_eq!(failed, expected, "{name:?}");
    }
    for write in [
        &b"\0\x02file\0octet\0"[..],
        b"\0\x02small\0octet\0tsize\x005\0",
        b"\0\x02../../etc/shadow\0netascii\0",
    ] {
        let client = Client::new(service.address);
        client.send(write);
        assert_eq!(
            client.receive().unwrap(),
            b"\0\x05\0\x02the server is read-only\0"
        );
        // Data that it sends all the same is ignored.
        client.send(b"\0\x03\0\x01root::0:0:::\n");
        client.expect_silence();
    }
    assert!(service.outcomes.lock().unwrap().is_empty());
}

#[test]
fn window_and_block_sizes_are_limited() {
    let service = serve(30_000_000);
    for (block, window) in [("65464", "65535"), ("4294967296", "99999999")] {
        let client = Client::new(service.address);
        client.ask("large", &[("blksize", block), ("windowsize", window)]);
        let agreed = b"\0\x06blksize\x0065464\0windowsize\x0064\0";
        assert_eq!(client.receive().unwrap(), agreed);
        client.ack(0);
        let mut answers = std::iter::repeat_with(|| client.receive().unwrap());
        let first = answers.find(|answer| answer != agreed).unwrap();
        let head = &b"\0\x03\0\x01"[..];
        assert_eq!((first.len(), &first[..4]), (65_468, head));
        client.send(b"\0\x05\0\x08enough\0");
    }
}

#[test]
fn malformed_and_unexpected_datagrams_are_not_answered() {
    let service = serve(0);
    let client = Client::new(service.address);
    for datagram in [
        &b"\0\x05\0\x01no\0"[..],
        b"\0\x05",
        b"\0\x04\0\x09",
        b"\0\x03\0\x01x",
        b"\0\x06blksize\x008\0",
        b"",
        b"\0",
        b"\xff\xff\xff\xff",
    ] {
        client.send(datagram);
        client.expect_silence();
    }
    // The server still answers.
    let (content, _) = Client::new(service.address)
        .fetch("small", &[], never)
        .unwrap();
    assert_eq!(content, b"hello");
}

#[test]
fn a_client_that_only_requests_the_size_has_not_failed() {
    let service = serve(100_000);
    let client = Client::new(service.address);
    client.ask("large", &[("tsize", "0"), ("blksize", "1468")]);
    assert_eq!(client.receive().unwrap()[..2], [0, 6]);
    client.send(b"\0\x05\0\x08User aborted the transfer\0");
    assert_eq!(
        service.outcomes(1),
        [("large".to_string(), TransferOutcome::Probe)]
    );
}

#[test]
fn a_transfer_that_is_never_acknowledged_ends_after_less_than_1000_bytes() {
    let service = serve(10_000_000);
    let client = Client::new(service.address);
    client.ask("large", &[("blksize", "65464"), ("windowsize", "64")]);
    let outcomes = service.outcomes(1);
    let bytes: usize = client.received().iter().map(Vec::len).sum();
    assert!(
        matches!(&outcomes[0].1, TransferOutcome::Failed { delivered: 0, .. }),
        "{outcomes:?}"
    );
    assert!(bytes < 1_000, "{bytes} bytes for nothing");
}

#[test]
fn a_forged_source_address_receives_the_first_block_at_most_five_times() {
    let service = serve(10_000_000);
    // Without options the first answer is a block at once: what another host can have requested for the address of this one.
    let victim = Client::new(service.address);
    victim.ask("large", &[]);
    service.outcomes(1);
    let received = victim.received();
    assert!(received.len() <= 5, "{} datagrams", received.len());
    let first = [&b"\0\x03\0\x01"[..], &service.large[..512]].concat();
    assert!(received.iter().all(|datagram| *datagram == first));
    // Acknowledgements from another host change nothing and are not answered.
    let (victim, other) = (Client::new(service.address), Client::new(service.address));
    victim.ask("large", &[("blksize", "1024")]);
    assert_eq!(victim.receive().unwrap()[..2], [0, 6]);
    for block in [0, 1, 2, u16::MAX] {
        other.ack(block);
        other.expect_silence();
    }
    victim.ack(0);
    let mut answers = std::iter::repeat_with(|| victim.receive().unwrap());
    let block = answers.find(|answer| answer[1] != 6).unwrap();
    assert_eq!((&block[..4], block.len()), (&b"\0\x03\0\x01"[..], 1_028));
}

#[test]
fn files_arrive_although_three_percent_of_the_packets_are_lost() {
    let service = serve(400_000);
    let mut seed = 42_u32;
    for window in ["1", "4", "16"] {
        let client = Client::new(service.address);
        let lost = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 16 < 65_536 * 3 / 100
        };
        let options = [("blksize", "1468"), ("windowsize", window)];
        let (content, _) = client.fetch("large", &options, lost).unwrap();
        assert!(content == service.large, "windowsize {window}");
    }
}

#[test]
fn many_clients_at_once_receive_their_files() {
    let service = serve(100_000);
    thread::scope(|scope| {
        let fetch = || {
            let client = Client::new(service.address);
            let options = [("blksize", "1468"), ("windowsize", "4")];
            let (content, _) = client.fetch("large", &options, never).unwrap();
            assert!(content == service.large);
        };
        let clients: Vec<_> = (0..48).map(|_| scope.spawn(fetch)).collect();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
    });
    assert_eq!(service.outcomes(48).len(), 48);
}

/// What a host gets that sends these datagrams from an address.
fn answers(host: &Host, from: &str, datagrams: &[&[u8]]) -> Vec<String> {
    let server = format!("{SERVER}:69");
    let datagrams: Vec<String> = datagrams.iter().map(|bytes| hex(bytes)).collect();
    let mut arguments = vec![from, &server];
    arguments.extend(datagrams.iter().map(String::as_str));
    let printed = child::output(host.role("udp", &arguments));
    printed.lines().map(str::to_owned).collect()
}

/// Another host at [`NEAR`] that also has an address behind it, as a router.
fn routed_host() -> Host {
    let host = Host::behind("near");
    host.ip(&format!("address add {NEAR}/24 dev far"));
    host.ip("link set lo up");
    host.ip(&format!("address add {ROUTED}/32 dev lo"));
    ip(&format!("route add 198.51.100.0/24 via {NEAR}"));
    host
}

#[test]
fn a_host_gets_blocks_only_if_its_own_nic_has_requested_them() {
    let test = "tftp::a_host_gets_blocks_only_if_its_own_nic_has_requested_them";
    child::in_network_namespace(test, || {
        let host = routed_host();
        let (own, other, routed) = (NEAR, "192.0.2.66", ROUTED);
        host.ip(&format!("address add {other}/24 dev far"));
        // Another host has this address.
        ip(&format!(
            "neighbour add {other} lladdr 02:00:00:00:00:66 dev near nud permanent"
        ));
        let service = serve_at(&format!("{SERVER}:69"), 1_000_000, None);
        let plain = &b"\0\x01large\0octet\0"[..];
        let windowed = &b"\0\x01large\0octet\0blksize\x001468\0windowsize\x0016\0"[..];
        let ack = |block: u8| [0, 4, 0, block];
        let first = "0003 516".to_owned();
        // Its own NIC: four times without an acknowledgement, and whole windows.
        assert_eq!(
            answers(&host, &format!("{own}:2001"), &[plain]),
            vec![first.clone(); 4]
        );
        let got = answers(
            &host,
            &format!("{own}:2002"),
            &[windowed, &ack(0), &ack(16)],
        );
        assert!(
            got.iter().filter(|answer| *answer == "0003 1472").count() >= 32,
            "{got:?}"
        );
        // This host, at its own address.
        let own_client = Client::new(service.address);
        let socket = UdpSocket::bind(format!("{SERVER}:0")).unwrap();
        let (content, _) = Client {
            socket,
            ..own_client
        }
        .fetch("large", &[("blksize", "1468"), ("windowsize", "16")], never)
        .unwrap();
        assert!(content == service.large);
        // Before the kernel has a MAC of the address, the request is checked at the first acknowledgement.
        host.ip("address add 192.0.2.10/24 dev far");
        let got = answers(&host, "192.0.2.10:2002", &[windowed, &ack(0), &ack(16)]);
        assert!(
            got.iter().filter(|answer| *answer == "0003 1472").count() >= 32,
            "{got:?}"
        );
        // The address of another host: nothing is sent, whatever it acknowledges.
        let transmitted = || {
            let table = std::fs::read_to_string("/proc/self/net/dev").unwrap();
            let mut rows = table.lines().map(str::split_whitespace);
            let row = rows.find_map(|mut row| (row.next() == Some("near:")).then_some(row));
            row.unwrap().nth(9).unwrap().parse::<u64>().unwrap()
        };
        let before = transmitted();
        let acks: Vec<[u8; 4]> = (0..60).map(ack).collect();
        let mut datagrams = vec![plain, windowed];
        datagrams.extend(acks.iter().map(|ack| &ack[..]));
        assert_eq!(
            answers(&host, &format!("{other}:2003"), &datagrams),
            [""; 0]
        );
        // The kernel may send something of its own, such as ARP.
        assert!(
            transmitted() - before < 10,
            "{} packets",
            transmitted() - before
        );
        // Behind a router nothing is known: the acknowledgement of options is small, and there are no windows.
        let got = answers(
            &host,
            &format!("{routed}:2004"),
            &[windowed, &ack(0), &ack(1)],
        );
        assert_eq!(&got[..3], ["0006 15", "0003 1472", "0003 1472"]);
        // A block without options follows when the client has sent a fifth of it.
        assert_eq!(answers(&host, &format!("{routed}:2005"), &[plain]), [""; 0]);
        assert_eq!(
            answers(&host, &format!("{routed}:2006"), &[plain; 8]),
            [first]
        );
        drop(service);
    });
}

#[test]
fn an_address_behind_a_router_is_served_at_a_port_that_another_host_does_not_have() {
    needs!("curl");
    let test =
        "tftp::an_address_behind_a_router_is_served_at_a_port_that_another_host_does_not_have";
    child::in_network_namespace(test, || {
        let (host, routed) = (routed_host(), ROUTED);
        let service = serve_at(&format!("{SERVER}:69"), 1_000_000, Some(50_000..=51_023));
        // Acknowledgements to the port of requests, as a host sends them that does not see the answers. It has also claimed the
        // address by ARP, so the kernel has a MAC of it, but sends what is for it to the router.
        let windowed = &b"\0\x01large\0octet\0blksize\x001468\0windowsize\x0016\0"[..];
        let acks: Vec<[u8; 4]> = (0..60).map(|block| [0, 4, 0, block]).collect();
        let mut datagrams = vec![windowed];
        datagrams.extend(acks.iter().map(|ack| &ack[..]));
        let got = answers(&host, &format!("{routed}:2001"), &datagrams);
        assert_eq!(got, ["0006 15"; 4]);
        let table = Command::new("ip")
            .args(["neighbour", "show", "to", routed])
            .output();
        let table = String::from_utf8(table.unwrap().stdout).unwrap();
        assert!(
            table.contains("lladdr"),
            "it has not claimed the address: {table}"
        );
        let address = routed.parse().unwrap();
        assert_eq!(neighbour::link_of(address).unwrap(), SenderLink::Routed);
        assert!(neighbour::macs_at(address).unwrap().is_empty());
        // Nor does a request there.
        let at = |port: u16| format!("tftp://{SERVER}:{port}/large");
        let fetched = |port: u16, options: &[&str]| {
            let mut curl = host.program("curl");
            curl.args(["--silent", "--interface", routed]);
            curl.args(options).arg(at(port)).output().unwrap().stdout
        };
        assert!(fetched(50_000, &["--max-time", "1"]).is_empty());
        // A client that sees them, also several at once.
        thread::scope(|scope| {
            let fetch = || fetched(69, &["--tftp-blksize", "1468"]);
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(fetch)).collect();
            for client in clients {
                assert!(client.join().unwrap() == service.large);
            }
        });
        let outcomes = service.outcomes(9);
        let completed = |(_, outcome): &&(String, TransferOutcome)| {
            matches!(
                outcome,
                TransferOutcome::Completed {
                    bytes: 1_000_000,
                    ..
                }
            )
        };
        assert_eq!(outcomes.iter().filter(completed).count(), 8, "{outcomes:?}");
        drop(service);
        // No port is free.
        let used = UdpSocket::bind(format!("{SERVER}:50000")).unwrap();
        let service = serve_at(&format!("{SERVER}:69"), 1_000_000, Some(50_000..=50_000));
        let refusal = format!("0005 {}", 4 + "no port is free, try again later".len() + 1);
        let got = answers(&host, &format!("{routed}:2002"), &[windowed]);
        assert_eq!(got, [refusal]);
        let (_, outcome) = &service.outcomes(1)[0];
        let is_named = |reason: &str| reason.starts_with("no port of `ports` can be bound: ");
        assert!(
            matches!(outcome, TransferOutcome::Failed { reason, .. } if is_named(reason)),
            "{outcome:?}"
        );
        drop((used, service));
    });
}
