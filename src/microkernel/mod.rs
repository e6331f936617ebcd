//! Builds the microkernel: a distribution's kernel, and an initrd with its modules and this program.
//!
//! Nothing is downloaded or compiled: both are assembled from local files. The same files give the same bytes.

mod kernel;
mod modinfo;
mod select;
mod firmware;
mod archive;
mod unpack;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

pub(crate) use kernel::{Kernel, KernelError};

use crate::agent::{
    PROGRAM,
    modules::{DIRECTORY, ModuleTable, TABLE},
};
use archive::CpioArchive;

/// The maximum size of kernel and initrd together in bytes, for machines that load them by TFTP over a slow network.
pub(crate) const MAX_BYTES: u64 = 40_000_000;

#[derive(Debug)]
pub(crate) struct BuiltMicrokernel {
    /// The compressed initrd.
    pub(crate) initrd: Vec<u8>,
    /// The number of modules in it.
    pub(crate) modules: usize,
    /// The firmware files in it.
    pub(crate) firmware: Vec<String>,
    /// Firmware files that modules may need, but that were left out because of the maximum size.
    pub(crate) left_out_firmware: Vec<String>,
    /// The number of firmware files that modules may need and that are not installed.
    pub(crate) missing_firmware: usize,
}

/// Builds the initrd for `kernel`, with `program` as its only program and firmware from these directories.
pub(crate) fn initrd(
    kernel: &Kernel,
    program: &Path,
    firmware: &[PathBuf],
) -> Result<BuiltMicrokernel> {
    let mut table = ModuleTable::default();
    let mut wanted = Vec::new();
    let mut archive = CpioArchive::new();
    for (name, module) in select::modules(&kernel.modules)? {
        archive.file(&format!("{DIRECTORY}/{name}.ko"), module.bytes);
        wanted.extend(module.firmware);
        table.0.insert(name, module.metadata);
    }
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    archive.program(PROGRAM, bytes);
    archive.file(TABLE, serde_json::to_vec(&table)?);
    let kernel_bytes = fs::metadata(&kernel.image)?.len();
    let mut initrd = archive.compressed()?;
    let room = MAX_BYTES.saturating_sub(kernel_bytes + initrd.len() as u64);
    let found = firmware::find(&wanted, firmware, room)?;
    let mut names = Vec::new();
    for (name, bytes) in found.files {
        archive.file(&format!("lib/firmware/{name}"), bytes);
        names.push(name);
    }
    if !names.is_empty() {
        initrd = archive.compressed()?;
    }
    Ok(BuiltMicrokernel {
        initrd,
        modules: table.0.len(),
        firmware: names,
        left_out_firmware: found.left_out,
        missing_firmware: found.missing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::tests::image;

    /// A module with the parts that are read here: an ELF file with the section `.modinfo`.
    fn module(modinfo: &str) -> Vec<u8> {
        const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0";
        let (modinfo_at, names_at) = (64, 64 + modinfo.len());
        let table_at = names_at + NAMES.len();
        let mut elf = vec![0; 64];
        elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        // A relocatable file for x86-64 (ELF-64 object file format, 1.5).
        (elf[16], elf[18], elf[20]) = (1, 62, 1);
        elf[40..48].copy_from_slice(&(table_at as u64).to_le_bytes());
        (elf[52], elf[58], elf[60], elf[62]) = (64, 64, 3, 2);
        elf.extend(modinfo.as_bytes());
        elf.extend(NAMES);
        let section = |name: u32, kind: u32, at: usize, length: usize| {
            let mut header = [0; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[4..8].copy_from_slice(&kind.to_le_bytes());
            header[24..32].copy_from_slice(&(at as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(length as u64).to_le_bytes());
            header
        };
        elf.extend([0; 64]);
        elf.extend(section(1, 1, modinfo_at, modinfo.len()));
        elf.extend(section(10, 3, names_at, NAMES.len()));
        elf
    }

    #[test]
    fn the_initrd_has_modules_firmware_and_program() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let modules = "lib/modules/6.1.0-1-amd64/kernel";
        write("boot/vmlinuz-6.1.0-1-amd64", &image("6.1.0-1-amd64"));
        let nic = module("alias=pci:v1d2*\0depends=mii\0firmware=nic/a.fw\0firmware=nic/gone.fw\0");
        write(&format!("{modules}/drivers/net/ethernet/nic.ko"), &nic);
        write(
            &format!("{modules}/drivers/net/mii.ko"),
            &module("depends=\0"),
        );
        write(
            &format!("{modules}/drivers/gpu/drm.ko"),
            &module("alias=pci:v3*\0"),
        );
        write("firmware/nic/a.fw", b"firmware");
        write("program", b"program");

        let kernel = Kernel::newest(dir.path()).unwrap();
        let firmware = [dir.path().join("firmware")];
        let made = initrd(&kernel, &dir.path().join("program"), &firmware).unwrap();
        assert_eq!((made.modules, made.missing_firmware), (2, 1));
        assert_eq!(made.firmware, ["nic/a.fw"]);
        let mut bytes = Vec::new();
        std::io::copy(
            &mut flate2::read::GzDecoder::new(&made.initrd[..]),
            &mut bytes,
        )
        .unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for name in [
            "init\0",
            "modules/nic.ko\0",
            "modules/mii.ko\0",
            "lib/firmware/nic/a.fw\0",
        ] {
            assert!(text.contains(name), "{name:?}");
        }
        let table = r#"{"mii":{},"nic":{"aliases":["pci:v1d2*"],"needs":["mii"]}}"#;
        assert!(text.contains(table), "{text}");
        assert!(!text.contains("drm"));
    }
}
