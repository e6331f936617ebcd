//! What a kernel module says of itself, in the section `.modinfo` of its file.

use anyhow::{Context, Result};
use object::{Object, ObjectSection};

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Modinfo {
    pub(super) aliases: Vec<String>,
    /// What it cannot be loaded without.
    pub(super) depends: Vec<String>,
    /// What it wants loaded before it.
    pub(super) before: Vec<String>,
    pub(super) firmware: Vec<String>,
}

impl Modinfo {
    pub(super) fn read(module: &[u8]) -> Result<Modinfo> {
        let file = object::File::parse(module).context("it is no module")?;
        let section = file
            .section_by_name(".modinfo")
            .context("it is no module")?;
        Ok(Modinfo::parse(&section.uncompressed_data()?))
    }

    fn parse(section: &[u8]) -> Modinfo {
        let mut told = Modinfo::default();
        for entry in section.split(|byte| *byte == 0) {
            let entry = String::from_utf8_lossy(entry);
            match entry.split_once('=') {
                Some(("alias", alias)) => told.aliases.push(alias.into()),
                Some(("depends", names)) => told.depends.extend(listed(names, ",")),
                Some(("softdep", wish)) => told.before.extend(before(wish)),
                Some(("firmware", name)) => told.firmware.push(name.into()),
                _ => {}
            }
        }
        told
    }
}

/// A module's name as the kernel shows it.
pub(super) fn name(name: &str) -> String {
    name.replace('-', "_")
}

fn listed<'a>(names: &'a str, separator: &'a str) -> impl Iterator<Item = String> + 'a {
    let names = names.split(separator).map(str::trim);
    names.filter(|name| !name.is_empty()).map(name)
}

/// What a wish `pre: a b post: c` wants first.
fn before(wish: &str) -> Vec<String> {
    let Some((_, rest)) = wish.split_once("pre:") else {
        return Vec::new();
    };
    let end = rest.find("post:").unwrap_or(rest.len());
    listed(&rest[..end], " ").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let section = b"license=GPL\0alias=pci:v00001AF4d*\0depends=virtio-ring,virtio\0\
            softdep=pre: crc32c aes-x post: later\0firmware=bnx2/a.fw\0\0depends=\0";
        let expected = Modinfo {
            aliases: vec!["pci:v00001AF4d*".into()],
            depends: vec!["virtio_ring".into(), "virtio".into()],
            before: vec!["crc32c".into(), "aes_x".into()],
            firmware: vec!["bnx2/a.fw".into()],
        };
        assert_eq!(Modinfo::parse(section), expected);
        assert_eq!(before("post: b"), Vec::<String>::new());
        assert!(Modinfo::read(b"\x7fELF").is_err());
    }
}
