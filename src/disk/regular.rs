//! Opens a file that the site names: never one that makes this process wait, and none without an end.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::model::ByteSize;

/// Opens a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening a FIFO would wait for a writer.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// Reads a regular file of at most `max` bytes.
pub fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max {
        true => {
            let max = ByteSize(max).written();
            Err(io::Error::other(format!("it is too large: at most {max}")))
        }
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_within_the_bound_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!(read(&path, 10).unwrap(), b"0123456789");
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for (path, max, why) in [
            (path.as_path(), 9, "it is too large: at most 9"),
            (fifo.as_path(), 10, "not a regular file"),
            (Path::new("/dev/zero"), 10, "not a regular file"),
            (dir.path(), 10, "not a regular file"),
        ] {
            let error = read(path, max).unwrap_err().to_string();
            assert!(error.starts_with(why), "{}: {error}", path.display());
        }
    }
}
