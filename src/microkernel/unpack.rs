//! Files that a distribution compressed.

use std::{fs, io::Read, path::Path};

use anyhow::{Context, Result};

/// The longest file that is unpacked, in bytes: far more than any module or firmware has.
const LONGEST: u64 = 256 << 20;

/// How a compressed file's name may end.
pub(super) const ENDINGS: [&str; 4] = ["", ".xz", ".zst", ".gz"];

/// What is in a file, unpacked by its name's ending.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    unpacked(&bytes, &ending).with_context(|| format!("cannot unpack `{}`", path.display()))
}

fn unpacked(bytes: &[u8], ending: &str) -> Result<Vec<u8>> {
    let reader: Box<dyn Read> = match ending {
        "xz" => Box::new(lzma_rust2::XzReader::new(bytes, true)),
        "zst" => Box::new(ruzstd::decoding::StreamingDecoder::new(bytes)?),
        "gz" => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        _ => return Ok(bytes.into()),
    };
    let mut unpacked = Vec::new();
    reader.take(LONGEST + 1).read_to_end(&mut unpacked)?;
    anyhow::ensure!(unpacked.len() as u64 <= LONGEST, "it is too long");
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text `a module`, as the programs `xz`, `zstd` and `gzip` compress it.
    const COMPRESSED: [(&str, &[u8]); 3] = [
        (
            "xz",
            b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\x02\0\x21\x01\x16\0\0\0\x74\x2f\xe5\xa3\x01\0\x07a module\0\
              \x75\xac\xe2\x58\xf7\xa0\xfc\xe4\0\x01\x20\x08\xbb\x19\xd9\xbb\x1f\xb6\xf3\x7d\x01\0\0\0\0\x04YZ",
        ),
        ("zst", b"\x28\xb5\x2f\xfd\x04\x58\x41\0\0a module\xaf\xab\xf2\x6b"),
        (
            "gz",
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x54\xc8\xcd\x4f\x29\xcd\x49\x05\0\x5b\xc1\x38\x0b\x08\0\0\0",
        ),
    ];

    #[test]
    fn what_is_compressed_is_unpacked_and_what_is_cut_short_is_not() {
        for (ending, bytes) in COMPRESSED {
            assert_eq!(unpacked(bytes, ending).unwrap(), b"a module", "{ending}");
            assert!(
                unpacked(&bytes[..bytes.len() / 2], ending).is_err(),
                "{ending}"
            );
        }
    }

    #[test]
    fn what_is_broken_says_so() {
        for ending in ["xz", "zst", "gz"] {
            assert!(unpacked(b"nonsense", ending).is_err(), "{ending}");
        }
        assert_eq!(unpacked(b"as it is", "ko").unwrap(), b"as it is");
    }
}
