//! The benchmark, started manually: `cargo bench`. It prints tables in Markdown; src/manual/performance.md has a
//! copy.
//!
//! The server runs in its own process, with its state on tmpfs. The cost of an answer is the difference of the
//! processor time, user and system, of all its threads before and after a number of requests over persistent
//! connections, divided by that number. It does not include the clients. Sites of all sizes are measured
//! alternately, and medians are compared, so that other load on the machine affects all of them equally.
//!
//! `cargo bench -- wire` measures DHCP, TFTP and whole boots compared with other servers, `cargo bench -- images`
//! files in an ISO image compared with nginx, `cargo bench -- attack` what a machine waits for its script while a host floods
//! the server.
#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]
#![expect(clippy::print_stderr, reason = "and how far it is")]

mod answers;
mod client;
mod images;
mod loading;
mod rendering;
mod server;
mod site;
mod table;
mod wire;

use std::path::{Path, PathBuf};

use answers::{Costs, Subject};
use loading::Loading;
use table::{Series, table};

const SIZES: [usize; 3] = [1, 1_000, 10_000];
const MAX_NODES: usize = 10_000;
/// One round of loading, which is slow, per this many rounds of answers.
const LOADING: usize = 5;

/// The options of the command line.
struct Options {
    rounds: usize,
    /// A directory on a real disk.
    disk: PathBuf,
    /// A Python interpreter with Cobbler.
    cobbler: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    // `cargo bench` adds `--bench` to the arguments.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["write", folder, nodes] = words.as_slice() {
        let nodes = nodes.parse()?;
        let site = site::Site::write(Path::new(folder), nodes)?;
        println!("{}: {nodes} nodes", site.root.display());
        return Ok(());
    }
    if let Some(("wire", rest)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        return wire(&wire::Options::read(rest)?);
    }
    if let Some(("images", rest)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        return images(&images::Options::read(rest)?);
    }
    if words == ["attack"] {
        return attack();
    }
    let mut options = Options {
        rounds: 25,
        disk: env!("CARGO_TARGET_TMPDIR").into(),
        cobbler: None,
    };
    for pair in words.chunks(2) {
        match pair {
            ["--rounds", rounds] => options.rounds = rounds.parse()?,
            ["--disk", disk] => options.disk = disk.into(),
            ["--cobbler", python] => options.cobbler = Some(python.into()),
            _ => anyhow::bail!(
                "usage: cargo bench -- [--rounds N] [--disk DIR] [--cobbler PYTHON]\n       cargo bench -- wire …\n       cargo bench -- images …\n       cargo bench -- attack\n       cargo bench -- write DIR NODES"
            ),
        }
    }
    measure(&options)
}

fn wire(options: &wire::Options) -> anyhow::Result<()> {
    let work_directory = work_directory()?;
    println!("{}\n", about()?);
    wire::measure(options, work_directory.path())
}

fn images(options: &images::Options) -> anyhow::Result<()> {
    let work_directory = work_directory()?;
    println!("{}\n", about()?);
    images::measure(options, work_directory.path())
}

/// Runs tests/attack with long floods, and with bounds for the latency.
fn attack() -> anyhow::Result<()> {
    println!("{}\n", about()?);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attack");
    let status = std::process::Command::new(script)
        .args(["all", "speed"])
        .env("BOOTWRIGHT", server::PROGRAM)
        .status()?;
    anyhow::ensure!(status.success(), "an attack exceeds its bound");
    Ok(())
}

/// A directory on tmpfs.
fn work_directory() -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("bootwright-")
        .tempdir_in("/dev/shm")
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let work_directory = work_directory()?;
    println!("{}\n", about()?);
    answers(options, work_directory.path())?;
    loads(options, work_directory.path())?;
    rendering::compare(work_directory.path(), options.cobbler.as_deref())
}

/// The date and the machine.
fn about() -> anyhow::Result<String> {
    let date = std::process::Command::new("date")
        .arg("+%Y-%m-%d")
        .output()?;
    let date = String::from_utf8(date.stdout)?;
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default().to_string();
    Ok(format!(
        "{}, {cores} cores of {model}, load before the run {load}",
        date.trim()
    ))
}

