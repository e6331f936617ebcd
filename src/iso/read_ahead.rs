//! A buffered reader that keeps its buffer across seeks.

use std::io::{self, Read, Seek, SeekFrom};

/// How much is read at once, in bytes. Directories are usually stored next to each other.
const BUFFER: usize = 256 << 10;

/// Reads ahead, and keeps its buffer when the position changes: reading an image's directories seeks back and forth.
pub(super) struct ReadAhead<R> {
    inner: R,
    /// The offset of `bytes` in the image.
    start: u64,
    bytes: Vec<u8>,
    /// The offset of the next read.
    position: u64,
    length: u64,
}

impl<R: Read + Seek> ReadAhead<R> {
    pub(super) fn new(mut inner: R) -> io::Result<Self> {
        let length = inner.seek(SeekFrom::End(0))?;
        Ok(ReadAhead {
            inner,
            start: 0,
            bytes: Vec::new(),
            position: 0,
            length,
        })
    }

    /// The image's length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    fn fill(&mut self) -> io::Result<()> {
        let start = self.position - self.position % 2_048;
        self.inner.seek(SeekFrom::Start(start))?;
        self.bytes.clear();
        let ahead = (&mut self.inner).take(BUFFER as u64);
        self.start = start;
        { ahead }.read_to_end(&mut self.bytes)?;
        Ok(())
    }

    fn buffered(&self) -> &[u8] {
        let within = self.position.checked_sub(self.start);
        let within = within.and_then(|within| usize::try_from(within).ok());
        within
            .and_then(|within| self.bytes.get(within..))
            .unwrap_or_default()
    }
}

impl<R: Read + Seek> Read for ReadAhead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.buffered().is_empty() && self.position < self.length {
            self.fill()?;
        }
        let bytes = self.buffered();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl<R: Read + Seek> Seek for ReadAhead<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let from = |base: u64, by: i64| {
            let at = base.checked_add_signed(by);
            at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
        };
        self.position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => from(self.position, by)?,
            SeekFrom::End(by) => from(self.length, by)?,
        };
        Ok(self.position)
    }
}

// `hadris-iso` reads through these traits. With its feature `std` it would read through those of `std`, but that feature
// brings `chrono`, for times that are not used here.
impl<R> embedded_io::ErrorType for ReadAhead<R> {
    type Error = io::Error;
}

impl<R: Read + Seek> embedded_io::Read for ReadAhead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buffer)
    }
}

impl<R: Read + Seek> embedded_io::Seek for ReadAhead<R> {
    fn seek(&mut self, to: embedded_io::SeekFrom) -> io::Result<u64> {
        Seek::seek(self, to.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn reads_return_the_bytes_at_any_position() {
        let bytes: Vec<u8> = (0..700_001_u32).map(|n| (n % 251) as u8).collect();
        let mut reader = ReadAhead::new(Cursor::new(&bytes)).unwrap();
        assert_eq!(reader.length(), 700_001);
        for (at, length) in [(0, 10), (5, 400_000), (699_990, 11), (3, 1), (2_047, 2)] {
            let mut read = vec![0; length];
            reader.seek(SeekFrom::Start(at as u64)).unwrap();
            reader.read_exact(&mut read).unwrap();
            assert!(read == bytes[at..at + length], "{at}");
        }
        reader.seek(SeekFrom::Start(1 << 40)).unwrap();
        assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0);
        reader.seek(SeekFrom::End(-1)).unwrap();
        assert_eq!(reader.read(&mut [0; 4]).unwrap(), 1);
        assert!(reader.seek(SeekFrom::Current(-700_002)).is_err());
    }
}
