//! The time to load a site, and until an edit is live.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    server::{Server, run},
    site::Site,
    table::Series,
};

/// Edits of each kind per round.
const EDITS: usize = 3;

/// The measurements of loading. Times are in milliseconds.
#[derive(Default)]
pub(crate) struct Loading {
    /// The duration of `check`.
    pub(crate) check: Series,
    /// Its processor time.
    pub(crate) check_cpu: Series,
    /// From the start to the first answer, with a site that is new to the server.
    pub(crate) first_start: Series,
    /// The same with the site that was checked last.
    pub(crate) start: Series,
    /// From the first edit after such a start until the new revision is live.
    pub(crate) first_node: Series,
    /// The same for later edits.
    pub(crate) node: Series,
    /// The same for a template that every node's documents use.
    pub(crate) template: Series,
    /// Resident memory in MiB after the start, after the edits, and the maximum.
    pub(crate) resident: [Series; 3],
}

/// Measures everything once for a site of `nodes` machines.
pub(crate) fn measure(
    work: &Path,
    nodes: usize,
    edit: usize,
    loading: &mut Loading,
) -> anyhow::Result<()> {
    let site = Site::write(&work.join(format!("loading-{edit}")), nodes)?;
    let [wall, cpu] = run(&["check"], &site.root)?;
    loading.check.push(millis(wall));
    loading.check_cpu.push(millis(cpu));
    run(&["init", "--state", "installed"], &site.root)?;
    site.write_template(0)?;
    let server = Server::start(&site)?;
    loading.first_start.push(millis(server.ready));
    server.stop()?;
    let server = Server::start(&site)?;
    loading.start.push(millis(server.ready));
    loading.resident[0].push(server.resident()?[0]);
    loading
        .first_node
        .push(live(&server, || site.write_node(nodes / 2, 1))?);
    for edit in 1..=EDITS {
        loading
            .node
            .push(live(&server, || site.write_node(nodes / 3, edit))?);
        loading
            .template
            .push(live(&server, || site.write_template(edit))?);
    }
    let [now, most] = server.resident()?;
    loading.resident[1].push(now);
    loading.resident[2].push(most);
    server.stop()?;
    std::fs::remove_dir_all(&site.root)?;
    Ok(())
}

/// Makes an edit, and waits until it is live.
fn live(server: &Server, edit: impl FnOnce() -> std::io::Result<()>) -> anyhow::Result<f64> {
    // Background work after an edit must not slow down the next one.
    thread::sleep(Duration::from_millis(1_500));
    let mut operators = server.operators()?;
    let before = server.revision(&mut operators)?;
    edit()?;
    let edited = Instant::now();
    while server.revision(&mut operators)? == before {
        anyhow::ensure!(edited.elapsed().as_secs() < 60, "an edit does not go live");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(millis(edited.elapsed()))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
