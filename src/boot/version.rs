//! Reading the version embedded in a loader.

/// Finds the version of iPXE, shim or GRUB in a loader's bytes; none in a compressed loader such as `undionly.kpxe`.
pub fn version_of(bytes: &[u8]) -> Option<String> {
    ipxe(bytes).or_else(|| shim(bytes)).or_else(|| grub(bytes))
}

/// iPXE's product name is followed by its version (`src/core/version.c`): `iPXE`, zeros, `1.21.1+…`.
fn ipxe(bytes: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"iPXE\0";
    let mut rest = bytes;
    while let Some(at) = find(rest, NAME) {
        rest = &rest[at + NAME.len()..];
        // Zeros pad the name up to the next aligned object.
        let zeros = rest.iter().take(64).take_while(|byte| **byte == 0).count();
        let text = text(&rest[zeros..], 0);
        if text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('.') {
            return Some(format!("iPXE {text}"));
        }
    }
    None
}

/// shim's identification (`version.c.in`): `$Version: 16.1 $`.
fn shim(bytes: &[u8]) -> Option<String> {
    let at = find(bytes, b"UEFI SHIM\n$Version: ")? + b"UEFI SHIM\n$Version: ".len();
    let version = text(&bytes[at..], b' ');
    (!version.is_empty()).then(|| format!("shim {version}"))
}

/// GRUB's line of its SBAT section (shim's `SBAT.md`): component, generation, vendor, package, version, address. A
/// distribution's own line, `grub.debian`, has the longer version.
fn grub(bytes: &[u8]) -> Option<String> {
    let version = |component: &[u8]| {
        let at = find(bytes, component)? + 1;
        let line = text(&bytes[at..], b'\n');
        Some(line.split(',').nth(4)?.to_string())
    };
    let version = version(b"\ngrub.debian,").or_else(|| version(b"\ngrub,"))?;
    Some(format!("GRUB {version}"))
}

/// The text up to a byte, at most 100 characters; empty when a character is not printable.
fn text(bytes: &[u8], end: u8) -> String {
    let piece = bytes.iter().take(100).take_while(|byte| **byte != end);
    let all: Vec<u8> = piece.copied().collect();
    match all.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        true => String::from_utf8_lossy(&all).into_owned(),
        false => String::new(),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_each_kind_of_loader() {
        let cases: [(&[u8], Option<&str>); 7] = [
            (
                b"MZ iPXE\0#!ipxe\0snponly.efi\0iPXE\0\0\0\x001.0.0+git-20190125.36a4c85-5.1\0QZ",
                Some("iPXE 1.0.0+git-20190125.36a4c85-5.1"),
            ),
            (
                b"MZ\0UEFI SHIM\n$Version: 16.1 $\n$BuildMachine: x $\n",
                Some("shim 16.1"),
            ),
            (
                b"sbat,1,SBAT Version,sbat,1,https://x\ngrub,5,Free Software Foundation,grub,2.06,https://x\ngrub.debian,5,Debian,grub2,2.06-13+deb12u2,https://x\n",
                Some("GRUB 2.06-13+deb12u2"),
            ),
            (
                b"sbat,1,x\ngrub,4,Free Software Foundation,grub,2.12,https://x\n",
                Some("GRUB 2.12"),
            ),
            (b"\ngrub,4\n", None),
            (b"iPXE\0\x01\x02.", None),
            (b"", None),
        ];
        for (bytes, version) in cases {
            assert_eq!(version_of(bytes).as_deref(), version, "{bytes:?}");
        }
    }
}
