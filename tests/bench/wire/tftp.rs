//! TFTP compared with atftpd and tftpd-hpa, with many parallel clients, and with packet loss.

use std::{net::SocketAddr, time::Duration};

use super::{
    fetch::{Fetch, fetch},
    namespaces::{Namespaces, Program, SERVER},
    servers::{self, FILE_SIZE, KERNEL, SINGLE_FILE},
};
use crate::table::{Series, table};

/// The largest block that fits a frame; firmware requests it.
const BLOCK: usize = 1_468;
/// The number of parallel clients.
const MANY: usize = 500;
/// The number of clients with packet loss, for each window size.
const LOSSY_CLIENTS: usize = 100;
const LOSS: f64 = 0.03;
/// UEFI firmware requests a window of four.
const WINDOWS: [usize; 3] = [1, 4, 16];

/// No client fails, and the slowest takes less than three times as long as the fastest.
const MAX_RATIO: f64 = 3.0;
const MEMORY: f64 = 64.0;

/// Runs all measurements. `hpa` is the path of tftpd-hpa.
pub(crate) fn measure(namespaces: &Namespaces, rounds: usize, hpa: &str) -> anyhow::Result<()> {
    let content = servers::content(SINGLE_FILE);
    let state = namespaces.work.join("state");
    let mut bootwright = servers::bootwright(namespaces, &state, "server")?;
    let mut atftpd = servers::atftpd(namespaces)?;
    let mut hpa = servers::hpa(namespaces, hpa)?;
    let each = Fetch {
        from: Namespaces::client(0),
        server: (SERVER, servers::BOOTWRIGHT_PORT).into(),
        name: "repo/debian/each",
        block: BLOCK,
        window: 1,
        content: &content[..FILE_SIZE],
        loss: 0.0,
    };
    for (server, port) in [
        (&mut bootwright, servers::BOOTWRIGHT_PORT),
        (&mut atftpd, servers::ATFTPD),
        (&mut hpa, servers::HPA),
    ] {
        servers::until(server, || {
            let one = Fetch {
                server: (SERVER, port).into(),
                ..each.clone()
            };
            let outcome = namespaces.as_client(|| fetch(&[one]))?;
            Ok(outcome.into_iter().try_for_each(|one| one.map(drop)))
        })?;
    }
    let alone = Fetch {
        name: "repo/debian/alone",
        content: &content,
        ..each.clone()
    };
    let head = [
        "TFTP, one client, MB/s",
        "Bootwright",
        "best round",
        "the other",
        "best round",
        "ratio",
        "of the best",
        "limit",
    ];
    let mut rows = vec![head.map(String::from).to_vec()];
    // Without a window the client waits for each block, so the file is smaller.
    let short = Fetch {
        name: "repo/debian/debian-installer/amd64/linux",
        content: &content[..KERNEL],
        ..each.clone()
    };
    for (window, file, port, name) in [
        (16, &alone, servers::ATFTPD, "atftpd"),
        (1, &short, servers::HPA, "tftpd-hpa"),
        (1, &short, servers::ATFTPD, "atftpd"),
    ] {
        let file = Fetch {
            window,
            ..file.clone()
        };
        rows.push(compare(namespaces, rounds, &file, port, name)?);
    }
    println!("{}", table(&rows));
    many(namespaces, &each, &bootwright)?;
    lossy(namespaces, &each)?;
    bootwright.stop()
}

