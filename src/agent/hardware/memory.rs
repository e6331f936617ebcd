//! Facts of the memory: the modules in the SMBIOS tables; without those, the kernel's total.

use std::fs;

use dmidecode::{EntryPoint, Structure};

use super::SystemRoot;
use crate::model::Facts;

/// The size is in the field of the extended size (SMBIOS 3.7, 7.18.5).
const EXTENDED: u16 = 0x7fff;
/// The bit that is set if the size is in KiB.
const IN_KIB: u16 = 0x8000;

pub(super) fn add_facts(root: &SystemRoot, facts: &mut Facts) {
    match modules(root) {
        Some(sizes) if !sizes.is_empty() => {
            facts.memory_mib = Some(sizes.iter().sum());
            facts.memory_modules = Some(sizes.len() as u64);
        }
        _ => facts.memory_mib = total(&root.text("proc/meminfo").unwrap_or_default()),
    }
}

/// The sizes of the installed memory modules in MiB; `None` if the tables cannot be read.
fn modules(root: &SystemRoot) -> Option<Vec<u64>> {
    let table = |name: &str| fs::read(root.at(&format!("sys/firmware/dmi/tables/{name}"))).ok();
    let entry = EntryPoint::search(&table("smbios_entry_point")?).ok()?;
    let tables = table("DMI")?;
    let mut sizes = Vec::new();
    for structure in entry.structures(&tables) {
        // Without every module the sum would be wrong.
        if let Structure::MemoryDevice(device) = structure.ok()? {
            sizes.extend(device.size.and_then(|size| mib(size, device.extended_size)));
        }
    }
    Some(sizes)
}

fn mib(size: u16, extended: u32) -> Option<u64> {
    match size {
        0 => None,
        EXTENDED => Some(u64::from(extended & 0x7fff_ffff)),
        kib if kib & IN_KIB != 0 => Some(u64::from(kib & !IN_KIB) / 1024),
        mib => Some(u64::from(mib)),
    }
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_converted_to_mib() {
        let cases = [
            (0, 0, None),
            (16384, 0, Some(16384)),
            (0x8000 | 2048, 0, Some(2)),
            (0x7fff, 65536, Some(65536)),
        ];
        for (size, extended, expected) in cases {
            assert_eq!(mib(size, extended), expected, "{size:#x}");
        }
        assert_eq!(
            total("MemFree: 1 kB\nMemTotal:        1015808 kB\n"),
            Some(992)
        );
        assert_eq!(total(""), None);
    }
}
