//! Findings about the server's user and privileges.

use std::path::Path;

use super::finding::DoctorFinding;
use crate::{model::ServerConfig, serve, site};

/// The site's server process, and the user of this command.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerProcess {
    /// The server's process id, if it is running and visible.
    pub(super) pid: Option<u32>,
    /// Whether its operator API answers.
    pub(super) answers: bool,
    /// The user of this command: `root`, `user 1000`.
    pub(super) user: String,
    /// Whether this command runs as root.
    pub(super) is_root: bool,
}

impl ServerProcess {
    pub(super) fn is_running(&self) -> bool {
        self.pid.is_some() || self.answers
    }
}

/// The privileges of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessPrivileges {
    pub(super) uid: u32,
    /// CAP_NET_BIND_SERVICE: it may bind ports below 1024.
    pub(super) low_ports: bool,
    /// CAP_NET_RAW: it may send Ethernet frames.
    pub(super) frames: bool,
}

/// The user and privileges that the server has or would have.
#[derive(Debug, Clone)]
pub(super) struct ServerAccount {
    /// The privileges of the running server, else of this command; `None` if they cannot be read.
    pub(super) privileges: Option<ProcessPrivileges>,
    /// `[run]` `user`, and why it cannot be used.
    pub(super) user: Option<(String, Option<String>)>,
    /// Whether QEMU is installed, which `try` needs.
    pub(super) has_qemu: bool,
    /// Whether a network has `dhcp` on.
    pub(super) wants_dhcp: bool,
}

impl ProcessPrivileges {
    /// Parses `/proc/<pid>/status` (proc_pid_status(5)).
    pub(super) fn read(status: &str) -> Option<ProcessPrivileges> {
        let field = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
        };
        // The effective uid and capabilities; linux/capability.h has the capabilities' numbers.
        let uids = status.lines().find(|line| line.starts_with("Uid:"))?;
        let uid = uids.split_whitespace().nth(2)?.parse().ok()?;
        let bits = u64::from_str_radix(field("CapEff:")?, 16).ok()?;
        Some(ProcessPrivileges {
            uid,
            low_ports: bits & 1 << 10 != 0,
            frames: bits & 1 << 13 != 0,
        })
    }
}

pub(super) fn findings(account: &ServerAccount, server: &ServerProcess) -> Vec<DoctorFinding> {
    let mut findings = Vec::new();
    findings.push(match account.privileges {
        None => DoctorFinding::unknown("cannot read the process's privileges from /proc"),
        Some(privileges) => privileges_finding(privileges, account.wants_dhcp, server),
    });
    if let Some((user, error)) = &account.user {
        findings.push(match error {
            None => DoctorFinding::ok(format!(
                "the server switches to user {user} (`user` in `[run]`)"
            )),
            Some(error) => {
                DoctorFinding::error(format!("the server cannot switch to user {user}: {error}"))
                    .run(format!("adduser --system --group {user}"))
                    .help("or correct `user` in `[run]`")
            }
        });
    }
    findings.push(match account.has_qemu {
        true => DoctorFinding::ok("qemu-system-x86_64 is installed (for `bootwright try`)"),
        false => DoctorFinding::ok(
            "qemu-system-x86_64 is not installed; only `bootwright try` needs it (apt-get install qemu-system-x86 ovmf)",
        ),
    });
    findings
}

/// Findings about the encryption of the operators' listener.
pub(super) fn operator_findings(root: &Path, config: &ServerConfig) -> Vec<DoctorFinding> {
    let unencrypted = site::unencrypted_operators(&config.operator);
    let files = serve::check_operator_tls(root, &config.operator);
    let diagnostics = unencrypted.into_iter().chain(files);
    diagnostics
        .map(|one| match one.help {
            Some(help) => DoctorFinding::warning(one.message).help(help),
            None => DoctorFinding::warning(one.message),
        })
        .collect()
}

fn privileges_finding(
    privileges: ProcessPrivileges,
    wants_dhcp: bool,
    server: &ServerProcess,
) -> DoctorFinding {
    let user = match privileges.uid {
        0 => "as root".to_string(),
        uid => format!("as user {uid}"),
    };
    let (subject, user) = match server.pid {
        Some(pid) => (format!("this site's server (pid {pid}) runs"), user),
        None => ("a server started like this command would run".into(), user),
    };
    let help = "start the server as root, or with these capabilities and `user` in `[run]` (see examples/systemd)";
    match (privileges.low_ports, privileges.frames) {
        (true, true) if privileges.uid == 0 => DoctorFinding::ok(format!("{subject} {user}")),
        (true, true) => DoctorFinding::ok(format!(
            "{subject} {user} with CAP_NET_BIND_SERVICE and CAP_NET_RAW"
        )),
        _ if !wants_dhcp => DoctorFinding::ok(format!(
            "{subject} {user} without capabilities; only ports below 1024 and `dhcp` need them"
        )),
        (true, false) => DoctorFinding::warning(format!(
            "{subject} {user} without CAP_NET_RAW: DHCP replies are sent by broadcast"
        ))
        .help(help),
        (false, _) => DoctorFinding::warning(format!(
            "{subject} {user} without CAP_NET_BIND_SERVICE: it cannot bind ports below 1024"
        ))
        .help(help),
    }
}
