//! Which modules a machine may need before it has an operating system: what reaches the network, and what shows disks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    modinfo::{self, Modinfo},
    unpack,
};
use crate::agent::modules::KernelModule;

/// Directories under `kernel/` whose modules are taken, with all below them.
const TAKEN: [&str; 27] = [
    "drivers/net/ethernet",
    "drivers/net/vmxnet3",
    "drivers/net/hyperv",
    "drivers/net/phy",
    "drivers/net/mdio",
    "drivers/net/pcs",
    "drivers/net/usb",
    "drivers/ata",
    "drivers/nvme/host",
    "drivers/scsi",
    "drivers/message",
    "drivers/block/virtio_blk",
    "drivers/block/xen-blkfront",
    "drivers/virtio",
    "drivers/hv",
    "drivers/mmc",
    "drivers/usb/core",
    "drivers/usb/common",
    "drivers/usb/host",
    "drivers/usb/storage",
    "drivers/pci/controller",
    "drivers/char/ipmi",
    "drivers/net/virtio_net",
    "drivers/net/xen-netfront",
    "drivers/net/mii",
    "fs/efivarfs",
    "net/packet",
];

/// What lies in them and is left out: kinds of attachment that no machine boots from, switches, targets, tests.
const LEFT_OUT: [&str; 8] = [
    "drivers/net/ethernet/mellanox/mlxsw",
    "drivers/net/ethernet/marvell/prestera",
    "drivers/scsi/pcmcia",
    "drivers/scsi/scsi_debug",
    "drivers/net/ethernet/8390/pcnet_cs",
    "drivers/usb/host/u132-hcd",
    "drivers/ata/pata_legacy",
    "drivers/scsi/cxgbi",
];

/// A module as it is taken.
#[derive(Debug, Clone)]
pub(super) struct SelectedModule {
    pub(super) told: KernelModule,
    pub(super) firmware: Vec<String>,
    pub(super) bytes: Vec<u8>,
}

/// The modules of the kernel in `dir` that are taken, by name, with all that they need.
pub(super) fn modules(dir: &Path) -> Result<BTreeMap<String, SelectedModule>> {
    let mut files = BTreeMap::new();
    find(&dir.join("kernel"), &mut files)?;
    let taken = files.iter().filter(|(_, path)| is_taken(dir, path));
    let mut due: Vec<String> = taken.map(|(name, _)| name.clone()).collect();
    let mut picked = BTreeMap::new();
    let mut seen = BTreeSet::new();
    while let Some(name) = due.pop() {
        // What is built into the kernel has no file.
        let Some(path) = files.get(&name).filter(|_| seen.insert(name.clone())) else {
            continue;
        };
        let module = read(path)?;
        due.extend(module.told.needs.iter().cloned());
        picked.insert(name, module);
    }
    anyhow::ensure!(
        !picked.is_empty(),
        "`{}` has no module that a machine needs",
        dir.display()
    );
    Ok(picked)
}

fn read(path: &Path) -> Result<SelectedModule> {
    let bytes = unpack::read(path)?;
    let told = Modinfo::read(&bytes);
    let told = told.with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut needs = told.before;
    needs.extend(told.depends);
    // What is no pattern of a device ("fs-ext4", "net-pf-17") is asked for by the kernel itself, which starts no program here.
    let aliases = told.aliases.into_iter().filter(|alias| alias.contains(':'));
    Ok(SelectedModule {
        told: KernelModule {
            aliases: aliases.collect(),
            needs,
        },
        firmware: told.firmware,
        bytes,
    })
}

fn is_taken(dir: &Path, path: &Path) -> bool {
    let Ok(path) = path.strip_prefix(dir.join("kernel")) else {
        return false;
    };
    // Without `.ko` and what it was compressed with, so that one module can be named.
    let text = path.to_string_lossy();
    let text = text.split_once(".ko").map_or(&*text, |(name, _)| name);
    let lies_in = |place: &&str| {
        let rest = text.strip_prefix(*place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    TAKEN.iter().any(lies_in) && !LEFT_OUT.iter().any(lies_in)
}

/// Every module under a directory by its name.
fn find(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read `{}`", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
            continue;
        }
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let name = unpack::ENDINGS
            .iter()
            .find_map(|ending| file.strip_suffix(&format!(".ko{ending}")));
        if let Some(name) = name {
            files.insert(modinfo::name(name), path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_whole_names() {
        let cases = [
            ("drivers/net/ethernet/intel/e1000e/e1000e.ko", true),
            ("drivers/net/virtio_net.ko.xz", true),
            ("drivers/net/virtio_net_other.ko", false),
            ("drivers/net/ethernet/mellanox/mlxsw/mlxsw_core.ko", false),
            ("drivers/net/wireless/ath/ath9k.ko", false),
            ("drivers/scsi/scsi_debug.ko.zst", false),
            ("drivers/block/virtio_blk.ko", true),
        ];
        for (path, expected) in cases {
            let dir = Path::new("/lib/modules/6.1");
            assert_eq!(
                is_taken(dir, &dir.join("kernel").join(path)),
                expected,
                "{path}"
            );
        }
    }
}
