//! Two network namespaces joined by a veth pair, and programs that run in either of them.

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
use crate::server::{ProcessorTime, interrupt, processor_time, processor_time_since, resident};

/// The servers' address; 198.18.0.0/15 is reserved for benchmarks (RFC 2544).
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The interface at the servers' end.
pub(crate) const LINK: &str = "served";
/// The interface at the clients' end.
pub(crate) const CLIENT_LINK: &str = "asking";
/// The clients' first address. The following addresses of this network are clients, too.
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 128, 1);

/// Two network namespaces joined by a veth pair. They are removed when this is dropped.
pub(crate) struct Namespaces {
    /// The namespace of the servers.
    servers: String,
    /// The namespace of the clients.
    clients: String,
    /// The directory for the programs' files.
    pub(crate) work: PathBuf,
}

/// A running server. It is stopped when dropped.
pub(crate) struct Program {
    pub(crate) name: String,
    child: Child,
    log: PathBuf,
}

impl Namespaces {
    /// Creates the namespaces and the veth pair.
    pub(crate) fn new(work: &Path) -> anyhow::Result<Self> {
        let id = std::process::id();
        let namespaces = Namespaces {
            servers: format!("bench-{id}-servers"),
            clients: format!("bench-{id}-clients"),
            work: work.into(),
        };
        let (servers, clients) = (namespaces.servers.as_str(), namespaces.clients.as_str());
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
        // Many client addresses on one interface.
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
        Ok(namespaces)
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
        // Kea locks its log in this directory, and writes its process id there.
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

    /// Calls a function in the clients' namespace, on the first core, which also applies to the threads that it
    /// starts.
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

impl Drop for Namespaces {
    fn drop(&mut self) {
        for end in [&self.servers, &self.clients] {
            // A namespace that does not exist need not be removed.
            drop(ip(&["netns", "del", end]));
        }
    }
}

impl Program {
    /// Its processor time so far.
    pub(crate) fn processor_time(&self) -> anyhow::Result<ProcessorTime> {
        processor_time(self.child.id())
    }

    /// Waits until it is idle, and returns its processor time since `before`, in microseconds.
    pub(crate) fn micros_since(&self, before: &ProcessorTime) -> anyhow::Result<f64> {
        let used = processor_time_since(self.child.id(), before)?;
        Ok(used.as_secs_f64() * 1e6)
    }

    /// Limits it to a share of its core.
    pub(crate) fn limit(&self, share: &Share) -> anyhow::Result<()> {
        Ok(share.add(self.child.id())?)
    }

    /// Its resident memory in MiB: now, and the maximum so far.
    pub(crate) fn resident(&self) -> anyhow::Result<[f64; 2]> {
        resident(self.child.id())
    }

    /// Fails if it has exited, with its output.
    pub(crate) fn check_running(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let said = fs::read_to_string(&self.log)?;
        anyhow::bail!("{} has ended, {status}:\n{said}", self.name)
    }

    /// Stops it.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.check_running()?;
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

/// A command in one of the namespaces, on one core.
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

/// Fails unless all compared programs are installed.
pub(crate) fn need(programs: &[(&str, &str)]) -> anyhow::Result<()> {
    let paths = std::env::var("PATH").context("there is no PATH")?;
    let check_running = |name: &str| {
        let mut places = std::env::split_paths(&paths);
        name.contains('/') && Path::new(name).exists()
            || places.any(|place| place.join(name).exists())
    };
    let missing = programs.iter().filter(|(name, _)| !check_running(name));
    let missing: Vec<String> = missing
        .map(|(name, package)| format!("{name} (Debian: {package})"))
        .collect();
    anyhow::ensure!(missing.is_empty(), "missing: {}", missing.join(", "));
    Ok(())
}
