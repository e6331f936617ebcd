//! Reads an image into its index.

use std::{
    collections::BTreeSet,
    io::{self, Read, Seek, SeekFrom},
};

use hadris_iso::{
    file::EntryType,
    read::{DirEntry, IsoImage},
    sync::directory::DirectoryRef,
};

use super::{
    extents::{Extent, Extents},
    index::{EntryKind, IsoEntry, IsoIndex},
    names::{self, Namespace},
    read_ahead::ReadAhead,
    unsupported,
};

/// The size of a sector, in bytes.
const SECTOR: u64 = 2_048;
/// How deep directories may be nested. Rock Ridge goes beyond the eight levels of ISO 9660.
const MAX_DEPTH: usize = 64;
/// How many entries an image may have.
const MAX_ENTRIES: usize = 4_000_000;
/// How many bytes the paths of an image may have in total.
const MAX_PATH_BYTES: usize = 128 << 20;
/// The size of the shortest directory record, in bytes (ECMA-119 9.1).
const MIN_RECORD: u64 = 34;

/// Why an image cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum IsoError {
    /// It is a file of another kind.
    #[error("it is {0}")]
    Unsupported(&'static str),
    #[error("it is not an ISO 9660 image: no descriptor at byte 32768")]
    NotIso9660,
    #[error(
        "its files are only in UDF, which is not supported: unpack it and set `path` to the directory"
    )]
    OnlyUdf,
    #[error(
        "{count} files are compressed with zisofs, first `{path}`: unpack it and set `path` to the directory"
    )]
    Compressed {
        /// The first compressed file.
        path: String,
        count: usize,
    },
    #[error(
        "it is truncated: `{path}` ends at byte {end}, the image at byte {length}; download it again"
    )]
    Truncated {
        /// The file that ends last.
        path: String,
        end: u64,
        length: u64,
    },
    /// It contradicts itself.
    #[error("it is damaged: {what} in `{path}`")]
    Damaged {
        /// The directory; `/` is the root.
        path: String,
        what: String,
    },
    #[error("it is damaged: its directories have more entries than fit into its size")]
    TooManyEntries,
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl IsoIndex {
    /// Reads all directories of an image.
    pub fn read(image: impl Read + Seek) -> Result<IsoIndex, IsoError> {
        let mut reader = ReadAhead::new(image)?;
        let length = reader.length();
        let mut head = Vec::new();
        reader.seek(SeekFrom::Start(0))?;
        (&mut reader)
            .take(unsupported::HEAD as u64)
            .read_to_end(&mut head)?;
        if head.get(32_769..32_774) != Some(b"CD001") {
            return Err(
                unsupported::description(&head).map_or(IsoError::NotIso9660, IsoError::Unsupported)
            );
        }
        let iso = IsoImage::open(reader).map_err(|error| damaged("", &error))?;
        let (namespace, root) = best_namespace(&iso);
        let max_entries =
            usize::try_from(length / MIN_RECORD).map_or(MAX_ENTRIES, |max| max.min(MAX_ENTRIES));
        let mut walk = ImageWalk {
            iso: &iso,
            namespace,
            entries: Vec::new(),
            max_entries,
            path_bytes: 0,
            visited: BTreeSet::new(),
            compressed: None,
        };
        walk.directory("", root, 0)?;
        let ImageWalk {
            entries,
            compressed,
            ..
        } = walk;
        let label = head.get(32_808..32_840).unwrap_or_default();
        let label = String::from_utf8_lossy(label).trim().to_owned();
        let index = IsoIndex::new(label, namespace, entries);
        if let Some((path, count)) = compressed {
            return Err(IsoError::Compressed { path, count });
        }
        if unsupported::has_udf(&head) && is_placeholder(&index) {
            return Err(IsoError::OnlyUdf);
        }
        check_length(&index, length)?;
        Ok(index)
    }
}

/// Whether the ISO 9660 tree has at most one file, as in Windows images: a README that refers to UDF.
fn is_placeholder(index: &IsoIndex) -> bool {
    index.totals().0 <= 1
}

/// Checks that every file ends before the image does.
fn check_length(index: &IsoIndex, length: u64) -> Result<(), IsoError> {
    let ends = index
        .entries()
        .iter()
        .filter_map(|entry| match &entry.kind {
            EntryKind::File(extents) => Some((extents.end(), &entry.path)),
            EntryKind::Directory | EntryKind::Link(_) => None,
        });
    match ends.max_by_key(|(end, _)| *end) {
        Some((end, path)) if end > length => Err(IsoError::Truncated {
            path: path.to_string(),
            end,
            length,
        }),
        _ => Ok(()),
    }
}

