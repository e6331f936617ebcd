//! Selects the modules that the agent may need: drivers for network and disks.

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

/// Directories and modules under `kernel/` that are included.
const INCLUDED: [&str; 27] = [
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

/// Parts of them that are excluded: drivers for switches, SCSI targets and tests, and attachments that no machine boots from.
const EXCLUDED: [&str; 8] = [
    "drivers/net/ethernet/mellanox/mlxsw",
    "drivers/net/ethernet/marvell/prestera",
    "drivers/scsi/pcmcia",
    "drivers/scsi/scsi_debug",
    "drivers/net/ethernet/8390/pcnet_cs",
    "drivers/usb/host/u132-hcd",
    "drivers/ata/pata_legacy",
    "drivers/scsi/cxgbi",
];

#[derive(Debug, Clone)]
pub(super) struct SelectedModule {
    pub(super) metadata: KernelModule,
    pub(super) firmware: Vec<String>,
    pub(super) bytes: Vec<u8>,
}

/// The selected modules of the kernel in `dir`, by name, with all their dependencies.
pub(super) fn modules(dir: &Path) -> Result<BTreeMap<String, SelectedModule>> {
    let mut files = BTreeMap::new();
    find(&dir.join("kernel"), &mut files)?;
    let included = files.iter().filter(|(_, path)| is_included(dir, path));
    let mut queue: Vec<String> = included.map(|(name, _)| name.clone()).collect();
    let mut selected = BTreeMap::new();
    let mut visited = BTreeSet::new();
    while let Some(name) = queue.pop() {
        // Modules that are built into the kernel have no file.
        let Some(path) = files.get(&name).filter(|_| visited.insert(name.clone())) else {
            continue;
        };
        let module = read(path)?;
        queue.extend(module.metadata.needs.iter().cloned());
        selected.insert(name, module);
    }
    anyhow::ensure!(
        !selected.is_empty(),
        "`{}` has none of the required modules",
        dir.display()
    );
    Ok(selected)
}

fn read(path: &Path) -> Result<SelectedModule> {
    let bytes = unpack::read(path)?;
    let modinfo = Modinfo::read(&bytes);
    let modinfo = modinfo.with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut needs = modinfo.soft_depends;
    needs.extend(modinfo.depends);
    // Other aliases ("fs-ext4", "net-pf-17") are for modprobe, which does not exist in the microkernel.
    let aliases = modinfo
        .aliases
        .into_iter()
        .filter(|alias| alias.contains(':'));
    Ok(SelectedModule {
        metadata: KernelModule {
            aliases: aliases.collect(),
            needs,
        },
        firmware: modinfo.firmware,
        bytes,
    })
}

fn is_included(dir: &Path, path: &Path) -> bool {
    let Ok(path) = path.strip_prefix(dir.join("kernel")) else {
        return false;
    };
    // Without `.ko` and the extension of a compression, so that a list can contain a single module.
    let text = path.to_string_lossy();
    let text = text.split_once(".ko").map_or(&*text, |(name, _)| name);
    let is_in = |place: &&str| {
        let rest = text.strip_prefix(*place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    INCLUDED.iter().any(is_in) && !EXCLUDED.iter().any(is_in)
}

/// Finds all modules under a directory, by name.
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
        let name = unpack::EXTENSIONS
            .iter()
            .find_map(|extension| file.strip_suffix(&format!(".ko{extension}")));
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
    fn the_lists_contain_whole_path_components() {
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
                is_included(dir, &dir.join("kernel").join(path)),
                expected,
                "{path}"
            );
        }
    }
}
