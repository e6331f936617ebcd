//! Fifty machines that are powered on at the same time, and a server with one core.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{
    fetch::{Fetch, fetch},
    namespaces::{Namespaces, SERVER},
    servers::{self, INITRD, KERNEL, LOADER, NODES},
};
use crate::{
    client::Client,
    site::mac,
    table::{Series, table},
};

/// The times at which a machine has received its files.
struct Boot {
    loader: Duration,
    script: Duration,
    kernel: Duration,
    initrd: Duration,
}

/// Powers the machines on several times, and measures until all have received their files.
pub(crate) fn measure(namespaces: &Namespaces, rounds: usize) -> anyhow::Result<()> {
    let loader = servers::content(LOADER);
    let state = namespaces.work.join("state");
    let mut all = Vec::new();
    let (mut resident, mut failed) = (Series::default(), 0);
    for round in 0..rounds {
        let mut bootwright = servers::bootwright(namespaces, &state, "server")?;
        servers::until(&mut bootwright, || {
            let client = namespaces.as_client(|| Ok(Client::connect_to((SERVER, 80).into())));
            Ok(client?.map(drop).map_err(|error| error.to_string()))
        })?;
        for boot in namespaces.as_client(|| power_on(&loader))? {
            match boot {
                Ok(boot) => all.push(boot),
                Err(why) => {
                    failed += 1;
                    eprintln!("a machine does not boot: {why:#}");
                }
            }
        }
        resident.push(bootwright.resident()?[1]);
        bootwright.stop()?;
        eprintln!("boots: round {} of {rounds}", round + 1);
    }
    let head = format!("{NODES} machines at once, a server with one core");
    let mut rows = vec![[&head, "median", "slowest"].map(String::from).to_vec()];
    let mut row = |what: &str, pick: fn(&Boot) -> Duration| {
        let mut series = Series::default();
        all.iter()
            .for_each(|boot| series.push(pick(boot).as_secs_f64()));
        let slowest = all.iter().map(pick).max().unwrap_or_default();
        rows.push(vec![
            what.into(),
            format!("{:.2} s", series.median()),
            format!("{:.2} s", slowest.as_secs_f64()),
        ]);
    };
    row("loader over TFTP", |boot| boot.loader);
    row("script", |boot| boot.script);
    row("kernel, 8 MiB", |boot| boot.kernel);
    row("initrd, 32 MiB", |boot| boot.initrd);
    println!("{}", table(&rows));
    println!(
        "{failed} of {} machines failed (limit 0); at most {:.0} MiB were resident.\n",
        rounds * NODES,
        resident.median()
    );
    Ok(())
}

/// Powers on all machines at the same time.
fn power_on(loader: &[u8]) -> anyhow::Result<Vec<anyhow::Result<Boot>>> {
    let start = Barrier::new(NODES);
    thread::scope(|scope| {
        let one = |number| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                boot(number, loader)
            })
        };
        let machines: Vec<_> = (0..NODES).map(one).collect();
        let ended = machines.into_iter();
        Ok(ended
            .map(|machine| machine.join().expect("a machine does not panic"))
            .collect())
    })
}

/// Boots one machine: its loader, the two scripts, the kernel, the initrd.
fn boot(number: usize, loader: &[u8]) -> anyhow::Result<Boot> {
    let began = Instant::now();
    let from: Ipv4Addr = Namespaces::client(number);
    let fetched = fetch(&[Fetch {
        from,
        server: (SERVER, servers::BOOTWRIGHT_PORT).into(),
        name: "snponly.efi",
        block: 1_468,
        window: 4,
        content: loader,
        loss: 0.0,
    }])?;
    fetched
        .into_iter()
        .try_for_each(|outcome| outcome.map(drop))
        .map_err(|why| anyhow::anyhow!("loader: {why}"))?;
    let loader = began.elapsed();
    let mut client = Client::connect_to(SocketAddr::from((SERVER, 80)))?;
    client.get("/boot.ipxe")?;
    let mac = mac(number);
    let asked = format!(
        "/boot?mac={mac}&serial-hex=5{number:03}&platform=efi&arch=x86_64&boot={number:016x}"
    );
    let script = String::from_utf8(client.get(&asked)?)?;
    let ready = began.elapsed();
    let kernel = client.drain(path(&script, "kernel ")?)?;
    anyhow::ensure!(kernel == KERNEL, "the kernel has {kernel} bytes");
    let kernel = began.elapsed();
    let initrd = client.drain(path(&script, "initrd --name initrd.gz ")?)?;
    anyhow::ensure!(initrd == INITRD, "the initrd has {initrd} bytes");
    Ok(Boot {
        loader,
        script: ready,
        kernel,
        initrd: began.elapsed(),
    })
}

/// The path of the URL after a word of the script.
fn path<'a>(script: &'a str, word: &str) -> anyhow::Result<&'a str> {
    let line = script.lines().find_map(|line| line.strip_prefix(word));
    let url = line.and_then(|rest| rest.split(' ').next());
    let url = url.with_context(|| format!("no `{word}` in\n{script}"))?;
    let rest = url.strip_prefix("http://").context("no URL")?;
    let slash = rest.find('/').context("no path")?;
    Ok(&rest[slash..])
}
