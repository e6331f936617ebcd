//! Makes the microkernel: a distribution's kernel, and an initial file system with its modules and this program.
//!
//! Nothing is downloaded and nothing is built: both are put together from files that are here. The same files make the same
//! bytes.

mod kernel;
mod modinfo;
mod pick;
mod firmware;
mod archive;
mod unpack;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

pub(crate) use kernel::{Kernel, NoKernel};

use crate::agent::modules::{Modules, TABLE};
use archive::Archive;

/// More than this a pair is not to have: what machines load by TFTP, at the size that a management network bears.
pub(crate) const MOST_BYTES: u64 = 40_000_000;

/// What was made.
#[derive(Debug)]
pub(crate) struct Made {
    /// The initial file system, compressed.
    pub(crate) initrd: Vec<u8>,
    /// How many modules are in it.
    pub(crate) modules: usize,
    /// The firmware that is in it.
    pub(crate) firmware: Vec<String>,
    /// Firmware that modules may want and that is here, but for which there was no room.
    pub(crate) no_room: Vec<String>,
    /// How many files of firmware modules may want that are not here.
    pub(crate) missing_firmware: usize,
}

/// Makes the initial file system for `kernel`, with `program` as its only one and firmware from these directories.
pub(crate) fn initrd(kernel: &Kernel, program: &Path, firmware: &[PathBuf]) -> Result<Made> {
    let picked = pick::modules(&kernel.modules)?;
    let mut table = Modules::default();
    let mut wanted = Vec::new();
    let mut archive = Archive::new();
    for (name, module) in &picked {
        table.0.insert(name.clone(), module.told.clone());
        wanted.extend(module.firmware.iter().cloned());
    }
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    archive.program(crate::agent::PROGRAM, bytes);
    archive.file(TABLE, serde_json::to_vec(&table)?);
    let modules = picked.len();
    let contents: BTreeMap<_, _> = picked
        .into_iter()
        .map(|(name, module)| (name, module.bytes))
        .collect();
    for (name, bytes) in contents {
        archive.file(
            &format!("{}/{name}.ko", crate::agent::modules::DIRECTORY),
            bytes,
        );
    }
    let kernel_bytes = fs::metadata(&kernel.image)?.len();
    let mut initrd = archive.compressed()?;
    let room = MOST_BYTES.saturating_sub(kernel_bytes + initrd.len() as u64);
    let found = firmware::find(&wanted, firmware, room)?;
    let mut names = Vec::new();
    for (name, bytes) in found.files {
        archive.file(&format!("lib/firmware/{name}"), bytes);
        names.push(name);
    }
    if !names.is_empty() {
        initrd = archive.compressed()?;
    }
    Ok(Made {
        initrd,
        modules,
        firmware: names,
        no_room: found.no_room,
        missing_firmware: found.missing,
    })
}
