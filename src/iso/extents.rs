//! Where a file's bytes lie in an image.

use serde::{Deserialize, Serialize};

/// A run of bytes in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Where it begins, in bytes from the beginning of the image.
    pub start: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// A file's runs of bytes, in order. One is the rule: files over 4 GiB have several, which mostly lie one after the other
/// and are then one here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extents {
    first: Extent,
    #[serde(default, skip_serializing_if = "<[Extent]>::is_empty")]
    more: Box<[Extent]>,
}

impl Extents {
    /// Puts runs together in their order.
    pub fn new(runs: impl IntoIterator<Item = Extent>) -> Extents {
        let mut joined: Vec<Extent> = Vec::new();
        for run in runs.into_iter().filter(|run| run.length > 0) {
            match joined.last_mut() {
                Some(last) if last.start + last.length == run.start => last.length += run.length,
                _ => joined.push(run),
            }
        }
        let mut runs = joined.into_iter();
        let none = Extent {
            start: 0,
            length: 0,
        };
        Extents {
            first: runs.next().unwrap_or(none),
            more: runs.collect(),
        }
    }

    /// The runs in their order; one of no length when the file is empty.
    pub fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        [self.first].into_iter().chain(self.more.iter().copied())
    }

    /// The file's length in bytes.
    pub fn size(&self) -> u64 {
        self.iter().map(|run| run.length).sum()
    }

    /// Where its last byte ends in the image.
    pub fn end(&self) -> u64 {
        let ends = self.iter().map(|run| run.start + run.length);
        ends.max().unwrap_or(0)
    }

    /// Finds where the bytes from `offset` on lie: as much of them as lie together, at most `length`. None behind the
    /// file's end.
    pub fn locate(&self, offset: u64, length: u64) -> Option<Extent> {
        let mut before = 0;
        for run in self.iter() {
            let within = offset - before;
            if within < run.length {
                return Some(Extent {
                    start: run.start + within,
                    length: length.min(run.length - within),
                });
            }
            before += run.length;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, length: u64) -> Extent {
        Extent { start, length }
    }

    #[test]
    fn runs_that_touch_are_one() {
        let cases = [
            (vec![], vec![run(0, 0)]),
            (vec![run(7, 0)], vec![run(0, 0)]),
            (vec![run(7, 3)], vec![run(7, 3)]),
            (vec![run(7, 3), run(10, 2)], vec![run(7, 5)]),
            (vec![run(7, 3), run(12, 2)], vec![run(7, 3), run(12, 2)]),
            (
                vec![run(7, 3), run(2, 2), run(4, 1)],
                vec![run(7, 3), run(2, 3)],
            ),
        ];
        for (runs, expected) in cases {
            let extents = Extents::new(runs.clone());
            assert_eq!(extents.iter().collect::<Vec<_>>(), expected, "{runs:?}");
            let size: u64 = runs.iter().map(|run| run.length).sum();
            assert_eq!(extents.size(), size);
        }
    }

    #[test]
    fn bytes_are_found_where_they_lie() {
        let extents = Extents::new([run(100, 10), run(50, 5)]);
        let cases = [
            (0, 99, Some(run(100, 10))),
            (0, 4, Some(run(100, 4))),
            (9, 4, Some(run(109, 1))),
            (10, 4, Some(run(50, 4))),
            (12, 99, Some(run(52, 3))),
            (14, 1, Some(run(54, 1))),
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
