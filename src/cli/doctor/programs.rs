//! What other programs say of the firewall.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{firewall::ToolOutput, firewalld::FirewalldZone};

/// Nobody is waited for longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the programs of root are, besides `PATH`.
const ROOTS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Returns where a program is.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let roots = ROOTS.iter().map(PathBuf::from);
    own.into_iter()
        .chain(roots)
        .map(|directory| directory.join(name))
        .find(|path| {
            nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok() && path.is_file()
        })
}

/// Asks nft for its rules.
pub(super) fn nft() -> ToolOutput<Value> {
    let Some(program) = find("nft") else {
        return ToolOutput::Missing;
    };
    match said(&program, &["-j", "list", "ruleset"]) {
        Ok(said) if said.is_good => match serde_json::from_str(&said.text) {
            Ok(ruleset) => ToolOutput::Output(ruleset),
            Err(error) => ToolOutput::Unavailable(format!("what nft prints is no JSON: {error}")),
        },
        Ok(said) => ToolOutput::Unavailable(said.reason()),
        Err(error) => ToolOutput::Unavailable(error.to_string()),
    }
}

/// Whether rules of the older iptables may filter what comes in. Only root can see it.
pub(super) fn has_legacy_rules() -> bool {
    let tables = std::fs::read_to_string("/proc/net/ip_tables_names");
    tables.is_ok_and(|tables| tables.lines().any(|table| table == "filter"))
}

/// Asks ufw for its rules. Whether it is switched on is in a file that everybody may read.
pub(super) fn ufw() -> ToolOutput<String> {
    let Some(program) = find("ufw") else {
        return ToolOutput::Missing;
    };
    let settings = std::fs::read_to_string("/etc/ufw/ufw.conf");
    let is_off = |text: &String| text.lines().any(|line| line.trim() == "ENABLED=no");
    if settings.is_ok_and(|text| is_off(&text)) {
        return ToolOutput::Output("Status: inactive".into());
    }
    match said(&program, &["status", "verbose"]) {
        Ok(said) if said.is_good => ToolOutput::Output(said.text),
        Ok(said) => ToolOutput::Unavailable(said.reason()),
        Err(error) => ToolOutput::Unavailable(error.to_string()),
    }
}

/// Asks firewalld for the zones of interfaces; none when it does not run.
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
    if said(program, &["--state"])?.text.trim() != "running" {
        return Ok(Vec::new());
    }
    let asked = |arguments: &[&str]| -> io::Result<String> {
        let said = said(program, arguments)?;
        match said.is_good {
            true => Ok(said.text.trim().into()),
            false => Err(io::Error::other(said.reason())),
        }
    };
    let zone = |name: String, interface: String| -> io::Result<FirewalldZone> {
        let listed = asked(&[&format!("--zone={name}"), "--list-all"])?;
        Ok(FirewalldZone {
            interface,
            name,
            listed,
        })
    };
    if interfaces.is_empty() {
        let all = "every interface without a zone of its own";
        return Ok(vec![zone(asked(&["--get-default-zone"])?, all.into())?]);
    }
    let mut zones = Vec::new();
    for interface in interfaces {
        // One that is in no zone of its own is in the default one.
        let own = asked(&[&format!("--get-zone-of-interface={interface}")]);
        let name = match own {
            Ok(name) => name,
            Err(_) => asked(&["--get-default-zone"])?,
        };
        zones.push(zone(name, interface.clone())?);
    }
    Ok(zones)
}

/// What a program has said.
struct CommandOutput {
    is_good: bool,
    text: String,
    complaint: String,
}

impl CommandOutput {
    /// Why it has said nothing of use.
    fn reason(&self) -> String {
        if !nix::unistd::geteuid().is_root() {
            return "that needs root".into();
        }
        let lines = self.complaint.lines().chain(self.text.lines());
        lines
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("it failed without a word")
            .into()
    }
}

/// Runs a program that only tells, and ends it when it takes too long.
fn said(program: &Path, arguments: &[&str]) -> io::Result<CommandOutput> {
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
        if began.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            let seconds = PATIENCE.as_secs();
            let name = program.display();
            return Err(io::Error::other(format!(
                "{name} has not answered in {seconds} seconds"
            )));
        }
        thread::sleep(Duration::from_millis(5));
    };
    Ok(CommandOutput {
        is_good: status.success(),
        text: joined(out),
        complaint: joined(err),
    })
}

/// Reads to the end beside the program, which would wait for a full pipe otherwise.
fn read(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error counts.
        drop(from.read_to_end(&mut bytes));
        bytes
    })
}

fn joined(reader: Option<thread::JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader.and_then(|reader| reader.join().ok());
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}
