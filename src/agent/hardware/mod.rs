//! Reads the machine's facts from `/sys`, `/proc` and `/dev`.
//!
//! A fact that cannot be read is omitted. Nothing is changed, and disks are only read where partition tables and file
//! systems have their signatures.

mod bmc;
mod board;
mod signature;
mod disks;
mod memory;
mod nics;
mod processor;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(super) use bmc::address as bmc_address;
pub(super) use disks::{
    DetectedDisk, disk_groups, disks, has_seed, sealed_sector, sector, table_id,
};
pub(super) use nics::{Nic, nics};

use crate::model::Facts;

/// The root directory of `/sys`, `/proc` and `/dev`; tests use another one.
#[derive(Debug, Clone)]
pub(crate) struct SystemRoot(PathBuf);

impl SystemRoot {
    pub(super) fn new(path: &Path) -> SystemRoot {
        SystemRoot(path.into())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// The trimmed contents of a small file; `None` if it is empty or cannot be read.
    fn text(&self, path: &str) -> Option<String> {
        text(&self.at(path))
    }

    /// The entries of a directory, sorted; empty if it cannot be read.
    fn entries(&self, path: &str) -> Vec<PathBuf> {
        entries(&self.at(path))
    }
}

/// The facts of the board, which are available at once.
pub(super) fn board(root: &SystemRoot) -> Facts {
    let mut facts = Facts::default();
    board::add_facts(root, &mut facts);
    facts
}

/// All facts of this machine; `neighbour` returns the LLDP neighbour of a NIC.
pub(super) fn facts(root: &SystemRoot, neighbour: impl Fn(&Nic) -> Option<String>) -> Facts {
    let mut facts = board(root);
    board::add_pci_facts(root, &mut facts);
    processor::add_facts(root, &mut facts);
    memory::add_facts(root, &mut facts);
    facts.nics = Some(nics::nic_facts(root, neighbour));
    let fixed = disks(root).into_iter().filter(|disk| !disk.is_removable);
    facts.disks = Some(fixed.map(|disk| disk.fact).collect());
    facts
}

/// The modaliases of all devices that the kernel has found.
pub(super) fn modaliases(root: &SystemRoot) -> Vec<String> {
    let mut modaliases = Vec::new();
    // Devices without a driver only appear in the device tree, so the whole tree is read.
    let mut dirs = vec![root.at("sys/devices")];
    while let Some(dir) = dirs.pop() {
        modaliases.extend(text(&dir.join("modalias")));
        let inner = entries(&dir).into_iter();
        dirs.extend(inner.filter(|path| path.is_dir() && !path.is_symlink()));
    }
    modaliases.sort();
    modaliases.dedup();
    modaliases
}

fn text(path: &Path) -> Option<String> {
    // Many files of /sys do not exist on every machine, or return an error: then the fact is unknown.
    let text = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.into())
}

fn number(path: &Path) -> Option<u64> {
    // As above: an invalid number is unknown.
    text(path)?.parse().ok()
}

fn entries(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    // An error means that the device disappeared meanwhile.
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

/// The last component of a path.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The last component of a link's target, such as a device's driver.
fn link_target(path: &Path) -> Option<String> {
    fs::read_link(path).ok().map(|target| name(&target))
}

#[cfg(test)]
mod tests;
