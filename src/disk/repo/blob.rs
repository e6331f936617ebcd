//! The bytes of a served file: a whole file on the disk, or extents of an image.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    os::{fd::AsFd, unix::fs::FileExt},
    sync::Arc,
};

use nix::sys::sendfile::sendfile;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::image_stamp::ImageStamp;
use crate::iso::{Extent, Extents};

/// Bytes that can be read at any offset, by several readers at the same time.
#[derive(Debug, Clone)]
pub struct Blob {
    file: Arc<File>,
    layout: BlobLayout,
}

#[derive(Debug, Clone)]
enum BlobLayout {
    Whole {
        size: u64,
    },
    /// Extents of an image, valid as long as the image is not changed.
    Extents {
        extents: Extents,
        stamp: ImageStamp,
    },
}

impl Blob {
    /// The whole file, with its present length.
    pub fn of(file: File) -> io::Result<Blob> {
        let size = file.metadata()?.len();
        let layout = BlobLayout::Whole { size };
        let file = Arc::new(file);
        Ok(Blob { file, layout })
    }

    pub(super) fn of_image(image: Arc<File>, extents: Extents, stamp: ImageStamp) -> Blob {
        Blob {
            file: image,
            layout: BlobLayout::Extents { extents, stamp },
        }
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        match &self.layout {
            BlobLayout::Whole { size } => *size,
            BlobLayout::Extents { extents, .. } => extents.size(),
        }
    }

    /// Fills `buffer` with the bytes from `offset` on. A file that has become shorter and an image that was changed are
    /// errors, because a client must not combine parts of different versions.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_by(buffer, offset, |part, start| {
            self.file.read_exact_at(part, start).map(|()| true)
        })
        .map(|_| ())
    }

    /// The same, only from the page cache, without waiting for a disk. Returns false, with `buffer` undefined, if
    /// not all bytes are cached or the file system does not support this.
    pub fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        self.read_by(buffer, offset, |part, start| {
            let wanted = part.len();
            let mut parts = [IoSliceMut::new(part)];
            match preadv2(&self.file, &mut parts, start, ReadWriteFlags::NOWAIT) {
                Ok(read) => Ok(read == wanted),
                // Not cached, interrupted, or not supported by the file system.
                Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Whether the bytes from `offset` on are in the page cache, judged by samples. The kernel reads files in windows
    /// (`read_ahead_kb`, 128 KiB by default) that are larger than the distance between two samples.
    pub fn is_cached(&self, offset: u64, length: u64) -> bool {
        const SAMPLE_DISTANCE: usize = 64 << 10;
        let last = length.saturating_sub(1);
        let samples = (0..last).step_by(SAMPLE_DISTANCE).chain([last]);
        // An error counts as not cached: it is reported when the bytes are read.
        let has = |at| self.read_cached(&mut [0], offset + at).unwrap_or(false);
        length > 0 && samples.into_iter().all(has)
    }

    /// Has the kernel send up to `length` bytes from `offset` on (sendfile(2)), as many as `socket` accepts; returns how
    /// many. Errors are those of [`Blob::read_exact_at`]. Until they are acknowledged, the bytes are read from the file
    /// itself: a change of the file changes what is sent.
    pub fn send(&self, socket: impl AsFd, offset: u64, length: u64) -> io::Result<usize> {
        let (start, length) = match &self.layout {
            BlobLayout::Whole { .. } => (offset, length),
            BlobLayout::Extents { extents, stamp } => {
                self.check_stamp(stamp)?;
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

    /// Whether the bytes belong to an image, which may be changed while it is read.
    pub fn is_of_image(&self) -> bool {
        matches!(self.layout, BlobLayout::Extents { .. })
    }

    /// Reads with `read`, which returns whether it filled its buffer.
    fn read_by(
        &self,
        buffer: &mut [u8],
        offset: u64,
        read: impl Fn(&mut [u8], u64) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let (extents, stamp) = match &self.layout {
            BlobLayout::Whole { .. } => return read(buffer, offset),
            BlobLayout::Extents { extents, stamp } => (extents, stamp),
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
        // Checked afterwards, to detect changes during the read.
        self.check_stamp(stamp)?;
        Ok(true)
    }

    fn check_stamp(&self, stamp: &ImageStamp) -> io::Result<()> {
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
    fn cached_bytes_are_those_of_the_file() {
        let content: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
        let blob = blob(&content);
        for (offset, length) in [(0, 100_000), (0, 0), (99_999, 1), (4_095, 4_098)] {
            let mut buffer = vec![0; length];
            // False is valid: some file systems do not support it.
            if blob.read_cached(&mut buffer, offset).unwrap() {
                assert_eq!(buffer, content[offset as usize..][..length]);
            }
            blob.read_exact_at(&mut buffer, offset).unwrap();
            assert_eq!(buffer, content[offset as usize..][..length]);
        }
        // Bytes beyond the end are not cached, and reading them is an error.
        for (offset, length) in [(99_999, 2), (100_000, 1), (200_000, 1)] {
            let mut buffer = vec![0; length];
            assert!(!blob.read_cached(&mut buffer, offset).unwrap());
            let read = blob.read_exact_at(&mut buffer, offset);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn the_kernel_sends_the_file_but_nothing_of_a_changed_image() {
        let content: Vec<u8> = (0..60_000u32).map(|at| (at % 251) as u8).collect();
        let whole = blob(&content);
        let stamp = || ImageStamp::of(&whole.file.metadata().unwrap());
        let extent = |start, length| Extent { start, length };
        let extents = Extents::new([extent(2_048, 5_000), extent(40_000, 6_000)]);
        let runs = Blob::of_image(whole.file.clone(), extents, stamp());
        for (blob, offset, length, expected) in [
            (&whole, 10, 20_000, &content[10..20_010]),
            // One extent at a time.
            (&runs, 4_000, 4_000, &content[6_048..7_048]),
            (&runs, 5_500, 200, &content[40_500..40_700]),
        ] {
            let (mut receiver, sender) = UnixStream::pair().unwrap();
            assert_eq!(blob.send(sender, offset, length).unwrap(), expected.len());
            let mut sent = Vec::new();
            receiver.read_to_end(&mut sent).unwrap();
            assert_eq!(sent, expected);
        }
        let (_receiver, sender) = UnixStream::pair().unwrap();
        let beyond = whole.send(&sender, 60_000, 1).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        whole.file.set_len(59_999).unwrap();
        let changed = runs.send(&sender, 0, 1).unwrap_err();
        assert!(changed.to_string().contains("was changed"), "{changed}");
    }

    #[test]
    fn cached_bytes_of_a_changed_image_are_an_error() {
        let blob = blob(&[7; 10_000]);
        let metadata = blob.file.metadata().unwrap();
        assert_eq!(metadata.size(), 10_000);
        let stamp = ImageStamp::of(&metadata);
        let extents = Extents::new([Extent {
            start: 2_048,
            length: 5_000,
        }]);
        let runs = Blob::of_image(blob.file.clone(), extents, stamp);
        let mut buffer = vec![0; 5_000];
        runs.read_exact_at(&mut buffer, 0).unwrap();
        blob.file.set_len(9_000).unwrap();
        let read = runs.read_cached(&mut buffer, 0);
        assert!(!matches!(read, Ok(true)), "{read:?}");
        assert!(runs.read_exact_at(&mut buffer, 0).is_err());
    }
}
