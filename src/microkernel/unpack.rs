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

    #[test]
    fn what_is_broken_says_so() {
        for ending in ["xz", "zst", "gz"] {
            assert!(unpacked(b"nonsense", ending).is_err(), "{ending}");
        }
        assert_eq!(unpacked(b"as it is", "ko").unwrap(), b"as it is");
    }
}
