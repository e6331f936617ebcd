//! Facts of the board: vendor, product, firmware, PCI devices.

use std::{collections::BTreeSet, path::Path};

use super::{SystemRoot, text};
use crate::model::{Facts, Platform};

/// The variable of Secure Boot (UEFI specification, 3.3): four bytes of attributes, one byte of value.
pub(super) const SECURE_BOOT: &str =
    "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// The PCI class of display controllers.
const DISPLAY_CLASS: &str = "03";

/// Hypervisors by words in the names of their boards.
const HYPERVISORS: [(&str, &str); 8] = [
    ("qemu", "qemu"),
    ("vmware", "vmware"),
    ("innotek", "virtualbox"),
    ("virtualbox", "virtualbox"),
    ("xen", "xen"),
    ("microsoft", "hyperv"),
    ("bhyve", "bhyve"),
    ("kvm", "kvm"),
];

pub(super) fn add_facts(root: &SystemRoot, facts: &mut Facts) {
    let dmi = |name: &str| root.text(&format!("sys/class/dmi/id/{name}"));
    facts.manufacturer = dmi("sys_vendor");
    facts.product = dmi("product_name");
    facts.serial = dmi("product_serial");
    facts.uuid = dmi("product_uuid");
    facts.asset = dmi("chassis_asset_tag");
    facts.firmware_version = dmi("bios_version");
    let is_efi = root.at("sys/firmware/efi").is_dir();
    facts.firmware = Some(if is_efi {
        Platform::Efi
    } else {
        Platform::Pcbios
    });
    facts.secure_boot = secure_boot(&root.at(SECURE_BOOT), is_efi);
    facts.virtualization = Some(hypervisor(root, facts));
}

/// Whether Secure Boot is on; `None` if UEFI's variable cannot be read.
fn secure_boot(variable: &Path, is_efi: bool) -> Option<bool> {
    match std::fs::read(variable) {
        Ok(bytes) => bytes.get(4).map(|value| *value == 1),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_efi => Some(false),
        Err(_) => None,
    }
}

fn hypervisor(root: &SystemRoot, facts: &Facts) -> String {
    let flags = root.text("proc/cpuinfo").unwrap_or_default();
    let is_guest = flags
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| line.split_whitespace().any(|flag| flag == "hypervisor"));
    if !is_guest {
        return "none".into();
    }
    let board = [&facts.manufacturer, &facts.product].map(|text| text.clone().unwrap_or_default());
    let board = board.join(" ").to_lowercase();
    let known = HYPERVISORS.iter().find(|(word, _)| board.contains(word));
    known.map_or("unknown", |(_, name)| name).into()
}

/// Adds the PCI devices and their classes.
pub(super) fn add_pci_facts(root: &SystemRoot, facts: &mut Facts) {
    let (mut devices, mut gpus, mut classes) = (Vec::new(), Vec::new(), BTreeSet::new());
    for device in root.entries("sys/bus/pci/devices") {
        let digits = |name: &str| {
            let digits = text(&device.join(name))?;
            Some(digits.trim_start_matches("0x").to_owned())
        };
        let (Some(vendor), Some(id)) = (digits("vendor"), digits("device")) else {
            continue;
        };
        // The class and subclass, without the programming interface (PCI code and ID assignment, 1.1).
        let class = digits("class").and_then(|class| class.get(..4).map(str::to_owned));
        if class
            .as_deref()
            .is_some_and(|class| class.starts_with(DISPLAY_CLASS))
        {
            gpus.push(format!("{vendor}:{id}"));
        }
        classes.extend(class);
        devices.push(format!("{vendor}:{id}"));
    }
    facts.pci = Some(devices);
    facts.pci_classes = Some(classes.into_iter().collect());
    facts.gpus = Some(gpus);
}
