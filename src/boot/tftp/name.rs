//! Normalizing the file name of a request to a path below the served directory.
//!
//! The file is not looked up. The case is kept: firmware writes names in any case, and the lookup ignores it.

use std::fmt;

/// A relative path of `/`-separated segments, none of them empty, `.` or `..`. At most 255 bytes, no control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileNameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name is longer than {MAX_LENGTH} bytes")]
    TooLong,
    #[error("the name leaves the served directory")]
    Escapes,
    #[error("the name has control characters")]
    Control,
}

/// In bytes.
const MAX_LENGTH: usize = 255;

impl FileName {
    /// Reads the name of a request: `\` counts as `/` (Windows loaders), and leading or repeated slashes are ignored.
    pub fn parse(raw: &str) -> Result<FileName, FileNameError> {
        if raw.len() > MAX_LENGTH {
            return Err(FileNameError::TooLong);
        }
        if raw.contains(char::is_control) {
            return Err(FileNameError::Control);
        }
        let mut name = String::with_capacity(raw.len());
        for segment in raw.split(['/', '\\']) {
            match segment {
                "" | "." => {}
                ".." => return Err(FileNameError::Escapes),
                _ => {
                    if !name.is_empty() {
                        name.push('/');
                    }
                    name.push_str(segment);
                }
            }
        }
        if name.is_empty() {
            return Err(FileNameError::Empty);
        }
        Ok(FileName(name))
    }

    /// The path, in the client's case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_normalized_or_rejected() {
        let long = "a".repeat(255);
        let too_long = "a".repeat(256);
        let cases = [
            ("undionly.kpxe", Ok("undionly.kpxe")),
            ("/grub/grub.cfg", Ok("grub/grub.cfg")),
            ("//grub//./grub.cfg", Ok("grub/grub.cfg")),
            (r"\Boot\BCD", Ok("Boot/BCD")),
            (r"\\.\a", Ok("a")),
            ("SNPONLY.EFI", Ok("SNPONLY.EFI")),
            (
                "01-52-54-00-00-00-01/boot.cfg",
                Ok("01-52-54-00-00-00-01/boot.cfg"),
            ),
            ("a b", Ok("a b")),
            ("...", Ok("...")),
            ("a..b/..c", Ok("a..b/..c")),
            ("http://192.0.2.1/x", Ok("http:/192.0.2.1/x")),
            (&long, Ok(long.as_str())),
            ("", Err(FileNameError::Empty)),
            ("/", Err(FileNameError::Empty)),
            ("./.", Err(FileNameError::Empty)),
            ("..", Err(FileNameError::Escapes)),
            ("../../etc/shadow", Err(FileNameError::Escapes)),
            (r"..\", Err(FileNameError::Escapes)),
            (r"a\..\b", Err(FileNameError::Escapes)),
            ("/../x", Err(FileNameError::Escapes)),
            ("a\0b", Err(FileNameError::Control)),
            ("a\nb", Err(FileNameError::Control)),
            ("a\u{7f}", Err(FileNameError::Control)),
            (&too_long, Err(FileNameError::TooLong)),
        ];
        for (raw, expected) in cases {
            let name = FileName::parse(raw);
            assert_eq!(
                name.as_ref().map(FileName::as_str),
                expected.as_ref().copied(),
                "{raw:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_valid_name_stays_below_the_served_directory(raw in r"([a-z./\\]|\PC){0,80}") {
            if let Ok(name) = FileName::parse(&raw) {
                prop_assert!(!name.as_str().starts_with('/'));
                prop_assert!(name.as_str().split('/').all(|part| !["", ".", ".."].contains(&part)));
                prop_assert_eq!(FileName::parse(name.as_str()), Ok(name.clone()));
            }
        }
    }
}
