//! The order in which a disk is written.

use std::io::{self, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256, Sha512};

use super::unpack::unpacked;
use crate::{
    agent::partitions::{self, AddedPartition, DiskSize, HEAD, PartitionError},
    model::Checksum,
};

/// How much is written at a time, in bytes.
const PIECE: usize = 1 << 20;

/// After so many bytes the disk is asked to have them, so that progress is true.
const SYNCED: u64 = 64 << 20;

/// What is written to.
pub(in crate::agent) trait Device: Read + Write + Seek {
    /// Returns when everything is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Device for std::fs::File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// What is written.
pub(in crate::agent) struct ImageSource<R> {
    /// The image as it is fetched.
    pub(in crate::agent) packed: R,
    pub(in crate::agent) checksum: Checksum,
    /// The volume that is added.
    pub(in crate::agent) seed: Vec<u8>,
    /// The number of its partition, any that no other one has.
    pub(in crate::agent) guid: [u8; 16],
}

/// Why an image is not written.
#[derive(Debug, thiserror::Error)]
pub(in crate::agent) enum WriteError {
    /// Nothing was written.
    #[error("the image cannot be read: {0}")]
    Begin(io::Error),
    /// Nothing was written.
    #[error("the image is shorter than 1 MiB")]
    Short,
    /// Nothing was written.
    #[error("{0}")]
    PartitionError(#[from] PartitionError),
    /// From here on the disk's beginning is clear.
    #[error("the image ends or breaks off after {at} bytes: {error}")]
    Broken { at: u64, error: io::Error },
    #[error("the image is larger than the disk, which has {0} bytes")]
    TooLarge(u64),
    #[error("the image's checksum is wrong: {found}, not {expected}")]
    Checksum { found: String, expected: String },
    #[error("the disk cannot be written: {0}")]
    Disk(io::Error),
}

/// Writes an image and its seed; `progress` hears how many bytes were written. Returns how many the image has.
pub(in crate::agent) fn write<R: Read>(
    source: ImageSource<R>,
    disk: DiskSize,
    device: &mut impl Device,
    progress: impl FnMut(u64),
) -> Result<u64, WriteError> {
    let mut packed = ChecksumReader::new(source.packed, source.checksum);
    let mut image = unpacked(&mut packed).map_err(WriteError::Begin)?;
    let mut head = vec![0; HEAD];
    if fill(&mut image, &mut head).map_err(WriteError::Begin)? < HEAD {
        return Err(WriteError::Short);
    }
    let size = source.seed.len() as u64;
    let added = partitions::add(&mut head, disk, size, source.guid)?;

    clear(disk, device).map_err(WriteError::Disk)?;
    let bytes = body(&mut image, disk, device, progress)?;
    drop(image);
    packed.check(bytes)?;
    finish(disk, device, &head, &source.seed, &added).map_err(WriteError::Disk)?;
    Ok(bytes)
}

/// Writes the seed, and at last what makes a disk of it all.
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

/// Clears what a machine could boot of what was on the disk: its beginning, and the end, where a copy of its table may be.
fn clear(disk: DiskSize, device: &mut impl Device) -> io::Result<()> {
    let nothing = vec![0; HEAD];
    put(device, disk.bytes.saturating_sub(HEAD as u64), &nothing)?;
    put(device, 0, &nothing)?;
    device.sync()
}

/// Writes everything behind the image's head.
fn body(
    image: &mut impl Read,
    disk: DiskSize,
    device: &mut impl Device,
    mut progress: impl FnMut(u64),
) -> Result<u64, WriteError> {
    let (mut at, mut synced) = (HEAD as u64, 0);
    let mut piece = vec![0; PIECE];
    loop {
        let read = fill(image, &mut piece).map_err(|error| WriteError::Broken { at, error })?;
        if read == 0 {
            return Ok(at);
        }
        if at + read as u64 > disk.bytes {
            return Err(WriteError::TooLarge(disk.bytes));
        }
        put(device, at, &piece[..read]).map_err(WriteError::Disk)?;
        at += read as u64;
        if at - synced >= SYNCED {
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

/// Reads until the buffer is full or there is no more.
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

/// Sums up what passes.
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

    /// Tells whether all that there is has the expected sum; `at` is how far the image went.
    fn check(mut self, at: u64) -> Result<(), WriteError> {
        // What stands behind the end of what was packed counts too.
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
