//! What runs in the microkernel: the first and only process of a machine that nothing binds.
//!
//! It loads what drives the hardware, gets an address, reports what the machine is, and does what the server says. It
//! listens on no port, starts no other program, and changes nothing on any disk but by an order to write an image. What fails it tries again, for ever, after
//! growing pauses; its screen says what it waits for.

mod cmdline;
pub(crate) mod modules;
mod partitions;
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

/// How the kernel calls it.
pub(crate) const PROGRAM: &str = "/init";

/// Whether this process is the first of a microkernel.
pub(crate) fn is_init() -> bool {
    std::process::id() == 1
        && std::env::args_os()
            .next()
            .is_some_and(|name| name == PROGRAM)
}

/// Runs for ever.
pub(crate) fn run() -> ! {
    loop {
        // The first process must not end, or the kernel stops; a bug here is a machine that begins again.
        // What it was is on the console: the standard error of a first process.
        drop(panic::catch_unwind(|| {
            MicrokernelAgent::new(Path::new("/")).run();
        }));
        thread::sleep(Duration::from_secs(10));
    }
}
