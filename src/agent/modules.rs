//! The table of kernel modules in the microkernel: the devices that each one drives, and its dependencies.
//!
//! The table is built with the microkernel from the modules' metadata, and is a file in its initrd.

use std::{collections::BTreeMap, fs::File, io, path::Path};

use glob::Pattern;
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
};
use serde::{Deserialize, Serialize};

/// The path of the table in the initrd.
pub(crate) const TABLE: &str = "modules.json";
/// The directory of the modules, each as `<name>.ko`.
pub(crate) const DIRECTORY: &str = "modules";

/// The modules by name, with `_` instead of `-`, as the kernel shows them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct ModuleTable(pub(crate) BTreeMap<String, KernelModule>);

/// The metadata of a module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct KernelModule {
    /// The devices that it drives: patterns of modalias.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aliases: Vec<String>,
    /// The modules to load first: its dependencies, and its soft dependencies (`pre:`) that exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) needs: Vec<String>,
}

impl ModuleTable {
    /// The modules that drive the device with this modalias.
    pub(crate) fn driving<'a>(&'a self, modalias: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        let drives = |module: &KernelModule| {
            let aliases = module.aliases.iter();
            aliases.into_iter().any(|alias| matches(alias, modalias))
        };
        let driving = self.0.iter().filter(move |(_, module)| drives(module));
        driving.map(|(name, _)| name.as_str())
    }

    /// A module and its dependencies, in load order.
    pub(crate) fn in_order<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let mut order = Vec::new();
        self.append(name, &mut Vec::new(), &mut order);
        order
    }

    fn append<'a>(&'a self, name: &'a str, above: &mut Vec<&'a str>, order: &mut Vec<&'a str>) {
        // Soft dependencies may be circular; the circle is cut here.
        if above.contains(&name) || order.contains(&name) {
            return;
        }
        let Some(module) = self.0.get(name) else {
            return;
        };
        above.push(name);
        for needed in &module.needs {
            self.append(needed, above, order);
        }
        above.pop();
        order.push(name);
    }
}

/// Whether a module's alias matches a modalias: `*`, `?` and `[…]` as in file name patterns.
fn matches(alias: &str, modalias: &str) -> bool {
    let plain = alias.find(['*', '?', '[']).unwrap_or(alias.len());
    // Fast path: most of some ten thousand aliases differ before their first `*`.
    if !modalias.starts_with(&alias[..plain]) {
        return false;
    }
    if plain == alias.len() {
        return alias == modalias;
    }
    // An invalid pattern matches nothing.
    Pattern::new(alias).is_ok_and(|pattern| pattern.matches(modalias))
}

/// Loads one module; not an error if it is loaded already.
pub(crate) fn load(root: &Path, name: &str) -> io::Result<()> {
    let file = File::open(root.join(DIRECTORY).join(format!("{name}.ko")))?;
    match finit_module(&file, c"", ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ModuleTable {
        let module = |aliases: &[&str], needs: &[&str]| KernelModule {
            aliases: aliases.iter().map(|&alias| alias.into()).collect(),
            needs: needs.iter().map(|&name| name.into()).collect(),
        };
        let modules = [
            (
                "virtio_net",
                module(&["virtio:d00000001v*"], &["virtio", "net_failover"]),
            ),
            ("net_failover", module(&[], &["failover"])),
            ("failover", module(&[], &[])),
            ("virtio", module(&[], &["virtio_ring"])),
            ("virtio_ring", module(&[], &["virtio"])),
            (
                "ahci",
                module(
                    &[
                        "pci:v*d*sv*sd*bc01sc06i01*",
                        "pci:v00008086d0000A103sv*sd*bc*sc*i*",
                    ],
                    &["libahci"],
                ),
            ),
            (
                "e1000e",
                module(&["pci:v00008086d000010D3sv*sd*bc*sc*i*"], &["gone"]),
            ),
            ("board", module(&["dmi*:svn[A-C]cme:*"], &[])),
        ];
        ModuleTable(modules.map(|(name, module)| (name.into(), module)).into())
    }

    #[test]
    fn devices_find_their_modules() {
        let table = table();
        let cases = [
            ("virtio:d00000001v00001AF4", vec!["virtio_net"]),
            ("virtio:d00000002v00001AF4", vec![]),
            (
                "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
                vec!["ahci"],
            ),
            (
                "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00",
                vec!["e1000e"],
            ),
            ("dmi:bvnX:svnBcme:pn1", vec!["board"]),
            ("dmi:bvnX:svnDcme:pn1", vec![]),
            ("", vec![]),
        ];
        for (modalias, expected) in cases {
            assert_eq!(
                table.driving(modalias).collect::<Vec<_>>(),
                expected,
                "{modalias}"
            );
        }
    }

    #[test]
    fn dependencies_are_loaded_first() {
        let table = table();
        assert_eq!(
            table.in_order("virtio_net"),
            [
                "virtio_ring",
                "virtio",
                "failover",
                "net_failover",
                "virtio_net"
            ]
        );
        assert_eq!(table.in_order("e1000e"), ["e1000e"]);
        assert!(table.in_order("unknown").is_empty());
    }
}
