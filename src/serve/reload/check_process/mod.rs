//! Checks a site in a process of its own, with limits, before this process reads it.
//!
//! A site is input: an edit may come from somebody who may not stop the server. Parsing, compiling and rendering it may
//! need any amount of memory, time or stack. So a process with limits does all of that first. If it ends early, the
//! edit is rejected with the reason, and this process has not touched it. Otherwise this process parses and compiles
//! the same bytes. It does not render them again: the process sends the results.
//!
//! The process runs this program again, as the command `check-process` ([`child`]). It gets the bytes of the files and
//! everything from outside the site over its standard input, and opens no file. Only files that have changed, and what
//! they may depend on, are sent again.

mod child;
mod failure;
mod limits;
mod message;
mod parent;
mod trial;

use std::path::PathBuf;

pub(crate) use child::run;
pub use failure::CheckFailure;
pub use limits::CheckLimits;
pub(crate) use parent::CheckProcess;
pub(crate) use trial::try_job;

/// The program that runs as the check process, and its limits.
#[derive(Debug, Clone)]
pub struct CheckProgram {
    pub path: PathBuf,
    pub limits: CheckLimits,
}

impl CheckProgram {
    /// A copy of this program that is not running: for tests, whose own program is another one.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        CheckProgram {
            path: path.into(),
            limits: CheckLimits::default(),
        }
    }
}

impl Default for CheckProgram {
    /// The program that is running, even after its file was replaced. Without `/proc` it is the path that it was started by.
    fn default() -> Self {
        let running = PathBuf::from("/proc/self/exe");
        if running.exists() {
            return CheckProgram::at(running);
        }
        let started_by = std::env::args_os().next().map(PathBuf::from);
        let path = started_by.filter(|path| path.components().count() > 1);
        // Without a path either, the start fails with the name of the missing file.
        let path = path.and_then(|path| std::path::absolute(path).ok());
        CheckProgram::at(path.unwrap_or(running))
    }
}

/// The name of the hidden command that runs the check process.
pub(crate) const COMMAND: &str = "check-process";

/// Begins the last message of a process that an error of the system ends, such as limits that it cannot set.
const STOPPED_BY: &str = "stopped by: ";

/// The place of the progress reports in the process's standard error. Messages of the process come before it.
const PROGRESS_AT: u64 = 1 << 20;

/// The length of one thread's progress report, in bytes.
const PROGRESS_LENGTH: usize = 256;

/// The maximum number of threads that render.
const MAX_THREADS: usize = 16;
