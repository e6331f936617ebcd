//! Booting from the network, without sockets: who asks, and what to answer.
//!
//! A datagram becomes a question, a question an answer or a reason for silence; a transfer is a state machine
//! that is told what arrived and says what to send. What firmware gets wrong is an entry with its source.

mod arch;
mod loader;
mod program;
mod version;
pub mod dhcp;
mod file;
mod quirk;
pub mod tftp;

pub use arch::ClientArch;
pub use file::{LoaderPreference, boot_file};
pub use loader::Loader;
pub use program::{PROGRAM_HEAD, Program};
pub use quirk::Quirk;
pub use version::version_of;
