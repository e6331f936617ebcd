//! Detects the contents of a disk or partition by signatures.

use std::io::{self, Read, Seek, SeekFrom};

/// A signature: these bytes at this offset.
struct DiskSignature {
    at: SignatureOffset,
    bytes: &'static [u8],
    name: &'static str,
}

/// An offset on a device.
#[derive(Clone, Copy)]
enum SignatureOffset {
    /// From the beginning of the device.
    Start(u64),
    /// Before the end of the device, rounded down to a multiple of `step`.
    End { before: u64, step: u64 },
}

impl SignatureOffset {
    /// The offset from the beginning of a device of this size.
    fn of(self, size: u64) -> u64 {
        match self {
            SignatureOffset::Start(at) => at,
            SignatureOffset::End { before, step } => (size - size % step).saturating_sub(before),
        }
    }
}

const fn sign(name: &'static str, at: u64, bytes: &'static [u8]) -> DiskSignature {
    let at = SignatureOffset::Start(at);
    DiskSignature { at, bytes, name }
}

/// A RAID signature at the end of the device.
const fn raid_at_end(before: u64, step: u64) -> DiskSignature {
    let at = SignatureOffset::End { before, step };
    DiskSignature {
        at,
        bytes: RAID_MAGIC,
        name: "md",
    }
}

/// The magic number of Linux RAID, little-endian.
const RAID_MAGIC: &[u8] = &[0xfc, 0x4e, 0x2b, 0xa9];

/// The signatures; the first match counts. Volume managers, arrays and hypervisors come before plain file systems, and these
/// before partition tables.
const SIGNATURES: [DiskSignature; 23] = [
    sign("lvm", 0x218, b"LVM2 001"),
    // The metadata formats 1.1, 1.0, 0.90 and 1.2.
    sign("md", 0, RAID_MAGIC),
    raid_at_end(8 << 10, 4 << 10),
    raid_at_end(64 << 10, 64 << 10),
    sign("md", 4096, RAID_MAGIC),
    sign("luks", 0, b"LUKS\xba\xbe"),
    sign("vmfs", 0x10_0000, &[0x0d, 0xd0, 0x01, 0xc0]),
    sign("vmfs", 0x20_0000, &[0x5e, 0xf1, 0xab, 0x2f]),
    // The first uberblock of ZFS's first label, in both byte orders.
    sign("zfs", 0x2_0000, &[0x0c, 0xb1, 0xba, 0x00, 0, 0, 0, 0]),
    sign("zfs", 0x2_0000, &[0, 0, 0, 0, 0x00, 0xba, 0xb1, 0x0c]),
    sign("btrfs", 0x1_0040, b"_BHRfS_M"),
    sign("ext", 0x438, &[0x53, 0xef]),
    sign("xfs", 0, b"XFSB"),
    sign("ntfs", 3, b"NTFS    "),
    sign("exfat", 3, b"EXFAT   "),
    sign("vfat", 0x52, b"FAT32   "),
    sign("vfat", 0x36, b"FAT16   "),
    sign("vfat", 0x36, b"FAT12   "),
    sign("swap", 4086, b"SWAPSPACE2"),
    sign("iso9660", 0x8001, b"CD001"),
    sign("gpt", 512, b"EFI PART"),
    sign("gpt", 4096, b"EFI PART"),
    sign("dos", 510, &[0x55, 0xaa]),
];

/// The name of the first signature on the device; `None` if there is none.
pub(super) fn signature(device: &mut (impl Read + Seek)) -> io::Result<Option<&'static str>> {
    let size = device.seek(SeekFrom::End(0))?;
    for sign in &SIGNATURES {
        if has(device, size, sign.at.of(size), sign.bytes)? {
            return Ok(Some(sign.name));
        }
    }
    Ok(None)
}

/// The places of a volume's label: FAT12 and FAT16, FAT32 (Microsoft's FAT specification, BS_VolLab), ISO 9660 (ECMA-119, 8.4.7).
const LABELS: [(u64, &[u8]); 3] = [
    (0x2b, b"CIDATA     "),
    (0x47, b"CIDATA     "),
    (0x8028, b"CIDATA  "),
];

/// Whether the device is a volume of cloud-init's data source NoCloud, which has the label in either case.
pub(super) fn is_seed(device: &mut (impl Read + Seek)) -> io::Result<bool> {
    let size = device.seek(SeekFrom::End(0))?;
    for (at, label) in LABELS {
        if has(device, size, at, label)? || has(device, size, at, &label.to_ascii_lowercase())? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has(device: &mut (impl Read + Seek), size: u64, at: u64, bytes: &[u8]) -> io::Result<bool> {
    let end = at.saturating_add(bytes.len() as u64);
    if end > size {
        return Ok(false);
    }
    // Unaligned reads are allowed: the kernel's cache reads whole sectors.
    device.seek(SeekFrom::Start(at))?;
    let mut found = vec![0; bytes.len()];
    device.read_exact(&mut found)?;
    Ok(found == bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn signed(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut disk = vec![0; 4 << 20];
        disk[at..at + bytes.len()].copy_from_slice(bytes);
        disk
    }

    #[test]
    fn every_signature_is_detected() {
        for sign in &SIGNATURES {
            let at = sign.at.of(4 << 20);
            let disk = signed(usize::try_from(at).unwrap(), sign.bytes);
            assert_eq!(signature(&mut Cursor::new(disk)).unwrap(), Some(sign.name));
        }
        let near_end = signed((4 << 20) - 8192, RAID_MAGIC);
        assert_eq!(signature(&mut Cursor::new(near_end)).unwrap(), Some("md"));
    }

    #[test]
    fn an_empty_or_short_device_has_no_signature() {
        for size in [0, 1, 511, 512, 4095, 1 << 20] {
            assert_eq!(
                signature(&mut Cursor::new(vec![0; size])).unwrap(),
                None,
                "{size}"
            );
        }
    }

    #[test]
    fn a_seed_volume_is_detected_by_its_label() {
        for (at, label) in LABELS {
            let at = usize::try_from(at).unwrap();
            for label in [label.to_vec(), label.to_ascii_lowercase()] {
                assert!(is_seed(&mut Cursor::new(signed(at, &label))).unwrap());
            }
        }
        for label in [&b"CIDATA2    "[..], b"EFI        "] {
            assert!(!is_seed(&mut Cursor::new(signed(0x2b, label))).unwrap());
        }
        assert!(!is_seed(&mut Cursor::new(vec![0; 100])).unwrap());
    }

    #[test]
    fn a_hypervisors_file_system_takes_precedence_over_a_partition_table() {
        let mut disk = signed(510, &[0x55, 0xaa]);
        disk[0x10_0000..0x10_0004].copy_from_slice(&[0x0d, 0xd0, 0x01, 0xc0]);
        assert_eq!(signature(&mut Cursor::new(disk)).unwrap(), Some("vmfs"));
    }
}
