//! A file inside an ISO image beside nginx, which has the same file extracted; and how long an image of many files takes
//! to be read.
//!
//! The readers are threads of this program, the same for both: they ask over a connection of their own and throw away
//! what comes. Ours and theirs are asked by turns, and medians compared. All of it is in the page cache: what is
//! measured is what a server spends, not a disk.

mod image;
mod readers;
mod servers;

use std::path::{Path, PathBuf};

use servers::Server;

use crate::table::{Series, table};

/// What can be said on the command line.
pub(crate) struct Options {
    rounds: usize,
    /// Where the image and the file are.
    disk: PathBuf,
    /// How large the file is, in MiB.
    size: u64,
    /// How many files the other image has.
    files: usize,
}

const USAGE: &str =
    "usage: cargo bench -- images [--rounds N] [--disk DIR] [--size MIB] [--files N]

nginx (Debian: nginx-light) serves the extracted file; no service of it need run. The disk needs room for twice the file.";

/// Parallel readers.
const MANY: usize = 50;
/// Downloads at once while memory is looked at.
const DOWNLOADS: usize = 200;

/// At least so much of nginx's throughput, at most so many times its processor time.
const THROUGHPUT: f64 = 0.8;
const PROCESSOR: f64 = 2.0;
/// In MiB.
const MEMORY: f64 = 64.0;
/// In seconds.
const INDEX: f64 = 1.0;

impl Options {
    /// Reads what comes after `images`.
    pub(crate) fn read(words: &[&str]) -> anyhow::Result<Self> {
        let mut options = Options {
            rounds: 5,
            disk: env!("CARGO_TARGET_TMPDIR").into(),
            size: 1024,
            files: 100_000,
        };
        for pair in words.chunks(2) {
            match pair {
                ["--rounds", rounds] => options.rounds = rounds.parse()?,
                ["--disk", disk] => options.disk = disk.into(),
                ["--size", size] => options.size = size.parse()?,
                ["--files", files] => options.files = files.parse()?,
                _ => anyhow::bail!(USAGE),
            }
        }
        Ok(options)
    }
}

/// Measures, with state in `work`.
pub(crate) fn measure(options: &Options, work: &Path) -> anyhow::Result<()> {
    crate::wire::need(&[("nginx", "nginx-light"), ("xorriso", "xorriso")])
        .map_err(|error| error.context(USAGE))?;
    let disk = tempfile::Builder::new()
        .prefix("images-")
        .tempdir_in(&options.disk)?;
    downloads(options, disk.path(), work)?;
    index(options, disk.path(), work)
}

fn downloads(options: &Options, disk: &Path, work: &Path) -> anyhow::Result<()> {
    let large = image::large(disk, options.size)?;
    let mut ours = servers::ours(&large, &work.join("ours"))?;
    let mut nginx = servers::nginx(&large, &work.join("nginx"))?;
    for server in [&mut ours, &mut nginx] {
        server.until_ready(options.size << 20)?;
    }
    let mut rows = vec![
        [
            "one file of an image, beside nginx",
            "Bootwright",
            "nginx",
            "ratio",
            "limit",
        ]
        .map(String::from)
        .to_vec(),
    ];
    for readers in [1, MANY] {
        rows.extend(beside(options, readers, &ours, &nginx)?);
    }
    println!("{}", table(&rows));
    let [before, _] = ours.resident()?;
    let during = readers::together(&ours, DOWNLOADS, || Ok(ours.resident()?[0]))?;
    let [_, most] = ours.resident()?;
    println!(
        "With {DOWNLOADS} downloads at once {during:.0} MiB were resident, {before:.0} before them and {most:.0} at most \
         (limit {MEMORY:.0}).\n"
    );
    ours.stop()?;
    nginx.stop()
}

/// Both by turns: their throughput, and their processor time.
fn beside(
    options: &Options,
    readers: usize,
    ours: &Server,
    nginx: &Server,
) -> anyhow::Result<[Vec<String>; 2]> {
    let [mut our_rate, mut their_rate, mut our_cost, mut their_cost] = <[Series; 4]>::default();
    let gib = readers as f64 * options.size as f64 / 1024.0;
    for round in 0..options.rounds {
        for (server, rate, cost) in [
            (ours, &mut our_rate, &mut our_cost),
            (nginx, &mut their_rate, &mut their_cost),
        ] {
            let before = server.spent()?;
            let took = readers::read(server, readers, options.size << 20)?;
            let spent = server.spent()? - before;
            rate.push(gib / took.as_secs_f64());
            cost.push(spent.as_secs_f64() / gib);
            eprint!(
                "{}: {:.2} GiB/s, {:.3} s/GiB; ",
                server.name,
                gib / took.as_secs_f64(),
                spent.as_secs_f64() / gib
            );
        }
        eprintln!(
            "{readers} readers: round {} of {}",
            round + 1,
            options.rounds
        );
    }
    let readers = match readers {
        1 => "one reader".to_string(),
        readers => format!("{readers} readers"),
    };
    let row = |what: &str, ours: &Series, theirs: &Series, places: usize, limit: String| {
        let (ours, theirs) = (ours.median(), theirs.median());
        vec![
            format!("{readers}, {what}"),
            format!("{ours:.places$}"),
            format!("{theirs:.places$}"),
            format!("{:.2}", ours / theirs),
            limit,
        ]
    };
    Ok([
        row(
            "GiB/s",
            &our_rate,
            &their_rate,
            2,
            format!("at least {THROUGHPUT}"),
        ),
        row(
            "s of the server's processor time per GiB",
            &our_cost,
            &their_cost,
            3,
            format!("at most {PROCESSOR}"),
        ),
    ])
}

/// An image of many files, read anew each time.
fn index(options: &Options, disk: &Path, work: &Path) -> anyhow::Result<()> {
    let image = image::many(disk, options.files)?;
    let [mut alone, mut shown] = <[Series; 2]>::default();
    for round in 0..options.rounds {
        alone.push(image::index(&image, options.files)?.as_secs_f64());
        shown.push(servers::repos(&image, &work.join("many"))?.as_secs_f64());
        eprintln!("index: round {} of {}", round + 1, options.rounds);
    }
    println!(
        "The index of an image with {} files is built in {:.2} s (limit {INDEX:.0} s), `bootwright repos` shows it \
         after {:.2} s.",
        options.files,
        alone.median(),
        shown.median()
    );
    Ok(())
}
