//! Which block devices are no disks, and which partition types belong to a storage system that spans disks.
//!
//! The agent and the script `disk.sh.j2`, which gets these tables as values, apply the same lists.

/// Names of block devices that are never installed to, as shell patterns with `*`. Devices that software assembles or
/// attaches (loop, RAM, network, RAID, device-mapper, ZFS volumes), media that are not disks, and the boot areas and the
/// replay-protected block of an eMMC.
pub const NOT_DISKS: [&str; 16] = [
    "loop*",
    "ram*",
    "zram*",
    "sr*",
    "fd*",
    "nbd*",
    "mtd*",
    "zd*",
    "drbd*",
    "rbd*",
    "md*",
    "dm-*",
    "bcache*",
    "ubi*",
    "mmcblk*boot*",
    "mmcblk*rpmb",
];

/// Names of disks that are chosen only by path, serial number or WWID: NVDIMMs. So are removable disks.
pub const ONLY_NAMED: [&str; 1] = ["pmem*"];

/// A storage system that is recognized by the type of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageSystem {
    /// How it is named in the reason of a refusal.
    pub words: &'static str,
    /// Whether any other disk with such a partition may belong to the same group.
    pub spans: bool,
    /// GUIDs of GPT partitions, in lower case.
    pub gpt: &'static [&'static str],
    /// The type of MBR partitions.
    pub mbr: Option<u8>,
}

/// The storage systems that own whole partitions (UEFI 2.10, 5.3.3; the types are those of util-linux' `pt-gpt-partnames.h`,
/// of VMware, of Microsoft's `PARTITION_INFORMATION_GPT`, and of `ceph-disk`).
pub const STORAGE_SYSTEMS: [StorageSystem; 7] = [
    StorageSystem {
        words: "a VMFS",
        spans: false,
        gpt: &["aa31e02a-400f-11db-9590-000c2911d1b8"],
        mbr: Some(0xfb),
    },
    StorageSystem {
        words: "a vSAN",
        spans: true,
        gpt: &[
            "381cfccc-7288-11e0-92ee-000c2911d0b2",
            "77719a0c-a4a0-11e3-a47e-000c29745a24",
        ],
        mbr: None,
    },
    StorageSystem {
        words: "a RAID array",
        spans: false,
        gpt: &["a19d880f-05fc-4d3b-a006-743f0f84911e"],
        mbr: Some(0xfd),
    },
    // Of FreeBSD, as Solaris' `usr`, and the reserved partition of OpenZFS.
    StorageSystem {
        words: "a ZFS pool",
        spans: false,
        gpt: &[
            "516e7cba-6ecf-11d6-8ff8-00022d09712b",
            "6a898cc3-1dd2-11b2-99a6-080020736631",
            "6a945a3b-1dd2-11b2-99a6-080020736631",
        ],
        mbr: None,
    },
    StorageSystem {
        words: "a Storage Spaces pool",
        spans: true,
        gpt: &["e75caf8f-f680-4cee-afa3-b001e56efc2d"],
        mbr: None,
    },
    StorageSystem {
        words: "a group of Windows dynamic disks",
        spans: true,
        gpt: &[
            "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3",
            "af9b60a0-1431-4f62-bc68-3311714a69ad",
        ],
        mbr: Some(0x42),
    },
    // Data, journal, block, DB and WAL.
    StorageSystem {
        words: "a Ceph OSD",
        spans: true,
        gpt: &[
            "4fbd7e29-9d25-41b8-afd0-062c0ceff05d",
            "45b0969e-9b03-4f30-b4c6-b4b80ceff106",
            "cafecafe-9b03-4f30-b4c6-b4b80ceff106",
            "30cd0809-c2b2-499c-8879-2d6b98529876",
            "5ce17fce-4087-4169-b7ff-056cc58473f9",
        ],
        mbr: None,
    },
];

/// Whether a block device of this name can be a disk to install to.
pub fn is_disk_name(name: &str) -> bool {
    !NOT_DISKS.iter().any(|pattern| fits(pattern, name))
}

/// Whether a disk of this name must be selected by path, serial number or WWID.
pub fn is_only_named(name: &str) -> bool {
    ONLY_NAMED.iter().any(|pattern| fits(pattern, name))
}

/// A World Wide Identifier without the prefix of its notation, in lower case: `naa.6001…` of the kernel and of ESXi, `0x6001…` of
/// udev, and `36001…` of multipath tools (the 3 is the type of the identifier, SPC-4 7.8.6; such numbers have 16 or 32 digits).
pub fn normal_wwid(text: &str) -> String {
    let text = text.trim().to_ascii_lowercase();
    let prefixes = ["mpath-", "naa.", "eui.", "0x"];
    let number = prefixes.iter().fold(text.as_str(), |text, prefix| {
        text.strip_prefix(prefix).unwrap_or(text)
    });
    let typed = number.strip_prefix('3').or(number.strip_prefix('2'));
    let is_number = |number: &str| {
        [16, 32].contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    typed
        .filter(|number| is_number(number))
        .unwrap_or(number)
        .to_owned()
}

/// Whether a name fits a pattern, in which `*` stands for any characters.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(name) = name.strip_prefix(start) else {
        return false;
    };
    (0..=name.len()).any(|at| name.is_char_boundary(at) && fits(rest, &name[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_notations_of_a_wwid_are_equal() {
        for (number, notations) in [
            (
                "600140500000000000000000000000aa",
                &[
                    "naa.600140500000000000000000000000aa",
                    "0x600140500000000000000000000000AA",
                    "3600140500000000000000000000000aa",
                    "mpath-3600140500000000000000000000000aa",
                ][..],
            ),
            (
                "5000c500a1b2c3d4",
                &[
                    "naa.5000c500a1b2c3d4",
                    "0x5000c500a1b2c3d4",
                    "35000c500a1b2c3d4",
                ],
            ),
            (
                "0025385b71b00a11",
                &["eui.0025385b71b00a11", "20025385b71b00a11"],
            ),
            ("t10.ata     disk 1", &["t10.ATA     Disk 1"]),
        ] {
            for notation in notations.iter().chain([&number]) {
                assert_eq!(normal_wwid(notation), number, "{notation}");
            }
        }
    }

    #[test]
    fn disks_are_distinguished_by_name() {
        for name in [
            "sda",
            "nvme0n1",
            "vda",
            "mmcblk0",
            "pmem0",
            "xvda",
            "cciss!c0d0",
            "dasda",
        ] {
            assert!(is_disk_name(name), "{name}");
            assert_eq!(is_only_named(name), name == "pmem0", "{name}");
        }
        for name in [
            "loop0",
            "ram1",
            "zram0",
            "sr0",
            "fd0",
            "nbd0",
            "mtdblock0",
            "zd0",
            "drbd1",
            "rbd0",
            "md127",
            "md_d0",
            "dm-0",
            "bcache0",
            "mmcblk0boot0",
            "mmcblk0boot1",
            "mmcblk1rpmb",
        ] {
            assert!(!is_disk_name(name), "{name}");
        }
    }
}
