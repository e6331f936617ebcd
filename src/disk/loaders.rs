//! Finding loaders: in the site's own directories, then at the paths of the distribution's packages.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::boot::Loader;

/// The loaders that exist, by the lowercase name under which they are served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaders(BTreeMap<String, PathBuf>);

impl Loaders {
    /// Searches the site's own directories, then the paths of the packages.
    pub fn find(own: &[PathBuf]) -> Loaders {
        let mut found = BTreeMap::new();
        for directory in own {
            for (name, path) in files(directory) {
                found.entry(name).or_insert(path);
            }
        }
        for loader in Loader::ALL {
            let path = Path::new(loader.path);
            if path.is_file() {
                let name = loader.name.to_ascii_lowercase();
                found.entry(name).or_insert_with(|| path.into());
            }
        }
        Loaders(found)
    }

    pub fn get(&self, name: &str) -> Option<&Path> {
        let path = self.0.get(&name.to_ascii_lowercase());
        path.map(PathBuf::as_path)
    }

    /// Reads a loader; none when it is missing.
    pub fn read(&self, name: &str) -> io::Result<Option<LoaderFile>> {
        let Some(path) = self.get(name) else {
            return Ok(None);
        };
        let length = fs::metadata(path)?.len();
        if length > MAX_LOADER {
            return Err(io::Error::other(format!(
                "`{}` is too large for a loader: at most 64 MiB",
                path.display()
            )));
        }
        let bytes = fs::read(path)?;
        Ok(Some(LoaderFile { bytes }))
    }

    /// The loaders of [`Loader::ALL`] that are missing.
    pub fn missing(&self) -> impl Iterator<Item = Loader> {
        let all = Loader::ALL.into_iter();
        all.filter(|loader| self.get(loader.name).is_none())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderFile {
    pub bytes: Vec<u8>,
}

/// In bytes.
const MAX_LOADER: u64 = 64 << 20;

/// The files of a directory; none if it is missing or cannot be read.
fn files(directory: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut list: Vec<_> = paths
        .filter(|path| path.is_file())
        .filter_map(|path| Some((path.file_name()?.to_str()?.to_ascii_lowercase(), path)))
        .collect();
    list.sort();
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sites_own_loaders_take_precedence_in_any_case() {
        let one = tempfile::tempdir().unwrap();
        let two = tempfile::tempdir().unwrap();
        for (directory, name) in [(&one, "Own.EFI"), (&one, "snponly.efi"), (&two, "own.efi")] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        fs::create_dir(one.path().join("below")).unwrap();
        let gone = one.path().join("gone");
        let loaders = Loaders::find(&[gone, one.path().into(), two.path().into()]);
        let own = one.path().join("Own.EFI");
        assert_eq!(loaders.get("own.efi"), Some(own.as_path()));
        let snponly = one.path().join("snponly.efi");
        assert_eq!(loaders.get("SNPONLY.efi"), Some(snponly.as_path()));
        assert_eq!(loaders.get("below"), None);
        assert_eq!(loaders.get("../below"), None);
        assert!(loaders.missing().all(|loader| loader.name != "snponly.efi"));
    }
}
