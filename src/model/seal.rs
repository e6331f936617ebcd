//! Where a disk has its seal, and how the sector is read and written.
//!
//! An installation leaves a seal on the disk that it has written: one line of text at the end of the first MiB, which partition
//! tables and boot loaders leave unused. Partitions begin behind it, so partitioning the disk again does not change it. A seal
//! shows that a disk was installed, even to a server that has lost its journal.

/// The offset of the seal on a disk in bytes. It is a multiple of 4,096, the largest sector size of disks, and in front of the
/// first partition if that is aligned to 1 MiB. GRUB's core image, which an MBR disk has in front of its partitions, ends below
/// 480 KiB (GRUB's `GRUB_KERNEL_I386_PC_MAXSIZE`).
pub const SEAL_OFFSET: u64 = (1 << 20) - 4_096;

/// The smallest offset in bytes of the first partition of a disk that can have a seal.
pub const SEALED_FROM: u64 = 1 << 20;

/// The size of a seal in bytes.
pub const SEAL_BYTES: usize = 512;

/// The beginning of every seal. Its version follows.
pub const SEAL_MAGIC: &str = "bootwright-seal/";

/// The longest text of a seal, in characters: shorter than what a report of the microkernel may contain.
pub const MAX_SEAL_CHARS: usize = 255;

/// Returns the text of the seal in a sector, valid or not; none if the sector contains no seal. Bytes that no seal has are `?`.
pub fn seal_text(sector: &[u8]) -> Option<String> {
    sector.strip_prefix(SEAL_MAGIC.as_bytes())?;
    let text = sector.split(|byte| matches!(byte, 0 | b'\n')).next()?;
    let plain = |byte: &u8| if is_plain(*byte) { *byte as char } else { '?' };
    Some(text.iter().take(MAX_SEAL_CHARS).map(plain).collect())
}

/// Whether a seal may contain this byte: one that needs no encoding in a path of a URL (RFC 3986, `pchar` without `%` and
/// sub-delimiters, and `/`).
pub fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte)
}

/// Returns the sector with a seal's text.
pub fn seal_sector(text: &str) -> [u8; SEAL_BYTES] {
    let mut sector = [0; SEAL_BYTES];
    for (place, byte) in sector.iter_mut().zip(text.bytes().chain([b'\n'])) {
        *place = byte;
    }
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sector_has_the_text_that_was_written() {
        let text = "bootwright-seal/1/site/00ff/db1/1/2026-11-22T13:00:00.000Z/ab";
        assert_eq!(seal_text(&seal_sector(text)).as_deref(), Some(text));
    }

    #[test]
    fn other_sectors_have_no_seal_and_damaged_ones_have_plain_text() {
        let cases: [(&[u8], Option<&str>); 7] = [
            (b"", None),
            (&[0; 512], None),
            (b"bootwright-sea", None),
            (b"Bootwright-seal/1/", None),
            (b"bootwright-seal/", Some("bootwright-seal/")),
            (
                b"bootwright-seal/2/\x1b[31m$(reboot)'\"\0rest",
                Some("bootwright-seal/2/??31m??reboot???"),
            ),
            (b"bootwright-seal/1\nmore", Some("bootwright-seal/1")),
        ];
        for (sector, expected) in cases {
            assert_eq!(seal_text(sector).as_deref(), expected, "{sector:?}");
        }
        let long = [SEAL_MAGIC.as_bytes(), &[b'x'; 600]].concat();
        assert_eq!(seal_text(&long).unwrap().len(), MAX_SEAL_CHARS);
    }
}