/// A single client, with the servers alternately.
fn compare(
    namespaces: &Namespaces,
    rounds: usize,
    file: &Fetch<'_>,
    port: u16,
    name: &str,
) -> anyhow::Result<Vec<String>> {
    let [mut bootwright_rate, mut other_rate] = <[Series; 2]>::default();
    let megabytes = file.content.len() as f64 / 1e6;
    let window = file.window;
    for round in 0..rounds {
        for (port, rate) in [
            (servers::BOOTWRIGHT_PORT, &mut bootwright_rate),
            (port, &mut other_rate),
        ] {
            let one = Fetch {
                server: SocketAddr::from((SERVER, port)),
                ..file.clone()
            };
            let outcome = namespaces.as_client(|| fetch(&[one]))?.remove(0);
            let took = outcome.map_err(|why| anyhow::anyhow!("{name}, port {port}: {why}"))?;
            rate.push(megabytes / took.as_secs_f64());
            eprint!("{:.0} ", megabytes / took.as_secs_f64());
        }
        eprintln!(
            "TFTP, windowsize {window}, {name}: round {} of {rounds}",
            round + 1
        );
    }
    let [bootwright, other] =
        [&bootwright_rate, &other_rate].map(|rate| (rate.median(), rate.best()));
    Ok(vec![
        format!("windowsize {window}, beside {name}"),
        format!("{:.0}", bootwright.0),
        format!("{:.0}", bootwright.1),
        format!("{:.0}", other.0),
        format!("{:.0}", other.1),
        format!("{:.2}", bootwright.0 / other.0),
        format!("{:.2}", bootwright.1 / other.1),
        "1".into(),
    ])
}

/// Many parallel clients.
fn many(namespaces: &Namespaces, each: &Fetch<'_>, bootwright: &Program) -> anyhow::Result<()> {
    let mut rows = vec![
        [
            "TFTP, many clients at once",
            "failed",
            "fastest",
            "slowest",
            "ratio",
            "limit",
        ]
        .map(String::from)
        .to_vec(),
    ];
    for window in WINDOWS {
        let all = parallel_fetches(each, MANY, window, 0.0);
        let outcomes = namespaces.as_client(|| fetch(&all))?;
        rows.push(row(
            &format!("{MANY}, windowsize {window}"),
            &outcomes,
            MAX_RATIO,
        ));
    }
    println!("{}", table(&rows));
    let [_, most] = bootwright.resident()?;
    println!("At most {most:.0} MiB were resident (limit {MEMORY}).\n");
    Ok(())
}

/// Packet loss.
fn lossy(namespaces: &Namespaces, each: &Fetch<'_>) -> anyhow::Result<()> {
    let head = format!("TFTP, {:.0} % of the packets are lost", LOSS * 100.0);
    let mut rows = vec![
        [&head, "failed", "fastest", "slowest", "ratio", "limit"]
            .map(String::from)
            .to_vec(),
    ];
    for window in WINDOWS {
        let all = parallel_fetches(each, LOSSY_CLIENTS, window, LOSS);
        let outcomes = namespaces.as_client(|| fetch(&all))?;
        rows.push(row(
            &format!("{LOSSY_CLIENTS}, windowsize {window}"),
            &outcomes,
            f64::NAN,
        ));
    }
    println!("{}", table(&rows));
    Ok(())
}

fn parallel_fetches<'a>(
    each: &Fetch<'a>,
    count: usize,
    window: usize,
    loss: f64,
) -> Vec<Fetch<'a>> {
    let one = |number| Fetch {
        from: Namespaces::client(number),
        window,
        loss,
        ..each.clone()
    };
    (0..count).map(one).collect()
}

fn row(what: &str, outcomes: &[Result<Duration, String>], limit: f64) -> Vec<String> {
    let good = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok());
    let fastest = good.clone().min().copied().unwrap_or_default();
    let slowest = good.max().copied().unwrap_or_default();
    let failed = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    failed
        .clone()
        .take(3)
        .for_each(|why| eprintln!("{what}: {why}"));
    let limit = if limit.is_nan() {
        String::new()
    } else {
        limit.to_string()
    };
    vec![
        what.into(),
        failed.count().to_string(),
        format!("{:.1} s", fastest.as_secs_f64()),
        format!("{:.1} s", slowest.as_secs_f64()),
        format!("{:.2}", slowest.as_secs_f64() / fastest.as_secs_f64()),
        limit,
    ]
}
