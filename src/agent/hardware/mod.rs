//! What the hardware is: facts, read from what the kernel shows of it under `/sys`, `/proc` and `/dev`.
//!
//! A fact that cannot be read is left out. Nothing here changes anything, and no disk is read further than the places where
//! partition tables and file systems sign.

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

pub(super) use bmc::address as controller;
pub(super) use disks::{DetectedDisk, disks, has_others, sector};
pub(super) use nics::{Nic, cards};

use crate::model::Facts;

/// Where the kernel shows the hardware; tests have a directory of their own.
#[derive(Debug, Clone)]
pub(crate) struct SystemRoot(PathBuf);

impl SystemRoot {
    pub(super) fn new(path: &Path) -> SystemRoot {
        SystemRoot(path.into())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// What is in a small file, without the space around it; none when it cannot be read or is empty.
    fn text(&self, path: &str) -> Option<String> {
        text(&self.at(path))
    }

    /// The entries of a directory in the order of their names; none when it cannot be read.
    fn entries(&self, path: &str) -> Vec<PathBuf> {
        entries(&self.at(path))
    }
}

/// What the board says of itself, which is read at once.
pub(super) fn board(root: &SystemRoot) -> Facts {
    let mut facts = Facts::default();
    board::tell(root, &mut facts);
    facts
}

/// All facts that this machine shows now; `neighbour` knows who is at the other end of a card.
pub(super) fn facts(root: &SystemRoot, neighbour: impl Fn(&Nic) -> Option<String>) -> Facts {
    let mut facts = board(root);
    board::tell_pci(root, &mut facts);
    processor::tell(root, &mut facts);
    memory::tell(root, &mut facts);
    facts.nics = Some(nics::nics(root, neighbour));
    let stays = disks(root).into_iter().filter(|disk| !disk.is_removable);
    facts.disks = Some(stays.map(|disk| disk.fact).collect());
    facts
}

/// The modalias of every device that the kernel knows of.
pub(super) fn modaliases(root: &SystemRoot) -> Vec<String> {
    let mut modaliases = Vec::new();
    // A device without a driver is shown by its bus alone, so the tree is walked, not the drivers.
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
    // Much of /sys is not there on every machine, or answers with an error: then the fact is not known.
    let text = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.into())
}

fn number(path: &Path) -> Option<u64> {
    // As above: what is no number is not known.
    text(path)?.parse().ok()
}

fn entries(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    // An entry that went away meanwhile is no device any more.
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

/// The last part of a path, or of where a link leads.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Where a link leads, by its last part: a device's driver, for one.
fn leads_to(path: &Path) -> Option<String> {
    fs::read_link(path).ok().map(|target| name(&target))
}

#[cfg(test)]
mod tests;
