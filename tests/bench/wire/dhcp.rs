//! DHCP beside Kea and dnsmasq: `perfdhcp` asks all of them, at rates that double.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;

use super::{
    ground::{CLIENT_LINK, Ground, Program, SERVER},
    servers,
    share::Share,
};
use crate::table::{Series, table};

/// Exchanges offered per second.
const RATES: &[u32] = &[1_000, 2_000, 4_000, 8_000, 16_000];
/// The same for a server that has a tenth of a core.
const FEW: &[u32] = &[500, 1_000, 2_000, 4_000, 8_000];
/// For how long each time, in seconds.
const SPELL: u32 = 3;
/// Between the first questions and what is measured.
const AFTER: Duration = Duration::from_secs(1);
/// So many machines ask, each more than once.
const CLIENTS: &str = "50000";
/// Part of the peak that must still be answered at twice its rate.
const AT_TWICE: f64 = 0.8;

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

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    /// DISCOVER, OFFER, REQUEST, ACK.
    Exchange,
    /// DISCOVER of firmware, and the offer of a boot file.
    Offer,
}

/// One server's figures, by what was offered per second.
struct Figures {
    rates: &'static [u32],
    /// Answered per second.
    answered: BTreeMap<u32, Series>,
    /// The server's processor time for each answer, in microseconds.
    cost: BTreeMap<u32, Series>,
}

/// Measures full exchanges beside Kea, and offers beside dnsmasq.
pub(crate) fn measure(ground: &Ground, rounds: usize, disk: &Path) -> anyhow::Result<()> {
    let on_tmpfs = ground.work.join("state");
    let kept = tempfile::Builder::new().prefix("state-").tempdir_in(disk)?;
    let on_disk: PathBuf = kept.path().join("state");
    exchanges(ground, rounds, &on_tmpfs, "state on tmpfs")?;
    exchanges(
        ground,
        rounds,
        &on_disk,
        "state on a disk; Kea syncs nothing",
    )?;
    overload(ground, rounds, &on_tmpfs)?;
    offers(ground, rounds, &on_tmpfs)
}

fn exchanges(ground: &Ground, rounds: usize, state: &Path, what: &str) -> anyhow::Result<()> {
    let [mut ours, mut kea] = [Figures::new(RATES), Figures::new(RATES)];
    for round in 0..rounds {
        ours.climb(
            ground,
            servers::ours(ground, state, "server")?,
            Question::Exchange,
        )?;
        kea.climb(ground, servers::kea(ground, state)?, Question::Exchange)?;
        told("exchanges", round, rounds);
    }
    println!("DHCP, full exchanges per second, {what}:\n");
    print(&ours, "Kea", &kea);
    judge(&ours, &kea);
    Ok(())
}

/// Servers that have a tenth of a core, so that `perfdhcp` can ask more than they can answer.
fn overload(ground: &Ground, rounds: usize, state: &Path) -> anyhow::Result<()> {
    let [mut ours, mut kea] = [Figures::new(FEW), Figures::new(FEW)];
    let share = Share::new("bootwright-bench")?;
    for round in 0..rounds {
        let server = servers::ours(ground, state, "server")?;
        server.confine(&share)?;
        ours.climb(ground, server, Question::Exchange)?;
        let server = servers::kea(ground, state)?;
        server.confine(&share)?;
        kea.climb(ground, server, Question::Exchange)?;
        told("overload", round, rounds);
    }
    println!("DHCP, full exchanges per second of a server that has a tenth of a core:\n");
    print(&ours, "Kea", &kea);
    judge(&ours, &kea);
    for (what, pick) in PICKS {
        let [ours, kea] = [&ours, &kea].map(|figures| figures.left(pick));
        println!("{what}, left at twice the peak: {ours} (limit {AT_TWICE}); Kea {kea}.\n");
    }
    Ok(())
}

fn offers(ground: &Ground, rounds: usize, state: &Path) -> anyhow::Result<()> {
    let [mut ours, mut dnsmasq] = [Figures::new(RATES), Figures::new(RATES)];
    for round in 0..rounds {
        ours.climb(
            ground,
            servers::ours(ground, state, "proxy")?,
            Question::Offer,
        )?;
        dnsmasq.climb(ground, servers::dnsmasq(ground)?, Question::Offer)?;
        told("offers", round, rounds);
    }
    println!("DHCP, proxy offers per second, to {CLIENTS} machines that nobody declared:\n");
    print(&ours, "dnsmasq", &dnsmasq);
    judge(&ours, &dnsmasq);
    Ok(())
}

