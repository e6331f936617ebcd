//! Several texts in one file: a header, which is a line of JSON, then the bodies.
//!
//! One file is written and removed atomically; a directory of files is not. The header has the lengths of the bodies, so
//! one body can be read without the others.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::atomic;

/// The first line of a bundle.
#[derive(Serialize, Deserialize)]
struct BundleHeader<H> {
    version: u32,
    head: H,
    lengths: Vec<u64>,
}

/// A bundle that is open for reading.
pub struct Bundle<H> {
    /// The caller's description of the bodies.
    pub head: H,
    lengths: Vec<u64>,
    first: u64,
    file: BufReader<File>,
}

/// Writes `head` and the bodies atomically to one file.
pub fn write<H: Serialize>(path: &Path, head: &H, bodies: &[&[u8]]) -> io::Result<()> {
    let lengths = bodies.iter().map(|body| body.len() as u64).collect();
    let version = VERSION;
    let mut line = serde_json::to_vec(&BundleHeader {
        version,
        head,
        lengths,
    })?;
    line.push(b'\n');
    let mut parts: Vec<&[u8]> = vec![&line];
    parts.extend(bodies);
    atomic::replace(path, &parts)
}

/// Opens a bundle and reads its header.
pub fn open<H: DeserializeOwned>(path: &Path) -> io::Result<Bundle<H>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    let first = file.read_until(b'\n', &mut line)? as u64;
    let head: BundleHeader<H> = serde_json::from_slice(&line)?;
    if head.version != VERSION {
        return Err(unreadable("the file has another format version"));
    }
    let bodies = head
        .lengths
        .iter()
        .try_fold(first, |sum, length| sum.checked_add(*length));
    if bodies != Some(file.get_ref().metadata()?.len()) {
        return Err(unreadable(
            "the length of the file differs from its first line",
        ));
    }
    Ok(Bundle {
        head: head.head,
        lengths: head.lengths,
        first,
        file,
    })
}

impl<H> Bundle<H> {
    /// Reads the body at `index`.
    pub fn body(&mut self, index: usize) -> io::Result<Vec<u8>> {
        let missing = || unreadable("the file has no such part");
        let length = *self.lengths.get(index).ok_or_else(missing)?;
        let start = self.first + self.lengths[..index].iter().sum::<u64>();
        self.file.seek(SeekFrom::Start(start))?;
        let mut body = vec![0; length as usize];
        self.file.read_exact(&mut body)?;
        Ok(body)
    }

    /// Reads every body in turn.
    pub fn bodies(&mut self) -> io::Result<Vec<Vec<u8>>> {
        self.file.seek(SeekFrom::Start(self.first))?;
        let mut bodies = Vec::with_capacity(self.lengths.len());
        for length in &self.lengths {
            let mut body = vec![0; *length as usize];
            self.file.read_exact(&mut body)?;
            bodies.push(body);
        }
        Ok(bodies)
    }
}

const VERSION: u32 = 1;

fn unreadable(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_one_by_one_or_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write(&path, &"head", &[b"one\n", b"", b"\xff\0three"]).unwrap();
        let mut bundle = open::<String>(&path).unwrap();
        assert_eq!(bundle.head, "head");
        assert_eq!(bundle.body(2).unwrap(), b"\xff\0three");
        assert_eq!(
            bundle.bodies().unwrap(),
            [&b"one\n"[..], b"", b"\xff\0three"]
        );
        assert!(bundle.body(3).is_err());
    }

    #[test]
    fn a_truncated_bundle_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write(&path, &(), &[b"one", b"two"]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(open::<()>(&path).is_err(), "{length} bytes");
        }
    }
}
