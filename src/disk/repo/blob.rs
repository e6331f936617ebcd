//! A file's bytes: all of a file on the disk, or runs of bytes in an image.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    os::{fd::AsFd, unix::fs::FileExt},
    sync::Arc,
};

use nix::sys::sendfile::sendfile;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::image::ImageStamp;
use crate::iso::{Extent, Extents};

/// Bytes that can be read at any place, by several at once.
#[derive(Debug, Clone)]
pub struct Blob {
    file: Arc<File>,
    lie: BlobLayout,
}

#[derive(Debug, Clone)]
enum BlobLayout {
    /// They are the file.
    Whole { size: u64 },
    /// They are runs of an image, as long as that is what it was.
    Runs { extents: Extents, stamp: ImageStamp },
}

impl Blob {
    /// All of a file, as long as it is now.
    pub fn of(file: File) -> io::Result<Blob> {
        let size = file.metadata()?.len();
        let lie = BlobLayout::Whole { size };
        let file = Arc::new(file);
        Ok(Blob { file, lie })
    }

    pub(super) fn runs(image: Arc<File>, extents: Extents, stamp: ImageStamp) -> Blob {
        Blob {
            file: image,
            lie: BlobLayout::Runs { extents, stamp },
        }
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        match &self.lie {
            BlobLayout::Whole { size } => *size,
            BlobLayout::Runs { extents, .. } => extents.size(),
        }
    }

