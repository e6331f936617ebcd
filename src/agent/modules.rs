//! The kernel modules of a microkernel: which one drives what, and what has to be loaded before it.
//!
//! The table is made with the microkernel, from what the modules say of themselves, and lies in it as a file.

use std::{collections::BTreeMap, fs::File, io, path::Path};

use glob::Pattern;
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
};
use serde::{Deserialize, Serialize};

/// Where the table lies in the microkernel.
pub(crate) const TABLE: &str = "modules.json";
/// Where the modules lie, each as `<name>.ko`.
pub(crate) const DIRECTORY: &str = "modules";

/// The modules by name; `-` in a name is written `_`, as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct ModuleTable(pub(crate) BTreeMap<String, KernelModule>);

/// What a module says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct KernelModule {
    /// What it drives: patterns of modalias.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aliases: Vec<String>,
    /// What it cannot be loaded without, and what it wants loaded before it where that is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) needs: Vec<String>,
}

impl ModuleTable {
    /// Those that drive the device of this modalias.
    pub(crate) fn driving<'a>(&'a self, modalias: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        let drives = |module: &KernelModule| {
            let aliases = module.aliases.iter();
            aliases.into_iter().any(|alias| fits(alias, modalias))
        };
        let driving = self.0.iter().filter(move |(_, module)| drives(module));
        driving.map(|(name, _)| name.as_str())
    }

    /// A module and all that it needs, each after what it needs itself.
    pub(crate) fn in_order<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let mut order = Vec::new();
        self.append(name, &mut Vec::new(), &mut order);
        order
    }

    fn append<'a>(&'a self, name: &'a str, above: &mut Vec<&'a str>, order: &mut Vec<&'a str>) {
        // A circle of wishes ("softdep") is cut where it closes.
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

/// Whether a modalias is one that a module's alias means: `*`, `?` and `[…]` as in names of files.
fn fits(alias: &str, modalias: &str) -> bool {
    let plain = alias.find(['*', '?', '[']).unwrap_or(alias.len());
    // Most of some ten thousand aliases are told apart before their first `*`.
    if !modalias.starts_with(&alias[..plain]) {
        return false;
    }
    if plain == alias.len() {
        return alias == modalias;
    }
    // An alias that is no pattern fits nothing; the table's maker leaves none in.
    Pattern::new(alias).is_ok_and(|pattern| pattern.matches(modalias))
}

/// Loads one module. One that is loaded already is as good.
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
    fn what_a_module_needs_comes_before_it() {
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
