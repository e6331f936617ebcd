//! The lock that allows one writer.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
    time::Duration,
};

use crate::disk::atomic;

/// How long a lock that is held is tried for: a second.
const MAX_TRIES: u32 = 20;
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The exclusive lock of a journal's directory, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process writes it.
    #[error("the state directory is in use by {0}")]
    Held(String),
    #[error("the journal cannot be opened: {0}")]
    Io(#[from] io::Error),
}

impl Lock {
    /// Takes the lock in `dir` and stores its holder: this process, for the site at `site`.
    pub fn take(dir: &Path, site: &Path) -> Result<Lock, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = atomic::private(&mut options).open(dir.join("lock"))?;
        let mut tries = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // A program that is being started has the lock of its parent until it runs, also if the parent has ended.
                Err(TryLockError::WouldBlock) if tries < MAX_TRIES => {
                    tries += 1;
                    std::thread::sleep(RETRY_INTERVAL);
                }
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(&mut file))),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        let holder = format!(
            "process {}, which serves `{}`",
            std::process::id(),
            site.display()
        );
        // On a full disk the lock works, without its holder's name.
        if let Err(error) = write(&mut file, &holder) {
            tracing::warn!("cannot write the holder of the journal's lock: {error}");
        }
        Ok(Lock { _file: file })
    }

    /// Returns the holder of the lock in `dir`, if it is held.
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
    /// Returns the id of the process that holds the lock in `dir`, if it is held and stored.
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
        // It took the lock just now, or the disk was full.
        Ok(_) | Err(_) => "another process".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_writer_gets_the_holder_of_the_lock() {
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
