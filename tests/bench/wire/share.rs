//! A small share of a core, so that a server is overloaded long before its clients are.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Microseconds of each period, and the period: a tenth, in slices that are short beside what a client waits.
const QUOTA: u32 = 1_000;
const PERIOD: u32 = 10_000;

/// A control group whose programs have a tenth of a core together. Dropping it takes it away.
pub(crate) struct Share(PathBuf);

impl Share {
    /// Makes the group, with version 2 of the kernel's control groups, or else with version 1.
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

    /// Takes a program in, with all its threads.
    pub(crate) fn add(&self, pid: u32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // What is left of it is empty, and goes with the next start of the machine.
        drop(fs::remove_dir(&self.0));
    }
}
