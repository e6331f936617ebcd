//! Writes an image to a disk, in an order such that an incomplete one does not boot.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom, Write},
};

use sha2::{Digest, Sha256, Sha512};

use super::unpack::unpacked;
use crate::{
    agent::partitions::{self, AddedPartition, DiskSize, HEAD, PartitionError},
    model::{Checksum, SEAL_BYTES, SEAL_OFFSET, SEALED_FROM, seal_sector, seal_text},
};

/// The size of one write in bytes.
const WRITE_BYTES: usize = 1 << 20;

/// The disk is synced after this many bytes, so that the reported progress is real.
const SYNC_INTERVAL_BYTES: u64 = 64 << 20;

/// A disk to write to.
pub(in crate::agent) trait Device: Read + Write + Seek {
    /// Returns when all data is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Device for std::fs::File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// What to write.
pub(in crate::agent) struct ImageSource<R> {
    /// The image as downloaded, possibly compressed.
    pub(in crate::agent) packed: R,
    pub(in crate::agent) checksum: Checksum,
    /// The seed volume.
    pub(in crate::agent) seed: Vec<u8>,
    /// The GUID of the seed's partition.
    pub(in crate::agent) guid: [u8; 16],
    /// The text of the seal that is left on the disk.
    pub(in crate::agent) seal: Option<String>,
    /// The identifiers of the partition tables of the machine's other disks, with their paths.
    pub(in crate::agent) other_tables: BTreeMap<String, String>,
}

/// An image on its disk.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::agent) struct WrittenImage {
    /// The length of the image.
    pub(in crate::agent) bytes: u64,
    /// Why the disk has no seal; none if it has one, or none was wanted.
    pub(in crate::agent) unsealed: Option<&'static str>,
}

/// Why an image was not written.
#[derive(Debug, thiserror::Error)]
pub(in crate::agent) enum WriteError {
    /// Nothing was written.
    #[error("cannot read the image: {0}")]
    Begin(io::Error),
    /// Nothing was written.
    #[error("the image is shorter than 1 MiB")]
    Short,
    /// Nothing was written.
    #[error(
        "{0} has the same partition table identifier as the image: the system could start from either disk; clear {0} by hand first"
    )]
    Duplicate(String),
    /// Nothing was written.
    #[error("{0}")]
    PartitionError(#[from] PartitionError),
    /// In this case and the following ones the beginning of the disk is cleared.
    #[error("the image is incomplete after {at} bytes: {error}")]
    Broken { at: u64, error: io::Error },
    #[error("the image is larger than the disk, which has {0} bytes")]
    TooLarge(u64),
    #[error("the image has a wrong checksum: {found}, expected {expected}")]
    Checksum { found: String, expected: String },
    #[error("cannot write to the disk: {0}")]
    Disk(io::Error),
}

/// Writes an image and its seed; calls `progress` with the bytes written so far.
pub(in crate::agent) fn write<R: Read>(
    source: ImageSource<R>,
    disk: DiskSize,
    device: &mut impl Device,
    progress: impl FnMut(u64),
) -> Result<WrittenImage, WriteError> {
    let mut packed = ChecksumReader::new(source.packed, source.checksum);
    let mut image = unpacked(&mut packed).map_err(WriteError::Begin)?;
    let mut head = vec![0; HEAD];
    if fill(&mut image, &mut head).map_err(WriteError::Begin)? < HEAD {
        return Err(WriteError::Short);
    }
    let table = partitions::table_id(&head);
    if let Some(other) = table.and_then(|table| source.other_tables.get(&table)) {
        return Err(WriteError::Duplicate(other.clone()));
    }
    let size = source.seed.len() as u64;
    let unsealed = source
        .seal
        .and_then(|seal| put_seal(&mut head, disk, &seal).err());
    let added = partitions::add(&mut head, disk, size, source.guid)?;

    clear(disk, device).map_err(WriteError::Disk)?;
    let bytes = body(&mut image, disk, device, progress)?;
    drop(image);
    packed.check(bytes)?;
    finish(disk, device, &head, &source.seed, &added).map_err(WriteError::Disk)?;
    Ok(WrittenImage { bytes, unsealed })
}

