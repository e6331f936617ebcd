//! The site, its state, and the file systems they lie on.

use std::path::{Path, PathBuf};

use super::{account::ServerProcess, finding::DoctorFinding};

/// The site as it was loaded.
#[derive(Debug, Clone)]
pub(super) struct SiteReport {
    /// Where it is, as it was given.
    pub(super) path: PathBuf,
    /// How many errors `check` has.
    pub(super) errors: usize,
    /// And warnings.
    pub(super) warnings: usize,
    /// How many machines are declared.
    pub(super) nodes: usize,
    /// What the running server says of its health; none when none answers.
    pub(super) health: Option<String>,
    /// Whether the running server has rejected what the site is now.
    pub(super) is_rejected: bool,
    /// Why the running server was not asked.
    pub(super) unasked: Option<String>,
    /// Its directories that lie where changes go unreported, with the file system's name.
    pub(super) silent: Vec<(PathBuf, &'static str)>,
}

/// The state directory.
#[derive(Debug, Clone)]
pub(super) struct StateDirReport {
    /// Where it is, or why that is not known.
    pub(super) path: Result<PathBuf, String>,
    /// Whether it is there already.
    pub(super) exists: bool,
    /// Why it, or the directory that it would be made in, cannot be written.
    pub(super) trouble: Option<String>,
    /// How much room there is, in bytes; none when it cannot be told.
    pub(super) free: Option<u64>,
}

/// With less room than this, in bytes, the journal and the documents of a few attempts fill the disk.
const LITTLE: u64 = 64 << 20;

/// With less than this it is time to look.
const NOT_MUCH: u64 = 1 << 30;

/// Says how the site is.
pub(super) fn of_site(site: &SiteReport, server: &ServerProcess) -> Vec<DoctorFinding> {
    let path = site.path.display();
    let mut findings = Vec::new();
    let check = format!("bootwright --site {path} check");
    let sum = format!(
        "{path}: {}, {}",
        count(site.nodes, "machine declared", "machines declared"),
        match (site.errors, site.warnings) {
            (0, 0) => "no mistake".to_string(),
            (0, warnings) => count(warnings, "warning", "warnings"),
            (errors, _) => count(errors, "error", "errors"),
        }
    );
    findings.push(match (site.errors, site.nodes) {
        (0, 0) => {
            DoctorFinding::warning(format!("{sum}: every machine that boots gets its own disk"))
                .help("declare one: [node.NAME] with its `mac` and `repo`")
        }
        (0, _) if site.warnings > 0 => DoctorFinding::ok(sum).run(check),
        (0, _) => DoctorFinding::ok(sum),
        _ => DoctorFinding::error(format!("{sum}: it does not go live")).run(check),
    });
    findings.push(running(site, server));
    for (directory, system) in &site.silent {
        findings.push(DoctorFinding::warning(format!(
            "{}: on {system}, where the kernel does not report every change: it is looked at every two seconds, so an edit takes that long to be live",
            directory.display()
        )));
    }
    if site.silent.is_empty() {
        findings.push(DoctorFinding::ok(
            "changes of its files are reported by the kernel, so an edit is live at once",
        ));
    }
    findings
}

fn running(site: &SiteReport, server: &ServerProcess) -> DoctorFinding {
    let name = match server.pid {
        Some(pid) => format!("this site's server (pid {pid})"),
        None => "this site's server".into(),
    };
    match (&site.health, &site.unasked) {
        (Some(_), _) if site.is_rejected => DoctorFinding::error(format!(
            "{name} runs, and keeps the last good state of the site: what is there now has errors"
        ))
        .run(format!("bootwright --site {} check", site.path.display())),
        (Some(health), _) if health == "ok" => DoctorFinding::ok(format!("{name} runs")),
        (Some(health), _) => DoctorFinding::error(format!("{name} runs {health}")),
        (None, Some(reason)) => {
            DoctorFinding::unknown(format!("whether this site's server runs: {reason}"))
        }
        (None, None) if server.is_running() => DoctorFinding::warning(format!(
            "{name} runs, and does not answer at `listen` of `[operator]`"
        ))
        .help("it was started with another bootwright.toml: restart it"),
        (None, None) => DoctorFinding::ok("no server of this site runs now"),
    }
}

/// Says how the state directory is.
pub(super) fn of_state(state: &StateDirReport, server: &ServerProcess) -> Vec<DoctorFinding> {
    let path = match &state.path {
        Ok(path) => path.display(),
        Err(error) => return vec![DoctorFinding::error(error.clone())],
    };
    let mut findings = Vec::new();
    findings.push(match &state.trouble {
        None if state.exists => DoctorFinding::ok(format!("{path}: can be written")),
        None => DoctorFinding::ok(format!("{path}: not there yet; the server makes it")),
        // Its server runs as somebody who can, or its health says that it cannot.
        Some(_) if server.is_running() => DoctorFinding::ok(format!("{path}: in use by this site's server")),
        Some(trouble) => {
            let finding = match server.is_root {
                true => DoctorFinding::error(format!("{path}: cannot be written: {trouble}")),
                false => DoctorFinding::warning(format!("{path}: {} cannot write it: {trouble}", server.user)),
            };
            finding.help("start the server as its owner, or set another `state` in `[paths]`: without it no installation is handed out")
        }
    });
    findings.extend(state.free.map(|free| {
        let room = format!("{path}: {} free", bytes(free));
        match free {
            0..LITTLE => DoctorFinding::error(room)
                .help("a journal that cannot be written holds every installation: make room"),
            LITTLE..NOT_MUCH => DoctorFinding::warning(room)
                .help("a journal that cannot be written holds every installation: make room"),
            _ => DoctorFinding::ok(room),
        }
    }));
    findings
}

fn count(number: usize, one: &str, many: &str) -> String {
    match number {
        0 => format!("no {one}"),
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

/// Of directories with their file system, the outermost ones: what lies below one that is named needs no naming.
pub(super) fn outermost(directories: Vec<(PathBuf, &'static str)>) -> Vec<(PathBuf, &'static str)> {
    let mut kept: Vec<(PathBuf, &'static str)> = Vec::new();
    for (path, system) in directories {
        let is_below =
            |(above, of): &(PathBuf, &str)| Path::starts_with(&path, above) && *of == system;
        if !kept.iter().any(is_below) {
            kept.push((path, system));
        }
    }
    kept
}
