//! Decompresses a distribution's modules and firmware files.

use std::{fs, io::Read, path::Path};

use anyhow::{Context, Result};

/// The maximum size of a decompressed file in bytes, far above that of any module or firmware.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The extensions of compressed files, and that of an uncompressed one.
pub(super) const EXTENSIONS: [&str; 4] = ["", ".xz", ".zst", ".gz"];

/// Reads a file and decompresses it according to its extension.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    unpacked(&bytes, &extension).with_context(|| format!("cannot decompress `{}`", path.display()))
}

fn unpacked(bytes: &[u8], extension: &str) -> Result<Vec<u8>> {
    let reader: Box<dyn Read> = match extension {
        "xz" => Box::new(lzma_rust2::XzReader::new(bytes, true)),
        "zst" => Box::new(ruzstd::decoding::StreamingDecoder::new(bytes)?),
        "gz" => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        _ => return Ok(bytes.into()),
    };
    let mut unpacked = Vec::new();
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut unpacked)?;
    anyhow::ensure!(
        unpacked.len() as u64 <= MAX_FILE_BYTES,
        "the file is too large"
    );
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text `a module` compressed with `xz`, `zstd` and `gzip`.
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
    fn complete_files_are_decompressed_and_truncated_ones_are_an_error() {
        for (extension, bytes) in COMPRESSED {
            assert_eq!(
                unpacked(bytes, extension).unwrap(),
                b"a module",
                "{extension}"
            );
            assert!(
                unpacked(&bytes[..bytes.len() / 2], extension).is_err(),
                "{extension}"
            );
        }
    }

    #[test]
    fn corrupt_data_is_an_error() {
        for extension in ["xz", "zst", "gz"] {
            assert!(unpacked(b"nonsense", extension).is_err(), "{extension}");
        }
        assert_eq!(unpacked(b"as it is", "ko").unwrap(), b"as it is");
    }
}
