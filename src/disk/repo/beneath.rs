//! Opening a path without leaving a directory.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
};

/// Opens a directory, for opening files beneath it.
pub(super) fn directory(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_PATH)
        .open(path)
}

/// Opens `path` beneath `root` for reading. A path that leaves `root` fails with `EXDEV`, even if it returns into it.
pub(super) fn open(root: &File, path: &str) -> io::Result<File> {
    // A FIFO must not make us wait for its writer.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags).resolve(resolve);
    let mut tries = 0;
    loop {
        match openat2(root, path, how) {
            Ok(file) => return Ok(file.into()),
            // A rename meanwhile: the kernel cannot determine whether the path stayed beneath.
            Err(Errno::EAGAIN | Errno::EINTR) if tries < 16 => tries += 1,
            // A kernel before 5.6, or a container that blocks unknown system calls.
            Err(Errno::ENOSYS | Errno::EPERM) => return open_checked(root, path, flags),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The same without openat2: the path is resolved, checked, and opened as resolved.
fn open_checked(root: &File, path: &str, flags: OFlag) -> io::Result<File> {
    let root = fs::read_link(format!("/proc/self/fd/{}", root.as_raw_fd()))?;
    let real = fs::canonicalize(root.join(path))?;
    if !real.starts_with(&root) {
        return Err(Errno::EXDEV.into());
    }
    let mut options = File::options();
    let flags = flags | OFlag::O_NOFOLLOW;
    options.read(true).custom_flags(flags.bits()).open(real)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn both_implementations_refuse_to_leave_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("repo")).unwrap();
        fs::write(dir.path().join("repo/in"), "in").unwrap();
        fs::write(dir.path().join("out"), "out").unwrap();
        symlink("in", dir.path().join("repo/fine")).unwrap();
        symlink("../out", dir.path().join("repo/bad")).unwrap();
        let root = directory(&dir.path().join("repo")).unwrap();
        for (path, expected) in [
            ("in", Ok(())),
            ("fine", Ok(())),
            ("bad", Err(Some(libc::EXDEV))),
            ("../out", Err(Some(libc::EXDEV))),
            ("none", Err(Some(libc::ENOENT))),
        ] {
            let outcome =
                |opened: io::Result<File>| opened.map(drop).map_err(|error| error.raw_os_error());
            assert_eq!(outcome(open(&root, path)), expected, "{path}");
            assert_eq!(
                outcome(open_checked(&root, path, OFlag::O_RDONLY)),
                expected,
                "{path}"
            );
        }
    }
}
