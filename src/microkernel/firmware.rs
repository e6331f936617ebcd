//! The firmware that modules ask for, where it is here.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::unpack;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct FirmwareFiles {
    /// Each file by its name under `/lib/firmware`, unpacked.
    pub(super) files: Vec<(String, Vec<u8>)>,
    pub(super) no_room: Vec<String>,
    pub(super) missing: usize,
}

/// Finds what is wanted in the directories, the first of which that has it counts. The smallest come first, so that the most
/// cards find theirs in `room` bytes.
pub(super) fn find(wanted: &[String], dirs: &[PathBuf], room: u64) -> Result<FirmwareFiles> {
    let mut names: Vec<_> = wanted.iter().filter(|name| is_plain(name)).collect();
    names.sort();
    names.dedup();
    let mut found = FirmwareFiles::default();
    let mut here = Vec::new();
    for name in names {
        match dirs.iter().find_map(|dir| file(dir, name)) {
            Some(path) => here.push((name.clone(), unpack::read(&path)?)),
            None => found.missing += 1,
        }
    }
    here.sort_by(|a, b| (a.1.len(), &a.0).cmp(&(b.1.len(), &b.0)));
    let mut used = 0;
    for (name, bytes) in here {
        used += bytes.len() as u64;
        match used <= room {
            true => found.files.push((name, bytes)),
            false => found.no_room.push(name),
        }
    }
    found.files.sort();
    found.no_room.sort();
    Ok(found)
}

/// A name that stays in its directory.
fn is_plain(name: &str) -> bool {
    let parts = Path::new(name).components();
    parts
        .into_iter()
        .all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn file(dir: &Path, name: &str) -> Option<PathBuf> {
    let paths = unpack::ENDINGS
        .iter()
        .map(|ending| dir.join(format!("{name}{ending}")));
    paths.into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_smallest_come_first_and_none_leaves_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().join("own"), dir.path().join("firmware")];
        for (path, size) in [
            ("own/a.fw", 10),
            ("firmware/a.fw", 99),
            ("firmware/x/b.fw", 5),
            ("firmware/c.fw", 20),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![1; size]).unwrap();
        }
        let wanted = [
            "a.fw",
            "x/b.fw",
            "c.fw",
            "gone.fw",
            "../own/a.fw",
            "/etc/passwd",
        ];
        let found = find(&wanted.map(String::from), &dirs, 20).unwrap();
        let names: Vec<_> = found
            .files
            .iter()
            .map(|(name, bytes)| (&**name, bytes.len()))
            .collect();
        assert_eq!(names, [("a.fw", 10), ("x/b.fw", 5)]);
        assert_eq!((found.no_room, found.missing), (vec!["c.fw".to_owned()], 1));
    }
}
