//! Partition tables: detects partitions of storage systems, and adds a partition at the end of a disk.
//!
//! Only the new entry, the fields for the end of the disk, and the checksums change: other partitions keep their numbers.

use crate::model::{STORAGE_SYSTEMS, StorageSystem};

/// The number of bytes at the beginning of a disk that contain its table.
pub(super) const HEAD: usize = 1 << 20;

/// The alignment of partitions in bytes.
const ALIGNMENT: u64 = 1 << 20;

/// The type "basic data", which every system reads.
const BASIC_DATA: &str = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7";
/// The MBR type of FAT12.
const FAT12: u8 = 0x01;

/// Why no partition can be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PartitionError {
    #[error("the image has no partition table, which is needed for the seed partition")]
    NoTable,
    #[error("the image is for disks with sectors of {image} bytes, but this disk has {disk}")]
    OtherSectors { image: u64, disk: u64 },
    #[error("the image's partition table is invalid: {0}")]
    Invalid(&'static str),
    #[error("the image's partition table has no free entry for the seed partition")]
    Full,
    #[error(
        "the disk is too small for the image and the seed partition: it has {has} bytes, {need} are needed"
    )]
    TooSmall { need: u64, has: u64 },
}

/// The size of a disk and its sectors, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskSize {
    pub(super) bytes: u64,
    pub(super) sector: u64,
}

/// A partition that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedPartition {
    /// Its offset in bytes.
    pub(super) at: u64,
    /// The bytes for the end of the disk: the copy of the table.
    pub(super) tail: Vec<u8>,
}

/// The storage systems that own partitions of the table in the head of a disk.
pub(super) fn storage_systems(head: &[u8]) -> Vec<StorageSystem> {
    let (mut gpt, mut mbr) = (Vec::new(), Vec::new());
    match gpt_of(head) {
        Some(table) => gpt.extend(table.entries(head).map(|entry| guid_text(&entry[..16]))),
        None => mbr.extend(
            mbr_entries(head)
                .into_iter()
                .flatten()
                .map(|entry| entry[4]),
        ),
    }
    let owns = |system: &StorageSystem| {
        gpt.iter().any(|kind| system.gpt.contains(&kind.as_str()))
            || system.mbr.is_some_and(|kind| mbr.contains(&kind))
    };
    STORAGE_SYSTEMS.into_iter().filter(owns).collect()
}

/// The identifier of a partition table, which the names of its partitions (PARTUUID) are unique by or contain: the GUID of a
/// GPT, or the signature of an MBR. None without a table.
pub(super) fn table_id(head: &[u8]) -> Option<String> {
    if let Some(gpt) = gpt_of(head) {
        let lba1 = usize::try_from(gpt.sector).ok()?;
        return head.get(lba1 + 56..lba1 + 72).map(guid_text);
    }
    mbr_entries(head)?;
    let signature = u32_at(head, 440);
    (signature != 0).then(|| format!("{signature:08x}"))
}

fn gpt_of(head: &[u8]) -> Option<Gpt> {
    // A table that is not valid in one size of sectors may be valid in the other.
    let mut sectors = [512, 4096].into_iter();
    sectors.find_map(|sector| Gpt::read(head, sector).ok())
}

/// The offset in bytes of the first partition; none if the head has no valid table, or the table is empty.
pub(super) fn first_offset(head: &[u8], sector: u64) -> Option<u64> {
    let first = match Gpt::read(head, sector) {
        Ok(gpt) => {
            let used = gpt.entries(head).filter(|entry| entry[..16] != [0; 16]);
            used.map(|entry| u64_at(entry, 32)).min()
        }
        Err(_) => {
            let entries = mbr_entries(head)?.into_iter();
            let used = entries.filter(|entry| entry[4] != 0);
            used.map(|entry| u64::from(u32_at(entry, 8))).min()
        }
    };
    first.map(|first| first.saturating_mul(sector))
}

/// Adds a partition of this many bytes, at the end of the disk, to the table in `head`.
pub(super) fn add(
    head: &mut [u8],
    disk: DiskSize,
    bytes: u64,
    guid: [u8; 16],
) -> Result<AddedPartition, PartitionError> {
    let other = if disk.sector == 512 { 4096 } else { 512 };
    match Gpt::read(head, disk.sector) {
        Ok(gpt) => gpt.add(head, disk, bytes, guid),
        Err(PartitionError::NoTable) if Gpt::read(head, other).is_ok() => {
            Err(PartitionError::OtherSectors {
                image: other,
                disk: disk.sector,
            })
        }
        Err(PartitionError::NoTable) => add_to_mbr(head, disk, bytes),
        Err(error) => Err(error),
    }
}

