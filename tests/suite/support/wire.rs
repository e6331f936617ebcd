//! A server on a wire of its own: the program itself in a network namespace, other hosts in others, and what they
//! say to each other.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use super::server::{Client, House, until};
use crate::dhcp::{BIOS, OVMF, OVMF_HTTP, PHONE, datagram};

/// Says to this very program, started again in a network namespace of its own, which test it is to be.
const ALONE: &str = "BOOTWRIGHT_TEST_ALONE";
/// Says to it, started again on another host, what to say.
const SAY: &str = "BOOTWRIGHT_TEST_SAY";

/// Our address on the wire.
pub(crate) const US: &str = "192.0.2.1";

/// Plays a test in a network namespace of its own. `name` is its path.
#[expect(clippy::print_stdout, reason = "what a test says of itself")]
pub(crate) fn alone(name: &str, play: impl FnOnce()) {
    let played = format!("{name}: played to its end");
    if std::env::var(ALONE).is_ok_and(|named| named == name) {
        ip("link set lo up");
        play();
        println!("{played}");
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        assert!(
            std::env::var_os("CI").is_none(),
            "network namespaces need root"
        );
        println!("network namespaces need root: nothing was checked");
        return;
    }
    let ended = Command::new("timeout")
        .args(["150", "unshare", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(ALONE, name)
        .output()
        .unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains(&played), "{said}");
}

/// Runs `ip`.
#[track_caller]
pub(crate) fn ip(words: &str) {
    let ended = Command::new("ip").args(words.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "ip {words}: {said}");
}

/// A process that ends with this.
pub(crate) struct Ends(pub(crate) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Another host, with a cable to this one.
pub(crate) struct Host {
    keeper: Ends,
}

impl Host {
    /// Lays a cable from the interface `near`, which is made with our address, to a new host.
    pub(crate) fn behind(near: &str) -> Host {
        let keeper = Command::new("unshare")
            .args(["--net", "sleep", "150"])
            .spawn()
            .unwrap();
        let host = Host {
            keeper: Ends(keeper),
        };
        let id = host.keeper.0.id();
        until("the other namespace", || {
            let ours = fs::read_link("/proc/self/ns/net").unwrap();
            let theirs = fs::read_link(format!("/proc/{id}/ns/net")).unwrap();
            (ours != theirs).then_some(())
        });
        host.connect(near);
        host
    }

    /// Lays the cable, also once more.
    pub(crate) fn connect(&self, near: &str) {
        let id = self.keeper.0.id();
        ip(&format!(
            "link add {near} type veth peer name far netns {id}"
        ));
        ip(&format!("address add {US}/24 dev {near}"));
        ip(&format!("link set {near} up"));
        self.ip("link set far up");
        self.ip("route add 255.255.255.255 dev far");
    }

    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.keeper.0.id().to_string()]);
        command
    }

    /// Runs `ip` there.
    #[track_caller]
    pub(crate) fn ip(&self, words: &str) {
        let ended = self
            .command()
            .arg("ip")
            .args(words.split(' '))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "ip {words}: {said}");
    }

    /// A program that is to be started there.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = self.command();
        command.arg(name);
        command
    }

    fn speaker(&self, what: &str) -> Command {
        let mut command = self.command();
        command
            .arg(std::env::current_exe().unwrap())
            .args(["support::wire::child_that_speaks", "--exact", "--nocapture"])
            .env(SAY, what)
            .env_remove(ALONE);
        command
    }

    /// Lets somebody there say something meanwhile.
    pub(crate) fn begin_to_say(&self, what: &str) -> Ends {
        let mut speaker = self.speaker(what);
        Ends(speaker.stdout(Stdio::null()).spawn().unwrap())
    }

    /// Lets somebody there say something, as [`say`] reads it; returns the answers.
    pub(crate) fn say(&self, what: &str) -> Vec<String> {
        let said = self.speaker(what).output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.status.success(), "{text}");
        let answers = text.lines().filter_map(|line| line.strip_prefix("heard "));
        answers.map(str::to_owned).collect()
    }

    /// Asks until the answer is as expected.
    #[track_caller]
    pub(crate) fn hears(&self, what: &str, answer: &str) {
        let mut last = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            last = self.say(what);
            if last.iter().any(|heard| heard == answer) {
                return;
            }
        }
        panic!("`{what}` was never answered by `{answer}`: {last:?}");
    }
}

/// Whoever speaks in the tests above. Started by itself it does nothing.
#[test]
fn child_that_speaks() {
    let Ok(what) = std::env::var(SAY) else {
        return;
    };
    for answer in say(&what) {
        println!("\nheard {answer}");
    }
}

