//! Tests with disks in memory.

use std::io::Cursor;

use super::*;

const MIB: u64 = 1 << 20;

/// A disk that records its head at each sync, and can fail from a given write on.
#[derive(Debug)]
struct MemoryDisk {
    bytes: Cursor<Vec<u8>>,
    synced: Vec<Vec<u8>>,
    writes: usize,
    fails_at: usize,
}

impl MemoryDisk {
    /// A disk with an older system.
    fn old(mib: u64) -> MemoryDisk {
        MemoryDisk {
            bytes: Cursor::new(vec![0xdd; usize::try_from(mib * MIB).unwrap()]),
            synced: Vec::new(),
            writes: 0,
            fails_at: usize::MAX,
        }
    }

    fn head(&self) -> &[u8] {
        &self.bytes.get_ref()[..HEAD]
    }
}

impl Read for MemoryDisk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl Seek for MemoryDisk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

impl Write for MemoryDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        if self.writes >= self.fails_at {
            return Err(io::Error::other("a bad sector"));
        }
        let left = self.bytes.get_ref().len() as u64 - self.bytes.position();
        assert!(bytes.len() as u64 <= left, "written behind the end");
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Device for MemoryDisk {
    fn sync(&mut self) -> io::Result<()> {
        self.synced.push(self.head().to_vec());
        Ok(())
    }
}

/// An image of this size in MiB with one partition in an MBR table.
fn image(mib: u64) -> Vec<u8> {
    let length = usize::try_from(mib * MIB).unwrap();
    let mut image: Vec<u8> = (0..length).map(|at| (at / 4096 % 251) as u8).collect();
    image[446..510].fill(0);
    image[450] = 0x83;
    image[454..458].copy_from_slice(&2048_u32.to_le_bytes());
    image[458..462].copy_from_slice(&u32::try_from((mib - 1) * 2048).unwrap().to_le_bytes());
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image
}

fn source(packed: &[u8]) -> ImageSource<&[u8]> {
    let sum = hex(&Sha256::digest(packed));
    ImageSource {
        packed,
        checksum: Checksum::Sha256(sum),
        seed: vec![0x5e; usize::try_from(4 * MIB).unwrap()],
        guid: [9; 16],
        seal: None,
        other_tables: BTreeMap::new(),
    }
}