/// The first sector of the partition: the last aligned one such that it ends before sector `end`.
fn first_sector(
    disk: DiskSize,
    bytes: u64,
    end: u64,
    used: u64,
    behind: u64,
) -> Result<u64, PartitionError> {
    let aligned = ALIGNMENT / disk.sector;
    let length = bytes.div_ceil(disk.sector);
    let start = end.saturating_sub(length) / aligned * aligned;
    if start < used || start == 0 {
        let begins = used.div_ceil(aligned).saturating_mul(aligned);
        let need = begins.saturating_add(length + behind);
        return Err(PartitionError::TooSmall {
            need: need.saturating_mul(disk.sector),
            has: disk.bytes,
        });
    }
    Ok(start)
}

/// The fields of a GPT header that are needed here (UEFI 2.10, 5.3.2).
struct Gpt {
    sector: u64,
    size: usize,
    /// The offset of the entries in bytes.
    at: usize,
    count: usize,
    entry: usize,
}

impl Gpt {
    fn read(head: &[u8], sector: u64) -> Result<Gpt, PartitionError> {
        let lba1 = usize::try_from(sector).unwrap_or(usize::MAX);
        let header = head.get(lba1..lba1.saturating_add(92)).unwrap_or_default();
        if !header.starts_with(b"EFI PART") {
            return Err(PartitionError::NoTable);
        }
        let word = |at| u32_at(header, at) as usize;
        let gpt = Gpt {
            sector,
            size: word(12),
            at: usize::try_from(u64_at(header, 72).saturating_mul(sector)).unwrap_or(usize::MAX),
            count: word(80),
            entry: word(84),
        };
        let whole = head.get(lba1..lba1.saturating_add(gpt.size));
        let mut header = match whole {
            Some(header) if gpt.size >= 92 => header.to_vec(),
            _ => return Err(PartitionError::Invalid("the header is too long")),
        };
        let checksum = u32_at(&header, 16);
        header[16..20].fill(0);
        if crc(&header) != checksum {
            return Err(PartitionError::Invalid("wrong checksum of the header"));
        }
        let entries = head.get(gpt.range());
        let entries = entries.filter(|_| gpt.entry >= 128 && gpt.count > 0);
        let entries = entries.ok_or(PartitionError::Invalid("too many entries"))?;
        match crc(entries) == u32_at(&header, 88) {
            true => Ok(gpt),
            false => Err(PartitionError::Invalid("wrong checksum of the entries")),
        }
    }

    fn range(&self) -> std::ops::Range<usize> {
        self.at
            ..self
                .at
                .saturating_add(self.count.saturating_mul(self.entry))
    }

    fn entries<'a>(&self, head: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        head[self.range()].chunks_exact(self.entry)
    }

    fn add(
        self,
        head: &mut [u8],
        disk: DiskSize,
        bytes: u64,
        guid: [u8; 16],
    ) -> Result<AddedPartition, PartitionError> {
        let sectors = disk.bytes / self.sector;
        let entries = (self.range().len() as u64).div_ceil(self.sector);
        let behind = entries + 1;
        let end = sectors.saturating_sub(behind);
        let is_used = |entry: &&[u8]| entry[..16] != [0; 16];
        let ends = self.entries(head).filter(is_used);
        let used = ends.map(|entry| u64_at(entry, 40).saturating_add(1)).max();
        let start = first_sector(disk, bytes, end, used.unwrap_or(0), behind)?;
        let free = self.entries(head).position(|entry| entry[..16] == [0; 16]);
        let at = self.at + free.ok_or(PartitionError::Full)? * self.entry;

        let entry = &mut head[at..at + self.entry];
        entry.fill(0);
        entry[..16].copy_from_slice(&guid_bytes(BASIC_DATA));
        entry[16..32].copy_from_slice(&guid);
        entry[32..40].copy_from_slice(&start.to_le_bytes());
        let last = start + bytes.div_ceil(self.sector) - 1;
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        let name = "cidata".encode_utf16().flat_map(u16::to_le_bytes);
        for (place, byte) in entry[56..].iter_mut().zip(name) {
            *place = byte;
        }
        extend_protective_mbr(head, sectors);

        let list = head[self.range()].to_vec();
        let lba1 = usize::try_from(self.sector).expect("the size of a sector fits");
        let mut header = head[lba1..lba1 + self.size].to_vec();
        header[48..56].copy_from_slice(&(end - 1).to_le_bytes());
        header[88..92].copy_from_slice(&crc(&list).to_le_bytes());
        let entries_at = u64_at(&header, 72);
        let first = header_at(header.clone(), 1, sectors - 1, entries_at);
        head[lba1..lba1 + self.size].copy_from_slice(&first);
        let copy = header_at(header, sectors - 1, 1, end);
        let mut tail = list;
        tail.resize(
            usize::try_from(entries * self.sector).expect("the size of the entries fits"),
            0,
        );
        tail.extend(copy);
        tail.resize(
            usize::try_from(behind * self.sector).expect("the size of the entries fits"),
            0,
        );
        Ok(AddedPartition {
            at: start * self.sector,
            tail,
        })
    }
}

