//! Where a file's bytes are stored in an image.

use serde::{Deserialize, Serialize};

/// A contiguous range of bytes in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// In bytes from the beginning of the image.
    pub start: u64,
    /// In bytes.
    pub length: u64,
}

/// A file's extents, in order. Most files have one. Files over 4 GiB have several; adjacent ones are joined into one here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extents {
    first: Extent,
    #[serde(default, skip_serializing_if = "<[Extent]>::is_empty")]
    more: Box<[Extent]>,
}

impl Extents {
    /// Joins adjacent extents and drops empty ones.
    pub fn new(extents: impl IntoIterator<Item = Extent>) -> Extents {
        let mut joined: Vec<Extent> = Vec::new();
        for extent in extents.into_iter().filter(|extent| extent.length > 0) {
            match joined.last_mut() {
                Some(last) if last.start + last.length == extent.start => {
                    last.length += extent.length
                }
                _ => joined.push(extent),
            }
        }
        let mut extents = joined.into_iter();
        let none = Extent {
            start: 0,
            length: 0,
        };
        Extents {
            first: extents.next().unwrap_or(none),
            more: extents.collect(),
        }
    }

    /// The extents in order; a single one of length 0 when the file is empty.
    pub fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        [self.first].into_iter().chain(self.more.iter().copied())
    }

    /// The file's length in bytes.
    pub fn size(&self) -> u64 {
        self.iter().map(|extent| extent.length).sum()
    }

    /// The offset in the image behind the file's last byte.
    pub fn end(&self) -> u64 {
        let ends = self.iter().map(|extent| extent.start + extent.length);
        ends.max().unwrap_or(0)
    }

    /// Returns where the file's bytes from `offset` on are stored: as many as are contiguous, at most `length`. None beyond
    /// the end of the file.
    pub fn locate(&self, offset: u64, length: u64) -> Option<Extent> {
        let mut before = 0;
        for extent in self.iter() {
            let within = offset - before;
            if within < extent.length {
                return Some(Extent {
                    start: extent.start + within,
                    length: length.min(extent.length - within),
                });
            }
            before += extent.length;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(start: u64, length: u64) -> Extent {
        Extent { start, length }
    }

    #[test]
    fn adjacent_extents_are_joined() {
        let cases = [
            (vec![], vec![extent(0, 0)]),
            (vec![extent(7, 0)], vec![extent(0, 0)]),
            (vec![extent(7, 3)], vec![extent(7, 3)]),
            (vec![extent(7, 3), extent(10, 2)], vec![extent(7, 5)]),
            (
                vec![extent(7, 3), extent(12, 2)],
                vec![extent(7, 3), extent(12, 2)],
            ),
            (
                vec![extent(7, 3), extent(2, 2), extent(4, 1)],
                vec![extent(7, 3), extent(2, 3)],
            ),
        ];
        for (parts, expected) in cases {
            let extents = Extents::new(parts.clone());
            assert_eq!(extents.iter().collect::<Vec<_>>(), expected, "{parts:?}");
            let size: u64 = parts.iter().map(|part| part.length).sum();
            assert_eq!(extents.size(), size);
        }
    }

    #[test]
    fn an_offset_is_mapped_to_its_place_in_the_image() {
        let extents = Extents::new([extent(100, 10), extent(50, 5)]);
        let cases = [
            (0, 99, Some(extent(100, 10))),
            (0, 4, Some(extent(100, 4))),
            (9, 4, Some(extent(109, 1))),
            (10, 4, Some(extent(50, 4))),
            (12, 99, Some(extent(52, 3))),
            (14, 1, Some(extent(54, 1))),
            (15, 1, None),
            (99, 1, None),
        ];
        for (offset, length, expected) in cases {
            assert_eq!(extents.locate(offset, length), expected, "{offset}");
        }
        assert_eq!((extents.size(), extents.end()), (15, 110));
        assert_eq!(Extents::new([]).locate(0, 1), None);
    }
}
