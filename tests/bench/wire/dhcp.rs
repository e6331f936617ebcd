//! DHCP compared with Kea and dnsmasq: `perfdhcp` sends requests to each server, at rates that double.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;

use super::{
    namespaces::{CLIENT_LINK, Namespaces, Program, SERVER},
    servers,
    share::Share,
};
use crate::table::{Series, table};

/// Exchanges offered per second.
const RATES: &[u32] = &[1_000, 2_000, 4_000, 8_000, 16_000];
/// The same for a server with a tenth of a core.
const LOW_RATES: &[u32] = &[500, 1_000, 2_000, 4_000, 8_000];
/// The duration of each measurement in seconds.
const SECONDS: u32 = 3;
/// The time between the first messages and the measurement.
const PAUSE: Duration = Duration::from_secs(1);
/// The number of clients. Each sends several messages.
const CLIENTS: &str = "50000";
/// The part of the peak that must still be answered at twice its rate.
const MIN_AT_TWICE: f64 = 0.8;

/// UEFI x64 that boots by PXE: class, architecture, network interface, UUID (options 60, 93, 94, 97).
const PXE: [&str; 9] = [
    "-i",
    "-o",
    "60,505845436c69656e743a417263683a30303030373a554e44493a303033303136",
    "-o",
    "93,0007",
    "-o",
    "94,010310",
    "-o",
    "97,0000112233445566778899aabbccddeeff",
];

/// The kind of measurement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measurement {
    /// DISCOVER, OFFER, REQUEST, ACK.
    Exchange,
    /// A DISCOVER of firmware, and the offer with a boot file.
    Offer,
}

/// The measurements of one server, by offered exchanges per second.
struct Figures {
    rates: &'static [u32],
    /// Answered exchanges per second.
    answered: BTreeMap<u32, Series>,
    /// The server's processor time for each answer, in microseconds.
    cost: BTreeMap<u32, Series>,
}

/// Measures full exchanges compared with Kea, and offers compared with dnsmasq.
pub(crate) fn measure(namespaces: &Namespaces, rounds: usize, disk: &Path) -> anyhow::Result<()> {
    let on_tmpfs = namespaces.work.join("state");
    let kept = tempfile::Builder::new().prefix("state-").tempdir_in(disk)?;
    let on_disk: PathBuf = kept.path().join("state");
    exchanges(namespaces, rounds, &on_tmpfs, "state on tmpfs")?;
    exchanges(
        namespaces,
        rounds,
        &on_disk,
        "state on a disk; Kea syncs nothing",
    )?;
    overload(namespaces, rounds, &on_tmpfs)?;
    offers(namespaces, rounds, &on_tmpfs)
}

fn exchanges(
    namespaces: &Namespaces,
    rounds: usize,
    state: &Path,
    what: &str,
) -> anyhow::Result<()> {
    let [mut bootwright, mut kea] = [Figures::new(RATES), Figures::new(RATES)];
    for round in 0..rounds {
        bootwright.measure_rates(
            namespaces,
            servers::bootwright(namespaces, state, "server")?,
            Measurement::Exchange,
        )?;
        kea.measure_rates(
            namespaces,
            servers::kea(namespaces, state)?,
            Measurement::Exchange,
        )?;
        print_progress("exchanges", round, rounds);
    }
    println!("DHCP, full exchanges per second, {what}:\n");
    print(&bootwright, "Kea", &kea);
    print_comparison(&bootwright, &kea);
    Ok(())
}

/// Servers with a tenth of a core, so that `perfdhcp` can send more than they can answer.
fn overload(namespaces: &Namespaces, rounds: usize, state: &Path) -> anyhow::Result<()> {
    let [mut bootwright, mut kea] = [Figures::new(LOW_RATES), Figures::new(LOW_RATES)];
    let share = Share::new("bootwright-bench")?;
    for round in 0..rounds {
        let server = servers::bootwright(namespaces, state, "server")?;
        server.limit(&share)?;
        bootwright.measure_rates(namespaces, server, Measurement::Exchange)?;
        let server = servers::kea(namespaces, state)?;
        server.limit(&share)?;
        kea.measure_rates(namespaces, server, Measurement::Exchange)?;
        print_progress("overload", round, rounds);
    }
    println!("DHCP, full exchanges per second of a server that has a tenth of a core:\n");
    print(&bootwright, "Kea", &kea);
    print_comparison(&bootwright, &kea);
    for (what, pick) in STATISTICS {
        let [bootwright, kea] = [&bootwright, &kea].map(|figures| figures.remaining(pick));
        println!(
            "{what}, left at twice the peak: {bootwright} (limit {MIN_AT_TWICE}); Kea {kea}.\n"
        );
    }
    Ok(())
}

fn offers(namespaces: &Namespaces, rounds: usize, state: &Path) -> anyhow::Result<()> {
    let [mut bootwright, mut dnsmasq] = [Figures::new(RATES), Figures::new(RATES)];
    for round in 0..rounds {
        bootwright.measure_rates(
            namespaces,
            servers::bootwright(namespaces, state, "proxy")?,
            Measurement::Offer,
        )?;
        dnsmasq.measure_rates(
            namespaces,
            servers::dnsmasq(namespaces)?,
            Measurement::Offer,
        )?;
        print_progress("offers", round, rounds);
    }
    println!("DHCP, proxy offers per second, to {CLIENTS} undeclared machines:\n");
    print(&bootwright, "dnsmasq", &dnsmasq);
    print_comparison(&bootwright, &dnsmasq);
    Ok(())
}

