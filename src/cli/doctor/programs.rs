//! Runs the firewalls' command-line tools.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::firewall_state::{FirewalldZone, ToolOutput};

/// A tool that takes longer is killed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Directories of system programs, searched after `PATH`.
const ROOT_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Finds a program.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let roots = ROOT_DIRECTORIES.iter().map(PathBuf::from);
    own.into_iter()
        .chain(roots)
        .map(|directory| directory.join(name))
        .find(|path| {
            nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok() && path.is_file()
        })
}

/// Reads the nftables rules.
pub(super) fn nft() -> ToolOutput<Value> {
    let Some(program) = find("nft") else {
        return ToolOutput::Missing;
    };
    match run(&program, &["-j", "list", "ruleset"]) {
        Ok(run) if run.success => match serde_json::from_str(&run.stdout) {
            Ok(ruleset) => ToolOutput::Output(ruleset),
            Err(error) => ToolOutput::Unavailable(format!("invalid JSON from nft: {error}")),
        },
        Ok(run) => ToolOutput::Unavailable(run.reason()),
        Err(error) => ToolOutput::Unavailable(error.to_string()),
    }
}

/// Whether iptables-legacy has a filter table. Only root can read this.
pub(super) fn has_legacy_rules() -> bool {
    let tables = std::fs::read_to_string("/proc/net/ip_tables_names");
    tables.is_ok_and(|tables| tables.lines().any(|table| table == "filter"))
}

/// Reads ufw's rules. A world-readable file has whether ufw is enabled.
pub(super) fn ufw() -> ToolOutput<String> {
    let Some(program) = find("ufw") else {
        return ToolOutput::Missing;
    };
    let settings = std::fs::read_to_string("/etc/ufw/ufw.conf");
    let is_off = |text: &String| text.lines().any(|line| line.trim() == "ENABLED=no");
    if settings.is_ok_and(|text| is_off(&text)) {
        return ToolOutput::Output("Status: inactive".into());
    }
    match run(&program, &["status", "verbose"]) {
        Ok(run) if run.success => ToolOutput::Output(run.stdout),
        Ok(run) => ToolOutput::Unavailable(run.reason()),
        Err(error) => ToolOutput::Unavailable(error.to_string()),
    }
}

/// Reads the firewalld zones of these interfaces; empty if it is not running.
pub(super) fn firewalld(interfaces: &[String]) -> ToolOutput<Vec<FirewalldZone>> {
    let Some(program) = find("firewall-cmd") else {
        return ToolOutput::Missing;
    };
    match zones(&program, interfaces) {
        Ok(zones) => ToolOutput::Output(zones),
        Err(error) => ToolOutput::Unavailable(error.to_string()),
    }
}

fn zones(program: &Path, interfaces: &[String]) -> io::Result<Vec<FirewalldZone>> {
    if run(program, &["--state"])?.stdout.trim() != "running" {
        return Ok(Vec::new());
    }
    let query = |arguments: &[&str]| -> io::Result<String> {
        let run = run(program, arguments)?;
        match run.success {
            true => Ok(run.stdout.trim().into()),
            false => Err(io::Error::other(run.reason())),
        }
    };
    let zone = |name: String, interface: String| -> io::Result<FirewalldZone> {
        let listed = query(&[&format!("--zone={name}"), "--list-all"])?;
        Ok(FirewalldZone {
            interface,
            name,
            listed,
        })
    };
    if interfaces.is_empty() {
        let all = "every interface without its own zone";
        return Ok(vec![zone(query(&["--get-default-zone"])?, all.into())?]);
    }
    let mut zones = Vec::new();
    for interface in interfaces {
        // An interface without its own zone is in the default zone.
        let own = query(&[&format!("--get-zone-of-interface={interface}")]);
        let name = match own {
            Ok(name) => name,
            Err(_) => query(&["--get-default-zone"])?,
        };
        zones.push(zone(name, interface.clone())?);
    }
    Ok(zones)
}

struct CommandOutput {
    success: bool,
    stdout: String,
    stderr: String,
}

impl CommandOutput {
    /// Why it failed.
    fn reason(&self) -> String {
        if !nix::unistd::geteuid().is_root() {
            return "needs root".into();
        }
        let lines = self.stderr.lines().chain(self.stdout.lines());
        lines
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("it failed without a message")
            .into()
    }
}

/// Runs a read-only command, with a timeout.
fn run(program: &Path, arguments: &[&str]) -> io::Result<CommandOutput> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().map(read);
    let err = child.stderr.take().map(read);
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > TIMEOUT {
            child.kill()?;
            child.wait()?;
            let seconds = TIMEOUT.as_secs();
            let name = program.display();
            return Err(io::Error::other(format!(
                "{name} did not finish within {seconds} seconds"
            )));
        }
        thread::sleep(Duration::from_millis(5));
    };
    Ok(CommandOutput {
        success: status.success(),
        stdout: joined(out),
        stderr: joined(err),
    })
}

/// Reads a pipe to its end in a thread of its own, since the program blocks while the pipe is full.
fn read(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // The bytes read before an error are used.
        drop(from.read_to_end(&mut bytes));
        bytes
    })
}

fn joined(reader: Option<thread::JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader.and_then(|reader| reader.join().ok());
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}
