//! DHCP offers while fifty machines open an attempt at once, on a disk whose fsync takes 20 ms.
//!
//! `strace` delays each fsync and fdatasync of the server. The offers go to a relay, which asks one after the other.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bootwright::{
    boot::dhcp::{discover, offering_server},
    model::Mac,
};

use super::{
    namespaces::{Namespaces, SERVER},
    servers::{self, NODES},
};
use crate::{
    client::Client,
    site::mac,
    table::{Series, table},
};

/// How long each fsync takes, in microseconds.
const SYNC: u32 = 20_000;
/// Between an offer and the next DISCOVER.
const PAUSE: Duration = Duration::from_millis(1);
/// For how long offers are measured while no machine boots.
const QUIET: Duration = Duration::from_secs(2);
/// An offer that takes longer counts as this.
const LOST: Duration = Duration::from_secs(2);
/// The 99th percentile of the offers must stay below this.
const LIMIT: Duration = Duration::from_millis(10);

/// Opens attempts for all machines at once, several times, and measures the offers meanwhile.
pub(crate) fn measure(namespaces: &Namespaces, rounds: usize, disk: &Path) -> anyhow::Result<()> {
    let kept = tempfile::Builder::new().prefix("state-").tempdir_in(disk)?;
    let state = kept.path().join("state");
    let (mut quiet, mut busy, mut scripts) = (Vec::new(), Vec::new(), Series::default());
    for round in 0..rounds {
        let mut server = servers::bootwright_with_slow_disk(namespaces, &state, SYNC)?;
        servers::until(&mut server, || {
            let client = namespaces.as_client(|| Ok(Client::connect_to((SERVER, 80).into())));
            Ok(client?.map(drop).map_err(|error| error.to_string()))
        })?;
        let measured = namespaces.as_client(|| {
            let mut relay = Relay::new(round)?;
            servers_answer(&mut relay)?;
            let began = Instant::now();
            let quiet = relay.offers(|| began.elapsed() > QUIET)?;
            let (busy, scripts) = boot_all(&mut relay)?;
            Ok((quiet, busy, scripts))
        })?;
        quiet.extend(measured.0);
        busy.extend(measured.1);
        scripts.push(measured.2.as_secs_f64());
        server.stop()?;
        eprintln!("slow disk: round {} of {rounds}", round + 1);
    }
    let head = [
        "DHCP offers, fsync takes 20 ms",
        "offers",
        "median",
        "99 %",
        "slowest",
    ];
    let row = |what: &str, all: &mut Vec<Duration>| {
        all.sort_unstable();
        let at = |part: usize| {
            let index = (all.len() * part / 100).min(all.len() - 1);
            format!("{:.2} ms", all[index].as_secs_f64() * 1e3)
        };
        vec![what.into(), all.len().to_string(), at(50), at(99), at(100)]
    };
    let rows = vec![
        head.map(String::from).to_vec(),
        row("no machine boots", &mut quiet),
        row(&format!("{NODES} machines open an attempt"), &mut busy),
    ];
    println!("{}", table(&rows));
    println!(
        "All {NODES} scripts within {:.2} s (median); the limit of the 99th percentile is {LIMIT:?}.\n",
        scripts.median()
    );
    Ok(())
}

/// Waits until the server offers: it first probes for other DHCP servers.
fn servers_answer(relay: &mut Relay) -> anyhow::Result<()> {
    for _ in 0..30 {
        if relay.offer()? < LOST {
            return Ok(());
        }
    }
    anyhow::bail!("the server offers nothing")
}

/// Boots all machines at once; returns how long each offer took meanwhile, and when the last machine had its script.
fn boot_all(relay: &mut Relay) -> anyhow::Result<(Vec<Duration>, Duration)> {
    let (start, is_done) = (Barrier::new(NODES + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let start = &start;
        let machines: Vec<_> = (0..NODES)
            .map(|number| scope.spawn(move || boot(number, start)))
            .collect();
        start.wait();
        let began = Instant::now();
        let done = &is_done;
        let waiting = scope.spawn(move || {
            let mut ended = machines.into_iter();
            let outcome: anyhow::Result<()> =
                ended.try_for_each(|machine| machine.join().expect("a machine does not panic"));
            done.store(true, Ordering::Relaxed);
            outcome.map(|()| began.elapsed())
        });
        let offers = relay.offers(|| is_done.load(Ordering::Relaxed))?;
        let took = waiting.join().expect("waiting does not panic")?;
        Ok((offers, took))
    })
}

fn boot(number: usize, start: &Barrier) -> anyhow::Result<()> {
    let client = Client::connect_to(SocketAddr::from((SERVER, 80)));
    start.wait();
    let asked = format!("/boot?mac={}&platform=efi&boot={number:016x}", mac(number));
    let script = String::from_utf8(client?.get(&asked)?)?;
    anyhow::ensure!(script.contains("kernel "), "no installer:\n{script}");
    Ok(())
}

/// A relay whose clients have never been seen.
struct Relay {
    socket: UdpSocket,
    address: Ipv4Addr,
    clients: u32,
}

impl Relay {
    fn new(round: usize) -> anyhow::Result<Self> {
        let address = Namespaces::client(0);
        let socket = UdpSocket::bind((address, 67))?;
        socket.set_read_timeout(Some(LOST))?;
        Ok(Relay {
            socket,
            address,
            clients: (round as u32) << 20,
        })
    }

    /// Requests offers one after the other, and returns how long each took.
    fn offers(&mut self, is_done: impl Fn() -> bool) -> anyhow::Result<Vec<Duration>> {
        let mut all = Vec::new();
        while !is_done() {
            all.push(self.offer()?);
            thread::sleep(PAUSE);
        }
        Ok(all)
    }

    fn offer(&mut self) -> anyhow::Result<Duration> {
        self.clients += 1;
        let [a, b, c, d] = self.clients.to_be_bytes();
        let mut datagram = discover(self.clients, Mac([2, 1, a, b, c, d]));
        // RFC 2131 section 2: `giaddr` is at 24.
        datagram[24..28].copy_from_slice(&self.address.octets());
        let began = Instant::now();
        self.socket.send_to(&datagram, (SERVER, 67))?;
        let mut buffer = [0; 2_048];
        while began.elapsed() < LOST {
            let Ok(length) = self.socket.recv(&mut buffer) else {
                break;
            };
            // An answer that came too late belongs to an earlier client.
            if offering_server(&buffer[..length], self.clients).is_some() {
                return Ok(began.elapsed());
            }
        }
        Ok(LOST)
    }
}
