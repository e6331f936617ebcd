//! Recognises files that are not ISO 9660 images by their first bytes.

/// How many bytes are needed.
pub(super) const HEAD: usize = 64 << 10;

/// Describes a file without an ISO 9660 descriptor, as the continuation of "it is …".
pub(super) fn description(head: &[u8]) -> Option<&'static str> {
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
        (b"QFI\xfb", "a disk image (qcow2), not an ISO image"),
        (b"<", "a web page or XML: the download failed"),
    ];
    let by_magic = known.into_iter().find(|(magic, _)| begins(magic));
    let by_magic = by_magic.map(|(_, description)| description);
    by_magic.or_else(|| match has_udf(head) {
        true => Some("an image with only UDF, which is not supported"),
        false => None,
    })
}

/// Whether the volume recognition sequence announces UDF (ECMA-167 2/9, 3/9.1): from byte 32,768 on, one descriptor in every
/// 2,048 bytes.
pub(super) fn has_udf(head: &[u8]) -> bool {
    let sequence = head.get(32_768..).unwrap_or_default();
    sequence
        .chunks(2_048)
        .any(|sector| matches!(sector.get(1..6), Some(b"NSR02" | b"NSR03")))
}
