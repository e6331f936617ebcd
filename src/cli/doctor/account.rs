//! As whom the server runs, or would, and what that allows.

use super::finding::DoctorFinding;

/// This site's server, if it runs, and who we are.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerProcess {
    /// Its process, when it runs and can be seen.
    pub(super) pid: Option<u32>,
    /// Whether it answers operators.
    pub(super) answers: bool,
    /// Who runs this command: `root`, `user 1000`.
    pub(super) user: String,
    /// Whether that is root.
    pub(super) is_root: bool,
}

impl ServerProcess {
    pub(super) fn is_running(&self) -> bool {
        self.pid.is_some() || self.answers
    }
}

/// What a process may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessRights {
    /// Its user.
    pub(super) uid: u32,
    /// CAP_NET_BIND_SERVICE: ports below 1024.
    pub(super) low_ports: bool,
    /// CAP_NET_RAW: frames.
    pub(super) frames: bool,
}

/// What was seen of it.
#[derive(Debug, Clone)]
pub(super) struct ServerAccount {
    /// The rights of the running server, else our own; none when they cannot be read.
    pub(super) rights: Option<ProcessRights>,
    /// `[run]` `user`, with what is wrong with it.
    pub(super) user: Option<(String, Option<String>)>,
    /// Whether the program is there that `try` boots a machine with.
    pub(super) has_qemu: bool,
    /// Whether a network has `dhcp` on.
    pub(super) wants_dhcp: bool,
}

impl ProcessRights {
    /// Reads them from `/proc/<pid>/status` (proc_pid_status(5)).
    pub(super) fn read(status: &str) -> Option<ProcessRights> {
        let field = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
        };
        // The effective ones; capabilities have their numbers in linux/capability.h.
        let uids = status.lines().find(|line| line.starts_with("Uid:"))?;
        let uid = uids.split_whitespace().nth(2)?.parse().ok()?;
        let bits = u64::from_str_radix(field("CapEff:")?, 16).ok()?;
        Some(ProcessRights {
            uid,
            low_ports: bits & 1 << 10 != 0,
            frames: bits & 1 << 13 != 0,
        })
    }
}

/// Says as whom the server runs.
pub(super) fn findings(who: &ServerAccount, server: &ServerProcess) -> Vec<DoctorFinding> {
    let mut findings = Vec::new();
    findings.push(match who.rights {
        None => DoctorFinding::unknown("the rights of the process cannot be read from /proc"),
        Some(rights) => rights_of(rights, who.wants_dhcp, server),
    });
    if let Some((user, trouble)) = &who.user {
        findings.push(match trouble {
            None => DoctorFinding::ok(format!(
                "the server becomes {user}, as `user` in `[run]` says"
            )),
            Some(trouble) => {
                DoctorFinding::error(format!("the server cannot become {user}: {trouble}"))
                    .run(format!("adduser --system --group {user}"))
                    .help("or correct `user` in `[run]`")
            }
        });
    }
    findings.push(match who.has_qemu {
        true => DoctorFinding::ok("qemu-system-x86_64 is there, for `bootwright try`"),
        false => DoctorFinding::ok(
            "qemu-system-x86_64 is not there: only `bootwright try` needs it (apt-get install qemu-system-x86 ovmf)",
        ),
    });
    findings
}

fn rights_of(rights: ProcessRights, wants_dhcp: bool, server: &ServerProcess) -> DoctorFinding {
    let user = match rights.uid {
        0 => "as root".to_string(),
        uid => format!("as user {uid}"),
    };
    let (subject, user) = match server.pid {
        Some(pid) => (format!("this site's server (pid {pid}) runs"), user),
        None => (
            "a server that is started like this command runs".into(),
            user,
        ),
    };
    let help = "start the server as root, or with these capabilities and `user` in `[run]`, as examples/systemd does";
    match (rights.low_ports, rights.frames) {
        (true, true) if rights.uid == 0 => DoctorFinding::ok(format!("{subject} {user}")),
        (true, true) => DoctorFinding::ok(format!(
            "{subject} {user} with CAP_NET_BIND_SERVICE and CAP_NET_RAW"
        )),
        _ if !wants_dhcp => DoctorFinding::ok(format!(
            "{subject} {user} without capabilities, which only low ports and `dhcp` need"
        )),
        (true, false) => DoctorFinding::warning(format!(
            "{subject} {user} without CAP_NET_RAW: answers of DHCP go out by broadcast"
        ))
        .help(help),
        (false, _) => DoctorFinding::warning(format!(
            "{subject} {user} without CAP_NET_BIND_SERVICE: ports below 1024 cannot be had"
        ))
        .help(help),
    }
}
