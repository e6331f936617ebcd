//! A backup of the state directory: one compressed file.
//!
//! ```text
//! <name>.tar.gz
//!   backup.json          the version of this format, the site and the time
//!   state/…              the files of the state directory that cannot be built again
//!   checksums            the SHA-256 of each of them, in the format of sha256sum; always last
//! ```
//!
//! A file that was cut short has no checksums, and is refused before anything is written.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Component, Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    atomic,
    journal::{is_segment, segments_of},
    state::{KEPT_FILES, StateDirectory},
};
use crate::model::Timestamp;

const HEADER: &str = "backup.json";
const CHECKSUMS: &str = "checksums";
const STATE: &str = "state";

/// The version of the format.
const VERSION: u32 = 1;

/// The largest header and list of checksums that are read, in bytes.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// The site and the time of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHeader {
    version: u32,
    /// None for a demonstration.
    pub site_id: Option<String>,
    pub at: Timestamp,
}

/// What a backup contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupContents {
    pub files: usize,
    pub bytes: u64,
}

/// Why a backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("it is not a backup of a state directory")]
    NotABackup,
    #[error("it is from a newer release (format {0})")]
    NewerVersion(u32),
    #[error("it is incomplete: it was cut short")]
    CutShort,
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Writes a backup of a state directory to a new file, which only its owner can read. A server may run meanwhile.
pub fn write(
    state: &StateDirectory,
    header: BackupHeader,
    path: &Path,
) -> io::Result<BackupContents> {
    let mut options = OpenOptions::new();
    let file = atomic::private(options.write(true).create_new(true)).open(path)?;
    let written = write_to(state, &header, &file);
    if written.is_err() {
        // An incomplete backup must not be taken for one. The first error is the one to report.
        drop(fs::remove_file(path));
    }
    let contents = written?;
    file.sync_all()?;
    Ok(contents)
}

