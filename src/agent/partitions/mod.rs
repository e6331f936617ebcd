//! Partition tables: whether one holds what others need, and a place for one more partition at the end of a disk.
//!
//! A table is changed in nothing but that entry, what says where the disk ends, and the checksums: partitions keep their numbers.

/// So many bytes at a disk's beginning hold its table.
pub(super) const HEAD: usize = 1 << 20;

/// Partitions begin at multiples of this.
const ALIGNED: u64 = 1 << 20;

/// Types of partitions that belong to a hypervisor, a pool or an array, as GPT has them (UEFI 2.10, 5.3.3).
const OTHERS: [&str; 6] = [
    // VMFS, VMware's virtual SAN, ZFS (by FreeBSD, and as Solaris' `usr`), Linux RAID, and OpenZFS' reserved part.
    "aa31e02a-400f-11db-9590-000c2911d1b8",
    "381cfccc-7288-11e0-92ee-000c2911d0b2",
    "516e7cba-6ecf-11d6-8ff8-00022d09712b",
    "6a898cc3-1dd2-11b2-99a6-080020736631",
    "a19d880f-05fc-4d3b-a006-743f0f84911e",
    "6a945a3b-1dd2-11b2-99a6-080020736631",
];
/// The same as a table of the old kind has them: VMFS, Linux RAID.
const OTHERS_DOS: [u8; 2] = [0xfb, 0xfd];

/// Basic data, which any system reads.
const BASIC_DATA: &str = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7";
/// FAT12, in a table of the old kind.
const FAT12: u8 = 0x01;

/// Why there is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PartitionError {
    #[error("the image has no partition table, so there is no place for its seed")]
    NoTable,
    #[error("the image is made for disks with sectors of {image} bytes, and this one has {disk}")]
    OtherSectors { image: u64, disk: u64 },
    #[error("the image's partition table is broken: {0}")]
    Broken(&'static str),
    #[error("the image's partition table has no free entry for its seed")]
    Full,
    #[error(
        "the disk is too small for the image and its seed: {need} bytes are needed, it has {has}"
    )]
    TooSmall { need: u64, has: u64 },
}

/// A disk that a table is to fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskSize {
    pub(super) bytes: u64,
    pub(super) sector: u64,
}

/// A partition that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedPartition {
    /// Where it begins, in bytes.
    pub(super) at: u64,
    /// What belongs to the very end of the disk: the table's copy.
    pub(super) tail: Vec<u8>,
}

/// Whether the table at the head of a disk names partitions that others need.
pub(super) fn has_others(head: &[u8]) -> bool {
    let gpt = [512, 4096]
        .into_iter()
        .find_map(|sector| Gpt::read(head, sector).ok());
    match gpt {
        Some(gpt) => {
            let mut types = gpt.entries(head).map(|entry| guid_text(&entry[..16]));
            types.any(|kind| OTHERS.contains(&kind.as_str()))
        }
        None => dos_entries(head).is_some_and(|entries| {
            let mut entries = entries.iter();
            entries.any(|entry| OTHERS_DOS.contains(&entry[4]))
        }),
    }
}

/// Adds a partition of so many bytes at the end of the disk to the table in `head`.
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
        Err(PartitionError::NoTable) => add_to_dos(head, disk, bytes),
        Err(broken) => Err(broken),
    }
}

