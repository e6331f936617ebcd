//! Decompresses an image.

use std::io::{self, BufRead, BufReader, Read};

use lzma_rust2::XzReader;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// Magic numbers of the supported compressions (the formats' specifications; RFC 8878, RFC 1952).
const XZ: &[u8] = b"\xfd7zXZ\0";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const GZIP: &[u8] = b"\x1f\x8b";

/// Magic numbers of formats that must be converted to a raw image.
const UNSUPPORTED_FORMATS: [(&[u8], &str); 4] = [
    (b"QFI\xfb", "qcow2"),
    (b"KDMV", "vmdk"),
    (b"vhdxfile", "vhdx"),
    (b"PK\x03\x04", "zip"),
];

/// The maximum window of zstd in bytes: that of `zstd --ultra -22`. It is held in memory.
const MAX_WINDOW_BYTES: u64 = 128 << 20;

/// Decompresses `packed`; the format is detected from its first bytes.
pub(super) fn unpacked<'a>(packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut packed = BufReader::with_capacity(1 << 16, packed);
    let begins = packed.fill_buf()?;
    if let Some((_, kind)) = UNSUPPORTED_FORMATS
        .iter()
        .find(|(magic, _)| begins.starts_with(magic))
    {
        let message =
            format!("the image is in {kind} format; convert it with `qemu-img convert -O raw`");
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    Ok(if begins.starts_with(XZ) {
        Box::new(XzReader::new(packed, true))
    } else if begins.starts_with(ZSTD) {
        Box::new(ZstdFrames::new(packed))
    } else if begins.starts_with(GZIP) {
        Box::new(flate2::bufread::MultiGzDecoder::new(packed))
    } else {
        Box::new(packed)
    })
}

/// Decompresses all frames of a zstd file.
struct ZstdFrames<R> {
    packed: BufReader<R>,
    decoder: FrameDecoder,
    is_in_frame: bool,
}

impl<R: Read> ZstdFrames<R> {
    fn new(packed: BufReader<R>) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW_BYTES);
        ZstdFrames {
            packed,
            decoder,
            is_in_frame: false,
        }
    }

    /// Starts the next frame, or skips a skippable one.
    fn start_frame(&mut self) -> io::Result<()> {
        match self.decoder.reset(&mut self.packed) {
            Ok(()) => self.is_in_frame = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let mut skipped = self.packed.by_ref().take(length.into());
                io::copy(&mut skipped, &mut io::sink())?;
            }
            Err(error) => return Err(io::Error::other(error)),
        }
        Ok(())
    }
}

impl<R: Read> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if self.is_in_frame && !self.decoder.is_finished() {
                let some = BlockDecodingStrategy::UptoBlocks(1);
                let decoded = self.decoder.decode_blocks(&mut self.packed, some);
                decoded.map_err(io::Error::other)?;
                continue;
            }
            self.is_in_frame = false;
            if self.packed.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.start_frame()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        unpacked(packed)?.read_to_end(&mut whole)?;
        Ok(whole)
    }

    /// The text `a module` compressed with `xz`, `zstd` and `gzip`, each twice in a row; zstd with a skippable frame between.
    fn packed() -> [(&'static str, Vec<u8>); 3] {
        let xz: &[u8] = b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\x02\0\x21\x01\x16\0\0\0\x74\x2f\xe5\xa3\x01\0\x07a module\0\
            \x75\xac\xe2\x58\xf7\xa0\xfc\xe4\0\x01\x20\x08\xbb\x19\xd9\xbb\x1f\xb6\xf3\x7d\x01\0\0\0\0\x04YZ";
        let zstd: &[u8] = b"\x28\xb5\x2f\xfd\x04\x58\x41\0\0a module\xaf\xab\xf2\x6b";
        let skipped: &[u8] = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"a module").unwrap();
        let gzip = gzip.finish().unwrap();
        [
            ("xz", [xz, xz].concat()),
            ("zstd", [zstd, skipped, zstd].concat()),
            ("gzip", [&gzip[..], &gzip].concat()),
        ]
    }

    #[test]
    fn the_compression_is_detected_from_the_first_bytes() {
        for (kind, packed) in packed() {
            assert_eq!(read(&packed).unwrap(), b"a modulea module", "{kind}");
        }
        assert_eq!(read(b"\xeb\x63\x90 raw").unwrap(), b"\xeb\x63\x90 raw");
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn truncated_or_corrupt_data_is_an_error() {
        for (kind, packed) in packed() {
            assert!(read(&packed[..packed.len() - 5]).is_err(), "{kind}");
            let mut broken = packed.clone();
            broken[packed.len() / 4] ^= 0x55;
            let found = read(&broken);
            assert!(
                found.is_err() || found.unwrap() != b"a modulea module",
                "{kind}"
            );
        }
    }

    #[test]
    fn unsupported_formats_are_named_in_the_error() {
        for (begins, kind) in UNSUPPORTED_FORMATS {
            let error = read(begins).unwrap_err().to_string();
            assert!(error.contains(kind), "{error}");
        }
    }
}
