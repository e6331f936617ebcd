//! Writes the initrd: a compressed cpio archive.

use std::{collections::BTreeMap, io::Write, path::Path};

use anyhow::Result;
use cpio::newc::{Builder, trailer};
use flate2::{Compression, GzBuilder};

/// File types (`S_IFDIR`, `S_IFCHR`, `S_IFREG`).
const DIRECTORY: u32 = 0o040_000;
const DEVICE: u32 = 0o020_000;
const FILE: u32 = 0o100_000;

#[derive(Debug)]
enum CpioEntry {
    Directory,
    Device(u32, u32),
    File(u32, Vec<u8>),
}

/// The entries by path, so that the bytes do not depend on the order in which they were added.
#[derive(Debug)]
pub(super) struct CpioArchive(BTreeMap<String, CpioEntry>);

impl CpioArchive {
    /// An archive with the mount points, and the two devices that process 1 needs at its start.
    pub(super) fn new() -> CpioArchive {
        let mut archive = CpioArchive(BTreeMap::new());
        for (path, major, minor) in [("dev/console", 5, 1), ("dev/null", 1, 3)] {
            archive.add(path, CpioEntry::Device(major, minor));
        }
        for path in ["proc", "sys", "run"] {
            archive.add(path, CpioEntry::Directory);
        }
        archive
    }

    pub(super) fn file(&mut self, path: &str, bytes: Vec<u8>) {
        self.add(path, CpioEntry::File(0o644, bytes));
    }

    pub(super) fn program(&mut self, path: &str, bytes: Vec<u8>) {
        self.add(path, CpioEntry::File(0o755, bytes));
    }

    fn add(&mut self, path: &str, entry: CpioEntry) {
        let path = path.trim_start_matches('/');
        // The kernel creates no parent directories.
        for above in Path::new(path).ancestors().skip(1) {
            let above = above.to_string_lossy();
            if !above.is_empty() {
                self.0.entry(above.into()).or_insert(CpioEntry::Directory);
            }
        }
        self.0.insert(path.into(), entry);
    }

    /// The compressed archive, without timestamps and owners.
    pub(super) fn compressed(&self) -> Result<Vec<u8>> {
        let mut gzip = GzBuilder::new()
            .mtime(0)
            .write(Vec::new(), Compression::best());
        for (number, (path, entry)) in (1_u32..).zip(&self.0) {
            let builder = Builder::new(path).ino(number);
            let (builder, bytes) = match entry {
                CpioEntry::Directory => (builder.mode(DIRECTORY | 0o755).nlink(2), &[][..]),
                CpioEntry::Device(major, minor) => {
                    let builder = builder.mode(DEVICE | 0o600).nlink(1);
                    (builder.rdev_major(*major).rdev_minor(*minor), &[][..])
                }
                CpioEntry::File(mode, bytes) => (builder.mode(FILE | mode).nlink(1), &bytes[..]),
            };
            let mut writer = builder.write(&mut gzip, u32::try_from(bytes.len())?);
            writer.write_all(bytes)?;
            writer.finish()?;
        }
        trailer(&mut gzip)?;
        Ok(gzip.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_same_files_give_the_same_bytes_in_any_order() {
        let (mut one, mut other) = (CpioArchive::new(), CpioArchive::new());
        one.file("a/b/c", b"c".into());
        one.program("/init", b"p".into());
        other.program("/init", b"p".into());
        other.file("a/b/c", b"c".into());
        assert_eq!(one.compressed().unwrap(), other.compressed().unwrap());
    }

    #[test]
    fn directories_come_before_their_entries() {
        let mut archive = CpioArchive::new();
        archive.file("a/b/c", b"text".into());
        let bytes = archive.compressed().unwrap();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..])
            .read_to_end(&mut plain)
            .unwrap();
        let mut rest = &plain[..];
        let mut names = Vec::new();
        loop {
            let reader = cpio::newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            names.push((reader.entry().name().to_owned(), reader.entry().mode()));
            rest = reader.finish().unwrap();
        }
        let expected = [
            ("a", 0o040_755),
            ("a/b", 0o040_755),
            ("a/b/c", 0o100_644),
            ("dev", 0o040_755),
            ("dev/console", 0o020_600),
            ("dev/null", 0o020_600),
            ("proc", 0o040_755),
            ("run", 0o040_755),
            ("sys", 0o040_755),
        ];
        assert_eq!(names, expected.map(|(name, mode)| (name.to_owned(), mode)));
    }
}
