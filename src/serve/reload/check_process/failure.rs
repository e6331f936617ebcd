//! Why a check ended early.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use crate::{model::ByteSize, site::Diagnostic};

use super::{CheckLimits, STOPPED_BY};

/// A check that ended early, and what it was doing.
#[derive(Debug, Clone)]
pub struct CheckFailure {
    pub(super) reason: CheckFailureReason,
    /// What the threads were doing: `while reading policies.d/a.toml`.
    pub(super) doing: Vec<String>,
}

/// Why a check ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CheckFailureReason {
    Time(Duration),
    ProcessorTime(Duration),
    Memory(u64),
    Stack(u64),
    /// It was killed from outside.
    Killed(i32),
    /// A fault of this program: where, or how it ended.
    Fault(String),
    NotStarted(String),
}

impl CheckFailureReason {
    /// Derives the reason from how the process ended, and from its last messages.
    pub(super) fn of(status: ExitStatus, messages: &str, limits: &CheckLimits) -> Self {
        let is_stack = messages.contains("overflowed its stack");
        let is_memory = messages.contains("memory allocation of")
            || messages.contains("failed to spawn thread");
        match status.signal() {
            _ if is_stack => Self::Stack(limits.stack),
            _ if is_memory => Self::Memory(limits.memory),
            Some(libc::SIGXCPU) => Self::ProcessorTime(limits.processor_time),
            Some(libc::SIGSEGV | libc::SIGBUS) => Self::Stack(limits.stack),
            Some(signal) => Self::Killed(signal),
            None => {
                let mut stopped = messages
                    .lines()
                    .filter_map(|line| line.strip_prefix(STOPPED_BY));
                if let Some(error) = stopped.next() {
                    return Self::NotStarted(error.into());
                }
                // A message may quote the site, the place in this program's source does not.
                let place = messages
                    .lines()
                    .find_map(|line| line.split_once("panicked at "));
                let place = place.map(|(_, place)| format!("at {}", place.trim_end_matches(':')));
                Self::Fault(place.unwrap_or_else(|| status.to_string()))
            }
        }
    }

    pub(super) fn garbled(error: &io::Error) -> Self {
        Self::Fault(format!("its check process answers: {error}"))
    }

    pub(super) fn not_started(error: &io::Error) -> Self {
        Self::NotStarted(error.to_string())
    }
}

impl std::fmt::Display for CheckFailureReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let memory = |bytes: &u64| ByteSize(*bytes).written();
        match self {
            Self::Time(limit) => write!(f, "it takes longer than {} s", limit.as_secs()),
            Self::ProcessorTime(limit) => {
                write!(
                    f,
                    "it takes more than {} s of processor time",
                    limit.as_secs()
                )
            }
            Self::Memory(limit) => write!(f, "it needs more than {} of memory", memory(limit)),
            Self::Stack(limit) => {
                write!(
                    f,
                    "it is nested too deeply for a stack of {}",
                    memory(limit)
                )
            }
            Self::Killed(signal) => write!(
                f,
                "the check process was ended by signal {signal}; the host may lack memory"
            ),
            Self::Fault(how) => write!(f, "a fault of bootwright, {how}"),
            Self::NotStarted(why) => write!(f, "the check process does not run: {why}"),
        }
    }
}

impl std::fmt::Display for CheckFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the site cannot be checked: {}", self.reason)?;
        match self.doing.as_slice() {
            [] => Ok(()),
            doing => write!(f, ", while {}", doing.join(" or ")),
        }
    }
}

impl std::error::Error for CheckFailure {}

impl CheckFailure {
    /// The reason alone, for a check that was not one of a site.
    pub fn reason(&self) -> String {
        self.reason.to_string()
    }

    /// The failure as a mistake of the site.
    pub fn diagnostic(&self) -> Diagnostic {
        let mistake = Diagnostic::error(self.to_string(), None);
        match self.reason {
            CheckFailureReason::Fault(_) => mistake,
            CheckFailureReason::NotStarted(_) => mistake.help(
                "it is this program, started again as `/proc/self/exe` with limits: `/proc` must be mounted, and prlimit(2) allowed",
            ),
            _ => mistake.help("`bootwright manual security` explains the limits of a check"),
        }
    }
}