/// A header for sector `own`, with its other copy at sector `other`.
fn header_at(mut header: Vec<u8>, own: u64, other: u64, entries: u64) -> Vec<u8> {
    header[16..20].fill(0);
    header[24..32].copy_from_slice(&own.to_le_bytes());
    header[32..40].copy_from_slice(&other.to_le_bytes());
    header[72..80].copy_from_slice(&entries.to_le_bytes());
    let sum = crc(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    header
}

/// Extends the protective MBR, which must cover the whole disk (UEFI 2.10, 5.2.3).
fn extend_protective_mbr(head: &mut [u8], sectors: u64) {
    let covered = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    let entries = head[446..510].chunks_exact_mut(16);
    for entry in entries.filter(|entry| entry[4] == 0xee && u32_at(entry, 8) == 1) {
        entry[12..16].copy_from_slice(&covered.to_le_bytes());
    }
}

/// The entries of an MBR table; `None` if the sector is another boot sector.
fn mbr_entries(head: &[u8]) -> Option<Vec<&[u8]>> {
    let is_signed = head.get(510..512)? == [0x55, 0xaa];
    let entries: Vec<&[u8]> = head[446..510].chunks_exact(16).collect();
    let is_valid = |entry: &&[u8]| matches!(entry[0], 0 | 0x80);
    let has_one = entries
        .iter()
        .any(|entry| entry[4] != 0 && u32_at(entry, 12) != 0);
    (is_signed && has_one && entries.iter().all(is_valid)).then_some(entries)
}

fn add_to_mbr(
    head: &mut [u8],
    disk: DiskSize,
    bytes: u64,
) -> Result<AddedPartition, PartitionError> {
    let entries = mbr_entries(head).ok_or(PartitionError::NoTable)?;
    let ends = entries.iter().filter(|entry| entry[4] != 0);
    let ends = ends.map(|entry| u64::from(u32_at(entry, 8)) + u64::from(u32_at(entry, 12)));
    let used = ends.max().unwrap_or(0);
    let free = entries.iter().position(|entry| entry[4] == 0);
    // An MBR table has 32 bits for sectors.
    let end = (disk.bytes / disk.sector).min(u64::from(u32::MAX));
    let start = first_sector(disk, bytes, end, used, 0)?;
    let at = 446 + free.ok_or(PartitionError::Full)? * 16;
    let entry = &mut head[at..at + 16];
    entry.fill(0);
    // The CHS address that means "use the sector number instead".
    entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[4] = FAT12;
    entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    let number =
        |sectors: u64| u32::try_from(sectors).expect("the sector number fits into 32 bits");
    entry[8..12].copy_from_slice(&number(start).to_le_bytes());
    entry[12..16].copy_from_slice(&number(bytes.div_ceil(disk.sector)).to_le_bytes());
    Ok(AddedPartition {
        at: start * disk.sector,
        tail: Vec::new(),
    })
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The byte order of a GUID on disk: its first three parts are little-endian (UEFI 2.10, appendix A).
const GUID_BYTE_ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

fn guid_bytes(text: &str) -> [u8; 16] {
    let digits = text.replace('-', "");
    let plain = u128::from_str_radix(&digits, 16)
        .expect("a valid GUID")
        .to_be_bytes();
    GUID_BYTE_ORDER.map(|at| plain[at])
}

fn guid_text(bytes: &[u8]) -> String {
    let hex: String = GUID_BYTE_ORDER
        .iter()
        .map(|at| format!("{:02x}", bytes[*at]))
        .collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

#[cfg(test)]
mod tests;
