//! The Debian package that installed a file, and its version, from dpkg's database.
//!
//! Without dpkg no package is found; that is not an error.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
}

/// dpkg's database.
#[derive(Debug, Clone)]
pub struct Dpkg {
    root: PathBuf,
    status: String,
}

impl Dpkg {
    /// Reads the database in `/var/lib/dpkg`.
    pub fn read() -> Dpkg {
        Dpkg::at(Path::new("/var/lib/dpkg"))
    }

    pub fn at(root: &Path) -> Dpkg {
        Dpkg {
            root: root.into(),
            // Without a database no package is installed.
            status: fs::read_to_string(root.join("status")).unwrap_or_default(),
        }
    }

    /// Returns the package of this name if it installed the file at `path`.
    pub fn owner(&self, path: &Path, name: &str) -> Option<Package> {
        let stanza = self.stanza(name)?;
        let (version, architecture) = (field(stanza, "Version")?, field(stanza, "Architecture")?);
        // A package that can be installed for several architectures has a list for each.
        let lists = [
            format!("{name}.list"),
            format!("{name}:{architecture}.list"),
        ];
        let has = |list: &String| {
            let text = fs::read_to_string(self.root.join("info").join(list));
            text.is_ok_and(|text| text.lines().any(|line| Path::new(line) == path))
        };
        lists.iter().any(has).then(|| Package {
            name: name.into(),
            version: version.into(),
        })
    }

    /// The database's entry of an installed package.
    fn stanza(&self, name: &str) -> Option<&str> {
        let mut stanzas = self.status.split("\n\n");
        stanzas.find(|stanza| {
            field(stanza, "Package") == Some(name)
                && field(stanza, "Status").is_some_and(|status| status.ends_with(" installed"))
        })
    }
}

fn field<'t>(stanza: &'t str, name: &str) -> Option<&'t str> {
    let mut lines = stanza.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_version_of_the_package_that_installed_it() {
        let dir = tempfile::tempdir().unwrap();
        let info = dir.path().join("info");
        fs::create_dir(&info).unwrap();
        fs::write(
            dir.path().join("status"),
            "Package: ipxe\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0-5\n\n\
             Package: shim-signed\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.51\nDescription: x\n Package: no\n\n\
             Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 9\n",
        )
        .unwrap();
        fs::write(info.join("ipxe.list"), "/.\n/usr/lib/ipxe/snponly.efi\n").unwrap();
        fs::write(info.join("shim-signed:amd64.list"), "/usr/lib/shim/x\n").unwrap();
        fs::write(info.join("gone.list"), "/usr/lib/gone\n").unwrap();
        let dpkg = Dpkg::at(dir.path());
        for (path, name, version) in [
            ("/usr/lib/ipxe/snponly.efi", "ipxe", Some("1.0-5")),
            ("/usr/lib/shim/x", "shim-signed", Some("1.51")),
            ("/srv/snponly.efi", "ipxe", None),
            ("/usr/lib/gone", "gone", None),
            ("/usr/lib/ipxe/snponly.efi", "not-installed", None),
        ] {
            let owner = dpkg.owner(Path::new(path), name);
            assert_eq!(owner.map(|one| one.version).as_deref(), version, "{path}");
        }
        let nothing = Dpkg::at(&dir.path().join("none"));
        assert_eq!(
            nothing.owner(Path::new("/usr/lib/shim/x"), "shim-signed"),
            None
        );
    }
}