fn write_to(
    state: &StateDirectory,
    header: &BackupHeader,
    file: &File,
) -> io::Result<BackupContents> {
    let packed = GzEncoder::new(BufWriter::new(file), Compression::default());
    let mut archive = tar::Builder::new(packed);
    let head = serde_json::to_vec(header)?;
    add(&mut archive, HEADER, &head)?;
    let mut sums = String::new();
    let mut contents = BackupContents { files: 0, bytes: 0 };
    for name in kept(state.path())? {
        let name = name.to_str().ok_or_else(|| {
            io::Error::other(format!("`{}` is no file of a server", name.display()))
        })?;
        let bytes = match fs::read(state.path().join(name)) {
            Ok(bytes) => bytes,
            // The documents of an attempt that has just ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        add(&mut archive, &format!("{STATE}/{name}"), &bytes)?;
        sums += &format!("{}  {STATE}/{name}\n", hex(&Sha256::digest(&bytes)));
        contents.files += 1;
        contents.bytes += bytes.len() as u64;
    }
    add(&mut archive, CHECKSUMS, sums.as_bytes())?;
    archive.into_inner()?.finish()?.flush()?;
    Ok(contents)
}

fn add(archive: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    archive.append_data(&mut header, name, bytes)
}

/// The files of a state directory that a backup has, by their paths in it. The journal comes last, so that it has whatever the
/// others follow from.
fn kept(state: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names: Vec<PathBuf> = Vec::new();
    for name in KEPT_FILES {
        if state.join(name).is_file() {
            names.push(name.into());
        }
    }
    files_in(state, Path::new("attempts"), &mut names)?;
    let journal = Path::new("journal");
    names.extend(
        segments_of(&state.join(journal))?
            .into_iter()
            .map(|name| journal.join(name)),
    );
    Ok(names)
}

fn files_in(state: &Path, directory: &Path, names: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(state.join(directory)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut found = entries
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    found.sort();
    for name in found {
        let path = directory.join(&name);
        let is_leftover = name.to_str().is_some_and(atomic::is_leftover);
        match fs::symlink_metadata(state.join(&path)) {
            Ok(metadata) if metadata.is_dir() => files_in(state, &path, names)?,
            Ok(metadata) if metadata.is_file() && !is_leftover => names.push(path),
            // It was removed meanwhile, or is nothing that a server writes.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Checks a whole backup, and writes its files to the directory `into`, which is created. Nothing is left of it after an error.
pub fn unpack(path: &Path, into: &Path) -> Result<BackupHeader, BackupError> {
    fs::create_dir(into)?;
    let unpacked = unpack_into(path, into);
    if unpacked.is_err() {
        // The first error is the one to report.
        drop(fs::remove_dir_all(into));
    }
    unpacked
}

fn unpack_into(path: &Path, into: &Path) -> Result<BackupHeader, BackupError> {
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::new(File::open(path)?)));
    let mut header = None;
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut sums = None;
    for entry in archive.entries().map_err(|_| BackupError::NotABackup)? {
        let broken = |_| match header.is_some() {
            true => BackupError::CutShort,
            false => BackupError::NotABackup,
        };
        let mut entry = entry.map_err(broken)?;
        if sums.is_some() || entry.header().entry_type() != tar::EntryType::Regular {
            return Err(BackupError::Damaged(
                "it has other entries than a backup".into(),
            ));
        }
        let name = entry.path().map_err(broken)?.to_string_lossy().into_owned();
        match (name.as_str(), &header) {
            (HEADER, None) => header = Some(read_header(&mut entry)?),
            (_, None) => return Err(BackupError::NotABackup),
            (CHECKSUMS, Some(_)) => sums = Some(read_text(&mut entry)?),
            _ => {
                let sum = write_file(&mut entry, &name, into)?;
                if found.insert(name.clone(), sum).is_some() {
                    return Err(BackupError::Damaged(format!("it has `{name}` twice")));
                }
            }
        }
    }
    let header = header.ok_or(BackupError::NotABackup)?;
    let sums = sums.ok_or(BackupError::CutShort)?;
    // The checksum and the length of gzip are at its end.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupError::CutShort,
        _ => BackupError::Damaged(error.to_string()),
    })?;
    let lines = found.iter().map(|(name, sum)| format!("{sum}  {name}\n"));
    let (mut expected, mut actual): (Vec<&str>, Vec<String>) =
        (sums.split_inclusive('\n').collect(), lines.collect());
    expected.sort_unstable();
    actual.sort_unstable();
    if expected != actual {
        return Err(BackupError::Damaged(
            "its files do not have their checksums".into(),
        ));
    }
    Ok(header)
}

fn read_header(entry: &mut impl Read) -> Result<BackupHeader, BackupError> {
    let text = read_text(entry)?;
    let header: BackupHeader = serde_json::from_str(&text).map_err(|_| BackupError::NotABackup)?;
    match header.version {
        VERSION => Ok(header),
        newer => Err(BackupError::NewerVersion(newer)),
    }
}

fn read_text(entry: &mut impl Read) -> Result<String, BackupError> {
    let mut text = String::new();
    let read = entry.take(MAX_LIST_BYTES).read_to_string(&mut text);
    read.map_err(|_| BackupError::CutShort)?;
    Ok(text)
}

/// Writes one file of the state directory, and returns its checksum.
fn write_file(entry: &mut impl Read, name: &str, into: &Path) -> Result<String, BackupError> {
    let path = place(name)
        .ok_or_else(|| BackupError::Damaged(format!("`{name}` is no file of a state directory")))?;
    let path = into.join(path);
    if let Some(parent) = path.parent() {
        atomic::create_dir(parent)?;
    }
    let mut options = OpenOptions::new();
    let mut file = atomic::private(options.write(true).create_new(true)).open(path)?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = entry.read(&mut buffer).map_err(|_| BackupError::CutShort)?;
        if read == 0 {
            break;
        }
        sum.update(&buffer[..read]);
        file.write_all(&buffer[..read])?;
    }
    file.sync_all()?;
    Ok(hex(&sum.finalize()))
}

