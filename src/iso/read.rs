//! From an image to its index.

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

/// What a sector has, in bytes.
const SECTOR: u64 = 2_048;
/// How deep directories may lie: Rock Ridge goes beyond the eight levels of ISO 9660.
const DEEPEST: usize = 64;
/// So many things an image may hold.
const MOST: usize = 4_000_000;
/// So many bytes their paths may have in all.
const MOST_TEXT: usize = 128 << 20;
/// The shortest record of a directory, in bytes (ECMA-119 9.1).
const SHORTEST: u64 = 34;

/// Why an image cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum IsoError {
    /// It is something else.
    #[error("it is {0}")]
    Unsupported(&'static str),
    /// It is not known what it is.
    #[error("it is no ISO 9660 image: no descriptor at byte 32768")]
    NotIso9660,
    /// What is in it is in UDF.
    #[error(
        "its files are in UDF alone, which is not read: unpack it, and name the directory by `path`"
    )]
    OnlyUdf,
    /// Files are compressed in the image.
    #[error(
        "{count} files are compressed by zisofs, `{path}` the first: unpack it, and name the directory by `path`"
    )]
    Compressed {
        /// The first.
        path: String,
        /// How many.
        count: usize,
    },
    /// The end is missing.
    #[error(
        "it is cut short: `{path}` ends at byte {end}, the image at byte {length}; load it down again"
    )]
    Truncated {
        /// The file that ends last.
        path: String,
        /// Where it ends.
        end: u64,
        /// Where the image ends.
        length: u64,
    },
    /// It contradicts itself.
    #[error("it is damaged: {what} in `{path}`")]
    Damaged {
        /// The directory; `/` is the uppermost.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// There is more in it than there is room for.
    #[error("it is damaged: its directories hold more than there is room for")]
    TooManyEntries,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl IsoIndex {
    /// Reads an image's directories, once.
    pub fn read(image: impl Read + Seek) -> Result<IsoIndex, IsoError> {
        let mut read_ahead = ReadAhead::new(image)?;
        let length = read_ahead.length();
        let mut head = Vec::new();
        read_ahead.seek(SeekFrom::Start(0))?;
        (&mut read_ahead)
            .take(unsupported::HEAD as u64)
            .read_to_end(&mut head)?;
        if head.get(32_769..32_774) != Some(b"CD001") {
            return Err(
                unsupported::what(&head).map_or(IsoError::NotIso9660, IsoError::Unsupported)
            );
        }
        let iso = IsoImage::open(read_ahead).map_err(|error| damaged("", &error))?;
        let (namespace, root) = best(&iso);
        let most = usize::try_from(length / SHORTEST).map_or(MOST, |most| most.min(MOST));
        let mut walk = ImageWalk {
            iso: &iso,
            namespace,
            entries: Vec::new(),
            most,
            text: 0,
            walked: BTreeSet::new(),
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
        if unsupported::has_udf(&head) && is_notice(&index) {
            return Err(IsoError::OnlyUdf);
        }
        whole(&index, length)?;
        Ok(index)
    }
}

/// Windows' images have one file in ISO 9660, which says that the others are elsewhere.
fn is_notice(index: &IsoIndex) -> bool {
    index.totals().0 <= 1
}

/// Every file must end before the image does.
fn whole(index: &IsoIndex, length: u64) -> Result<(), IsoError> {
    let ends = index
        .entries()
        .iter()
        .filter_map(|entry| match &entry.what {
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

fn best<R: Read + Seek>(iso: &IsoImage<R>) -> (Namespace, DirectoryRef) {
    let roots = iso.root_dirs();
    if !iso.supports_rrip() {
        let joliet = roots
            .iter()
            .find(|root| matches!(root.entry_type(), EntryType::Joliet { .. }));
        if let Some(root) = joliet {
            return (Namespace::Joliet, root.dir_ref());
        }
    }
    // The primary descriptor's comes first: it is the one that bears Rock Ridge.
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
    iso: &'a IsoImage<R>,
    namespace: Namespace,
    entries: Vec<IsoEntry>,
    /// So many of them have room in an image of this length.
    most: usize,
    /// How many bytes their paths have.
    text: usize,
    /// Where the directories lie that were walked: none is in itself, and none in two others.
    walked: BTreeSet<usize>,
    /// The first file that is compressed, and how many there are.
    compressed: Option<(String, usize)>,
}

impl<R: Read + Seek> ImageWalk<'_, R> {
    fn directory(&mut self, path: &str, at: DirectoryRef, depth: usize) -> Result<(), IsoError> {
        if depth > DEEPEST || !self.walked.insert(at.extent.0) {
            let what = "a directory that is in two places, or too many levels".into();
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
        let Some(name) = self.name(entry).filter(|name| names::is_fit(name)) else {
            // A name that no path can hold cannot be asked for.
            return Ok(());
        };
        let path = match folder {
            "" => name,
            folder => format!("{folder}/{name}"),
        };
        self.text += path.len();
        if self.entries.len() >= self.most || self.text > MOST_TEXT {
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
        let runs = entry.extents().map(|extent| Extent {
            start: extent.sector.0 as u64 * SECTOR,
            length: extent.length.into(),
        });
        self.push(&path, EntryKind::File(Extents::new(runs)));
        Ok(())
    }

    fn push(&mut self, path: &str, what: EntryKind) {
        self.entries.push(IsoEntry {
            path: path.into(),
            what,
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

/// Tells whether a record says that its file is compressed: a field `ZF` (zisofs).
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
