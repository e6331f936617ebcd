//! Downloads of a file in an ISO image, compared with nginx, which serves the extracted file; and the time to index
//! an image of many files.
//!
//! The readers are threads of this program, the same for both servers. Each has its own connection and discards the
//! body. The two servers are measured alternately, and medians are compared. All data is in the page cache: the
//! measurement shows the cost of the server, not of a disk.

mod image;
mod readers;
mod servers;

use std::path::{Path, PathBuf};

use servers::Server;

use crate::table::{Series, table};

/// The options of the command line.
pub(crate) struct Options {
    rounds: usize,
    /// The directory of the image and the file.
    disk: PathBuf,
    /// The size of the file in MiB.
    size: u64,
    /// The number of files in the other image.
    files: usize,
}

const USAGE: &str =
    "usage: cargo bench -- images [--rounds N] [--disk DIR] [--size MIB] [--files N]

nginx (Debian: nginx-light) serves the extracted file; no service of it need run. The disk needs room for twice the file.";

/// The number of parallel readers.
const MANY: usize = 50;
/// The number of parallel downloads for the memory measurement.
const DOWNLOADS: usize = 200;

/// The minimum throughput relative to nginx, and the maximum processor time relative to nginx.
const THROUGHPUT: f64 = 0.8;
const PROCESSOR: f64 = 2.0;
/// In MiB.
const MEMORY: f64 = 64.0;
/// In seconds.
const INDEX: f64 = 1.0;

impl Options {
    /// Parses the options after `images`.
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

/// Runs the measurements, with state in `work`.
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
    let mut bootwright = servers::bootwright(&large, &work.join("ours"))?;
    let mut nginx = servers::nginx(&large, &work.join("nginx"))?;
    for server in [&mut bootwright, &mut nginx] {
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
        rows.extend(compare(options, readers, &bootwright, &nginx)?);
    }
    println!("{}", table(&rows));
    let [before, _] = bootwright.resident()?;
    let during = readers::together(&bootwright, DOWNLOADS, || Ok(bootwright.resident()?[0]))?;
    let [_, most] = bootwright.resident()?;
    println!(
        "With {DOWNLOADS} downloads at once {during:.0} MiB were resident, {before:.0} before them and {most:.0} at most \
         (limit {MEMORY:.0}).\n"
    );
    bootwright.stop()?;
    nginx.stop()
}

/// Measures both servers alternately: throughput and processor time.
fn compare(
    options: &Options,
    readers: usize,
    bootwright: &Server,
    nginx: &Server,
) -> anyhow::Result<[Vec<String>; 2]> {
    let [mut our_rate, mut their_rate, mut our_cost, mut their_cost] = <[Series; 4]>::default();
    let gib = readers as f64 * options.size as f64 / 1024.0;
    for round in 0..options.rounds {
        for (server, rate, cost) in [
            (bootwright, &mut our_rate, &mut our_cost),
            (nginx, &mut their_rate, &mut their_cost),
        ] {
            let before = server.processor_time()?;
            let took = readers::read(server, readers, options.size << 20)?;
            let processor_time = server.processor_time()? - before;
            rate.push(gib / took.as_secs_f64());
            cost.push(processor_time.as_secs_f64() / gib);
            eprint!(
                "{}: {:.2} GiB/s, {:.3} s/GiB; ",
                server.name,
                gib / took.as_secs_f64(),
                processor_time.as_secs_f64() / gib
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
    let row = |what: &str, bootwright: &Series, other: &Series, places: usize, limit: String| {
        let (bootwright, other) = (bootwright.median(), other.median());
        vec![
            format!("{readers}, {what}"),
            format!("{bootwright:.places$}"),
            format!("{other:.places$}"),
            format!("{:.2}", bootwright / other),
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

/// An image of many files, indexed without a cache each time.
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
