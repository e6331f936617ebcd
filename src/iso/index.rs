//! Every file of an image by its path.

use serde::{Deserialize, Serialize};

use super::{
    extents::Extents,
    names::{self, Namespace},
};

/// So many links are followed for one path.
const MOST_LINKS: usize = 16;

/// What an image holds: its files, directories and links, in the order of their paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsoIndex {
    /// What the image is called (its volume identifier).
    pub label: String,
    /// Where its names are from.
    pub namespace: Namespace,
    /// In the order of their paths without regard to case, then as they are spelled.
    entries: Vec<IsoEntry>,
}

/// One thing in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsoEntry {
    /// Its path, without a slash at the beginning.
    #[serde(rename = "p")]
    pub path: Box<str>,
    /// What it is.
    #[serde(rename = "w")]
    pub what: EntryKind,
}

/// What a thing in an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A file.
    #[serde(rename = "f")]
    File(Extents),
    /// A directory.
    #[serde(rename = "d")]
    Directory,
    /// A symbolic link of Rock Ridge's, with what it says.
    #[serde(rename = "l")]
    Link(Box<str>),
}

/// A file that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsoFile<'a> {
    /// Its path as the image spells it, behind all links.
    pub path: &'a str,
    /// Where it lies.
    pub extents: &'a Extents,
}

/// Why there is no such file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsoLookupError {
    /// Nothing has that path.
    NotFound,
    /// It is a directory.
    NotAFile,
    /// A link leads out of the image, or in a circle.
    LinkOutside,
}

impl IsoIndex {
    /// Puts an index together.
    pub fn new(label: String, namespace: Namespace, mut entries: Vec<IsoEntry>) -> IsoIndex {
        let order = |one: &IsoEntry, other: &IsoEntry| {
            names::compare(&one.path, &other.path).then_with(|| one.path.cmp(&other.path))
        };
        entries.sort_by(order);
        entries.dedup_by(|later, first| later.path == first.path);
        entries.shrink_to_fit();
        IsoIndex {
            label,
            namespace,
            entries,
        }
    }

    /// Everything in it.
    pub fn entries(&self) -> &[IsoEntry] {
        &self.entries
    }

    /// How many files it has, and how many bytes they have in all.
    pub fn totals(&self) -> (u64, u64) {
        let sizes = self.entries.iter().filter_map(|entry| match &entry.what {
            EntryKind::File(extents) => Some(extents.size()),
            EntryKind::Directory | EntryKind::Link(_) => None,
        });
        sizes.fold((0, 0), |(count, all), size| (count + 1, all + size))
    }

    /// Finds a file by the parts of its path: as it is spelled, else without regard to case; through links, as far as they
    /// stay in the image.
    pub fn look(&self, parts: &[&str]) -> Result<IsoFile<'_>, IsoLookupError> {
        let mut path: Vec<String> = parts.iter().map(ToString::to_string).collect();
        for _ in 0..=MOST_LINKS {
            match self.follow(&path)? {
                PathStep::File(found) => return Ok(found),
                PathStep::On(next) => path = next,
            }
        }
        Err(IsoLookupError::LinkOutside)
    }

    /// What is in a directory, by the parts of its path: in it alone, not below.
    pub fn list(&self, parts: &[&str]) -> Vec<&IsoEntry> {
        let folder: String = parts.iter().map(|part| format!("{part}/")).collect();
        let begin = self
            .entries
            .partition_point(|entry| names::compare(&entry.path, &folder).is_lt());
        let rest = self.entries[begin..].iter();
        let inside = rest.map_while(|entry| Some((entry, behind_folder(&entry.path, &folder)?)));
        inside
            .filter(|(_, name)| !name.contains('/'))
            .map(|(entry, _)| entry)
            .collect()
    }

    /// Goes along a path to the first link in it, or to its end.
    fn follow(&self, path: &[String]) -> Result<PathStep<'_>, IsoLookupError> {
        let whole = self.find(&path.join("/"));
        if let Some(IsoEntry {
            path,
            what: EntryKind::File(extents),
        }) = whole
        {
            return Ok(PathStep::File(IsoFile { path, extents }));
        }
        for end in 1..=path.len() {
            let entry = self.find(&path[..end].join("/"));
            match entry.map(|entry| &entry.what) {
                Some(EntryKind::Link(target)) => {
                    let next = behind(&path[..end - 1], target, &path[end..]);
                    return next.map(PathStep::On).ok_or(IsoLookupError::LinkOutside);
                }
                Some(EntryKind::Directory) => {}
                Some(EntryKind::File(_)) | None => return Err(IsoLookupError::NotFound),
            }
        }
        Err(IsoLookupError::NotAFile)
    }

    fn find(&self, path: &str) -> Option<&IsoEntry> {
        let begin = self
            .entries
            .partition_point(|entry| names::compare(&entry.path, path).is_lt());
        let mut alike = self.entries[begin..]
            .iter()
            .take_while(|entry| names::compare(&entry.path, path).is_eq());
        let first = alike.clone().next();
        alike.find(|entry| &*entry.path == path).or(first)
    }
}