/// Says `discover CARD WHO`, `quietly CARD WHO`, `request CARD WHO SERVER ADDRESS`, `boot-server CARD` (port 4011) or
/// `storm COUNT WHO`, where `WHO` is `phone`, `bios`, `http` or `boot`; returns what was heard for half a second.
fn say(what: &str) -> Vec<String> {
    let words: Vec<&str> = what.split(' ').collect();
    let card = |text: &str| text.parse::<u32>().unwrap();
    let options = |who: &str| match who {
        "phone" => PHONE,
        "http" => OVMF_HTTP,
        "bios" => BIOS,
        _ => OVMF,
    };
    let address = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().octets();
    let socket = client();
    let all = "255.255.255.255:67";
    match words[..] {
        ["discover", number, who] => {
            let asked = question(1, card(number), options(who));
            socket.send_to(&asked, all).unwrap();
        }
        // To one card alone.
        ["quietly", number, who] => {
            let mut asked = question(1, card(number), options(who));
            asked[10] = 0;
            socket.send_to(&asked, all).unwrap();
        }
        ["request", number, who, server, wanted] => {
            let (server, wanted) = (address(server), address(wanted));
            let mut options = options(who).to_vec();
            options.extend([(54, &server[..]), (50, &wanted[..])]);
            let asked = question(3, card(number), &options);
            socket.send_to(&asked, all).unwrap();
        }
        ["boot-server", number] => {
            let mut asked = question(3, card(number), OVMF);
            asked[12..16].copy_from_slice(&[192, 0, 2, 200]);
            socket.send_to(&asked, (US, 4011)).unwrap();
        }
        ["storm", count, who] => {
            for number in 0..card(count) {
                let asked = question(1, 1_000 + number, options(who));
                socket.send_to(&asked, all).unwrap();
                // As fast as a busy network, and no faster than this host can take in.
                if number % 50 == 0 {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
        _ => panic!("`{what}` is not known"),
    }
    listen(&socket)
}

/// A client's port, which several may have.
fn client() -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_broadcast(true).unwrap();
    let all = SocketAddr::from(([0, 0, 0, 0], 68));
    socket.bind(&all.into()).unwrap();
    socket.into()
}

/// A question of the card with this number, whose answer everybody may hear.
fn question(kind: u8, card: u32, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = datagram(kind, options);
    let number = card.to_be_bytes();
    let nanos = std::time::SystemTime::now()
        .elapsed()
        .map_or(0, |at| at.subsec_nanos());
    bytes[4..8].copy_from_slice(&(nanos ^ std::process::id() ^ card).to_be_bytes());
    bytes[10] = 0x80;
    bytes[31..34].copy_from_slice(&number[1..]);
    bytes
}

fn listen(socket: &UdpSocket) -> Vec<String> {
    let wait = Duration::from_millis(500);
    socket.set_read_timeout(Some(wait)).unwrap();
    let mut heard = Vec::new();
    let mut buffer = [0; 2_048];
    let begun = Instant::now();
    while begun.elapsed() < wait {
        let Ok((length, _)) = socket.recv_from(&mut buffer) else {
            break;
        };
        heard.push(answer(&buffer[..length]));
    }
    heard
}

/// An answer in words: what kind, which address, which file.
fn answer(bytes: &[u8]) -> String {
    let kind = match bytes.get(240..).and_then(|options| option(options, 53)) {
        Some([2]) => "offer",
        Some([5]) => "ack",
        Some([6]) => "nak",
        other => panic!("a strange answer: {other:?}"),
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

/// The program itself, serving a site.
pub(crate) struct Serving {
    house: House,
    pub(crate) process: Ends,
    pub(crate) machines: Client,
    pub(crate) operators: Client,
}

impl Serving {
    /// Serves a site of nodes `n01` and so on, with what else it declares in place of [`House`]'s network.
    pub(crate) fn start(nodes: usize, network: &str) -> Serving {
        Serving::prepared(nodes, network, |_| ())
    }

    /// The same, of a site in which something else is changed first.
    pub(crate) fn prepared(nodes: usize, network: &str, prepare: impl FnOnce(&House)) -> Serving {
        let house = House::new(nodes);
        let ours = fs::read_to_string(house.site().join("policies.d/site.toml")).unwrap();
        let network = format!("domain = \"lab.example\"\n{network}\n");
        house.write(
            "policies.d/site.toml",
            &ours.replace("domain = \"lab.example\"\n", &network),
        );
        house.write("loaders/snponly.efi", "a loader");
        house.write("loaders/ipxe.efi", "another loader");
        prepare(&house);
        let state = house.state();
        house.write(
            "bootwright.toml",
            &format!(
                "[http]\nlisten = \"0.0.0.0:80\"\n[operator]\nlisten = \"127.0.0.1:8067\"\n[paths]\nstate = \"{}\"\n\
                 loaders = \"loaders\"\n[limits]\ndiscovered = 50\n",
                state.display()
            ),
        );
        let log = fs::File::create(house.beside("log")).unwrap();
        let ends: OwnedFd = log.try_clone().unwrap().into();
        let process = Command::new(env!("CARGO_BIN_EXE_bootwright"))
            .arg("serve")
            .arg(house.site())
            .stdout(log)
            .stderr(Stdio::from(ends))
            .spawn()
            .unwrap();
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let serving = Serving {
            house,
            process: Ends(process),
            machines: Client::new(local(80)),
            operators: Client::new(local(8067)),
        };
        serving.says("waiting for machines");
        serving
    }

    /// Changes the site's own file.
    pub(crate) fn edit(&self, before: &str, after: &str) {
        let text = fs::read_to_string(self.house.site().join("policies.d/site.toml")).unwrap();
        assert!(text.contains(before), "{text}");
        self.house
            .write("policies.d/site.toml", &text.replace(before, after));
    }

    /// How many lines the journal has.
    pub(crate) fn journal(&self) -> usize {
        let text = fs::read_to_string(self.house.segment()).unwrap();
        text.lines().count()
    }

    /// Its resident memory, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let id = self.process.0.id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.unwrap().split_whitespace().next();
        number.unwrap().parse().unwrap()
    }

    /// Everything that it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.house.beside("log")).unwrap()
    }

    /// Waits until it says something.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        self.says_times(text, 1);
    }

    /// Waits until it has said something so often.
    #[track_caller]
    pub(crate) fn says_times(&self, text: &str, times: usize) {
        let begun = Instant::now();
        while self.log().matches(text).count() < times {
            let log = self.log();
            assert!(
                begun.elapsed() < Duration::from_secs(40),
                "it never said `{text}` {times} times:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.0.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }
}
