//! The agent: the only process in the microkernel, which undeclared machines boot.
//!
//! It loads drivers, gets an IP address by DHCP, reports the machine's hardware, then polls the server for instructions. It
//! listens on no port, starts no other program, and writes to a disk only on an instruction to write an image. A failed
//! step is retried with increasing delays, indefinitely; the screen shows the current step.

mod cmdline;
pub(crate) mod modules;
mod partitions;
mod disk_groups;
mod hardware;
mod network;
mod server;
mod image;
mod screen;
mod backoff;
mod init;
mod machine;

use std::{panic, path::Path, thread, time::Duration};

use machine::MicrokernelAgent;

/// The path of the program in the initrd: the kernel starts it as process 1.
pub(crate) const PROGRAM: &str = "/init";

/// Whether this process is process 1 of the microkernel.
pub(crate) fn is_init() -> bool {
    std::process::id() == 1
        && std::env::args_os()
            .next()
            .is_some_and(|name| name == PROGRAM)
}

pub(crate) fn run() -> ! {
    loop {
        // If process 1 ends, the kernel panics; so after a panic the agent starts again. The panic's message is on the
        // console, which is the standard error of process 1.
        drop(panic::catch_unwind(|| {
            MicrokernelAgent::new(Path::new("/")).run();
        }));
        thread::sleep(Duration::from_secs(10));
    }
}
