//! What a disk belongs to together with other disks: arrays, volume groups, pools.
//!
//! The rules are those of the script `templates/common/disk-groups.sh.j2`, which reads types and UUIDs from udev; the agent
//! has no udev and reads the disks. Contents are not trusted: every read is bounded. Nothing is written.

mod lvm;
mod superblock;
mod zfs;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Seek, SeekFrom},
};

use super::partitions;
use crate::model::StorageSystem;

/// The contents of a disk that concern other disks, or that are overwritten only on request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::agent) struct DiskGroups {
    /// The groups by a key that is equal on all disks of a group, with what a person calls them.
    groups: BTreeMap<String, String>,
    /// The physical volumes on the disk, and all of their volume groups.
    volumes: BTreeSet<String>,
    wanted_volumes: BTreeSet<String>,
    /// What is overwritten only with `wipe`.
    protected: BTreeSet<String>,
    /// Whether a part of the disk cannot be read.
    pub(in crate::agent) is_unreadable: bool,
}

impl DiskGroups {
    /// Adds the groups of the disk or partition in `device`.
    pub(in crate::agent) fn add(&mut self, device: &mut (impl Read + Seek)) -> io::Result<()> {
        let mut device = BoundedReader::new(device)?;
        superblock::add(&mut device, self)?;
        zfs::add(&mut device, self)?;
        lvm::add(&mut device, self)
    }

    /// Adds the storage systems that own partitions of the table in `head`.
    pub(in crate::agent) fn add_partition_types(&mut self, head: &[u8]) {
        for StorageSystem { words, spans, .. } in partitions::storage_systems(head) {
            self.protect(words);
            if spans {
                self.join(format!("type:{words}"), words.into());
            }
        }
    }

    /// The name of the first group that the other disk also belongs to.
    pub(in crate::agent) fn shared_with(&self, other: &DiskGroups) -> Option<&str> {
        let mut groups = self.groups.iter();
        let shared = groups.find(|(key, _)| other.groups.contains_key(*key));
        shared.map(|(_, words)| words.as_str())
    }

    /// What the disk contains that is overwritten only with `wipe`.
    pub(in crate::agent) fn protected(&self) -> Option<&str> {
        let lacks_member = !self.wanted_volumes.is_subset(&self.volumes);
        let missing = lacks_member.then_some("a volume group with a missing disk");
        self.protected.first().map(String::as_str).or(missing)
    }

    fn join(&mut self, key: String, words: String) {
        self.groups.entry(key).or_insert(words);
    }

    fn protect(&mut self, words: &str) {
        self.protected.insert(words.into());
    }
}

/// A device of which only limited parts are read.
struct BoundedReader<'a, R> {
    device: &'a mut R,
    size: u64,
}

impl<'a, R: Read + Seek> BoundedReader<'a, R> {
    fn new(device: &'a mut R) -> io::Result<Self> {
        let size = device.seek(SeekFrom::End(0))?;
        Ok(BoundedReader { device, size })
    }

    /// Exactly `length` bytes; none if the device has not that many there.
    fn bytes(&mut self, at: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        if at.saturating_add(length as u64) > self.size {
            return Ok(None);
        }
        self.device.seek(SeekFrom::Start(at))?;
        let mut bytes = vec![0; length];
        self.device.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let number = bytes.get(at..at + 4).and_then(|part| part.try_into().ok());
    number.map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let number = bytes.get(at..at + 8).and_then(|part| part.try_into().ok());
    number.map_or(0, u64::from_le_bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name from a disk, up to its first zero byte, with `?` for every byte that a report cannot have.
fn plain(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    let allowed = |byte: &u8| match byte.is_ascii_alphanumeric() || b"_.:-".contains(byte) {
        true => char::from(*byte),
        false => '?',
    };
    bytes[..end.unwrap_or(bytes.len())]
        .iter()
        .map(allowed)
        .collect()
}

/// The name of a group: its label, else its UUID.
fn named(label: &[u8], uuid: &str) -> String {
    let label = plain(label);
    if label.is_empty() { uuid.into() } else { label }
}

/// A UUID in its usual notation.
fn uuid(bytes: &[u8]) -> String {
    let hex = hex(bytes);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

#[cfg(test)]
mod tests;