/// Chooses the namespace with the most complete names.
fn best_namespace<R: Read + Seek>(iso: &IsoImage<ReadAhead<R>>) -> (Namespace, DirectoryRef) {
    let roots = iso.root_dirs();
    if !iso.supports_rrip() {
        let joliet = roots
            .iter()
            .find(|root| matches!(root.entry_type(), EntryType::Joliet { .. }));
        if let Some(root) = joliet {
            return (Namespace::Joliet, root.dir_ref());
        }
    }
    // The tree of the primary descriptor comes first. It is the one that has the Rock Ridge names.
    let primary = roots
        .iter()
        .next()
        .map_or_else(|| iso.root_dir(), |root| *root);
    let namespace = if iso.supports_rrip() {
        Namespace::RockRidge
    } else {
        Namespace::Plain
    };
    (namespace, primary.dir_ref())
}

struct ImageWalk<'a, R: Read + Seek> {
    iso: &'a IsoImage<ReadAhead<R>>,
    namespace: Namespace,
    entries: Vec<IsoEntry>,
    /// How many entries fit into an image of this length.
    max_entries: usize,
    /// The total size of all paths.
    path_bytes: usize,
    /// The sectors of the directories read so far. A second visit means a loop, or a directory with two parents.
    visited: BTreeSet<usize>,
    /// The first compressed file, and the number of compressed files.
    compressed: Option<(String, usize)>,
}

impl<R: Read + Seek> ImageWalk<'_, R> {
    fn directory(&mut self, path: &str, at: DirectoryRef, depth: usize) -> Result<(), IsoError> {
        if depth > MAX_DEPTH || !self.visited.insert(at.extent.0) {
            let what = "a directory with two parents, or nested too deep".into();
            let path = shown(path);
            return Err(IsoError::Damaged { path, what });
        }
        let directory = self.iso.open_dir(at);
        for entry in directory.entries() {
            let entry = entry.map_err(|error| damaged(path, &error))?;
            if entry.is_special() {
                continue;
            }
            self.entry(path, &entry, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, folder: &str, entry: &DirEntry, depth: usize) -> Result<(), IsoError> {
        let Some(name) = self.name(entry).filter(|name| names::is_servable(name)) else {
            // A name that cannot be part of a path cannot be requested.
            return Ok(());
        };
        let path = match folder {
            "" => name,
            folder => format!("{folder}/{name}"),
        };
        self.path_bytes += path.len();
        if self.entries.len() >= self.max_entries || self.path_bytes > MAX_PATH_BYTES {
            return Err(IsoError::TooManyEntries);
        }
        if entry.is_directory() {
            let at = entry.as_dir_ref(self.iso);
            let at = at.map_err(|error| damaged(&path, &error))?;
            self.push(&path, EntryKind::Directory);
            return self.directory(&path, at, depth + 1);
        }
        let rrip = entry.rrip.as_ref();
        if let Some(target) = rrip.and_then(|rrip| rrip.symlink_target.as_deref()) {
            self.push(&path, EntryKind::Link(target.into()));
            return Ok(());
        }
        if is_compressed(entry.system_use()) {
            let first = || (path.clone(), 0);
            self.compressed.get_or_insert_with(first).1 += 1;
        }
        let extents = entry.extents().map(|extent| Extent {
            start: extent.sector.0 as u64 * SECTOR,
            length: extent.length.into(),
        });
        self.push(&path, EntryKind::File(Extents::new(extents)));
        Ok(())
    }

    fn push(&mut self, path: &str, kind: EntryKind) {
        self.entries.push(IsoEntry {
            path: path.into(),
            kind,
        });
    }

    fn name(&self, entry: &DirEntry) -> Option<String> {
        let rrip = entry.rrip.as_ref();
        match self.namespace {
            Namespace::RockRidge => rrip
                .and_then(|rrip| rrip.alternate_name.clone())
                .or_else(|| names::plain(entry.name())),
            Namespace::Joliet => names::joliet(entry.name()),
            Namespace::Plain => names::plain(entry.name()),
        }
    }
}

/// Whether a directory record marks its file as compressed: it has a field `ZF` (zisofs).
fn is_compressed(mut system_use: &[u8]) -> bool {
    while let [a, b, length, rest @ ..] = system_use {
        if (*a, *b) == (b'Z', b'F') && rest.get(1..3) == Some(b"pz") {
            return true;
        }
        let length = usize::from(*length);
        let Some(next) = system_use.get(length.max(4)..) else {
            return false;
        };
        system_use = next;
    }
    false
}

fn damaged(path: &str, error: &dyn std::fmt::Display) -> IsoError {
    IsoError::Damaged {
        path: shown(path),
        what: error.to_string(),
    }
}

fn shown(path: &str) -> String {
    format!("/{path}")
}
