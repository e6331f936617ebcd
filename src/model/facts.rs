//! The facts that a machine has reported.
//!
//! Known facts are typed: a value of another type is dropped, so an expression never compares a string with a
//! number. All other facts are stored as text under `custom`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Mac, Platform};

/// What a known fact takes besides its value, in bytes.
const NAME_SIZE: usize = 16;
/// What a fact of another name takes besides its name and its text: the memory of an entry of the map.
const CUSTOM_SIZE: usize = 64;
/// What an entry of a list takes besides its texts, in bytes.
const ENTRY_SIZE: usize = 16;
/// What a NIC or a disk takes besides its texts, in bytes.
const DEVICE_SIZE: usize = 64;

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        /// The facts of one machine. A fact that it never reported is absent.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
        pub struct Facts {
            $($(#[$doc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)*
            /// Facts that have no field, as text.
            #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
            pub custom: BTreeMap<String, String>,
        }

        impl Facts {
            /// The names of the known facts.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// Adds all facts of `newer`, which replace older values.
            pub fn update(&mut self, newer: Facts) {
                $(if newer.$name.is_some() { self.$name = newer.$name; })*
                self.custom.extend(newer.custom);
            }

            /// Whether all facts of `newer` are already present.
            pub fn covers(&self, newer: &Facts) -> bool {
                $((newer.$name.is_none() || newer.$name == self.$name) &&)*
                newer.custom.iter().all(|(name, text)| self.custom.get(name) == Some(text))
            }

            /// The size of one fact in bytes; 0 if it is absent.
            pub(super) fn size_of(&self, name: &str) -> usize {
                match name {
                    $(stringify!($name) => self.$name.as_ref().map_or(0, |value| NAME_SIZE + value.size()),)*
                    _ => self.custom.get(name).map_or(0, |text| custom_size(name, text)),
                }
            }

            /// Removes the facts for which `keep` returns false. It gets the name of each and its size in bytes.
            pub(super) fn retain(&mut self, mut keep: impl FnMut(&str, usize) -> bool) {
                $(if let Some(value) = &self.$name && !keep(stringify!($name), NAME_SIZE + value.size()) {
                    self.$name = None;
                })*
                self.custom.retain(|name, text| keep(name, custom_size(name, text)));
            }

            /// Parses one reported fact: JSON if its type is a list or a table, otherwise plain text. Returns none
            /// if the text is not of the fact's type.
            pub fn parse(name: &str, text: &str) -> Option<Facts> {
                let mut facts = Facts::default();
                match name {
                    $(stringify!($name) => facts.$name = Some(<$type as FromReport>::read(text)?),)*
                    _ => { facts.custom.insert(name.into(), text.into()); }
                }
                Some(facts)
            }
        }
    };
}

