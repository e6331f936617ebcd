//! DHCP as clients send it: the messages of real firmware, and a client that runs in a process of its own.

use std::{
    io::{self, BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use socket2::{Domain, Socket, Type};

use super::{child::KillOnDrop, program::SERVER};

/// A client sends its message again after this time, if a test expects a reply.
const RETRANSMIT: Duration = Duration::from_secs(1);

/// A client's message: fixed fields, then options.
pub(crate) fn datagram(kind: u8, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![1, 1, 6, 0];
    bytes.extend([0xde, 0xad, 0xbe, 0xef, 0, 4, 0, 0]);
    bytes.resize(28, 0);
    bytes.extend([0x52, 0x54, 0, 0, 0, 1]);
    bytes.resize(236, 0);
    bytes.extend([99, 130, 83, 99, 53, 1, kind]);
    for (code, value) in options {
        bytes.push(*code);
        bytes.push(value.len() as u8);
        bytes.extend(*value);
    }
    bytes.push(255);
    bytes
}

/// The options that OVMF's PXE sends.
pub(crate) const OVMF: &[(u8, &[u8])] = &[
    (57, &[5, 220]),
    (93, &[0, 7]),
    (94, &[1, 3, 0]),
    (
        97,
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
    ),
    (60, b"PXEClient:Arch:00007:UNDI:003000"),
];

/// The options that OVMF's HTTP boot sends.
pub(crate) const OVMF_HTTP: &[(u8, &[u8])] = &[
    (57, &[5, 220]),
    (93, &[0, 16]),
    (94, &[1, 3, 0]),
    (60, b"HTTPClient:Arch:00016:UNDI:003000"),
];

/// The options that a BIOS's PXE sends.
pub(crate) const BIOS: &[(u8, &[u8])] = &[
    (93, &[0, 0]),
    (94, &[1, 2, 1]),
    (60, b"PXEClient:Arch:00000:UNDI:002001"),
];

/// The options that a phone sends.
pub(crate) const PHONE: &[(u8, &[u8])] = &[(60, b"android-dhcp-14"), (12, b"phone")];

/// The MAC address of a message of [`Host::send`](super::namespace::Host::send).
pub(crate) fn mac_of(message: &str) -> String {
    let number: u32 = message.split(' ').nth(1).unwrap().parse().unwrap();
    let [_, a, b, c] = number.to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// A client that has sent its message, and receives replies until [`DhcpClient::replies`].
pub(crate) struct DhcpClient {
    child: KillOnDrop,
    lines: mpsc::Receiver<String>,
}

impl DhcpClient {
    /// Starts a command of the role `dhcp-client`.
    pub(super) fn start(mut command: Command) -> DhcpClient {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = KillOnDrop(child.unwrap());
        let stdout = child.0.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut all = BufReader::new(stdout).lines().map(Result::unwrap);
            // Nobody receives the replies after this value was dropped.
            while all.next().is_some_and(|line| sender.send(line).is_ok()) {}
        });
        let has_sent = lines.iter().any(|line| line == "sent");
        assert!(has_sent, "the client has ended");
        DhcpClient { child, lines }
    }

    /// The next reply; none if the client has ended.
    pub(super) fn wait(&self) -> Option<String> {
        self.lines.recv().ok()
    }

    /// The next reply, if it has arrived.
    pub(super) fn poll(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// All replies that have arrived.
    pub(crate) fn replies(mut self) -> Vec<String> {
        drop(self.child.0.stdin.take());
        let replies = self.lines.iter().collect();
        assert!(self.child.0.wait().unwrap().success());
        replies
    }
}

/// The role `dhcp-client`: sends a message, prints `sent`, and then each reply, until its standard input ends. With the argument
/// `again` it sends the message every second, and ends after a minute.
///
/// A message is `discover NUMBER CLIENT`, `unicast NUMBER CLIENT` (the same, with a reply to this MAC address only), `request NUMBER
/// CLIENT SERVER ADDRESS`, `boot-server NUMBER` (to port 4011) or `infiniband NUMBER`. `CLIENT` is `phone`, `bios`, `http` or `boot`.
pub(super) fn run_client(arguments: &[String]) {
    static ENDED: AtomicBool = AtomicBool::new(false);
    let [message, rest @ ..] = arguments else {
        panic!("`dhcp-client` needs a message");
    };
    let socket = client_socket();
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    send_message(&socket, message);
    println!("sent");
    thread::spawn(|| {
        // A standard input that cannot be read has ended, too.
        drop(io::stdin().read_to_end(&mut Vec::new()));
        ENDED.store(true, Ordering::SeqCst);
    });
    let begun = Instant::now();
    let mut sent = Instant::now();
    loop {
        // Read before the socket is: a reply that had arrived by then is still printed.
        let has_ended = ENDED.load(Ordering::SeqCst) || begun.elapsed() > Duration::from_secs(60);
        let mut buffer = [0; 2_048];
        match socket.recv_from(&mut buffer) {
            Ok((length, _)) => println!("{}", reply(&buffer[..length])),
            Err(_) if has_ended => return,
            Err(_) => {}
        }
        if !rest.is_empty() && sent.elapsed() > RETRANSMIT {
            send_message(&socket, message);
            sent = Instant::now();
        }
    }
}

/// The role `dhcp-storm`: sends a message of each of so many clients.
pub(super) fn storm(arguments: &[String]) {
    let [count, client] = arguments else {
        panic!("`dhcp-storm` needs a count and a kind of client");
    };
    let socket = client_socket();
    for number in 0..count.parse::<u32>().unwrap() {
        send_message(&socket, &format!("discover {} {client}", 1_000 + number));
        // As fast as a busy network, and no faster than this host can receive.
        if number % 50 == 0 {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn send_message(socket: &UdpSocket, text: &str) {
    let words: Vec<&str> = text.split(' ').collect();
    let options = |client: &str| match client {
        "phone" => PHONE,
        "http" => OVMF_HTTP,
        "bios" => BIOS,
        "boot" => OVMF,
        other => panic!("`{other}` is no kind of client"),
    };
    let octets = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
    let number: u32 = words[1].parse().unwrap();
    let mut to = SocketAddr::from(([255, 255, 255, 255], 67));
    let bytes = match words[..] {
        ["discover", _, client] => message(1, number, options(client)),
        ["unicast", _, client] => {
            let mut bytes = message(1, number, options(client));
            bytes[10] = 0;
            bytes
        }
        ["request", _, client, server, wanted] => {
            let (server, wanted) = (octets(server), octets(wanted));
            let mut options = options(client).to_vec();
            options.extend([(54, &server[..]), (50, &wanted[..])]);
            message(3, number, &options)
        }
        ["infiniband", _] => infiniband(&message(1, number, PHONE)),
        ["boot-server", _] => {
            to = SocketAddr::new(SERVER.parse().unwrap(), 4011);
            let mut bytes = message(3, number, OVMF);
            bytes[12..16].copy_from_slice(&[192, 0, 2, 200]);
            bytes
        }
        _ => panic!("`{text}` is no message"),
    };
    socket.send_to(&bytes, to).unwrap();
}

/// The same message from an IPoIB device (RFC 4390): it has no address, and a client identifier of the type 255.
pub(crate) fn infiniband(ethernet: &[u8]) -> Vec<u8> {
    let mut bytes = ethernet.to_vec();
    let mac: Vec<u8> = bytes[28..34].to_vec();
    bytes[1..3].copy_from_slice(&[32, 0]);
    bytes[28..34].fill(0);
    assert_eq!(bytes.pop(), Some(255));
    bytes.extend([61, 15, 255, 0, 0, 0, 1, 0, 3, 0, 32]);
    bytes.extend(mac);
    bytes.push(255);
    bytes
}

/// A socket at the clients' port, which several may share.
fn client_socket() -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_broadcast(true).unwrap();
    let all = SocketAddr::from(([0, 0, 0, 0], 68));
    socket.bind(&all.into()).unwrap();
    socket.into()
}

/// A message of the client with this number, which asks for a broadcast reply. Each is another transaction.
fn message(kind: u8, number: u32, options: &[(u8, &[u8])]) -> Vec<u8> {
    static SENT: AtomicU32 = AtomicU32::new(0);
    let mut bytes = datagram(kind, options);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let transaction = (now.subsec_nanos() ^ std::process::id().rotate_left(16))
        .wrapping_add(SENT.fetch_add(1, Ordering::Relaxed));
    bytes[4..8].copy_from_slice(&transaction.to_be_bytes());
    bytes[10] = 0x80;
    bytes[31..34].copy_from_slice(&number.to_be_bytes()[1..]);
    bytes
}

/// A reply as text: its type, the address, the boot file.
fn reply(bytes: &[u8]) -> String {
    let kind = match bytes.get(240..).and_then(|options| option(options, 53)) {
        Some([2]) => "offer",
        Some([5]) => "ack",
        Some([6]) => "nak",
        other => panic!("unexpected message type: {other:?}"),
    };
    let address = std::net::Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19]);
    let file: Vec<u8> = bytes[108..236]
        .iter()
        .copied()
        .take_while(|b| *b != 0)
        .collect();
    let file = String::from_utf8(file).unwrap();
    format!("{kind} {address} {file}").trim_end().to_owned()
}

fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [code, length, rest @ ..] = options {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *code == wanted {
            return Some(value);
        }
        options = rest;
    }
    None
}
