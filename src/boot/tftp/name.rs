//! The name of a file as a client writes it, made a path below the tree that is served.
//!
//! Nothing is looked up. The case is kept: firmware writes names in any case, and the lookup knows that.

use std::fmt;

/// A relative path of `/`-separated segments, none of which is empty, `.` or `..`. At most 255 bytes, no control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName(String);

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileNameError {
    /// Nothing is left of it.
    #[error("the name is empty")]
    Empty,
    /// It is longer than any file's path should be.
    #[error("the name is longer than {MOST} bytes")]
    TooLong,
    /// It would leave the tree.
    #[error("the name climbs out of the tree")]
    Climbs,
    /// NUL, line breaks and their like.
    #[error("the name has control characters")]
    Control,
}

/// In bytes.
const MOST: usize = 255;

impl FileName {
    /// Cleans what a client wrote: `\` is `/` (Windows loaders), and a `/` in front or twice means nothing.
    pub fn clean(raw: &str) -> Result<FileName, FileNameError> {
        if raw.len() > MOST {
            return Err(FileNameError::TooLong);
        }
        if raw.contains(char::is_control) {
            return Err(FileNameError::Control);
        }
        let mut name = String::with_capacity(raw.len());
        for segment in raw.split(['/', '\\']) {
            match segment {
                "" | "." => {}
                ".." => return Err(FileNameError::Climbs),
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

    /// The path, with the case that the client wrote.
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
    fn names_are_cleaned_or_refused() {
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
            ("..", Err(FileNameError::Climbs)),
            ("../../etc/shadow", Err(FileNameError::Climbs)),
            (r"..\", Err(FileNameError::Climbs)),
            (r"a\..\b", Err(FileNameError::Climbs)),
            ("/../x", Err(FileNameError::Climbs)),
            ("a\0b", Err(FileNameError::Control)),
            ("a\nb", Err(FileNameError::Control)),
            ("a\u{7f}", Err(FileNameError::Control)),
            (&too_long, Err(FileNameError::TooLong)),
        ];
        for (raw, expected) in cases {
            let name = FileName::clean(raw);
            assert_eq!(
                name.as_ref().map(FileName::as_str),
                expected.as_ref().copied(),
                "{raw:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_is_clean_stays_below_the_tree(raw in r"([a-z./\\]|\PC){0,80}") {
            if let Ok(name) = FileName::clean(&raw) {
                prop_assert!(!name.as_str().starts_with('/'));
                prop_assert!(name.as_str().split('/').all(|part| !["", ".", ".."].contains(&part)));
                prop_assert_eq!(FileName::clean(name.as_str()), Ok(name.clone()));
            }
        }
    }
}