facts! {
    /// The manufacturer (SMBIOS type 1).
    manufacturer: String,
    /// The product name (SMBIOS type 1).
    product: String,
    /// The serial number as reported, including placeholders.
    serial: String,
    /// The UUID as reported.
    uuid: String,
    /// The asset tag as reported.
    asset: String,
    /// The kind of firmware that booted it.
    firmware: Platform,
    /// The firmware's version.
    firmware_version: String,
    /// Whether Secure Boot is on.
    secure_boot: bool,
    /// The processor's model name.
    cpu_model: String,
    /// Processor sockets in use.
    sockets: u64,
    /// Processor cores.
    cores: u64,
    memory_mib: u64,
    /// Installed memory modules.
    memory_modules: u64,
    nics: Vec<NicFact>,
    /// Disks that are not removable: no optical, floppy, loop or RAM disks.
    disks: Vec<DiskFact>,
    /// PCI devices, as `vendor:device`.
    pci: Vec<String>,
    /// The classes of the PCI devices, as four digits: `0200` is Ethernet.
    pci_classes: Vec<String>,
    /// Display controllers on PCI, as `vendor:device`.
    gpus: Vec<String>,
    /// The address of its BMC.
    bmc: String,
    /// The hypervisor it runs under, or `none`.
    virtualization: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NicFact {
    pub mac: Mac,
    /// Its kernel driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Speed in Mbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_mbit: Option<u64>,
    /// Whether it has a carrier signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<bool>,
    /// The switch and port at the other end (LLDP).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lldp: Option<String>,
    /// The kernel's name of the bus: `pci`, `usb`, `virtio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus: Option<String>,
    /// Whether it is a virtual function of another NIC (SR-IOV).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub virtual_function: bool,
    /// Whether its MAC is not the one that it was made with: random, copied from another NIC, or set by software.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub random_address: bool,
}

impl NicFact {
    /// Returns whether its MAC stays with the machine. USB NICs belong to a BMC, a dock or an adapter.
    pub fn is_permanent(&self) -> bool {
        let is_built_in = self.bus.as_deref().is_some_and(|bus| bus != "usb");
        is_built_in && !self.virtual_function && !self.random_address
    }
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DiskFact {
    /// Its device path, such as `/dev/sda`.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// The size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Whether it is a rotating disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotational: Option<bool>,
    /// Its transport: `sata`, `nvme`, `usb`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Its contents: `vmfs`, `zfs`, `md`, `lvm`, a file system, or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<String>,
    /// The text of its seal, valid or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
}

/// Parses a value of a report as the fact's type.
trait FromReport: Sized {
    fn read(text: &str) -> Option<Self>;
}

impl FromReport for String {
    fn read(text: &str) -> Option<String> {
        Some(text.trim().into())
    }
}

impl FromReport for bool {
    fn read(text: &str) -> Option<bool> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }
}

impl FromReport for u64 {
    fn read(text: &str) -> Option<u64> {
        // A text that is not a number is dropped, and the caller records an event.
        text.trim().parse().ok()
    }
}

impl FromReport for Platform {
    fn read(text: &str) -> Option<Platform> {
        match text.trim().to_ascii_lowercase().as_str() {
            "pcbios" | "bios" => Some(Platform::Pcbios),
            "efi" | "uefi" => Some(Platform::Efi),
            _ => None,
        }
    }
}

impl<T: serde::de::DeserializeOwned> FromReport for Vec<T> {
    fn read(text: &str) -> Option<Vec<T>> {
        // A value that cannot be parsed is dropped, and the caller records an event.
        serde_json::from_str(text).ok()
    }
}

pub(super) fn custom_size(name: &str, text: &str) -> usize {
    CUSTOM_SIZE + name.len() + text.len()
}

/// The size of a fact's value in bytes.
trait FactSize {
    fn size(&self) -> usize;
}

impl FactSize for String {
    fn size(&self) -> usize {
        self.len()
    }
}

impl FactSize for bool {
    fn size(&self) -> usize {
        size_of::<bool>()
    }
}

impl FactSize for u64 {
    fn size(&self) -> usize {
        size_of::<u64>()
    }
}

impl FactSize for Platform {
    fn size(&self) -> usize {
        size_of::<Platform>()
    }
}

impl FactSize for NicFact {
    fn size(&self) -> usize {
        DEVICE_SIZE + texts(&[&self.driver, &self.lldp, &self.bus])
    }
}

impl FactSize for DiskFact {
    fn size(&self) -> usize {
        let optional = [&self.model, &self.serial, &self.transport, &self.contents];
        DEVICE_SIZE + self.path.len() + texts(&optional)
    }
}

impl<T: FactSize> FactSize for Vec<T> {
    fn size(&self) -> usize {
        self.iter().map(|entry| ENTRY_SIZE + entry.size()).sum()
    }
}

fn texts(texts: &[&Option<String>]) -> usize {
    texts.iter().copied().flatten().map(String::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_fact_has_its_type_or_is_dropped() {
        assert_eq!(
            Facts::parse("memory_mib", "65536").unwrap().memory_mib,
            Some(65_536)
        );
        assert_eq!(Facts::parse("memory_mib", "lots"), None);
        assert_eq!(
            Facts::parse("firmware", "uefi").unwrap().firmware,
            Some(Platform::Efi)
        );
        let nics = Facts::parse("nics", r#"[{"mac":"00:50:56:aa:bb:01","link":true}]"#)
            .unwrap()
            .nics
            .unwrap();
        assert_eq!(nics[0].link, Some(true));
    }

    #[test]
    fn an_unknown_fact_is_kept_as_text() {
        assert_eq!(Facts::parse("rack", "7").unwrap().custom["rack"], "7");
    }
}