/// Puts the seal into the beginning of the image, if that leaves room for one.
fn put_seal(head: &mut [u8], disk: DiskSize, text: &str) -> Result<(), &'static str> {
    match partitions::first_offset(head, disk.sector) {
        None => return Err("the image has no partitions"),
        Some(first) if first < SEALED_FROM => return Err("a partition begins before 1 MiB"),
        Some(_) => {}
    }
    let at = usize::try_from(SEAL_OFFSET).expect("the offset of the seal fits");
    let place = &mut head[at..at + SEAL_BYTES];
    if place.iter().any(|byte| *byte != 0) && seal_text(place).is_none() {
        return Err("the image has data in its place");
    }
    place.copy_from_slice(&seal_sector(text));
    Ok(())
}

/// Writes the seed and the end of the disk, and the image's first MiB last.
fn finish(
    disk: DiskSize,
    device: &mut impl Device,
    head: &[u8],
    seed: &[u8],
    added: &AddedPartition,
) -> io::Result<()> {
    put(device, added.at, seed)?;
    put(device, disk.bytes - added.tail.len() as u64, &added.tail)?;
    device.sync()?;
    put(device, 0, head)?;
    device.sync()
}

/// Clears the beginning of the disk, and its end, where a copy of the partition table may be.
fn clear(disk: DiskSize, device: &mut impl Device) -> io::Result<()> {
    let zeros = vec![0; HEAD];
    put(device, disk.bytes.saturating_sub(HEAD as u64), &zeros)?;
    put(device, 0, &zeros)?;
    device.sync()
}

/// Writes the image after its first MiB.
fn body(
    image: &mut impl Read,
    disk: DiskSize,
    device: &mut impl Device,
    mut progress: impl FnMut(u64),
) -> Result<u64, WriteError> {
    let (mut at, mut synced) = (HEAD as u64, 0);
    let mut buffer = vec![0; WRITE_BYTES];
    loop {
        let read = fill(image, &mut buffer).map_err(|error| WriteError::Broken { at, error })?;
        if read == 0 {
            return Ok(at);
        }
        if at + read as u64 > disk.bytes {
            return Err(WriteError::TooLarge(disk.bytes));
        }
        put(device, at, &buffer[..read]).map_err(WriteError::Disk)?;
        at += read as u64;
        if at - synced >= SYNC_INTERVAL_BYTES {
            device.sync().map_err(WriteError::Disk)?;
            synced = at;
        }
        progress(at);
    }
}

fn put(device: &mut impl Device, at: u64, bytes: &[u8]) -> io::Result<()> {
    device.seek(SeekFrom::Start(at))?;
    device.write_all(bytes)
}

/// Reads until the buffer is full or the input ends.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match from.read(&mut buffer[read..]) {
            Ok(0) => break,
            Ok(some) => read += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Computes the checksum of the bytes that are read through it.
struct ChecksumReader<R> {
    from: R,
    sum: RunningChecksum,
    expected: String,
}

enum RunningChecksum {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl<R: Read> ChecksumReader<R> {
    fn new(from: R, checksum: Checksum) -> Self {
        let (sum, expected) = match checksum {
            Checksum::Sha256(expected) => (RunningChecksum::Sha256(Sha256::new()), expected),
            Checksum::Sha512(expected) => (RunningChecksum::Sha512(Sha512::new()), expected),
        };
        ChecksumReader {
            from,
            sum,
            expected,
        }
    }

    /// Compares the checksum of all input; `at` is the length of the image.
    fn check(mut self, at: u64) -> Result<(), WriteError> {
        // The checksum includes bytes after the end of the compressed data.
        io::copy(&mut self, &mut io::sink()).map_err(|error| WriteError::Broken { at, error })?;
        let found = match self.sum {
            RunningChecksum::Sha256(sum) => hex(&sum.finalize()),
            RunningChecksum::Sha512(sum) => hex(&sum.finalize()),
        };
        let expected = self.expected;
        match found == expected {
            true => Ok(()),
            false => Err(WriteError::Checksum { found, expected }),
        }
    }
}

impl<R: Read> Read for ChecksumReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        match &mut self.sum {
            RunningChecksum::Sha256(sum) => sum.update(&buffer[..read]),
            RunningChecksum::Sha512(sum) => sum.update(&buffer[..read]),
        }
        Ok(read)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