fn told(what: &str, round: usize, rounds: usize) {
    eprintln!("{what}: round {} of {rounds}", round + 1);
}

/// Runs `perfdhcp`; returns what was answered per second.
fn perfdhcp(ground: &Ground, question: Question, rate: u32, spell: u32) -> anyhow::Result<f64> {
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
    if question == Question::Offer {
        words.extend(PXE);
    }
    words.extend(["-r", &rate, "-p", &spell, &server]);
    let output = ground.ask(&words)?;
    // Its exit code says whether all was answered, which is not asked of it.
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

    /// Asks at every rate, then ends the server.
    fn climb(
        &mut self,
        ground: &Ground,
        mut server: Program,
        question: Question,
    ) -> anyhow::Result<()> {
        servers::until(&mut server, || {
            let answered = perfdhcp(ground, question, 100, 1)?;
            let outcome = (answered > 0.0).then_some(());
            Ok(outcome.ok_or("no answer to perfdhcp".into()))
        })?;
        // `perfdhcp` begins with the same transactions each time, and what comes twice in half a second is not
        // answered twice.
        std::thread::sleep(AFTER);
        for rate in self.rates {
            let before = server.spent()?;
            let answered = perfdhcp(ground, question, *rate, SPELL)?;
            let used = server.micros_since(&before)?;
            self.answered.entry(*rate).or_default().push(answered);
            let cost = used / (answered * f64::from(SPELL));
            self.cost.entry(*rate).or_default().push(cost);
            eprint!("{answered:.0} of {rate}, {cost:.0} us; ");
        }
        eprintln!("{} has {:.0} MiB", server.name, server.resident()?[1]);
        server.stop()
    }

    fn at(&self, rate: u32, pick: Pick) -> f64 {
        self.answered.get(&rate).map_or(f64::NAN, pick)
    }

    /// The most that was answered.
    fn peak(&self, pick: Pick) -> f64 {
        let all = self.rates.iter().map(|rate| self.at(*rate, pick));
        all.max_by(f64::total_cmp).unwrap_or(f64::NAN)
    }

    /// What is left of it when twice as much is offered, at the next of the rates.
    fn left(&self, pick: Pick) -> String {
        let peak = self.peak(pick);
        let is_twice = |rate: &&u32| f64::from(**rate) >= 2.0 * peak;
        match self.rates.iter().find(is_twice) {
            Some(rate) => format!("{:.2} at {rate} offered", self.at(*rate, pick) / peak),
            None => "more than was offered".into(),
        }
    }
}

/// Which of several rounds counts.
type Pick = fn(&Series) -> f64;

fn print(ours: &Figures, name: &str, theirs: &Figures) {
    let head = [
        "offered per second",
        "Bootwright",
        "best round",
        name,
        "best round",
        "ratio of the best",
        "us of Bootwright's processor time each",
        &format!("{name}'s"),
    ];
    let mut rows = vec![head.map(String::from).to_vec()];
    let cost = |figures: &Figures, rate| {
        let cost = figures.cost.get(rate).map_or(f64::NAN, Series::median);
        format!("{cost:.0}")
    };
    for rate in ours.rates {
        let best = [ours, theirs].map(|figures| figures.at(*rate, Series::best));
        rows.push(vec![
            rate.to_string(),
            format!("{:.0}", ours.at(*rate, Series::median)),
            format!("{:.0}", best[0]),
            format!("{:.0}", theirs.at(*rate, Series::median)),
            format!("{:.0}", best[1]),
            format!("{:.2}", best[0] / best[1]),
            cost(ours, rate),
            cost(theirs, rate),
        ]);
    }
    println!("{}", table(&rows));
}

/// Says how the peaks compare.
fn judge(ours: &Figures, theirs: &Figures) {
    for (what, pick) in PICKS {
        let (ours, theirs) = (ours.peak(pick), theirs.peak(pick));
        let ratio = ours / theirs;
        println!("{what}: at most {ours:.0} beside {theirs:.0}: {ratio:.2} (limit 1).\n");
    }
}

const PICKS: [(&str, Pick); 2] = [("Medians", Series::median), ("Best rounds", Series::best)];
