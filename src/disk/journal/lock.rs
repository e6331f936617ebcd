//! One writer.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
};

use crate::disk::atomic;

/// The right to write the journal of one directory, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the journal cannot be opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else writes it.
    #[error("the state directory is in use by {0}")]
    Held(String),
    /// It cannot be read or written.
    #[error("the journal cannot be opened: {0}")]
    Io(#[from] io::Error),
}

impl Lock {
    /// Takes the lock in `dir` and writes down who holds it: this process, for the site at `site`.
    pub fn take(dir: &Path, site: &Path) -> Result<Lock, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = atomic::private(&mut options).open(dir.join("lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let holder = format!(
            "process {}, which serves `{}`",
            std::process::id(),
            site.display()
        );
        // On a full disk the lock holds all the same, without a name.
        if let Err(error) = write(&mut file, &holder) {
            tracing::warn!("the lock of the journal does not name its holder: {error}");
        }
        Ok(Lock { _file: file })
    }

    /// Tells who holds the lock in `dir`, if anybody does.
    pub fn holder(dir: &Path) -> io::Result<Option<String>> {
        let mut file = match File::open(dir.join("lock")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(holder(&mut file))),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
    /// Tells which process holds the lock in `dir`, if one does and says so.
    pub fn holding_process(dir: &Path) -> io::Result<Option<u32>> {
        let holder = Lock::holder(dir)?;
        let number = holder.as_deref().and_then(|text| {
            let rest = text.strip_prefix("process ")?;
            rest.split(',').next()?.parse().ok()
        });
        Ok(number)
    }
}

fn write(file: &mut File, holder: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(holder.as_bytes())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(length) if length > 0 => text.trim().into(),
        // It has only just taken the lock, or had no room to say who it is.
        Ok(_) | Err(_) => "another process".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Lock::holder(dir.path()).unwrap(), None);
        let first = Lock::take(dir.path(), Path::new("/srv/site")).unwrap();
        let expected = format!("process {}, which serves `/srv/site`", std::process::id());
        let second = Lock::take(dir.path(), Path::new("/srv/other")).unwrap_err();
        assert_eq!(
            second.to_string(),
            format!("the state directory is in use by {expected}")
        );
        assert_eq!(Lock::holder(dir.path()).unwrap(), Some(expected));
        let process = Lock::holding_process(dir.path()).unwrap();
        assert_eq!(process, Some(std::process::id()));
        drop(first);
        assert_eq!(Lock::holder(dir.path()).unwrap(), None);
        assert!(Lock::take(dir.path(), Path::new("/srv/other")).is_ok());
    }
}
