//! Creates the seed volume: the configuration for cloud-init's data source NoCloud.

use std::{
    collections::BTreeMap,
    io::{self, Cursor, Write},
};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};

/// The size of the volume in bytes, small enough for FAT12.
pub(in crate::agent) const SIZE: usize = 4 << 20;

/// The volume label for which cloud-init searches.
const LABEL: [u8; 11] = *b"CIDATA     ";

/// Creates the volume with these files.
pub(in crate::agent) fn volume(files: &BTreeMap<String, Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; SIZE];
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat12)
        .volume_label(LABEL);
    fatfs::format_volume(Cursor::new(&mut bytes[..]), options)?;
    {
        let volume = FileSystem::new(Cursor::new(&mut bytes[..]), FsOptions::new())?;
        for (name, text) in files {
            volume.root_dir().create_file(name)?.write_all(text)?;
        }
        volume.unmount()?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_volume_has_its_label_and_its_files() {
        let text = b"instance-id: a\n".to_vec();
        let long = vec![b'x'; 1 << 20];
        let files = BTreeMap::from([
            ("meta-data".to_owned(), text.clone()),
            ("network-config".to_owned(), long.clone()),
        ]);
        let mut bytes = volume(&files).unwrap();
        assert_eq!(bytes.len(), SIZE);
        let volume = FileSystem::new(Cursor::new(&mut bytes[..]), FsOptions::new()).unwrap();
        assert_eq!(volume.volume_label(), "CIDATA");
        let label = volume.read_volume_label_from_root_dir().unwrap();
        assert_eq!(label.as_deref(), Some("CIDATA"));
        for (name, expected) in files {
            let mut found = Vec::new();
            let mut file = volume.root_dir().open_file(&name).unwrap();
            file.read_to_end(&mut found).unwrap();
            assert!(found == expected, "{name}");
        }
    }

    #[test]
    fn files_larger_than_the_volume_are_an_error() {
        let files = BTreeMap::from([("user-data".to_owned(), vec![0; SIZE])]);
        assert!(volume(&files).is_err());
    }
}