fn print_progress(what: &str, round: usize, rounds: usize) {
    eprintln!("{what}: round {} of {rounds}", round + 1);
}

/// Runs `perfdhcp`. Returns the answered exchanges per second.
fn perfdhcp(
    namespaces: &Namespaces,
    measurement: Measurement,
    rate: u32,
    spell: u32,
) -> anyhow::Result<f64> {
    let (rate, spell) = (rate.to_string(), spell.to_string());
    let server = SERVER.to_string();
    let mut words = vec![
        "perfdhcp",
        "-4",
        "-R",
        CLIENTS,
        "-l",
        CLIENT_LINK,
        "-W",
        "1",
    ];
    if measurement == Measurement::Offer {
        words.extend(PXE);
    }
    words.extend(["-r", &rate, "-p", &spell, &server]);
    let output = namespaces.ask(&words)?;
    // Its exit code reports whether all requests were answered, which is not required.
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("Rate: "));
    let rate = rate.and_then(|rest| rest.split(' ').next());
    let rate = rate.with_context(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("perfdhcp does not tell a rate:\n{text}{said}")
    })?;
    Ok(rate.parse()?)
}

impl Figures {
    fn new(rates: &'static [u32]) -> Self {
        Figures {
            rates,
            answered: BTreeMap::new(),
            cost: BTreeMap::new(),
        }
    }

    /// Measures at every rate, then stops the server.
    fn measure_rates(
        &mut self,
        namespaces: &Namespaces,
        mut server: Program,
        measurement: Measurement,
    ) -> anyhow::Result<()> {
        servers::until(&mut server, || {
            let answered = perfdhcp(namespaces, measurement, 100, 1)?;
            let outcome = (answered > 0.0).then_some(());
            Ok(outcome.ok_or("no answer to perfdhcp".into()))
        })?;
        // `perfdhcp` begins with the same transactions each time, and a message that is repeated within half a
        // second is not answered twice.
        std::thread::sleep(PAUSE);
        for rate in self.rates {
            let before = server.processor_time()?;
            let answered = perfdhcp(namespaces, measurement, *rate, SECONDS)?;
            let used = server.micros_since(&before)?;
            self.answered.entry(*rate).or_default().push(answered);
            let cost = used / (answered * f64::from(SECONDS));
            self.cost.entry(*rate).or_default().push(cost);
            eprint!("{answered:.0} of {rate}, {cost:.0} us; ");
        }
        eprintln!("{} has {:.0} MiB", server.name, server.resident()?[1]);
        server.stop()
    }

    fn at(&self, rate: u32, pick: Pick) -> f64 {
        self.answered.get(&rate).map_or(f64::NAN, pick)
    }

    /// The highest number of answered exchanges per second.
    fn peak(&self, pick: Pick) -> f64 {
        let all = self.rates.iter().map(|rate| self.at(*rate, pick));
        all.max_by(f64::total_cmp).unwrap_or(f64::NAN)
    }

    /// The part of it that is still answered at the next rate, twice as high.
    fn remaining(&self, pick: Pick) -> String {
        let peak = self.peak(pick);
        let is_twice = |rate: &&u32| f64::from(**rate) >= 2.0 * peak;
        match self.rates.iter().find(is_twice) {
            Some(rate) => format!("{:.2} at {rate} offered", self.at(*rate, pick) / peak),
            None => "more than was offered".into(),
        }
    }
}

/// The value that represents several rounds.
type Pick = fn(&Series) -> f64;

fn print(bootwright: &Figures, name: &str, other: &Figures) {
    let head = [
        "offered per second",
        "Bootwright, median",
        "best round",
        name,
        "best round",
        "ratio of the medians",
        "us of Bootwright's processor time each",
        &format!("{name}'s"),
    ];
    let mut rows = vec![head.map(String::from).to_vec()];
    let cost = |figures: &Figures, rate| {
        let cost = figures.cost.get(rate).map_or(f64::NAN, Series::median);
        format!("{cost:.0}")
    };
    for rate in bootwright.rates {
        let [best, median] = [Series::best, Series::median]
            .map(|pick: Pick| [bootwright, other].map(|figures| figures.at(*rate, pick)));
        rows.push(vec![
            rate.to_string(),
            format!("{:.0}", median[0]),
            format!("{:.0}", best[0]),
            format!("{:.0}", median[1]),
            format!("{:.0}", best[1]),
            format!("{:.2}", median[0] / median[1]),
            cost(bootwright, rate),
            cost(other, rate),
        ]);
    }
    println!("{}", table(&rows));
}

/// Prints a comparison of the peaks.
fn print_comparison(bootwright: &Figures, other: &Figures) {
    for (what, pick) in STATISTICS {
        let (bootwright, other) = (bootwright.peak(pick), other.peak(pick));
        let ratio = bootwright / other;
        println!("{what}: at most {bootwright:.0} beside {other:.0}: {ratio:.2} (limit 1).\n");
    }
}

const STATISTICS: [(&str, Pick); 2] = [("Medians", Series::median), ("Best rounds", Series::best)];
