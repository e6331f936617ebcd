//! Parses the metadata of a kernel module: the section `.modinfo` of its file.

use anyhow::{Context, Result};
use object::{Object, ObjectSection};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Modinfo {
    pub(super) aliases: Vec<String>,
    /// The modules that it depends on.
    pub(super) depends: Vec<String>,
    /// Soft dependencies to load first (`softdep=pre:`).
    pub(super) soft_depends: Vec<String>,
    pub(super) firmware: Vec<String>,
}

impl Modinfo {
    pub(super) fn read(module: &[u8]) -> Result<Modinfo> {
        let file = object::File::parse(module).context("not a kernel module")?;
        let section = file
            .section_by_name(".modinfo")
            .context("not a kernel module")?;
        Ok(Modinfo::parse(&section.uncompressed_data()?))
    }

    fn parse(section: &[u8]) -> Modinfo {
        let mut modinfo = Modinfo::default();
        for entry in section.split(|byte| *byte == 0) {
            let entry = String::from_utf8_lossy(entry);
            match entry.split_once('=') {
                Some(("alias", alias)) => modinfo.aliases.push(alias.into()),
                Some(("depends", names)) => modinfo.depends.extend(split_names(names, ",")),
                Some(("softdep", list)) => modinfo.soft_depends.extend(pre_dependencies(list)),
                Some(("firmware", name)) => modinfo.firmware.push(name.into()),
                _ => {}
            }
        }
        modinfo
    }
}

/// A module's name as the kernel shows it.
pub(super) fn name(name: &str) -> String {
    name.replace('-', "_")
}

fn split_names<'a>(names: &'a str, separator: &'a str) -> impl Iterator<Item = String> + 'a {
    let names = names.split(separator).map(str::trim);
    names.filter(|name| !name.is_empty()).map(name)
}

/// The modules after `pre:` in `pre: a b post: c`.
fn pre_dependencies(list: &str) -> Vec<String> {
    let Some((_, rest)) = list.split_once("pre:") else {
        return Vec::new();
    };
    let end = rest.find("post:").unwrap_or(rest.len());
    split_names(&rest[..end], " ").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_parsed() {
        let section = b"license=GPL\0alias=pci:v00001AF4d*\0depends=virtio-ring,virtio\0\
            softdep=pre: crc32c aes-x post: later\0firmware=bnx2/a.fw\0\0depends=\0";
        let expected = Modinfo {
            aliases: vec!["pci:v00001AF4d*".into()],
            depends: vec!["virtio_ring".into(), "virtio".into()],
            soft_depends: vec!["crc32c".into(), "aes_x".into()],
            firmware: vec!["bnx2/a.fw".into()],
        };
        assert_eq!(Modinfo::parse(section), expected);
        assert_eq!(pre_dependencies("post: b"), Vec::<String>::new());
        assert!(Modinfo::read(b"\x7fELF").is_err());
    }
}