/// The path in the state directory of an entry; none if a backup has no such entry.
fn place(name: &str) -> Option<&Path> {
    let path = Path::new(name).strip_prefix(STATE).ok()?;
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let is_kept = KEPT_FILES.iter().any(|kept| Path::new(kept) == path)
        || path.starts_with("attempts")
        || path.parent() == Some(Path::new("journal")) && is_segment(path.file_name()?.to_str()?);
    (is_plain && is_kept).then_some(path)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl BackupHeader {
    pub fn new(site_id: Option<String>, at: Timestamp) -> BackupHeader {
        BackupHeader {
            version: VERSION,
            site_id,
            at,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A state directory with files of every kind.
    fn state(dir: &Path) -> StateDirectory {
        let state = StateDirectory::open(&dir.join("state")).unwrap();
        state.write_site_id("5f0c").unwrap();
        state.token_key().unwrap();
        state.seal_key().unwrap();
        let files = [
            "journal/00000001.jsonl",
            "journal/00000002.jsonl",
            "journal/manifest.jsonl",
            "journal/checkpoint",
            "journal/lock",
            "journal/.new-1-1",
            "attempts/ab-1/ks.cfg",
            "images/x",
            "microkernel/vmlinuz",
            "demo-1/site-id",
        ];
        for (at, name) in files.iter().enumerate() {
            let path = state.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{at}\n").repeat(50_000)).unwrap();
        }
        state
    }

    fn header() -> BackupHeader {
        BackupHeader::new(Some("5f0c".into()), Timestamp(1_795_348_800_000))
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names = Vec::new();
        files_in(dir, Path::new(""), &mut names).unwrap();
        names
            .iter()
            .map(|name| name.display().to_string())
            .collect()
    }

    #[test]
    fn a_backup_has_what_cannot_be_built_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path());
        let (file, into) = (dir.path().join("b.tar.gz"), dir.path().join("new"));
        let contents = write(&state, header(), &file).unwrap();
        assert_eq!(contents.files, 6);
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(unpack(&file, &into).unwrap(), header());
        let expected = [
            "attempts/ab-1/ks.cfg",
            "journal/00000001.jsonl",
            "journal/00000002.jsonl",
            "seal-key",
            "site-id",
            "token-key",
        ];
        assert_eq!(names(&into), expected);
        for name in expected {
            assert_eq!(
                fs::read(into.join(name)).unwrap(),
                fs::read(state.path().join(name)).unwrap()
            );
        }
        // An existing file is not overwritten.
        let error = write(&state, header(), &file).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_backup_that_is_cut_short_anywhere_or_damaged_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.tar.gz");
        write(&state(dir.path()), header(), &file).unwrap();
        let whole = fs::read(&file).unwrap();
        let part = dir.path().join("part");
        let into = dir.path().join("new");
        let step = whole.len() / 200 + 1;
        // The last bytes are zeros at the end of the archive, and the checksum and the length of gzip.
        let near_the_end = whole.len() - 40..whole.len();
        for length in (0..whole.len()).step_by(step).chain(near_the_end) {
            fs::write(&part, &whole[..length]).unwrap();
            let error = unpack(&part, &into).unwrap_err();
            assert!(
                matches!(error, BackupError::CutShort | BackupError::NotABackup),
                "{length}: {error}"
            );
            assert!(!into.exists());
        }
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x55;
        fs::write(&part, damaged).unwrap();
        assert!(unpack(&part, &into).is_err());
        assert!(!into.exists());
    }

    #[test]
    fn entries_that_no_backup_has_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (file, into) = (dir.path().join("b.tar.gz"), dir.path().join("new"));
        let newer = br#"{"version":2,"site_id":null,"at":"2026-11-22T12:00:00.000Z"}"#.to_vec();
        let own = serde_json::to_vec(&header()).unwrap();
        let cases: [(&[u8], &str, &str); 8] = [
            (
                &newer,
                "state/site-id",
                "it is from a newer release (format 2)",
            ),
            (
                b"{}",
                "state/site-id",
                "it is not a backup of a state directory",
            ),
            (
                &own,
                "state/../../x",
                "it is damaged: `state/../../x` is no file of a state directory",
            ),
            (
                &own,
                "state/attempts/../../x",
                "it is damaged: `state/attempts/../../x` is no file of a state directory",
            ),
            (
                &own,
                "/etc/x",
                "it is damaged: `/etc/x` is no file of a state directory",
            ),
            (
                &own,
                "state/journal/lock",
                "it is damaged: `state/journal/lock` is no file of a state directory",
            ),
            (
                &own,
                "state/site-id",
                "it is damaged: its files do not have their checksums",
            ),
            (
                &own,
                "backup.json",
                "it is damaged: `backup.json` is no file of a state directory",
            ),
        ];
        for (head, name, expected) in cases {
            let packed = GzEncoder::new(File::create(&file).unwrap(), Compression::fast());
            let mut archive = tar::Builder::new(packed);
            add(&mut archive, HEADER, head).unwrap();
            // The library refuses to write some of these names.
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(1);
            header.set_mode(0o600);
            header.set_cksum();
            archive.append(&header, &b"x"[..]).unwrap();
            add(&mut archive, CHECKSUMS, b"").unwrap();
            archive.into_inner().unwrap().finish().unwrap();
            assert_eq!(unpack(&file, &into).unwrap_err().to_string(), expected);
            assert!(!into.exists() && !dir.path().join("x").exists());
        }
    }
}
