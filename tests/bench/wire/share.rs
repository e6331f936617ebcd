//! A small share of a core, so that a server is overloaded long before its clients.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The quota in microseconds, and the period: a tenth of a core, in slices that are short compared with a client's
/// timeout.
const QUOTA: u32 = 1_000;
const PERIOD: u32 = 10_000;

/// A control group whose programs together get a tenth of a core. It is removed when dropped.
pub(crate) struct Share(PathBuf);

impl Share {
    /// Creates the group, with version 2 of the kernel's control groups, otherwise with version 1.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        if root.join("cgroup.controllers").exists() {
            fs::write(root.join("cgroup.subtree_control"), "+cpu")?;
            let share = Share::at(root.join(name))?;
            fs::write(share.0.join("cpu.max"), format!("{QUOTA} {PERIOD}"))?;
            return Ok(share);
        }
        let share = Share::at(root.join("cpu").join(name))?;
        fs::write(share.0.join("cpu.cfs_period_us"), PERIOD.to_string())?;
        fs::write(share.0.join("cpu.cfs_quota_us"), QUOTA.to_string())?;
        Ok(share)
    }

    fn at(path: PathBuf) -> io::Result<Self> {
        fs::create_dir(&path)?;
        Ok(Share(path))
    }

    /// Moves a program with all its threads to the group.
    pub(crate) fn add(&self, pid: u32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // A group that cannot be removed is empty, and is gone after the next start of the machine.
        drop(fs::remove_dir(&self.0));
    }
}
