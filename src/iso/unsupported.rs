//! Files that are no image that can be served, told by how they begin.

/// So many bytes tell.
pub(super) const HEAD: usize = 64 << 10;

/// Tells what a file is that has no ISO 9660 descriptor, by its first bytes.
pub(super) fn what(head: &[u8]) -> Option<&'static str> {
    let begins = |magic: &[u8]| head.starts_with(magic);
    let known: [(&[u8], &str); 13] = [
        (
            b"LUKS\xba\xbe",
            "an encrypted (LUKS) volume: decrypt it first",
        ),
        (b"Salted__", "encrypted (openssl enc): decrypt it first"),
        (b"age-encryption.org/", "encrypted (age): decrypt it first"),
        (
            b"-----BEGIN PGP MESSAGE",
            "encrypted (PGP): decrypt it first",
        ),
        (
            b"-----BEGIN AGE ENCRYPTED",
            "encrypted (age): decrypt it first",
        ),
        (b"\x1f\x8b", "compressed by gzip: unpack it first"),
        (b"\xfd7zXZ\0", "compressed by xz: unpack it first"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first"),
        (b"BZh", "compressed by bzip2: unpack it first"),
        (b"PK\x03\x04", "a ZIP archive: unpack it first"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
        (b"QFI\xfb", "a disk image (qcow2) and no ISO image"),
        (b"<", "a web page or XML: the download went wrong"),
    ];
    let by_magic = known.into_iter().find(|(magic, _)| begins(magic));
    let by_magic = by_magic.map(|(_, what)| what);
    by_magic.or_else(|| match has_udf(head) {
        true => Some("an image with UDF alone, and UDF is not read"),
        false => None,
    })
}

/// Tells whether the volume recognition sequence names UDF (ECMA-167 2/9, 3/9.1): from byte 32,768 on, a descriptor in
/// every 2,048.
pub(super) fn has_udf(head: &[u8]) -> bool {
    let sequence = head.get(32_768..).unwrap_or_default();
    sequence
        .chunks(2_048)
        .any(|sector| matches!(sector.get(1..6), Some(b"NSR02" | b"NSR03")))
}