fn answers(options: &Options, work_directory: &Path) -> anyhow::Result<()> {
    let mut subjects = Vec::new();
    for nodes in SIZES {
        let state = work_directory.join(format!("state-{nodes}"));
        subjects.push((
            Subject::new(work_directory, &state, nodes)?,
            Costs::default(),
        ));
    }
    let kept = tempfile::Builder::new()
        .prefix("state-")
        .tempdir_in(&options.disk)?;
    let mut on_disk = Subject::new(&work_directory.join("disk"), kept.path(), 1_000)?;
    let mut disk = Costs::default();
    for round in 0..options.rounds {
        for (subject, costs) in &mut subjects {
            subject.measure(costs)?;
        }
        on_disk.measure(&mut disk)?;
        eprintln!("answers: round {} of {}", round + 1, options.rounds);
    }
    let resident = subjects[2].0.server.resident()?[0];
    let row = |what: &str, limit: &str, pick: fn(&Costs) -> &Series| {
        let figures: Vec<f64> = subjects
            .iter()
            .map(|(_, costs)| pick(costs).median())
            .collect();
        let mut row = vec![what.to_string(), limit.to_string()];
        row.extend(figures.iter().map(|figure| format!("{figure:.0}")));
        row.push(format!("{:.2}", figures[2] / figures[0]));
        row.push(format!("{:.0}", pick(&disk).median()));
        row
    };
    let head = [
        "us of the server's processor time",
        "limit",
        "1 node",
        "1,000",
        "10,000",
        "10,000 : 1",
        "1,000, state on a disk",
    ];
    println!(
        "{}",
        table(&[
            head.map(String::from).to_vec(),
            row("`/boot`, nothing due", "50", |costs| &costs.idle),
            row("`/boot`, a running attempt", "50", |costs| &costs.running),
            row("an attempt opened, with its documents", "1000", |costs| {
                &costs.opening
            }),
        ])
    );
    println!(
        "An opening is answered after {:.1} ms; with the state on a disk, where three files are synced, after {:.1} ms. \
         With {MAX_NODES} machines that have all booted {resident:.0} MiB are resident.\n",
        subjects[1].1.waited.median(),
        disk.waited.median(),
    );
    for (subject, _) in subjects {
        subject.server.stop()?;
    }
    on_disk.server.stop()
}

fn loads(options: &Options, work_directory: &Path) -> anyhow::Result<()> {
    let mut loading = Loading::default();
    let rounds = options.rounds.div_ceil(LOADING);
    for round in 0..rounds {
        loading::measure(work_directory, MAX_NODES, round, &mut loading)?;
        eprintln!("loading: round {} of {rounds}", round + 1);
    }
    let row =
        |what: &str, limit: &str, figure: String| vec![what.to_string(), limit.to_string(), figure];
    let seconds = |series: &Series| format!("{:.2} s", series.median() / 1e3);
    let millis = |series: &Series| format!("{:.0} ms", series.median());
    let mib = |series: &Series| format!("{:.0} MiB", series.median());
    let binary = std::fs::metadata(server::PROGRAM)?.len() as f64 / 1e6;
    println!(
        "{}",
        table(&[
            row("10,000 nodes, a file each", "limit", "".into()),
            row(
                "`check`: read, checked, everything rendered",
                "1.5 s",
                seconds(&loading.check)
            ),
            row("its processor time", "", seconds(&loading.check_cpu)),
            row(
                "start to first answer, a new site",
                "",
                seconds(&loading.first_start)
            ),
            row(
                "start to first answer, the site checked last",
                "1 s",
                seconds(&loading.start)
            ),
            row(
                "an edited node is live, the first edit after a start",
                "500 ms",
                millis(&loading.first_node)
            ),
            row("an edited node is live", "500 ms", millis(&loading.node)),
            row(
                "an edited template that every node has is live",
                "3 s",
                millis(&loading.template)
            ),
            row(
                "resident memory after a start",
                "64 MiB",
                mib(&loading.resident[0])
            ),
            row(
                "resident memory after edits",
                "64 MiB",
                mib(&loading.resident[1])
            ),
            row("at most meanwhile", "", mib(&loading.resident[2])),
            row("the program", "25 MB", format!("{binary:.1} MB")),
        ])
    );
    Ok(())
}
