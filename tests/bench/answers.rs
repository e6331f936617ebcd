//! The cost of answers to machines.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::Client,
    server::{Server, run},
    site::{self, Site},
    table::Series,
};

/// The number of parallel connections.
const CONNECTIONS: usize = 4;
/// The number of requests per measurement.
const REQUESTS: usize = 2_000;
/// The number of attempts that a measurement opens.
const OPENINGS: usize = 20;

/// A server whose machines are all installed and have all booted once.
pub(crate) struct Subject {
    pub(crate) site: Site,
    pub(crate) server: Server,
    /// The number of boots so far, which makes each boot id unique.
    boots: usize,
    /// The machine of the next request.
    next: usize,
}

/// The measurements of one round, in microseconds of the server's processor time.
#[derive(Default)]
pub(crate) struct Costs {
    pub(crate) idle: Series,
    pub(crate) running: Series,
    pub(crate) opening: Series,
    /// From the request that opens an attempt to its answer, in milliseconds.
    pub(crate) waited: Series,
}

impl Subject {
    /// Writes a site of `nodes` machines into `work`, with its state at `state`, and serves it.
    pub(crate) fn new(work: &Path, state: &Path, nodes: usize) -> anyhow::Result<Self> {
        let site = Site::write(&work.join(format!("answers-{nodes}")), nodes)?;
        site.write_config(state)?;
        run(&["init", "--state", "installed"], &site.root)?;
        let server = Server::start(&site)?;
        let mut subject = Subject {
            site,
            server,
            boots: 0,
            next: 0,
        };
        // The first report of a machine is written to the journal, later ones are not.
        let all: Vec<usize> = (0..nodes).collect();
        subject.boot(&all)?;
        Ok(subject)
    }

    /// Measures every kind of answer once.
    pub(crate) fn measure(&mut self, costs: &mut Costs) -> anyhow::Result<()> {
        let machines = self.some(REQUESTS);
        costs.idle.push(self.boots_cost(&machines)?);
        let opened = self.open(costs)?;
        let machines: Vec<usize> = opened.iter().copied().cycle().take(REQUESTS).collect();
        costs.running.push(self.boots_cost(&machines)?);
        let mut operators = self.server.operators()?;
        for machine in opened {
            let path = format!("/api/v1/nodes/{}/mark", site::name(machine));
            operators.post(&path, r#"{"state":"installed"}"#)?;
        }
        Ok(())
    }

    /// Opens attempts one after another, each when the server is idle. Returns their machines.
    pub(crate) fn open(&mut self, costs: &mut Costs) -> anyhow::Result<Vec<usize>> {
        let (mut machines, mut operators) = (self.server.machines()?, self.server.operators()?);
        let opened = self.some(OPENINGS);
        for machine in &opened {
            operators.post(
                &format!("/api/v1/nodes/{}/reinstall", site::name(*machine)),
                "{}",
            )?;
            let before = self.server.processor_time()?;
            self.server.processor_time_since(&before)?;
            let before = self.server.processor_time()?;
            self.boots += 1;
            let asked = Instant::now();
            let script = machines.get(&path(*machine, self.boots))?;
            costs.waited.push(asked.elapsed().as_secs_f64() * 1e3);
            anyhow::ensure!(is_installer(&script), "no attempt was opened");
            costs
                .opening
                .push(micros(self.server.processor_time_since(&before)?));
        }
        Ok(opened)
    }

    /// Returns other machines each time, far apart, and all of one kind, because a site of one machine has one
    /// kind.
    fn some(&mut self, count: usize) -> Vec<usize> {
        let from = self.next;
        self.next += count;
        let of_one_kind = self.site.nodes.div_ceil(site::KINDS);
        (from..from + count)
            .map(|at| at * 7_919 % of_one_kind * site::KINDS)
            .collect()
    }

    /// The average cost of a boot of these machines.
    fn boots_cost(&mut self, machines: &[usize]) -> anyhow::Result<f64> {
        let before = self.server.processor_time()?;
        self.boot(machines)?;
        Ok(micros(self.server.processor_time_since(&before)?) / machines.len() as f64)
    }

    /// Boots machines over a few parallel connections.
    fn boot(&mut self, machines: &[usize]) -> anyhow::Result<()> {
        let first = self.boots;
        self.boots += machines.len();
        let share = machines.len().div_ceil(CONNECTIONS);
        thread::scope(|scope| {
            let mut askers = Vec::new();
            for (number, part) in machines.chunks(share).enumerate() {
                let mut client: Client = self.server.machines()?;
                askers.push(scope.spawn(move || -> anyhow::Result<()> {
                    for (at, machine) in part.iter().enumerate() {
                        client.get(&path(*machine, first + number * share + at))?;
                    }
                    Ok(())
                }));
            }
            for asker in askers {
                asker.join().expect("an asker does not panic")?;
            }
            Ok(())
        })
    }
}

/// The path that iPXE requests.
fn path(machine: usize, boot: usize) -> String {
    let mac = site::mac(machine);
    format!(
        "/boot?mac={mac}&uuid=4c4c4544-0042-4410-8053-{machine:012x}&serial=SN{machine:06}&asset=&manufacturer=Example\
         &product=Server%201&platform=efi&arch=x86_64&boot={boot:016x}"
    )
}

fn is_installer(script: &[u8]) -> bool {
    String::from_utf8_lossy(script).contains("/t/")
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
