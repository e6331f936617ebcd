//! Findings about the site, its state directory, and their file systems.

use std::path::{Path, PathBuf};

use super::{account::ServerProcess, finding::DoctorFinding};

#[derive(Debug, Clone)]
pub(super) struct SiteReport {
    /// Its path, as given on the command line.
    pub(super) path: PathBuf,
    /// The number of errors that `check` reports.
    pub(super) errors: usize,
    /// The number of warnings that `check` reports.
    pub(super) warnings: usize,
    /// The number of declared machines.
    pub(super) nodes: usize,
    /// The health of the running server; `None` if it does not answer.
    pub(super) health: Option<String>,
    /// Whether the running server rejected the current files.
    pub(super) is_rejected: bool,
    /// Why the running server could not be queried.
    pub(super) query_error: Option<String>,
    /// Directories on file systems that do not report changes, with the file system's name.
    pub(super) polled: Vec<(PathBuf, &'static str)>,
}

#[derive(Debug, Clone)]
pub(super) struct StateDirReport {
    /// Its path, or why that is unknown.
    pub(super) path: Result<PathBuf, String>,
    pub(super) exists: bool,
    /// Why it, or the directory in which it would be created, is not writable.
    pub(super) error: Option<String>,
    /// Free space in bytes; `None` if unknown.
    pub(super) free: Option<u64>,
}

/// Less free space than this is an error: the journal and the documents of a few attempts would fill it.
const MIN_FREE_BYTES: u64 = 64 << 20;

/// Less free space than this is a warning.
const LOW_FREE_BYTES: u64 = 1 << 30;

pub(super) fn site_findings(site: &SiteReport, server: &ServerProcess) -> Vec<DoctorFinding> {
    let path = site.path.display();
    let mut findings = Vec::new();
    let check = format!("bootwright --site {path} check");
    let sum = format!(
        "{path}: {}, {}",
        count(site.nodes, "machine declared", "machines declared"),
        match (site.errors, site.warnings) {
            (0, 0) => "no errors".to_string(),
            (0, warnings) => count(warnings, "warning", "warnings"),
            (errors, _) => count(errors, "error", "errors"),
        }
    );
    findings.push(match (site.errors, site.nodes) {
        (0, 0) => DoctorFinding::warning(format!("{sum}: every machine boots from its local disk"))
            .help("declare one: [node.NAME] with its `mac` and `repo`"),
        (0, _) if site.warnings > 0 => DoctorFinding::ok(sum).run(check),
        (0, _) => DoctorFinding::ok(sum),
        _ => DoctorFinding::error(format!("{sum}: the server does not load it")).run(check),
    });
    findings.push(server_finding(site, server));
    for (directory, system) in &site.polled {
        findings.push(DoctorFinding::warning(format!(
            "{}: on {system}, where the kernel does not report every change: files are checked every two seconds, so an edit takes up to two seconds to take effect",
            directory.display()
        )));
    }
    if site.polled.is_empty() {
        findings.push(DoctorFinding::ok(
            "the kernel reports changes of its files, so an edit takes effect at once",
        ));
    }
    findings
}

fn server_finding(site: &SiteReport, server: &ServerProcess) -> DoctorFinding {
    let name = match server.pid {
        Some(pid) => format!("this site's server (pid {pid})"),
        None => "this site's server".into(),
    };
    match (&site.health, &site.query_error) {
        (Some(_), _) if site.is_rejected => DoctorFinding::error(format!(
            "{name} is running and serves the last valid copy of the site: the current files have errors"
        ))
        .run(format!("bootwright --site {} check", site.path.display())),
        (Some(health), _) if health == "ok" => DoctorFinding::ok(format!("{name} is running")),
        (Some(health), _) => DoctorFinding::error(format!("{name} is running, {health}")),
        (None, Some(reason)) => {
            DoctorFinding::unknown(format!("cannot determine whether this site's server is running: {reason}"))
        }
        (None, None) if server.is_running() => DoctorFinding::warning(format!(
            "{name} is running but does not answer at `[operator]` `listen`"
        ))
        .help("restart it if bootwright.toml was changed since its start"),
        (None, None) => DoctorFinding::ok("this site's server is not running"),
    }
}

pub(super) fn state_findings(state: &StateDirReport, server: &ServerProcess) -> Vec<DoctorFinding> {
    let path = match &state.path {
        Ok(path) => path.display(),
        Err(error) => return vec![DoctorFinding::error(error.clone())],
    };
    let mut findings = Vec::new();
    findings.push(match &state.error {
        None if state.exists => DoctorFinding::ok(format!("{path}: writable")),
        None => DoctorFinding::ok(format!("{path}: does not exist yet; the server creates it")),
        // The running server has its own rights, and reports in its health if it cannot write.
        Some(_) if server.is_running() => DoctorFinding::ok(format!("{path}: in use by this site's server")),
        Some(error) => {
            let finding = match server.is_root {
                true => DoctorFinding::error(format!("{path}: not writable: {error}")),
                false => DoctorFinding::warning(format!("{path}: not writable by {}: {error}", server.user)),
            };
            finding.help("start the server as the directory's owner, or set another `state` in `[paths]`: nothing is installed without a writable state directory")
        }
    });
    findings.extend(state.free.map(|free| {
        let room = format!("{path}: {} free", bytes(free));
        match free {
            0..MIN_FREE_BYTES => DoctorFinding::error(room).help(
                "free some space: if the journal cannot be written, all installations are held",
            ),
            MIN_FREE_BYTES..LOW_FREE_BYTES => DoctorFinding::warning(room).help(
                "free some space: if the journal cannot be written, all installations are held",
            ),
            _ => DoctorFinding::ok(room),
        }
    }));
    findings
}

fn count(number: usize, one: &str, many: &str) -> String {
    match number {
        0 => format!("no {many}"),
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}

fn bytes(number: u64) -> String {
    match number {
        0..0x4000_0000 => format!("{} MiB", number >> 20),
        _ => format!("{} GiB", number >> 30),
    }
}

/// Removes directories that are below another one on the same file system.
pub(super) fn outermost_directories(
    directories: Vec<(PathBuf, &'static str)>,
) -> Vec<(PathBuf, &'static str)> {
    let mut outermost: Vec<(PathBuf, &'static str)> = Vec::new();
    for (path, system) in directories {
        let is_below =
            |(above, of): &(PathBuf, &str)| Path::starts_with(&path, above) && *of == system;
        if !outermost.iter().any(is_below) {
            outermost.push((path, system));
        }
    }
    outermost
}
