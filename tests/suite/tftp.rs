//! TFTP over loopback: what a client gets, what it does not, and what the server tells of it.

use std::{
    io::Write,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use bootwright::{
    disk::repo::Blob,
    net::tftp::{
        FileContent, FileRequest, OpenedFile, OutcomeCallback, TftpFiles, TftpHandle, TftpRefusal,
        TftpServer, TransferOutcome,
    },
};

/// Files by name; what came of each is written down.
struct Fake {
    large: Vec<u8>,
    told: Arc<Mutex<Vec<(String, TransferOutcome)>>>,
}

impl TftpFiles for Fake {
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
        let (told, name) = (self.told.clone(), ask.name.clone());
        Ok(OpenedFile {
            content,
            on_end: OutcomeCallback::new(move |outcome| told.lock().unwrap().push((name, outcome))),
        })
    }
}

struct House {
    address: SocketAddr,
    told: Arc<Mutex<Vec<(String, TransferOutcome)>>>,
    large: Vec<u8>,
    _handle: TftpHandle,
}

fn house(size: usize) -> House {
    let large: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
    let told = Arc::new(Mutex::new(Vec::new()));
    let server = TftpServer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = server.local_address().unwrap();
    let files = Fake {
        large: large.clone(),
        told: told.clone(),
    };
    House {
        address,
        told,
        large,
        _handle: server.serve(Arc::new(files)).unwrap(),
    }
}

impl House {
    /// What was told, once there are so many.
    fn told(&self, count: usize) -> Vec<(String, TransferOutcome)> {
        let begun = Instant::now();
        loop {
            let told = self.told.lock().unwrap().clone();
            if told.len() >= count || begun.elapsed() > Duration::from_secs(20) {
                return told;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A client of a few lines. `lost` says which of the datagrams that arrive are lost on the way.
struct Client {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Client {
    fn new(server: SocketAddr) -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        Client { socket, server }
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

    /// Fetches a file; the third value is the options that were agreed on.
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
            let packet = self.receive().ok_or("nothing comes any more")?;
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
                        // A gap, or an old block: where we are is said anew.
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
                other => return Err(format!("strange: {other:?}")),
            }
        }
    }
}

fn never() -> bool {
    false
}

#[test]
fn files_arrive_whole_whatever_was_agreed_on() {
    let house = house(300_000);
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
        // Too much is made less, what nobody knows is left out.
        (
            "large",
            vec![("windowsize", "65535"), ("utimeout", "1"), ("x", "y")],
            "windowsize 64 ",
        ),
    ] {
        let client = Client::new(house.address);
        let (content, found) = client.fetch(name, &options, never).unwrap();
        let expected: &[u8] = match name {
            "small" => b"hello",
            "empty" => b"",
            "even" => &[7; 1_024],
            _ => &house.large,
        };
        assert!(content == expected, "{name} with {options:?}");
        assert_eq!(found, agreed, "{name} with {options:?}");
    }
    let told = house.told(7);
    assert_eq!(told.len(), 7);
    assert!(
        told.iter()
            .all(|(_, outcome)| matches!(outcome, TransferOutcome::Completed { .. }))
    );
}

#[test]
fn what_may_not_be_had_is_refused_with_a_reason() {
    let house = house(0);
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
        // What stands behind a NUL is the mode, and there is no such mode.
        ("small\0../../etc/shadow", "4 only octet mode is supported"),
        ("\0small", "4 only octet mode is supported"),
        ("a\nb", "2 the name has control characters"),
        ("", "2 the name is empty"),
    ] {
        let client = Client::new(house.address);
        let failed = client.fetch(name, &[], never).unwrap_err();
        assert_eq!(failed, expected, "{name:?}");
    }
    for write in [
        &b"\0\x02file\0octet\0"[..],
        b"\0\x02small\0octet\0tsize\x005\0",
        b"\0\x02../../etc/shadow\0netascii\0",
    ] {
        let client = Client::new(house.address);
        client.send(write);
        assert_eq!(
            client.receive().unwrap(),
            b"\0\x05\0\x02the server is read-only\0"
        );
        // What it then sends is not asked for.
        client.send(b"\0\x03\0\x01root::0:0:::\n");
        let wait = Some(Duration::from_millis(200));
        client.socket.set_read_timeout(wait).unwrap();
        assert_eq!(client.receive(), None, "{write:?}");
    }
    assert!(house.told.lock().unwrap().is_empty());
}