/// What follows a folder's path, which ends with a slash, without regard to case.
fn behind_folder<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    // Letters of the other case may have another length in bytes, so it is the slashes that are counted.
    let end = match folder.matches('/').count() {
        0 => 0,
        depth => path.match_indices('/').nth(depth - 1)?.0 + 1,
    };
    let (head, name) = path.split_at(end);
    names::compare(head, folder).is_eq().then_some(name)
}

/// Where a path leads.
enum PathStep<'a> {
    File(IsoFile<'a>),
    /// On, from the beginning.
    On(Vec<String>),
}

/// The path behind a link in `folder`; none when it leads out of the image.
fn behind(folder: &[String], target: &str, rest: &[String]) -> Option<Vec<String>> {
    if target.starts_with('/') {
        return None;
    }
    let mut path = folder.to_vec();
    for part in target.split('/').chain(rest.iter().map(String::as_str)) {
        match part {
            "" | "." => {}
            ".." => {
                path.pop()?;
            }
            part => path.push(part.to_owned()),
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::{super::Extent, *};

    fn index(entries: &[(&str, &str)]) -> IsoIndex {
        let entries = entries.iter().zip(1..).map(|((path, what), number)| {
            let what = match *what {
                "file" => EntryKind::File(Extents::new([Extent {
                    start: number * 2_048,
                    length: number,
                }])),
                "dir" => EntryKind::Directory,
                target => EntryKind::Link(target.into()),
            };
            IsoEntry {
                path: (*path).into(),
                what,
            }
        });
        IsoIndex::new("TEST".into(), Namespace::RockRidge, entries.collect())
    }

    fn look<'a>(index: &'a IsoIndex, path: &str) -> Result<&'a str, IsoLookupError> {
        let parts: Vec<&str> = path.split('/').collect();
        index.look(&parts).map(|found| found.path)
    }

    #[test]
    fn a_file_is_found_as_it_is_spelled_or_in_other_letters_and_through_links() {
        let index = index(&[
            ("README", "file"),
            ("readme", "file"),
            ("boot", "dir"),
            ("boot/Grub.cfg", "file"),
            ("dists", "dir"),
            ("dists/bookworm", "dir"),
            ("dists/bookworm/Release", "file"),
            ("dists/stable", "bookworm"),
            ("debian", "."),
            ("current", "debian/dists/stable"),
            ("up", "dists/../boot"),
            ("out", "../etc"),
            ("root", "/etc"),
            ("circle", "circle2"),
            ("circle2", "circle"),
            ("gone", "nowhere"),
            ("boot-file", "boot/Grub.cfg"),
        ]);
        let cases = [
            ("README", Ok("README")),
            ("readme", Ok("readme")),
            ("Readme", Ok("README")),
            ("BOOT/GRUB.CFG", Ok("boot/Grub.cfg")),
            ("boot", Err(IsoLookupError::NotAFile)),
            ("boot/none", Err(IsoLookupError::NotFound)),
            ("readme/none", Err(IsoLookupError::NotFound)),
            ("dists/stable/Release", Ok("dists/bookworm/Release")),
            (
                "debian/debian/dists/stable/RELEASE",
                Ok("dists/bookworm/Release"),
            ),
            ("current/Release", Ok("dists/bookworm/Release")),
            ("up/grub.cfg", Ok("boot/Grub.cfg")),
            ("boot-file", Ok("boot/Grub.cfg")),
            ("boot-file/x", Err(IsoLookupError::NotFound)),
            ("debian", Err(IsoLookupError::NotAFile)),
            ("out/passwd", Err(IsoLookupError::LinkOutside)),
            ("root/passwd", Err(IsoLookupError::LinkOutside)),
            ("circle", Err(IsoLookupError::LinkOutside)),
            ("gone", Err(IsoLookupError::NotFound)),
        ];
        for (path, expected) in cases {
            assert_eq!(look(&index, path), expected, "{path}");
        }
    }

    #[test]
    fn a_directory_is_listed_without_what_is_below() {
        let index = index(&[
            ("b", "dir"),
            ("b/x", "file"),
            ("b/C", "dir"),
            ("b/C/deep", "file"),
            ("b-other", "file"),
            ("B.txt", "file"),
            // The sign of the unit is a letter of three bytes, and its small one has one.
            ("\u{212a}", "dir"),
            ("\u{212a}/1", "file"),
            ("k", "dir"),
            ("k/2", "file"),
        ]);
        let names = |parts: &[&str]| -> Vec<String> {
            let list = index.list(parts).into_iter();
            list.map(|entry| entry.path.to_string()).collect()
        };
        assert_eq!(names(&[]), ["b", "b-other", "B.txt", "k", "\u{212a}"]);
        assert_eq!(names(&["K"]), ["\u{212a}/1", "k/2"]);
        assert_eq!(names(&["b"]), ["b/C", "b/x"]);
        assert_eq!(names(&["B", "c"]), ["b/C/deep"]);
        assert_eq!(names(&["b-other"]), [""; 0]);
        assert_eq!(index.totals(), (6, 2 + 4 + 5 + 6 + 8 + 10));
    }
}
