//! Enough of iPXE to do what the scripts of a boot say.
//!
//! [`run`] takes the first script and says how the machine leaves iPXE. What a script fetches and prints goes
//! through a [`IpxeEnvironment`], so nothing here knows of sockets or disks. Time does not pass: `sleep` says so and goes
//! on. The command line works as in iPXE's own `src/core/exec.c`: words are split first and expanded then, `||`,
//! `&&`, `;` and `#` count only as words, and there are no quotes.

mod images;
mod settings;
mod shell;
mod url;
mod line;

pub use settings::{IpxeSetting, IpxeSettings};
pub use shell::run;
pub use url::{join, split};

/// What iPXE sees of the world.
pub trait IpxeEnvironment {
    /// Fetches `url`; none when nobody answers, or not with 200. Of a large file only the beginning comes back.
    fn fetch(&mut self, url: &str) -> Option<Vec<u8>>;

    /// Shows a line on the screen.
    fn say(&mut self, line: &str);

    /// Tells whether the machine's disk holds a system that boots.
    fn has_system(&self) -> bool;
}

/// How a machine leaves iPXE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpxeExit {
    /// `sanboot` started the system on the disk.
    Disk,
    /// Back to the firmware, which UEFI takes for success or for a failed boot entry.
    Exit {
        /// Whether it ended without an error.
        success: bool,
    },
    /// A program that is no script was started: a kernel, or a loader.
    Program {
        /// Where it came from.
        url: String,
        /// Its command line.
        words: Vec<String>,
    },
    /// The machine starts anew.
    Restart,
    /// The machine is off, or waits for a person.
    Halt,
    /// The scripts go round in circles: the server keeps the machine waiting.
    Waiting,
}
