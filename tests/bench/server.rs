//! The server as a process of its own, so that what it spends is told from what its clients spend.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::{client::Client, site::Site};

/// The program as it was built beside this one.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_bootwright");

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    /// From the start of the process to the first answer to a machine.
    pub(crate) ready: Duration,
    machines: u16,
    operators: u16,
}

/// How much processor time each thread of a process has used, in nanoseconds.
pub(crate) struct Spent(BTreeMap<String, u64>);

impl Server {
    /// Starts a server and waits for its first answer.
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
        // The machine is not one of the site's, so that nothing happens to one of those.
        let stranger = "/boot?mac=02:ff:00:00:00:01&boot=0";
        loop {
            let answer = server
                .machines()
                .and_then(|mut client| Ok(client.get(stranger)?));
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

    /// A connection such as machines make.
    pub(crate) fn machines(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(self.machines)?)
    }

    /// A connection such as operators make.
    pub(crate) fn operators(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(self.operators)?)
    }

    /// What the server has used so far.
    pub(crate) fn spent(&self) -> anyhow::Result<Spent> {
        spent(self.child.id())
    }

    /// Waits until the server rests, and returns what it has used since `before`.
    pub(crate) fn spent_since(&self, before: &Spent) -> anyhow::Result<Duration> {
        spent_since(self.child.id(), before)
    }

    /// How much memory is resident, in MiB: now, and at most so far.
    pub(crate) fn resident(&self) -> anyhow::Result<[f64; 2]> {
        resident(self.child.id())
    }

    /// The revision that is live.
    pub(crate) fn revision(&self, operators: &mut Client) -> anyhow::Result<String> {
        let status: serde_json::Value = serde_json::from_slice(&operators.get("/api/v1/status")?)?;
        Ok(status["revision"].as_str().context("no revision")?.into())
    }

    /// Ends the server in order.
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

impl Spent {
    /// Adds up what was used after `before`. What a thread used that has ended since is lost; such a thread
    /// had rested for ten seconds.
    fn since(&self, before: &Spent) -> u64 {
        let used =
            |(thread, now): (&String, &u64)| now - before.0.get(thread).unwrap_or(&0).min(now);
        self.0.iter().map(used).sum()
    }
}

/// Tells a server to end.
pub(crate) fn interrupt(server: &Child) -> anyhow::Result<()> {
    let kill = Command::new("kill").arg(server.id().to_string()).status()?;
    anyhow::ensure!(kill.success(), "the server cannot be told to end");
    Ok(())
}

/// What a process has used so far.
pub(crate) fn spent(pid: u32) -> anyhow::Result<Spent> {
    let mut spent = BTreeMap::new();
    for task in fs::read_dir(proc(pid, "task"))? {
        let task = task?;
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
            continue;
        };
        let first = text.split(' ').next().context("schedstat is empty")?;
        spent.insert(
            task.file_name().to_string_lossy().into_owned(),
            first.parse()?,
        );
    }
    Ok(Spent(spent))
}

/// Waits until a process rests, and returns what it has used since `before`.
pub(crate) fn spent_since(pid: u32, before: &Spent) -> anyhow::Result<Duration> {
    let mut last = spent(pid)?.since(before);
    loop {
        thread::sleep(Duration::from_millis(2));
        let now = spent(pid)?.since(before);
        if now == last {
            return Ok(Duration::from_nanos(now));
        }
        last = now;
    }
}

/// How much memory of a process is resident, in MiB: now, and at most so far.
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

/// Runs the program to its end with its output thrown away; returns how long it took and the processor time.
pub(crate) fn run(arguments: &[&str], site: &Path) -> anyhow::Result<[Duration; 2]> {
    let began = Instant::now();
    // The shell's `times` tells what its children used, the program among them.
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
