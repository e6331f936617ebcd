//! Why a command failed: the error, how to fix it, the exit code.

use std::{io, process::ExitCode};

use super::terminal::Terminal;
use crate::serve::CheckFailure;

/// Shown in the help of every command.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  the site has errors, doctor found an error, or the command was refused
  2  invalid command line
  3  something required is unreachable: the server, its state, files, the network";

/// The result of a command.
pub(super) type CliResult<T = ()> = Result<T, Failure>;

/// The error of a command.
#[derive(Debug)]
pub(super) struct Failure {
    code: FailureKind,
    error: anyhow::Error,
    help: Option<String>,
}

/// The kinds of failure. Each has the exit code that `--help` documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The errors have been printed already.
    AlreadyReported,
    /// The site has errors, or the command was refused.
    Refused,
    /// Invalid command line.
    Usage,
    /// The server, its state, the network or a file is unreachable.
    Unreachable,
}

impl Failure {
    /// The errors have been printed already: only the exit code is left.
    pub(super) fn already_reported() -> Failure {
        Failure::new(
            FailureKind::AlreadyReported,
            anyhow::anyhow!("the site has errors"),
        )
    }

    pub(super) fn refused(error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(FailureKind::Refused, error)
    }

    pub(super) fn usage(error: &str) -> Failure {
        Failure::new(FailureKind::Usage, anyhow::anyhow!("{error}"))
    }

    pub(super) fn unreachable(error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(FailureKind::Unreachable, error)
    }

    fn new(code: FailureKind, error: impl Into<anyhow::Error>) -> Failure {
        let error = error.into();
        // A check that ended early is a mistake of the site, wherever the site was read.
        let is_rejected = error.chain().any(|cause| cause.is::<CheckFailure>());
        Failure {
            code: if is_rejected {
                FailureKind::Refused
            } else {
                code
            },
            error,
            help: None,
        }
    }

    /// Adds how to fix it.
    pub(super) fn help(self, help: impl Into<String>) -> Failure {
        Failure {
            help: Some(help.into()),
            ..self
        }
    }

    pub(super) fn maybe_help(self, help: Option<String>) -> Failure {
        Failure { help, ..self }
    }

    /// Prints the error and returns the exit code.
    pub(super) fn report(&self, terminal: &Terminal) -> ExitCode {
        let is_quiet = self.code == FailureKind::AlreadyReported || self.is_broken_pipe();
        if !is_quiet {
            terminal.error(&self.message(), self.help.as_deref());
        }
        match self.code {
            _ if self.is_broken_pipe() => ExitCode::SUCCESS,
            FailureKind::AlreadyReported | FailureKind::Refused => ExitCode::from(1),
            FailureKind::Usage => ExitCode::from(2),
            FailureKind::Unreachable => ExitCode::from(3),
        }
    }

    /// The error and its causes on one line, without "(os error N)".
    pub(super) fn message(&self) -> String {
        let text = format!("{:#}", self.error);
        let mut parts = text.split(" (os error ");
        let mut message = parts.next().unwrap_or_default().to_string();
        for part in parts {
            message += part.split_once(')').map_or(part, |(_number, rest)| rest);
        }
        message
    }

    /// The reader of a pipe closed it: `bootwright nodes | head`.
    fn is_broken_pipe(&self) -> bool {
        let cause = self.error.downcast_ref::<io::Error>();
        cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The first cause of this type.
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
    fn causes_follow_without_their_error_numbers() {
        let error =
            anyhow::Error::new(io::Error::from_raw_os_error(2)).context("`a` cannot be read");
        assert_eq!(
            Failure::from(error).message(),
            "`a` cannot be read: No such file or directory"
        );
        let error = anyhow::Error::new(io::Error::from_raw_os_error(2))
            .context("x")
            .context("y (os error 1) z");
        assert_eq!(
            Failure::from(error).message(),
            "y z: x: No such file or directory"
        );
    }
}