    /// Fills `buffer` with the bytes from `offset` on. A file that has become shorter, and an image that was changed, are
    /// errors: whoever has a part of it must not take the rest of another one.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_by(buffer, offset, |part, start| {
            self.file.read_exact_at(part, start).map(|()| true)
        })
        .map(|_| ())
    }

    /// The same with what the kernel has in memory, without waiting for a disk; false, with anything in `buffer`, where that
    /// is not all of it, or cannot be told.
    pub fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        self.read_by(buffer, offset, |part, start| {
            let wanted = part.len();
            let mut parts = [IoSliceMut::new(part)];
            match preadv2(&self.file, &mut parts, start, ReadWriteFlags::NOWAIT) {
                Ok(read) => Ok(read == wanted),
                // Not there, interrupted, or a file system that always waits.
                Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Whether the kernel has the bytes from `offset` on in memory, as far as samples tell: it reads files by windows that are
    /// larger than what lies between two of them (`read_ahead_kb`, 128 KiB unless told otherwise).
    pub fn is_cached(&self, offset: u64, length: u64) -> bool {
        const APART: usize = 64 << 10;
        let last = length.saturating_sub(1);
        let samples = (0..last).step_by(APART).chain([last]);
        // What cannot be told, or is wrong with the file, shows when it is read.
        let has = |at| self.read_cached(&mut [0], offset + at).unwrap_or(false);
        length > 0 && samples.into_iter().all(has)
    }

    /// Has the kernel send up to `length` bytes from `offset` on (sendfile(2)), as many as `socket` takes; returns how
    /// many. Mistakes are those of [`Blob::read_exact_at`]. As long as they have not arrived, they are the file's own
    /// bytes: what is written to it then is sent.
    pub fn send(&self, socket: impl AsFd, offset: u64, length: u64) -> io::Result<usize> {
        let (start, length) = match &self.lie {
            BlobLayout::Whole { .. } => (offset, length),
            BlobLayout::Runs { extents, stamp } => {
                self.holds(stamp)?;
                let run = extents.locate(offset, length);
                let Extent { start, length } = run.ok_or(io::ErrorKind::UnexpectedEof)?;
                (start, length)
            }
        };
        let start = i64::try_from(start).map_err(io::Error::other)?;
        match sendfile(
            socket,
            &self.file,
            Some(&mut start.clone()),
            length as usize,
        )? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            sent => Ok(sent),
        }
    }

    /// Whether the bytes are to be of one image, which somebody may be writing to.
    pub fn is_of_image(&self) -> bool {
        matches!(self.lie, BlobLayout::Runs { .. })
    }

    /// Reads by `read`, which tells whether it could fill what it was given.
    fn read_by(
        &self,
        buffer: &mut [u8],
        offset: u64,
        read: impl Fn(&mut [u8], u64) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let (extents, stamp) = match &self.lie {
            BlobLayout::Whole { .. } => return read(buffer, offset),
            BlobLayout::Runs { extents, stamp } => (extents, stamp),
        };
        let mut done = 0;
        while done < buffer.len() {
            let left = (buffer.len() - done) as u64;
            let Extent { start, length } = extents
                .locate(offset + done as u64, left)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            let end = done + length as usize;
            if !read(&mut buffer[done..end], start)? {
                return Ok(false);
            }
            done = end;
        }
        // Afterwards, so that what was written meanwhile shows.
        self.holds(stamp)?;
        Ok(true)
    }

    fn holds(&self, stamp: &ImageStamp) -> io::Result<()> {
        if ImageStamp::of(&self.file.metadata()?) != *stamp {
            return Err(io::Error::other("the image was changed while it was read"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::{fs::MetadataExt, net::UnixStream},
    };

    use super::*;

    fn blob(content: &[u8]) -> Blob {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Blob::of(file).unwrap()
    }

    #[test]
    fn what_is_at_hand_is_what_is_there() {
        let content: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
        let blob = blob(&content);
        for (offset, length) in [(0, 100_000), (0, 0), (99_999, 1), (4_095, 4_098)] {
            let mut buffer = vec![0; length];
            // A file system that always waits says no, which is no mistake.
            if blob.read_cached(&mut buffer, offset).unwrap() {
                assert_eq!(buffer, content[offset as usize..][..length]);
            }
            blob.read_exact_at(&mut buffer, offset).unwrap();
            assert_eq!(buffer, content[offset as usize..][..length]);
        }
        // What is not there is not at hand either, and whoever waits for it is told.
        for (offset, length) in [(99_999, 2), (100_000, 1), (200_000, 1)] {
            let mut buffer = vec![0; length];
            assert!(!blob.read_cached(&mut buffer, offset).unwrap());
            let read = blob.read_exact_at(&mut buffer, offset);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn the_kernel_sends_what_is_there_and_nothing_of_an_image_that_was_changed() {
        let content: Vec<u8> = (0..60_000u32).map(|at| (at % 251) as u8).collect();
        let whole = blob(&content);
        let stamp = || ImageStamp::of(&whole.file.metadata().unwrap());
        let extent = |start, length| Extent { start, length };
        let extents = Extents::new([extent(2_048, 5_000), extent(40_000, 6_000)]);
        let runs = Blob::runs(whole.file.clone(), extents, stamp());
        for (blob, offset, length, expected) in [
            (&whole, 10, 20_000, &content[10..20_010]),
            // A run at a time.
            (&runs, 4_000, 4_000, &content[6_048..7_048]),
            (&runs, 5_500, 200, &content[40_500..40_700]),
        ] {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            assert_eq!(blob.send(theirs, offset, length).unwrap(), expected.len());
            let mut sent = Vec::new();
            ours.read_to_end(&mut sent).unwrap();
            assert_eq!(sent, expected);
        }
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let beyond = whole.send(&theirs, 60_000, 1).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        whole.file.set_len(59_999).unwrap();
        let changed = runs.send(&theirs, 0, 1).unwrap_err();
        assert!(changed.to_string().contains("was changed"), "{changed}");
    }

    #[test]
    fn what_is_at_hand_of_an_image_that_was_changed_is_an_error_too() {
        let blob = blob(&[7; 10_000]);
        let metadata = blob.file.metadata().unwrap();
        assert_eq!(metadata.size(), 10_000);
        let stamp = ImageStamp::of(&metadata);
        let extents = Extents::new([Extent {
            start: 2_048,
            length: 5_000,
        }]);
        let runs = Blob::runs(blob.file.clone(), extents, stamp);
        let mut buffer = vec![0; 5_000];
        runs.read_exact_at(&mut buffer, 0).unwrap();
        blob.file.set_len(9_000).unwrap();
        let read = runs.read_cached(&mut buffer, 0);
        assert!(!matches!(read, Ok(true)), "{read:?}");
        assert!(runs.read_exact_at(&mut buffer, 0).is_err());
    }
}
