//! How a command ends that did not do what it was asked.

use std::{io, process::ExitCode};

use super::terminal::Terminal;

/// What every command comes to.
pub(super) type CliResult<T = ()> = Result<T, Failure>;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    code: FailureKind,
    error: anyhow::Error,
    help: Option<String>,
}

/// The exit codes, as `--help` tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// What was shown says it already: the site has errors.
    AlreadyReported,
    /// The site has errors, or the command was refused.
    Refused,
    /// The command line is wrong.
    Usage,
    /// What it needs cannot be reached: server, state, network, files.
    Unreachable,
}

impl Failure {
    /// The site has errors, and they have been shown.
    pub(super) fn said() -> Failure {
        Failure::new(
            FailureKind::AlreadyReported,
            anyhow::anyhow!("the site has errors"),
        )
    }

    /// It was refused.
    pub(super) fn refused(error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(FailureKind::Refused, error)
    }

    /// The command line is wrong.
    pub(super) fn usage(error: &str) -> Failure {
        Failure::new(FailureKind::Usage, anyhow::anyhow!("{error}"))
    }

    /// What it needs cannot be reached.
    pub(super) fn unreachable(error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(FailureKind::Unreachable, error)
    }

    fn new(code: FailureKind, error: impl Into<anyhow::Error>) -> Failure {
        Failure {
            code,
            error: error.into(),
            help: None,
        }
    }

    /// The same with what to do about it.
    pub(super) fn help(self, help: impl Into<String>) -> Failure {
        Failure {
            help: Some(help.into()),
            ..self
        }
    }

    /// The same with what to do about it, where there is something.
    pub(super) fn maybe_help(self, help: Option<String>) -> Failure {
        Failure { help, ..self }
    }

    /// Tells the operator, and the shell.
    pub(super) fn report(&self, terminal: &Terminal) -> ExitCode {
        let silent = self.code == FailureKind::AlreadyReported || self.is_broken_pipe();
        if !silent {
            terminal.error(&self.words(), self.help.as_deref());
        }
        match self.code {
            _ if self.is_broken_pipe() => ExitCode::SUCCESS,
            FailureKind::AlreadyReported | FailureKind::Refused => ExitCode::from(1),
            FailureKind::Usage => ExitCode::from(2),
            FailureKind::Unreachable => ExitCode::from(3),
        }
    }

    /// The error and its causes on one line, without the numbers that the system has for them.
    pub(super) fn words(&self) -> String {
        let text = format!("{:#}", self.error);
        let mut parts = text.split(" (os error ");
        let mut words = parts.next().unwrap_or_default().to_string();
        for part in parts {
            words += part.split_once(')').map_or(part, |(_number, rest)| rest);
        }
        words
    }

    /// Whoever was reading has seen enough: `bootwright nodes | head`.
    fn is_broken_pipe(&self) -> bool {
        let cause = self.error.downcast_ref::<io::Error>();
        cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The first of its causes that is of this type.
    pub(super) fn cause<E: std::error::Error + Send + Sync + 'static>(&self) -> Option<&E> {
        self.error.chain().find_map(|cause| cause.downcast_ref())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::unreachable(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::unreachable(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_without_their_numbers() {
        let error =
            anyhow::Error::new(io::Error::from_raw_os_error(2)).context("`a` cannot be read");
        assert_eq!(
            Failure::from(error).words(),
            "`a` cannot be read: No such file or directory"
        );
        let error = anyhow::Error::new(io::Error::from_raw_os_error(2))
            .context("x")
            .context("y (os error 1) z");
        assert_eq!(
            Failure::from(error).words(),
            "y z: x: No such file or directory"
        );
    }
}
