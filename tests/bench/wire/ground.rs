//! Two network namespaces with a wire between them, and programs that run on either end.

use std::{
    fs::{self, File},
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
};

use anyhow::Context;
use nix::sched::{CloneFlags, setns};

use super::share::Share;
use crate::server::{Spent, interrupt, resident, spent, spent_since};

/// The servers' address; 198.18.0.0/15 is set aside for benchmarks (RFC 2544).
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The interface at the servers' end.
pub(crate) const LINK: &str = "served";
/// The interface at the clients' end.
pub(crate) const CLIENT_LINK: &str = "asking";
/// The clients' first address; the others of this network are theirs, too.
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 128, 1);

/// Two network namespaces with a wire between them. Dropping it takes them away.
pub(crate) struct Ground {
    /// The namespace of the servers.
    servers: String,
    /// The namespace of the clients.
    clients: String,
    /// Where programs put their files.
    pub(crate) work: PathBuf,
}

/// A server that runs. Dropping it ends it.
pub(crate) struct Program {
    pub(crate) name: String,
    child: Child,
    log: PathBuf,
}

impl Ground {
    /// Lays the wire.
    pub(crate) fn new(work: &Path) -> anyhow::Result<Self> {
        let id = std::process::id();
        let ground = Ground {
            servers: format!("bench-{id}-servers"),
            clients: format!("bench-{id}-clients"),
            work: work.into(),
        };
        let (servers, clients) = (ground.servers.as_str(), ground.clients.as_str());
        ip(&["netns", "add", servers])?;
        ip(&["netns", "add", clients])?;
        ip(&[
            "link",
            "add",
            LINK,
            "netns",
            servers,
            "type",
            "veth",
            "peer",
            "name",
            CLIENT_LINK,
            "netns",
            clients,
        ])?;
        for (end, link, address) in [(servers, LINK, SERVER), (clients, CLIENT_LINK, CLIENT)] {
            ip(&["-n", end, "link", "set", "lo", "up"])?;
            ip(&["-n", end, "link", "set", link, "up"])?;
            ip(&[
                "-n",
                end,
                "addr",
                "add",
                &format!("{address}/15"),
                "dev",
                link,
            ])?;
        }
        // Many machines at one end, without an interface for each.
        ip(&[
            "-n",
            clients,
            "route",
            "add",
            "local",
            "198.18.128.0/17",
            "dev",
            "lo",
        ])?;
        Ok(ground)
    }

    /// The address of a client.
    pub(crate) fn client(number: usize) -> Ipv4Addr {
        Ipv4Addr::from_bits(CLIENT.to_bits() + number as u32)
    }

    /// Starts a server on the last core.
    pub(crate) fn serve(&self, command: &[&str]) -> anyhow::Result<Program> {
        let name = Path::new(command[0]).file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let log = self.work.join(format!("{name}.log"));
        let out = File::create(&log)?;
        let mut command = within(&self.servers, cores() - 1, command);
        // Kea locks its log there, and writes its number.
        command.env("KEA_LOCKFILE_DIR", &self.work);
        command.env("KEA_PIDFILE_DIR", &self.work);
        let child = command
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn()?;
        Ok(Program { name, child, log })
    }

    /// Runs a client on the first core to its end.
    pub(crate) fn ask(&self, command: &[&str]) -> io::Result<Output> {
        within(&self.clients, 0, command).output()
    }

    /// Does something at the clients' end, on the first core; so do the threads that it starts.
    pub(crate) fn as_client<T: Send>(
        &self,
        act: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let end = Path::new("/run/netns").join(&self.clients);
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let end = File::open(end)?;
                setns(end, CloneFlags::CLONE_NEWNET)?;
                let mut first = nix::sched::CpuSet::new();
                first.set(0)?;
                nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &first)?;
                act()
            });
            thread.join().expect("a client does not panic")
        })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for end in [&self.servers, &self.clients] {
            // What is not there any more need not go.
            drop(ip(&["netns", "del", end]));
        }
    }
}

impl Program {
    /// What it has used so far.
    pub(crate) fn spent(&self) -> anyhow::Result<Spent> {
        spent(self.child.id())
    }

    /// Waits until it rests, and returns what it has used since `before`, in microseconds.
    pub(crate) fn micros_since(&self, before: &Spent) -> anyhow::Result<f64> {
        let used = spent_since(self.child.id(), before)?;
        Ok(used.as_secs_f64() * 1e6)
    }

    /// Leaves it a share of its core.
    pub(crate) fn confine(&self, share: &Share) -> anyhow::Result<()> {
        Ok(share.add(self.child.id())?)
    }

    /// How much memory is resident, in MiB: now, and at most so far.
    pub(crate) fn resident(&self) -> anyhow::Result<[f64; 2]> {
        resident(self.child.id())
    }

    /// Fails when it has ended, with what it said.
    pub(crate) fn is_there(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let said = fs::read_to_string(&self.log)?;
        anyhow::bail!("{} has ended, {status}:\n{said}", self.name)
    }

    /// Ends it.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.is_there()?;
        interrupt(&self.child)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Servers run on the last core, clients on the first.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// A command at one end of the wire, on one core.
fn within(end: &str, core: usize, words: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", end, "taskset", "-c", &core.to_string()])
        .args(words);
    command
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let words = arguments.join(" ");
    anyhow::ensure!(output.status.success(), "`ip {words}`: {}", said.trim());
    Ok(())
}

/// Fails unless everything that is measured beside us is there.
pub(crate) fn need(programs: &[(&str, &str)]) -> anyhow::Result<()> {
    let paths = std::env::var("PATH").context("there is no PATH")?;
    let is_there = |name: &str| {
        let mut places = std::env::split_paths(&paths);
        name.contains('/') && Path::new(name).exists()
            || places.any(|place| place.join(name).exists())
    };
    let missing = programs.iter().filter(|(name, _)| !is_there(name));
    let missing: Vec<String> = missing
        .map(|(name, package)| format!("{name} (Debian: {package})"))
        .collect();
    anyhow::ensure!(missing.is_empty(), "missing: {}", missing.join(", "));
    Ok(())
}