/// Where the partition begins, in sectors: as far behind as it fits before sector `end`.
fn place(
    disk: DiskSize,
    bytes: u64,
    end: u64,
    used: u64,
    behind: u64,
) -> Result<u64, PartitionError> {
    let aligned = ALIGNED / disk.sector;
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

/// The header of a GUID partition table (UEFI 2.10, 5.3.2), as far as it is needed here.
struct Gpt {
    sector: u64,
    size: usize,
    /// Where the entries are, in bytes.
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
            _ => return Err(PartitionError::Broken("its header is too long")),
        };
        let told = u32_at(&header, 16);
        header[16..20].fill(0);
        if crc(&header) != told {
            return Err(PartitionError::Broken("its header's checksum is wrong"));
        }
        let entries = head.get(gpt.range());
        let entries = entries.filter(|_| gpt.entry >= 128 && gpt.count > 0);
        let entries = entries.ok_or(PartitionError::Broken("its entries are too many"))?;
        match crc(entries) == u32_at(&header, 88) {
            true => Ok(gpt),
            false => Err(PartitionError::Broken("its entries' checksum is wrong")),
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
        let start = place(disk, bytes, end, used.unwrap_or(0), behind)?;
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
        protect(head, sectors);

        let list = head[self.range()].to_vec();
        let lba1 = usize::try_from(self.sector).expect("a sector is small");
        let mut header = head[lba1..lba1 + self.size].to_vec();
        header[48..56].copy_from_slice(&(end - 1).to_le_bytes());
        header[88..92].copy_from_slice(&crc(&list).to_le_bytes());
        let entries_at = u64_at(&header, 72);
        let first = located(header.clone(), 1, sectors - 1, entries_at);
        head[lba1..lba1 + self.size].copy_from_slice(&first);
        let copy = located(header, sectors - 1, 1, end);
        let mut tail = list;
        tail.resize(
            usize::try_from(entries * self.sector).expect("entries are few"),
            0,
        );
        tail.extend(copy);
        tail.resize(
            usize::try_from(behind * self.sector).expect("entries are few"),
            0,
        );
        Ok(AddedPartition {
            at: start * self.sector,
            tail,
        })
    }
}

/// A header that lies at `own`, with its other copy at `other`.
fn located(mut header: Vec<u8>, own: u64, other: u64, entries: u64) -> Vec<u8> {
    header[16..20].fill(0);
    header[24..32].copy_from_slice(&own.to_le_bytes());
    header[32..40].copy_from_slice(&other.to_le_bytes());
    header[72..80].copy_from_slice(&entries.to_le_bytes());
    let sum = crc(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    header
}

/// The old kind of table before a GUID partition table covers the whole disk (UEFI 2.10, 5.2.3).
fn protect(head: &mut [u8], sectors: u64) {
    let covered = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    let entries = head[446..510].chunks_exact_mut(16);
    for entry in entries.filter(|entry| entry[4] == 0xee && u32_at(entry, 8) == 1) {
        entry[12..16].copy_from_slice(&covered.to_le_bytes());
    }
}

/// The entries of a table of the old kind; none where a boot sector of something else lies.
fn dos_entries(head: &[u8]) -> Option<Vec<&[u8]>> {
    let is_signed = head.get(510..512)? == [0x55, 0xaa];
    let entries: Vec<&[u8]> = head[446..510].chunks_exact(16).collect();
    let is_sound = |entry: &&[u8]| matches!(entry[0], 0 | 0x80);
    let has_one = entries
        .iter()
        .any(|entry| entry[4] != 0 && u32_at(entry, 12) != 0);
    (is_signed && has_one && entries.iter().all(is_sound)).then_some(entries)
}

fn add_to_dos(
    head: &mut [u8],
    disk: DiskSize,
    bytes: u64,
) -> Result<AddedPartition, PartitionError> {
    let entries = dos_entries(head).ok_or(PartitionError::NoTable)?;
    let ends = entries.iter().filter(|entry| entry[4] != 0);
    let ends = ends.map(|entry| u64::from(u32_at(entry, 8)) + u64::from(u32_at(entry, 12)));
    let used = ends.max().unwrap_or(0);
    let free = entries.iter().position(|entry| entry[4] == 0);
    // Such a table counts to 2^32 sectors.
    let end = (disk.bytes / disk.sector).min(u64::from(u32::MAX));
    let start = place(disk, bytes, end, used, 0)?;
    let at = 446 + free.ok_or(PartitionError::Full)? * 16;
    let entry = &mut head[at..at + 16];
    entry.fill(0);
    // Cylinders, heads and sectors that say: look at the sector's number.
    entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[4] = FAT12;
    entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    let number = |sectors: u64| u32::try_from(sectors).expect("it is within the table's reach");
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

/// A GUID as a disk holds it: its first three parts little-endian (UEFI 2.10, appendix A).
const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

fn guid_bytes(text: &str) -> [u8; 16] {
    let digits = text.replace('-', "");
    let plain = u128::from_str_radix(&digits, 16)
        .expect("a GUID of ours")
        .to_be_bytes();
    ORDER.map(|at| plain[at])
}

fn guid_text(bytes: &[u8]) -> String {
    let hex: String = ORDER
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