#[test]
fn the_largest_window_and_block_are_made_smaller() {
    let house = house(30_000_000);
    for (block, window) in [("65464", "65535"), ("4294967296", "99999999")] {
        let client = Client::new(house.address);
        let wait = Some(Duration::from_secs(20));
        client.socket.set_read_timeout(wait).unwrap();
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
fn an_error_is_answered_by_nothing() {
    let house = house(0);
    let client = Client::new(house.address);
    let wait = Some(Duration::from_millis(300));
    client.socket.set_read_timeout(wait).unwrap();
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
        assert_eq!(client.receive(), None, "{datagram:?}");
    }
    // It is still there.
    let (content, _) = Client::new(house.address)
        .fetch("small", &[], never)
        .unwrap();
    assert_eq!(content, b"hello");
}

#[test]
fn a_client_that_wants_the_size_alone_has_not_failed() {
    let house = house(100_000);
    let client = Client::new(house.address);
    client.ask("large", &[("tsize", "0"), ("blksize", "1468")]);
    assert_eq!(client.receive().unwrap()[..2], [0, 6]);
    client.send(b"\0\x05\0\x08User aborted the transfer\0");
    assert_eq!(
        house.told(1),
        [("large".to_string(), TransferOutcome::Probe)]
    );
}

#[test]
fn a_source_that_never_acknowledges_costs_little_and_is_given_up() {
    let house = house(10_000_000);
    let client = Client::new(house.address);
    client.ask("large", &[("blksize", "65464"), ("windowsize", "64")]);
    let begun = Instant::now();
    let mut bytes = 0;
    while house.told.lock().unwrap().is_empty() && begun.elapsed() < Duration::from_secs(30) {
        bytes += client.receive().map_or(0, |packet| packet.len());
    }
    let told = house.told(1);
    assert!(
        matches!(&told[0].1, TransferOutcome::Failed { delivered: 0, .. }),
        "{told:?}"
    );
    assert!(bytes < 1_000, "{bytes} bytes for nothing");
}

#[test]
fn a_borrowed_address_hears_the_first_block_five_times_and_no_more() {
    let house = house(10_000_000);
    // Without options the first answer is a block at once: what a stranger can have sent to somebody else.
    let victim = Client::new(house.address);
    victim.ask("large", &[]);
    let mut heard = Vec::new();
    let begun = Instant::now();
    while house.told.lock().unwrap().is_empty() && begun.elapsed() < Duration::from_secs(30) {
        heard.extend(victim.receive());
    }
    heard.extend(victim.receive());
    assert!(heard.len() <= 5, "{} datagrams", heard.len());
    let first = [&b"\0\x03\0\x01"[..], &house.large[..512]].concat();
    assert!(heard.iter().all(|datagram| *datagram == first));
    // What others acknowledge does not move it, nor is it answered.
    let (victim, stranger) = (Client::new(house.address), Client::new(house.address));
    victim.ask("large", &[("blksize", "1024")]);
    assert_eq!(victim.receive().unwrap()[..2], [0, 6]);
    let wait = Some(Duration::from_millis(100));
    stranger.socket.set_read_timeout(wait).unwrap();
    for block in [0, 1, 2, u16::MAX] {
        stranger.ack(block);
        assert_eq!(stranger.receive(), None, "block {block}");
    }
    victim.ack(0);
    let mut answers = std::iter::repeat_with(|| victim.receive().unwrap());
    let block = answers.find(|answer| answer[1] != 6).unwrap();
    assert_eq!((&block[..4], block.len()), (&b"\0\x03\0\x01"[..], 1_028));
}

#[test]
fn three_of_a_hundred_lost_and_every_file_arrives() {
    let house = house(400_000);
    let mut seed = 42_u32;
    for window in ["1", "4", "16"] {
        let client = Client::new(house.address);
        let lost = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 16 < 65_536 * 3 / 100
        };
        let options = [("blksize", "1468"), ("windowsize", window)];
        let (content, _) = client.fetch("large", &options, lost).unwrap();
        assert!(content == house.large, "windowsize {window}");
    }
}

#[test]
fn many_clients_at_once_all_get_theirs() {
    let house = house(100_000);
    thread::scope(|scope| {
        let fetch = || {
            let client = Client::new(house.address);
            let options = [("blksize", "1468"), ("windowsize", "4")];
            let (content, _) = client.fetch("large", &options, never).unwrap();
            assert!(content == house.large);
        };
        let clients: Vec<_> = (0..48).map(|_| scope.spawn(fetch)).collect();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
    });
    assert_eq!(house.told(48).len(), 48);
}
