//! Finds the firmware files that modules need.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::unpack;

#[derive(Debug, Default)]
pub(super) struct FirmwareFiles {
    /// The files by name under `/lib/firmware`, decompressed.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// The files that do not fit.
    pub(super) left_out: Vec<String>,
    /// The number of files that are not installed.
    pub(super) missing: usize,
}

/// Finds files in these directories; the first directory that has a file is used. The smallest files are taken first, so that
/// `room` bytes are enough for the most NICs.
pub(super) fn find(wanted: &[String], dirs: &[PathBuf], room: u64) -> Result<FirmwareFiles> {
    let mut names: Vec<_> = wanted.iter().filter(|name| is_plain(name)).collect();
    names.sort();
    names.dedup();
    let mut found = FirmwareFiles::default();
    let mut files = Vec::new();
    for name in names {
        match dirs.iter().find_map(|dir| file(dir, name)) {
            Some(path) => files.push((name.clone(), unpack::read(&path)?)),
            None => found.missing += 1,
        }
    }
    files.sort_by(|a, b| (a.1.len(), &a.0).cmp(&(b.1.len(), &b.0)));
    let mut used = 0;
    for (name, bytes) in files {
        used += bytes.len() as u64;
        match used <= room {
            true => found.files.push((name, bytes)),
            false => found.left_out.push(name),
        }
    }
    found.files.sort();
    found.left_out.sort();
    Ok(found)
}

/// Whether a name stays within its directory.
fn is_plain(name: &str) -> bool {
    let parts = Path::new(name).components();
    parts
        .into_iter()
        .all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn file(dir: &Path, name: &str) -> Option<PathBuf> {
    let paths = unpack::EXTENSIONS
        .iter()
        .map(|extension| dir.join(format!("{name}{extension}")));
    paths.into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_smallest_files_come_first_and_no_name_leaves_its_directory() {
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
        assert_eq!(
            (found.left_out, found.missing),
            (vec!["c.fw".to_owned()], 1)
        );
    }
}
