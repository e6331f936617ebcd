//! The server in its own process, so that its processor time does not include that of its clients.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::{
    client::Client,
    site::{self, Site},
};

/// The program that was built with this one.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_bootwright");

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// From the start of the process to the first answer to a machine.
    pub(crate) ready: Duration,
    machines: u16,
    operators: u16,
}

/// The processor time of each thread of a process, in nanoseconds.
pub(crate) struct ProcessorTime(BTreeMap<String, u64>);

impl Server {
    /// Starts a server, and waits for its first answer.
    pub(crate) fn start(site: &Site) -> anyhow::Result<Self> {
        let began = Instant::now();
        let log = fs::File::create(&site.log)?;
        let child = Command::new(PROGRAM)
            .args(["serve", "--color", "never"])
            .arg(&site.root)
            .stdout(log)
            .spawn()?;
        let mut server = Server {
            child,
            ready: Duration::ZERO,
            machines: site.machines,
            operators: site.operators,
        };
        // The machine is undeclared, so that the request does not affect declared machines.
        let undeclared = "/boot?mac=02:ff:00:00:00:01&boot=0";
        loop {
            let answer = server
                .machines()
                .and_then(|mut client| Ok(client.get(undeclared)?));
            if answer.is_ok() {
                server.ready = began.elapsed();
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                anyhow::bail!("the server has ended: {status}");
            }
            anyhow::ensure!(began.elapsed().as_secs() < 60, "the server does not answer");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// A connection to the listener for machines.
    pub(crate) fn machines(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(self.machines)?)
    }

    /// A connection to the listener for operators.
    pub(crate) fn operators(&self) -> anyhow::Result<Client> {
        Ok(Client::connect_to_operators(
            self.operators,
            site::OPERATOR_TOKEN,
        )?)
    }

    /// The processor time of the server so far.
    pub(crate) fn processor_time(&self) -> anyhow::Result<ProcessorTime> {
        processor_time(self.child.id())
    }

    /// Waits until the server is idle, and returns its processor time since `before`.
    pub(crate) fn processor_time_since(&self, before: &ProcessorTime) -> anyhow::Result<Duration> {
        processor_time_since(self.child.id(), before)
    }

    /// Its resident memory in MiB: now, and the maximum so far.
    pub(crate) fn resident(&self) -> anyhow::Result<[f64; 2]> {
        resident(self.child.id())
    }

    /// The live revision.
    pub(crate) fn revision(&self, operators: &mut Client) -> anyhow::Result<String> {
        let status: serde_json::Value = serde_json::from_slice(&operators.get("/api/v1/status")?)?;
        Ok(status["revision"].as_str().context("no revision")?.into())
    }

    /// Stops the server regularly.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        interrupt(&self.child)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        drop(self.child.kill());
    }
}

impl ProcessorTime {
    /// Adds up the processor time since `before`. That of threads that have ended since is lost; such a thread was
    /// idle for ten seconds.
    fn since(&self, before: &ProcessorTime) -> u64 {
        let used =
            |(thread, now): (&String, &u64)| now - before.0.get(thread).unwrap_or(&0).min(now);
        self.0.iter().map(used).sum()
    }
}

/// Sends a server the signal to stop.
pub(crate) fn interrupt(server: &Child) -> anyhow::Result<()> {
    let kill = Command::new("kill").arg(server.id().to_string()).status()?;
    anyhow::ensure!(kill.success(), "the server cannot be told to end");
    Ok(())
}

/// The processor time of a process so far.
pub(crate) fn processor_time(pid: u32) -> anyhow::Result<ProcessorTime> {
    let mut processor_time = BTreeMap::new();
    for task in fs::read_dir(proc(pid, "task"))? {
        let task = task?;
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
            continue;
        };
        let first = text.split(' ').next().context("schedstat is empty")?;
        processor_time.insert(
            task.file_name().to_string_lossy().into_owned(),
            first.parse()?,
        );
    }
    Ok(ProcessorTime(processor_time))
}

/// Waits until a process is idle, and returns its processor time since `before`.
pub(crate) fn processor_time_since(pid: u32, before: &ProcessorTime) -> anyhow::Result<Duration> {
    let mut last = processor_time(pid)?.since(before);
    loop {
        thread::sleep(Duration::from_millis(2));
        let now = processor_time(pid)?.since(before);
        if now == last {
            return Ok(Duration::from_nanos(now));
        }
        last = now;
    }
}

/// The resident memory of a process in MiB: now, and the maximum so far.
pub(crate) fn resident(pid: u32) -> anyhow::Result<[f64; 2]> {
    let status = fs::read_to_string(proc(pid, "status"))?;
    let figure = |key: &str| -> anyhow::Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.context("no figure in status")?.parse::<f64>()? / 1024.0)
    };
    Ok([figure("VmRSS:")?, figure("VmHWM:")?])
}

fn proc(pid: u32, file: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(file)
}

/// Runs the program to its end, and discards its output. Returns the duration and the processor time.
pub(crate) fn run(arguments: &[&str], site: &Path) -> anyhow::Result<[Duration; 2]> {
    let began = Instant::now();
    // The shell's `times` prints the processor time of its child processes, including the program.
    let script = r#""$@" >&2; status=$?; times; exit $status"#;
    let output = Command::new("sh")
        .args(["-c", script, "sh", PROGRAM])
        .args(arguments)
        .arg("--site")
        .arg(site)
        .stderr(Stdio::null())
        .output()?;
    let wall = began.elapsed();
    anyhow::ensure!(
        output.status.success(),
        "`bootwright {}` fails",
        arguments.join(" ")
    );
    let text = String::from_utf8(output.stdout)?;
    let children = text.lines().nth(1).context("`times` prints two lines")?;
    let mut used = Duration::ZERO;
    for part in children.split(' ') {
        let (minutes, seconds) = part
            .trim_end_matches('s')
            .split_once('m')
            .context("minutes")?;
        used += Duration::from_secs_f64(minutes.parse::<f64>()? * 60.0 + seconds.parse::<f64>()?);
    }
    Ok([wall, used])
}