fn size(disk: &MemoryDisk) -> DiskSize {
    DiskSize {
        bytes: disk.bytes.get_ref().len() as u64,
        sector: 512,
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn the_whole_image_is_written_and_the_seed_after_it() {
    let image = image(3);
    for packed in [image.clone(), gzipped(&image)] {
        let mut disk = MemoryDisk::old(9);
        let mut progress = Vec::new();
        let size = size(&disk);
        let written = write(source(&packed), size, &mut disk, |at| progress.push(at));
        assert_eq!(written.unwrap().bytes, 3 * MIB);
        let bytes = disk.bytes.get_ref();
        let end = usize::try_from(3 * MIB).unwrap();
        assert_eq!(bytes[..446], image[..446]);
        assert!(bytes[HEAD..end] == image[HEAD..]);
        assert_eq!(&bytes[462..478][4..5], &[1], "the seed's partition");
        let seed = usize::try_from(5 * MIB).unwrap();
        assert!(bytes[seed..].iter().all(|byte| *byte == 0x5e));
        assert!(
            bytes[end..seed].iter().all(|byte| *byte == 0xdd),
            "bytes after the image are unchanged"
        );
        assert_eq!(progress.last(), Some(&(3 * MIB)));
        assert!(progress.is_sorted());
        // The head was zeros until everything else was on the disk.
        let (last, before) = disk.synced.split_last().unwrap();
        assert!(before.iter().all(|head| head.iter().all(|byte| *byte == 0)));
        assert!(last == disk.head());
    }
}

#[test]
fn an_unusable_image_leaves_the_disk_unchanged() {
    let mut no_table = image(3);
    no_table[..512].fill(0);
    let qcow = [b"QFI\xfb".as_slice(), &[0; 4096]].concat();
    let cases = [
        ("nothing", Vec::new()),
        ("short", image(3)[..HEAD / 2].to_vec()),
        ("no table", no_table),
        ("another kind", qcow),
        ("too large for its seed", image(6)),
        (
            "packed, and broken at once",
            gzipped(&image(3))[..20].to_vec(),
        ),
    ];
    for (what, packed) in cases {
        let mut disk = MemoryDisk::old(9);
        let size = size(&disk);
        let failure = write(source(&packed), size, &mut disk, |_| {});
        assert!(failure.is_err(), "{what}");
        assert_eq!(disk.writes, 0, "{what}");
    }
}

#[test]
fn an_incomplete_image_does_not_boot() {
    let whole = image(3);
    let packed = gzipped(&whole);
    let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let mut behind = whole.clone();
    behind.extend(vec![1; usize::try_from(7 * MIB).unwrap()]);
    let of = |expected: &[u8], packed: Vec<u8>| (hex(&Sha256::digest(expected)), packed);
    let cases = [
        (
            "cut short",
            of(&whole, cut(&whole)),
            "the image has a wrong checksum",
        ),
        (
            "packed and cut short",
            of(&packed, cut(&packed)),
            "the image is incomplete after",
        ),
        (
            "another image",
            of(b"another", whole.clone()),
            "the image has a wrong checksum",
        ),
        (
            "larger than the disk",
            of(&behind, behind.clone()),
            "larger than the disk",
        ),
        (
            "with something behind its end",
            of(&packed, [packed.as_slice(), b"\0\0\0\0"].concat()),
            "the image is incomplete after",
        ),
    ];
    for (what, (sum, packed), expected) in cases {
        let mut disk = MemoryDisk::old(9);
        let source = ImageSource {
            checksum: Checksum::Sha256(sum),
            ..source(&packed)
        };
        let size = size(&disk);
        let failure = write(source, size, &mut disk, |_| {})
            .unwrap_err()
            .to_string();
        assert!(failure.contains(expected), "{what}: {failure}");
        assert!(disk.head().iter().all(|byte| *byte == 0), "{what}");
        let end = disk.bytes.get_ref().len() - HEAD;
        let is_clear = disk.bytes.get_ref()[end..].iter().all(|byte| *byte != 0xdd);
        assert!(is_clear, "{what}: the copy of an older table is removed");
    }
}

#[test]
fn a_disk_that_fails_at_any_write_does_not_boot() {
    let image = image(3);
    let mut whole = MemoryDisk::old(9);
    let size = size(&whole);
    write(source(&image), size, &mut whole, |_| {}).unwrap();
    for fails_at in 3..=whole.writes {
        let mut disk = MemoryDisk::old(9);
        disk.fails_at = fails_at;
        let failure = write(source(&image), size, &mut disk, |_| {}).unwrap_err();
        assert!(matches!(failure, WriteError::Disk(_)), "{failure}");
        assert!(
            disk.head().iter().all(|byte| *byte == 0),
            "write {fails_at}"
        );
    }
}

#[test]
fn both_checksums_are_supported() {
    let image = image(3);
    let mut disk = MemoryDisk::old(9);
    let sum = |bytes: &[u8]| Checksum::Sha512(hex(&Sha512::digest(bytes)));
    let right = ImageSource {
        checksum: sum(&image),
        ..source(&image)
    };
    let size = size(&disk);
    assert!(write(right, size, &mut disk, |_| {}).is_ok());
    let wrong = ImageSource {
        checksum: sum(b"another"),
        ..source(&image)
    };
    let failure = write(wrong, size, &mut disk, |_| {}).unwrap_err();
    assert!(matches!(failure, WriteError::Checksum { .. }), "{failure}");
}

#[test]
fn the_seal_is_written_with_the_head_if_the_image_leaves_room_for_it() {
    let text = "bootwright-seal/1/5f0c/00000000000000ab/db1/1/2026-11-22T12:00:00.000Z/00";
    let at = usize::try_from(SEAL_OFFSET).unwrap();
    let place = at..at + SEAL_BYTES;
    let free = || {
        let mut image = image(3);
        image[place.clone()].fill(0);
        image
    };
    let sealed_before = || {
        let mut image = free();
        image[place.clone()].copy_from_slice(&seal_sector("bootwright-seal/1/old"));
        image
    };
    let early = || {
        let mut image = free();
        image[454..458].copy_from_slice(&63_u32.to_le_bytes());
        image
    };
    let cases = [
        (free(), None),
        (sealed_before(), None),
        (image(3), Some("the image has data in its place")),
        (early(), Some("a partition begins before 1 MiB")),
    ];
    for (image, unsealed) in cases {
        let mut disk = MemoryDisk::old(9);
        let source = ImageSource {
            seal: Some(text.into()),
            ..source(&image)
        };
        let size = size(&disk);
        let written = write(source, size, &mut disk, |_| {}).unwrap();
        assert_eq!(written.unsealed, unsealed);
        let found = seal_text(&disk.head()[place.clone()]);
        assert_eq!(found.as_deref(), unsealed.is_none().then_some(text));
        assert!(
            disk.head()[512..at] == image[512..at],
            "nothing else changes"
        );
        let (last, before) = disk.synced.split_last().unwrap();
        assert!(
            before
                .iter()
                .all(|head| seal_text(&head[place.clone()]).is_none())
        );
        assert!(last == disk.head());
    }
}

#[test]
fn an_image_is_not_written_beside_a_disk_with_the_same_identifier() {
    let mut image = image(3);
    image[440..444].copy_from_slice(b"MBR1");
    let table = partitions::table_id(&image).expect("the image has a table");
    let mut disk = MemoryDisk::old(9);
    let before = disk.bytes.get_ref().clone();
    let source = ImageSource {
        other_tables: BTreeMap::from([(table, "/dev/sdb".into())]),
        ..source(&image)
    };
    let size = size(&disk);
    let error = write(source, size, &mut disk, |_| {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/dev/sdb has the same partition table identifier as the image: the system could start from either disk; clear /dev/sdb by hand first"
    );
    assert!(disk.bytes.get_ref() == &before, "nothing is written");
}
