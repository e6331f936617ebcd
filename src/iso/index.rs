//! Every file of an image by its path.

use serde::{Deserialize, Serialize};

use super::{
    extents::Extents,
    names::{self, Namespace},
};

/// How many symbolic links are followed for one path.
const MAX_LINKS: usize = 16;

/// The files, directories and links of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsoIndex {
    /// The volume identifier.
    pub label: String,
    pub namespace: Namespace,
    /// Ordered by path without regard to case, then by path.
    entries: Vec<IsoEntry>,
}

/// A file, directory or link of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsoEntry {
    /// Without a leading slash.
    #[serde(rename = "p")]
    pub path: Box<str>,
    #[serde(rename = "w")]
    pub kind: EntryKind,
}

/// What an entry of an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    #[serde(rename = "f")]
    File(Extents),
    #[serde(rename = "d")]
    Directory,
    /// A symbolic link (Rock Ridge), with its target.
    #[serde(rename = "l")]
    Link(Box<str>),
}

/// A file of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsoFile<'a> {
    /// Its path as the image spells it, with all links resolved.
    pub path: &'a str,
    pub extents: &'a Extents,
}

/// Why a path does not lead to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsoLookupError {
    NotFound,
    /// The path leads to a directory.
    NotAFile,
    /// A link leads out of the image, or too many links follow each other.
    LinkOutside,
}

impl IsoIndex {
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

    pub fn entries(&self) -> &[IsoEntry] {
        &self.entries
    }

    /// The number of files, and their total size in bytes.
    pub fn totals(&self) -> (u64, u64) {
        let sizes = self.entries.iter().filter_map(|entry| match &entry.kind {
            EntryKind::File(extents) => Some(extents.size()),
            EntryKind::Directory | EntryKind::Link(_) => None,
        });
        sizes.fold((0, 0), |(count, all), size| (count + 1, all + size))
    }

    /// Returns the file at a path, given in its parts. An exact match comes first, then one without regard to case. Links are
    /// followed as long as they stay in the image.
    pub fn file(&self, parts: &[&str]) -> Result<IsoFile<'_>, IsoLookupError> {
        let mut path: Vec<String> = parts.iter().map(ToString::to_string).collect();
        for _ in 0..=MAX_LINKS {
            match self.follow(&path)? {
                PathStep::File(file) => return Ok(file),
                PathStep::Restart(next) => path = next,
            }
        }
        Err(IsoLookupError::LinkOutside)
    }

    /// Lists a directory, given by the parts of its path, without what is in its subdirectories.
    pub fn list(&self, parts: &[&str]) -> Vec<&IsoEntry> {
        let folder: String = parts.iter().map(|part| format!("{part}/")).collect();
        let begin = self
            .entries
            .partition_point(|entry| names::compare(&entry.path, &folder).is_lt());
        let rest = self.entries[begin..].iter();
        let inside = rest.map_while(|entry| Some((entry, below_folder(&entry.path, &folder)?)));
        inside
            .filter(|(_, name)| !name.contains('/'))
            .map(|(entry, _)| entry)
            .collect()
    }

    /// Follows a path to its end, or through the first link in it.
    fn follow(&self, path: &[String]) -> Result<PathStep<'_>, IsoLookupError> {
        let whole = self.find(&path.join("/"));
        if let Some(IsoEntry {
            path,
            kind: EntryKind::File(extents),
        }) = whole
        {
            return Ok(PathStep::File(IsoFile { path, extents }));
        }
        for end in 1..=path.len() {
            let entry = self.find(&path[..end].join("/"));
            match entry.map(|entry| &entry.kind) {
                Some(EntryKind::Link(target)) => {
                    let next = link_target(&path[..end - 1], target, &path[end..]);
                    return next
                        .map(PathStep::Restart)
                        .ok_or(IsoLookupError::LinkOutside);
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

/// Returns the part of `path` below `folder`, which ends with a slash, without regard to case.
fn below_folder<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    // An upper-case letter and its lower-case form may differ in length, so slashes are counted, not bytes.
    let end = match folder.matches('/').count() {
        0 => 0,
        depth => path.match_indices('/').nth(depth - 1)?.0 + 1,
    };
    let (head, name) = path.split_at(end);
    names::compare(head, folder).is_eq().then_some(name)
}

/// Where following a path to its first link ends.
enum PathStep<'a> {
    File(IsoFile<'a>),
    /// At another path, which starts at the root again.
    Restart(Vec<String>),
}

/// Returns the path that a link in `folder` leads to; none when it leads out of the image.
fn link_target(folder: &[String], target: &str, rest: &[String]) -> Option<Vec<String>> {
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
            let kind = match *what {
                "file" => EntryKind::File(Extents::new([Extent {
                    start: number * 2_048,
                    length: number,
                }])),
                "dir" => EntryKind::Directory,
                target => EntryKind::Link(target.into()),
            };
            IsoEntry {
                path: (*path).into(),
                kind,
            }
        });
        IsoIndex::new("TEST".into(), Namespace::RockRidge, entries.collect())
    }

    fn resolved<'a>(index: &'a IsoIndex, path: &str) -> Result<&'a str, IsoLookupError> {
        let parts: Vec<&str> = path.split('/').collect();
        index.file(&parts).map(|file| file.path)
    }

    #[test]
    fn a_file_is_found_by_its_exact_path_then_without_regard_to_case_and_through_links() {
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
            assert_eq!(resolved(&index, path), expected, "{path}");
        }
    }

    #[test]
    fn a_directory_is_listed_without_its_subdirectories() {
        let index = index(&[
            ("b", "dir"),
            ("b/x", "file"),
            ("b/C", "dir"),
            ("b/C/deep", "file"),
            ("b-other", "file"),
            ("B.txt", "file"),
            // The Kelvin sign has three bytes in UTF-8; its lower-case form `k` has one.
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
