//! Superblocks of Linux RAID, firmware RAID, btrfs, bcache and Ceph.

use std::io::{self, Read, Seek};

use super::{BoundedReader, DiskGroups, hex, named, plain, u32_at, u64_at, uuid};

pub(super) fn add(
    device: &mut BoundedReader<'_, impl Read + Seek>,
    found: &mut DiskGroups,
) -> io::Result<()> {
    add_raid(device, found)?;
    add_old_raid(device, found)?;
    add_firmware_raid(device, found)?;
    add_btrfs(device, found)?;
    add_bcache(device, found)?;
    add_ceph(device, found)
}

/// The magic number of Linux RAID.
const RAID_MAGIC: u32 = 0xa92b_4efc;

fn array(found: &mut DiskGroups, key: String, name: &str) {
    found.protect("a RAID array");
    found.join(key, format!("the RAID array {name}"));
}

/// Linux RAID of the metadata versions 1.0, 1.1 and 1.2 (`struct mdp_superblock_1` of the kernel's `md_p.h`).
fn add_raid(
    device: &mut BoundedReader<'_, impl Read + Seek>,
    found: &mut DiskGroups,
) -> io::Result<()> {
    let end = (device.size / 512).saturating_sub(16) & !7;
    for at in [0, 4096, end * 512] {
        let Some(block) = device.bytes(at, 256)? else {
            continue;
        };
        // A superblock has its own position, so that a copy of one is none.
        let is_valid = u32_at(&block, 0) == RAID_MAGIC
            && u32_at(&block, 4) == 1
            && u64_at(&block, 144) == at / 512;
        if is_valid {
            let uuid = uuid(&block[16..32]);
            let name = named(&block[32..64], &uuid);
            array(found, format!("md:{uuid}"), &name);
        }
    }
    Ok(())
}

/// Linux RAID of the metadata version 0.90 (`struct mdp_superblock_s`), in the byte order of the machine that made it.
fn add_old_raid(
    device: &mut BoundedReader<'_, impl Read + Seek>,
    found: &mut DiskGroups,
) -> io::Result<()> {
    let at = (device.size & !0xffff).checked_sub(0x1_0000);
    let Some(mut block) = at.map_or(Ok(None), |at| device.bytes(at, 4096))? else {
        return Ok(());
    };
    if block.starts_with(&RAID_MAGIC.to_be_bytes()) {
        block.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    }
    if u32_at(&block, 0) == RAID_MAGIC && u32_at(&block, 4) == 0 {
        // The parts of the UUID are the words 5 and 13 to 15.
        let mut parts = [5, 13, 14, 15].map(|word| u32_at(&block, word * 4).to_le_bytes());
        parts.iter_mut().for_each(|part| part.reverse());
        let uuid = uuid(&parts.concat());
        array(found, format!("md:{uuid}"), &uuid);
    }
    Ok(())
}

/// RAID of the firmware: Intel's, and DDF (SNIA DDF 2.0, 4.2.1). The anchor names the array's members by serial number only, so
/// every other disk of the type counts as a member.
fn add_firmware_raid(
    device: &mut BoundedReader<'_, impl Read + Seek>,
    found: &mut DiskGroups,
) -> io::Result<()> {
    let sectors = device.size / 512;
    let anchors: [(&str, u64, &[u8]); 6] = [
        ("isw", 2, b"Intel Raid ISM Cfg Sig. "),
        // With sectors of 4096 bytes.
        ("isw", 16, b"Intel Raid ISM Cfg Sig. "),
        ("ddf", 1, &[0xde, 0x11, 0xde, 0x11]),
        ("ddf", 1, &[0x11, 0xde, 0x11, 0xde]),
        ("ddf", 257, &[0xde, 0x11, 0xde, 0x11]),
        ("ddf", 257, &[0x11, 0xde, 0x11, 0xde]),
    ];
    for (kind, before, magic) in anchors {
        let at = sectors.checked_sub(before).map(|sector| sector * 512);
        let block = at.map_or(Ok(None), |at| device.bytes(at, magic.len()))?;
        if block.as_deref() == Some(magic) {
            let key = format!("{kind}_raid_member");
            array(found, key, &format!("of the type {kind}"));
        }
    }
    Ok(())
}

/// A btrfs of several devices (`struct btrfs_super_block`). One of a single device is ordinary data, of which copies may exist.
fn add_btrfs(
    device: &mut BoundedReader<'_, impl Read + Seek>,
    found: &mut DiskGroups,
) -> io::Result<()> {
    let Some(block) = device.bytes(0x1_0000, 4096)? else {
        return Ok(());
    };
    if block[0x40..0x48] == *b"_BHRfS_M" && u64_at(&block, 0x88) != 1 {
        let uuid = uuid(&block[0x20..0x30]);
        let name = named(&block[0x12b..0x22b], &uuid);
        found.protect("a btrfs of several disks");
        found.join(format!("btrfs:{uuid}"), format!("the btrfs {name}"));
    }
    Ok(())
}

const BCACHE_MAGIC: [u8; 16] = [
    0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81,
];

/// A cache or a backing device of bcache, which has the UUID of its set (`struct cache_sb`).
fn add_bcache(
    device: &mut BoundedReader<'_, impl Read + Seek>,
    found: &mut DiskGroups,
) -> io::Result<()> {
    let Some(block) = device.bytes(4096, 512)? else {
        return Ok(());
    };
    if block[24..40] == BCACHE_MAGIC {
        found.protect("a bcache set");
        let key = format!("bcache:{}", hex(&block[56..72]));
        found.join(key, "a bcache set".into());
    }
    Ok(())
}

/// A data, DB or WAL device of a Ceph OSD without LVM (`bluestore_bdev_label_t`).
fn add_ceph(
    device: &mut BoundedReader<'_, impl Read + Seek>,
    found: &mut DiskGroups,
) -> io::Result<()> {
    const MAGIC: &[u8] = b"bluestore block device\n";
    let Some(block) = device.bytes(0, MAGIC.len() + 36)? else {
        return Ok(());
    };
    if let Some(fsid) = block.strip_prefix(MAGIC) {
        let fsid = plain(fsid);
        found.protect("a Ceph OSD");
        found.join(format!("ceph:{fsid}"), format!("the Ceph OSD {fsid}"));
    }
    Ok(())
}
