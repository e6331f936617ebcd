//! File names in each of the namespaces that an image may have.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// The system of names that an image uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// Rock Ridge (IEEE P1282): names and symbolic links as on Unix.
    RockRidge,
    /// Joliet: Unicode names.
    Joliet,
    /// Plain ISO 9660: upper case, usually eight characters and an extension of three.
    Plain,
}

/// Decodes a name of plain ISO 9660 as Linux shows it: `BOOT.CFG;1` is `boot.cfg`.
pub(super) fn plain(name: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(name).ok()?;
    let text = without_version(text);
    Some(text.strip_suffix('.').unwrap_or(text).to_lowercase())
}

/// Decodes a name of Joliet, which is UTF-16, big-endian (Joliet Specification 1995).
pub(super) fn joliet(name: &[u8]) -> Option<String> {
    if !name.len().is_multiple_of(2) {
        return None;
    }
    let units = name
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let text = char::decode_utf16(units)
        .collect::<Result<String, _>>()
        .ok()?;
    Some(without_version(&text).to_owned())
}

fn without_version(text: &str) -> &str {
    match text.rsplit_once(';') {
        Some((name, version))
            if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        _ => text,
    }
}

/// Whether a name can be part of a requested path.
pub(super) fn is_servable(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && !name.contains(['/', '\\'])
        && !name.contains(char::is_control)
}

/// Compares without regard to case.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    if one.is_ascii() && other.is_ascii() {
        let fold = |byte: u8| byte.to_ascii_lowercase();
        return one.bytes().map(fold).cmp(other.bytes().map(fold));
    }
    let one = one.chars().flat_map(char::to_lowercase);
    one.cmp(other.chars().flat_map(char::to_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    #[test]
    fn names_are_decoded_without_version_and_trailing_dot() {
        for (written, name) in [
            ("BOOT.CFG;1", "boot.cfg"),
            ("B.B00;1", "b.b00"),
            ("README.;1", "readme"),
            ("EFI", "efi"),
            ("A;B;1", "a;b"),
            ("A;B", "a;b"),
        ] {
            assert_eq!(plain(written.as_bytes()).as_deref(), Some(name));
        }
        assert_eq!(plain(b"\xff"), None);
        for (written, name) in [
            ("Übergröße.txt;1", "Übergröße.txt"),
            ("a b.", "a b."),
            ("😀", "😀"),
        ] {
            assert_eq!(joliet(&utf16(written)).as_deref(), Some(name));
        }
        assert_eq!(joliet(b"\x00"), None);
        assert_eq!(joliet(b"\xd8\x00"), None);
    }

    #[test]
    fn a_name_that_is_no_path_component_is_not_served() {
        for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", "\0"] {
            assert!(!is_servable(bad), "{bad:?}");
        }
        for good in ["a", ".treeinfo", "...", "ä b", "boot.cfg"] {
            assert!(is_servable(good), "{good:?}");
        }
    }

    #[test]
    fn names_are_ordered_without_regard_to_case() {
        let mut names = ["b", "A", "ä", "Ä", "a", "Z", "z/a", "É"];
        names.sort_by(|one, other| compare(one, other));
        assert_eq!(names, ["A", "a", "b", "Z", "z/a", "ä", "Ä", "É"]);
        assert_eq!(compare("GROSS", "gross"), Ordering::Equal);
        assert_eq!(compare("ÄB", "äb"), Ordering::Equal);
        assert_ne!(compare("äb", "ab"), Ordering::Equal);
    }
}
