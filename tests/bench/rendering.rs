//! Rendering one machine's documents, compared with Cobbler.

use std::{fs, path::Path, process::Command};

use anyhow::Context;
use bootwright::{
    control::RenderTarget,
    serve::{CheckProgram, load},
};

use crate::{
    server::PROGRAM,
    site::{self, Site},
    table::{Series, table},
};

const ROUNDS: usize = 9;
const RENDERS: usize = 500;

/// Prints the cost of one machine's documents, here and with Cobbler, if a Python interpreter with it is given.
pub(crate) fn compare(work: &Path, cobbler: Option<&Path>) -> anyhow::Result<()> {
    let (bootwright, files) = bootwright(work)?;
    let head = ["rendering for one machine, processor time", "ms"]
        .map(String::from)
        .to_vec();
    let mut rows = vec![
        head,
        vec![
            format!("Bootwright: all {files} files of a Rocky node"),
            format!("{bootwright:.3}"),
        ],
    ];
    if let Some(python) = cobbler {
        let cobbler = measure_cobbler(python)?;
        rows.push(vec![
            "Cobbler: the kickstart alone".into(),
            format!("{cobbler:.3}"),
        ]);
        rows.push(vec![
            "Cobbler : Bootwright".into(),
            format!("{:.0}", cobbler / bootwright),
        ]);
    }
    println!("{}", table(&rows));
    Ok(())
}

/// Resolves the settings of a Rocky node and renders all of its documents, as `check` does.
fn bootwright(work: &Path) -> anyhow::Result<(f64, usize)> {
    let site = Site::write(&work.join("rendering"), 3)?;
    let loaded = load::offline(&site.root, &CheckProgram::at(PROGRAM))?;
    let name = site::name(2);
    let node = loaded
        .snapshot
        .site
        .nodes
        .get(name.as_str())
        .context("no such node")?;
    let target = RenderTarget::Node(node.clone());
    let mut series = Series::default();
    let mut files = 0;
    for _ in 0..ROUNDS {
        let before = processor_time()?;
        for _ in 0..RENDERS {
            let (resolved, _) = loaded
                .snapshot
                .resolve_target(&target)
                .context("nothing binds it")?;
            let checked = loaded
                .snapshot
                .check(&target, &resolved, "http://198.18.0.9".into());
            anyhow::ensure!(checked.is_valid(), "it has mistakes");
            files = checked.documents;
        }
        series.push((processor_time()? - before) as f64 / 1e6 / RENDERS as f64);
    }
    Ok((series.median(), files))
}

/// The processor time of this thread, in nanoseconds.
fn processor_time() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text
        .split(' ')
        .next()
        .context("schedstat is empty")?
        .parse()?)
}

fn measure_cobbler(python: &Path) -> anyhow::Result<f64> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/with_cobbler.py");
    let output = Command::new(python).arg(script).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "Cobbler does not render: {said}");
    let text = String::from_utf8(output.stdout)?;
    let last = text.lines().last().context("Cobbler says nothing")?;
    let first = last
        .split(' ')
        .next()
        .context("Cobbler prints an empty line")?;
    Ok(first.parse()?)
}
