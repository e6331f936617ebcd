//! Writes a disk image: chooses the disk, downloads, unpacks and verifies the image, and adds a seed partition.
//!
//! The image's first MiB is written last. Until then the first and the last MiB of the disk are zeros, so that a machine
//! does not boot an incomplete image after a loss of power, server or image.

mod choose;
mod seed;
mod download;
mod unpack;
mod write;

pub(super) use choose::choose;
pub(super) use download::RemoteImage;
pub(super) use seed::volume;
pub(super) use write::{ImageSource, WrittenImage, write};
