//! Writing a disk image: the right disk, all of it or nothing that boots, and a seed beside it.
//!
//! The image's first MiB is written last. Until then the disk's own is clear, and so is its last, so that a machine that
//! loses its power, its server or its image in between does not boot what is half written.

mod choose;
mod seed;
mod download;
mod unpack;
mod write;

pub(super) use choose::choose;
pub(super) use download::RemoteImage;
pub(super) use seed::volume;
pub(super) use write::{ImageSource, write};
