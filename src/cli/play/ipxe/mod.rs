//! Interprets iPXE scripts: the subset of commands that boot scripts use.
//!
//! [`run`] starts the first script and returns how the machine leaves iPXE. Fetching and printing go through an
//! [`IpxeEnvironment`], so there are no sockets or disks here. `sleep` prints a line and does not wait. Lines are parsed as
//! in iPXE's `src/core/exec.c`: split into words first and expanded then; `||`, `&&`, `;` and `#` are recognized only as
//! whole words, and there are no quotes.

mod images;
mod settings;
mod shell;
mod url;
mod line;

pub use settings::{IpxeSetting, IpxeSettings};
pub use shell::run;
pub use url::{join, split};

/// The machine and the network around iPXE.
pub trait IpxeEnvironment {
    /// Fetches `url`; `None` without a response of status 200. Large files are truncated.
    fn fetch(&mut self, url: &str) -> Option<Vec<u8>>;

    /// Prints a line on the screen.
    fn print(&mut self, line: &str);

    /// Whether the machine's disk has a bootable system.
    fn has_system(&self) -> bool;
}

/// How a machine leaves iPXE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpxeExit {
    /// `sanboot` started the system on the disk.
    Disk,
    /// It exits to the firmware, which UEFI treats as success or as a failed boot entry.
    Exit {
        /// Whether it exited without an error.
        success: bool,
    },
    /// It started a kernel or a loader.
    Program {
        /// The URL of the program.
        url: String,
        /// The program's arguments.
        arguments: Vec<String>,
    },
    /// It restarts the machine.
    Restart,
    /// It powers off, or opens a prompt.
    Halt,
    /// The scripts loop: the machine waits and retries.
    Waiting,
}
