//! Network boot protocols without sockets: which client sent a message, and which reply it gets.
//!
//! A DHCP datagram is parsed to a message; a message gets a reply or a reason why there is none. A TFTP transfer is a
//! state machine: received packets in, packets to send out. Known deviations of firmware are listed with their source.

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
pub use program::{PROGRAM_HEAD_SIZE, Program};
pub use quirk::Quirk;
pub use version::version_of;
