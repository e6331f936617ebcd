//! Tests with tables in memory.

use super::*;

const MIB: u64 = 1 << 20;
const SEED: u64 = 4 * MIB;

/// A GPT entry: type, first sector, last sector.
type TableEntry<'a> = (&'a str, u64, u64);

const LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";
const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

/// The head of a disk with a GPT of 128 entries, with these partitions by number.
fn gpt(sector: usize, parts: &[(usize, TableEntry<'_>)]) -> Vec<u8> {
    let mut head = vec![0; HEAD];
    head[446 + 4] = 0xee;
    head[446 + 8..446 + 12].copy_from_slice(&1_u32.to_le_bytes());
    head[446 + 12..446 + 16].copy_from_slice(&0x1000_u32.to_le_bytes());
    head[510..512].copy_from_slice(&[0x55, 0xaa]);
    let entries = 2 * sector;
    for (number, (kind, first, last)) in parts {
        let at = entries + (number - 1) * 128;
        head[at..at + 16].copy_from_slice(&guid_bytes(kind));
        head[at + 16..at + 32].fill(u8::try_from(*number).unwrap());
        head[at + 32..at + 40].copy_from_slice(&first.to_le_bytes());
        head[at + 40..at + 48].copy_from_slice(&last.to_le_bytes());
    }
    let mut header = vec![0; 92];
    header[..8].copy_from_slice(b"EFI PART");
    header[8..12].copy_from_slice(&[0, 0, 1, 0]);
    header[12..16].copy_from_slice(&92_u32.to_le_bytes());
    header[40..48].copy_from_slice(&34_u64.to_le_bytes());
    header[48..56].copy_from_slice(&0x0fde_u64.to_le_bytes());
    header[56..72].fill(7);
    header[80..84].copy_from_slice(&128_u32.to_le_bytes());
    header[84..88].copy_from_slice(&128_u32.to_le_bytes());
    let sum = crc(&head[entries..entries + 128 * 128]);
    header[88..92].copy_from_slice(&sum.to_le_bytes());
    let header = header_at(header, 1, 0x0fff, 2);
    head[sector..sector + 92].copy_from_slice(&header);
    head
}

fn mbr(parts: &[(u8, u32, u32)]) -> Vec<u8> {
    let mut head = vec![0; HEAD];
    for (at, (kind, first, length)) in parts.iter().enumerate() {
        let at = 446 + at * 16;
        head[at + 4] = *kind;
        head[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        head[at + 12..at + 16].copy_from_slice(&length.to_le_bytes());
    }
    head[510..512].copy_from_slice(&[0x55, 0xaa]);
    head
}

fn size(mib: u64, sector: u64) -> DiskSize {
    DiskSize {
        bytes: mib * MIB,
        sector,
    }
}

#[test]
fn a_partition_is_added_and_the_others_keep_their_numbers() {
    for sector in [512, 4096] {
        let mib = MIB / sector;
        let parts = [
            (1, (LINUX, 2 * mib, 20 * mib - 1)),
            (14, (ESP, mib, 2 * mib - 1)),
        ];
        let before = gpt(usize::try_from(sector).unwrap(), &parts);
        let mut head = before.clone();
        let disk = size(100, sector);
        let added = add(&mut head, disk, SEED, [9; 16]).unwrap();
        // The copy of the table uses part of the last MiB, so the partition ends one MiB earlier.
        assert_eq!(added.at, 95 * MIB);

        let table = Gpt::read(&head, sector).expect("the table is valid");
        let entries: Vec<&[u8]> = table.entries(&head).collect();
        let old = Gpt::read(&before, sector).unwrap();
        for (number, (now, then)) in entries.iter().zip(old.entries(&before)).enumerate() {
            assert!(number == 1 || *now == then, "entry {number} is unchanged");
        }
        assert_eq!(guid_text(&entries[1][..16]), BASIC_DATA);
        assert_eq!(entries[1][16..32], [9; 16]);
        assert_eq!(u64_at(entries[1], 32) * sector, 95 * MIB);
        assert_eq!((u64_at(entries[1], 40) + 1) * sector, 99 * MIB);

        // The copy at the end has its entries before its header, and each header has the sector of the other.
        let sectors = disk.bytes / sector;
        let header = &head[usize::try_from(sector).unwrap()..];
        let copy = &added.tail[added.tail.len() - usize::try_from(sector).unwrap()..];
        assert_eq!((u64_at(header, 24), u64_at(header, 32)), (1, sectors - 1));
        assert_eq!((u64_at(copy, 24), u64_at(copy, 32)), (sectors - 1, 1));
        let behind = added.tail.len() as u64 / sector;
        assert_eq!(u64_at(copy, 72), sectors - behind);
        assert_eq!(added.tail[..128 * 128], head[table.range()]);
        assert_eq!(u64_at(header, 48), sectors - behind - 1);
        let mut plain = copy[..92].to_vec();
        plain[16..20].fill(0);
        assert_eq!(crc(&plain), u32_at(copy, 16));
        assert_eq!(
            u32_at(&head[446..], 12),
            u32::try_from(sectors - 1).unwrap()
        );
    }
}

#[test]
fn an_mbr_table_gets_an_entry() {
    let before = mbr(&[(0x83, 2048, 40960)]);
    let mut head = before.clone();
    let added = add(&mut head, size(100, 512), SEED, [9; 16]).unwrap();
    assert_eq!((added.at, added.tail.len()), (96 * MIB, 0));
    assert_eq!(head[..462], before[..462]);
    let entry = &head[462..478];
    assert_eq!((entry[0], entry[4]), (0, FAT12));
    assert_eq!((u32_at(entry, 8), u32_at(entry, 12)), (96 * 2048, 4 * 2048));
    assert_eq!(head[478..], before[478..]);
    // A disk larger than an MBR table can address.
    let mut head = before;
    let added = add(&mut head, size(4 << 20, 512), SEED, [9; 16]).unwrap();
    assert_eq!(added.at, (2 << 20) * MIB - 5 * MIB);
}

#[test]
fn without_room_there_is_an_error_and_no_change() {
    let mib = 2048;
    let full: Vec<(usize, TableEntry<'_>)> = (1..=128)
        .map(|number| (number, (LINUX, 2048 + number as u64, 2048 + number as u64)))
        .collect();
    let mut broken = gpt(512, &[(1, (LINUX, mib, 2 * mib))]);
    broken[1024 + 40] ^= 1;
    let mut header = gpt(512, &[(1, (LINUX, mib, 2 * mib))]);
    header[512 + 48] ^= 1;
    let mut long = gpt(512, &[]);
    long[512 + 12..512 + 16].fill(0xff);
    // A file system without a table: its boot sector has the same signature.
    let mut fat = vec![0; HEAD];
    fat[..16].copy_from_slice(b"\xeb\x3c\x90mkfs.fat\0\x02\x04\x01\0");
    fat[446..510].fill(0x20);
    fat[510..512].copy_from_slice(&[0x55, 0xaa]);
    let cases = [
        ("nothing", vec![0; HEAD], PartitionError::NoTable),
        ("a file system", fat, PartitionError::NoTable),
        ("signed, and empty", mbr(&[]), PartitionError::NoTable),
        (
            "other sectors",
            gpt(4096, &[(1, (LINUX, 256, 512))]),
            PartitionError::OtherSectors {
                image: 4096,
                disk: 512,
            },
        ),
        (
            "entries",
            broken,
            PartitionError::Invalid("wrong checksum of the entries"),
        ),
        (
            "header",
            header,
            PartitionError::Invalid("wrong checksum of the header"),
        ),
        (
            "header's length",
            long,
            PartitionError::Invalid("the header is too long"),
        ),
        ("full", gpt(512, &full), PartitionError::Full),
        (
            "full, MBR",
            mbr(&[
                (0x83, 2048, 8),
                (0x83, 4096, 8),
                (0x83, 6144, 8),
                (0x83, 8192, 8),
            ]),
            PartitionError::Full,
        ),
        (
            "too small",
            gpt(512, &[(1, (LINUX, mib, 96 * mib - 1))]),
            PartitionError::TooSmall {
                need: 100 * MIB + 33 * 512,
                has: 100 * MIB,
            },
        ),
        (
            "too small, MBR",
            mbr(&[(0x83, 2048, 97 * 2048)]),
            PartitionError::TooSmall {
                need: 102 * MIB,
                has: 100 * MIB,
            },
        ),
    ];
    for (what, head, expected) in cases {
        let mut changed = head.clone();
        let found = add(&mut changed, size(100, 512), SEED, [9; 16]);
        assert_eq!(found, Err(expected), "{what}");
        assert!(changed == head, "{what}");
    }
}

#[test]
fn the_first_partition_is_found_in_any_entry() {
    let parts = [(1, (LINUX, 8_192, 9_000)), (14, (ESP, 2_048, 8_191))];
    assert_eq!(first_offset(&gpt(512, &parts), 512), Some(MIB));
    assert_eq!(
        first_offset(&gpt(4096, &[(1, (LINUX, 256, 500))]), 4096),
        Some(MIB)
    );
    assert_eq!(
        first_offset(&gpt(512, &[(1, (LINUX, 34, 500))]), 512),
        Some(34 * 512)
    );
    assert_eq!(
        first_offset(&mbr(&[(0x83, 4_096, 9), (0x83, 63, 9)]), 512),
        Some(63 * 512)
    );
    assert_eq!(first_offset(&gpt(512, &[]), 512), None);
    assert_eq!(first_offset(&vec![0; HEAD], 512), None);
}

#[test]
fn storage_systems_are_found_by_the_types_of_their_partitions() {
    for system in STORAGE_SYSTEMS {
        for kind in system.gpt {
            for sector in [512, 4096] {
                let head = gpt(sector, &[(3, (kind, 2048, 4096))]);
                assert_eq!(storage_systems(&head), [system], "{kind}");
            }
        }
        if let Some(kind) = system.mbr {
            let head = mbr(&[(0x83, 2048, 8), (kind, 4096, 8)]);
            assert_eq!(storage_systems(&head), [system], "{kind:#x}");
        }
    }
    for head in [
        vec![0; HEAD],
        gpt(512, &[(1, (LINUX, 2048, 4096)), (2, (ESP, 8192, 9000))]),
        mbr(&[(0x83, 2048, 8)]),
    ] {
        assert_eq!(storage_systems(&head), []);
    }
}

#[test]
fn a_partition_table_has_an_identifier() {
    let guid = "07070707-0707-0707-0707-070707070707".to_owned();
    for sector in [512, 4096] {
        let head = gpt(sector, &[(1, (LINUX, 2048, 4096))]);
        assert_eq!(table_id(&head), Some(guid.clone()));
    }
    let mut head = mbr(&[(0x83, 2048, 8)]);
    assert_eq!(table_id(&head), None);
    head[440..444].copy_from_slice(&0xfeed_cafe_u32.to_le_bytes());
    assert_eq!(table_id(&head), Some("feedcafe".into()));
    assert_eq!(table_id(&vec![0; HEAD]), None);
}

#[test]
fn a_guid_is_converted_to_its_byte_order_on_disk() {
    let bytes = guid_bytes(ESP);
    assert_eq!(bytes[..4], [0x28, 0x73, 0x2a, 0xc1]);
    assert_eq!(guid_text(&bytes), ESP);
}

proptest::proptest! {
    /// With any table, either an error is returned, or the new partition is after all others and within the disk.
    #[test]
    fn the_partition_is_after_all_others_and_within_the_disk(
        parts in proptest::collection::vec((0_u64..4000, 0_u64..=u64::MAX), 0..6),
        changes in proptest::collection::vec((0_usize..2048, 0_u8..=255), 0..4),
        mib in 1_u64..40,
        sector in proptest::sample::select(vec![512_u64, 4096]),
    ) {
        let parts: Vec<(usize, TableEntry<'_>)> = parts
            .iter()
            .enumerate()
            .map(|(at, (first, last))| (at + 1, (LINUX, *first, *last)))
            .collect();
        let mut head = gpt(usize::try_from(sector).unwrap(), &parts);
        for (at, byte) in changes {
            head[at] = byte;
        }
        let disk = size(mib, sector);
        if let Ok(added) = add(&mut head, disk, SEED, [9; 16]) {
            proptest::prop_assert!(added.at > 0 && added.at % MIB == 0);
            proptest::prop_assert!(added.at + SEED + added.tail.len() as u64 <= disk.bytes);
            for (_, (_, _, last)) in parts {
                proptest::prop_assert!(last < added.at / sector || Gpt::read(&head, sector).is_err());
            }
        }
    }

    #[test]
    fn any_bytes_are_handled_without_a_panic(head in proptest::collection::vec(0_u8..=255, 0..4096)) {
        storage_systems(&head);
        let mut whole = head;
        whole.resize(HEAD, 0);
        whole[510..512].copy_from_slice(&[0x55, 0xaa]);
        storage_systems(&whole);
        table_id(&whole);
        drop(add(&mut whole, size(9, 512), SEED, [9; 16]));
    }
}
