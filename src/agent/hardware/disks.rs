//! Disks.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use super::{SystemRoot, entries, name, number, signature, text};
use crate::{agent::partitions, model::DiskFact};

/// What a device that is no such disk is called at its beginning.
const OTHERS: [&str; 9] = [
    "loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtdblock",
];

/// A disk, and what a choice among several goes by beside its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetectedDisk {
    pub(crate) fact: DiskFact,
    /// Whether it is a card or a stick.
    pub(crate) is_removable: bool,
    /// The names that udev would give it under `/dev/disk/by-id`, as far as the kernel tells what they are made of.
    pub(crate) links: Vec<String>,
}

/// Every disk, also those that can be taken out.
pub(in crate::agent) fn disks(root: &SystemRoot) -> Vec<DetectedDisk> {
    let devices = root.entries("sys/block").into_iter();
    devices.filter_map(|device| disk(root, &device)).collect()
}

/// The bytes of a sector of a disk.
pub(in crate::agent) fn sector(root: &SystemRoot, path: &str) -> u64 {
    let name = path.trim_start_matches("/dev/");
    let told = number(&root.at(&format!("sys/block/{name}/queue/logical_block_size")));
    told.unwrap_or(512)
}

fn disk(root: &SystemRoot, device: &Path) -> Option<DetectedDisk> {
    let name = name(device);
    let is_other = OTHERS.iter().any(|other| name.starts_with(other));
    let sectors = number(&device.join("size")).unwrap_or(0);
    let is_removable = number(&device.join("removable")) == Some(1);
    // The kernel hides the paths of a multipath NVMe disk, and a slot without a medium has no size.
    if is_other || sectors == 0 || number(&device.join("hidden")) == Some(1) {
        return None;
    }
    let target = fs::canonicalize(device).unwrap_or_else(|_| device.into());
    let fact = DiskFact {
        path: format!("/dev/{name}"),
        model: text(&device.join("device/model")),
        serial: serial(device),
        // The kernel counts in 512 bytes whatever the disk's own sectors are.
        size_bytes: sectors.checked_mul(512),
        rotational: number(&device.join("queue/rotational")).map(|rotational| rotational == 1),
        transport: transport(&target.to_string_lossy(), &name),
        contents: Some(what_is_on(root, device, &name)),
    };
    Some(DetectedDisk {
        is_removable,
        links: links(device, &fact),
        fact,
    })
}

/// The names that udev's rules make (60-persistent-storage.rules of systemd).
fn links(device: &Path, fact: &DiskFact) -> Vec<String> {
    let worded = |text: &str| text.split_whitespace().collect::<Vec<_>>().join("_");
    let serial = fact.serial.as_deref().map(worded);
    let both = fact.model.as_deref().map(worded).zip(serial.clone());
    let by_maker = match fact.transport.as_deref() {
        Some("virtio") => serial.map(|serial| format!("virtio-{serial}")),
        Some("nvme") => both.map(|(model, serial)| format!("nvme-{model}_{serial}")),
        Some("sata") => both.map(|(model, serial)| format!("ata-{model}_{serial}")),
        _ => None,
    };
    let wide = ["wwid", "device/wwid"];
    let wide = wide.iter().find_map(|path| text(&device.join(path)));
    let by_name = wide.and_then(|wide| match wide.split_once('.') {
        Some(("naa", number)) => Some(format!("wwn-0x{number}")),
        Some(("eui" | "nvme", _)) => Some(format!("nvme-{wide}")),
        _ => None,
    });
    by_maker.into_iter().chain(by_name).collect()
}

/// Whether a partition of a disk is of a type that a hypervisor, a pool or an array has.
pub(in crate::agent) fn has_others(root: &SystemRoot, path: &str) -> bool {
    let mut head = vec![0; partitions::HEAD];
    let read = File::open(root.at(path)).and_then(|mut file| file.read_exact(&mut head));
    // One that cannot be read, or is shorter than any disk, is told by what is on it.
    read.is_ok() && partitions::has_others(&head)
}

fn serial(device: &Path) -> Option<String> {
    // virtio, then NVMe, then SCSI's page of vital product data: four bytes of header (SPC-4, 7.8.15).
    let plain = ["serial", "device/serial"];
    let plain = plain.iter().find_map(|path| text(&device.join(path)));
    plain.or_else(|| {
        let page = fs::read(device.join("device/vpd_pg80")).ok()?;
        let serial = String::from_utf8_lossy(page.get(4..)?).trim().to_owned();
        (!serial.is_empty()).then_some(serial)
    })
}

/// How a disk is attached, by the way through the devices to it.
fn transport(path: &str, name: &str) -> Option<String> {
    let passes = |word: &str| path.contains(word);
    let transport = match () {
        () if name.starts_with("nvme") => "nvme",
        () if name.starts_with("mmcblk") => "mmc",
        () if name.starts_with("xvd") => "xen",
        () if passes("/usb") => "usb",
        () if passes("/virtio") => "virtio",
        () if passes("/ata") => "sata",
        () if passes("/end_device-") => "sas",
        () if passes("/rport-") => "fc",
        () if passes("/session") => "iscsi",
        () if passes("/VMBUS") || passes("/vmbus") => "hyperv",
        () if passes("/host") => "scsi",
        () => return None,
    };
    Some(transport.into())
}

/// What is on a disk: its partition table and what signs in each partition, or what signs on the whole disk.
fn what_is_on(root: &SystemRoot, device: &Path, name: &str) -> String {
    let on = |name: &str| {
        let path = root.at(&format!("dev/{name}"));
        let opened = File::open(&path);
        opened.and_then(|mut file| signature::signature(&mut file))
    };
    let whole = match on(name) {
        Ok(whole) => whole,
        Err(error) => return format!("unreadable: {}", error.kind()),
    };
    let partitions = entries(device)
        .into_iter()
        .filter(|path| path.join("partition").exists());
    let mut found: Vec<&str> = Vec::new();
    for partition in partitions {
        match on(&self::name(&partition)) {
            Ok(Some(signature)) => found.push(signature),
            Ok(None) => found.push("unknown"),
            Err(_) => found.push("unreadable"),
        }
    }
    match (whole, found.is_empty()) {
        (Some(whole), true) => whole.into(),
        (Some(whole), false) => format!("{whole}: {}", found.join(", ")),
        (None, _) => "empty".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_disk_tells_its_transport() {
        let cases = [
            (
                "/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda",
                "sda",
                Some("sata"),
            ),
            (
                "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/host6/block/sdb",
                "sdb",
                Some("usb"),
            ),
            (
                "/sys/devices/pci0000:00/0000:00:04.0/virtio1/block/vda",
                "vda",
                Some("virtio"),
            ),
            (
                "/sys/devices/pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1",
                "nvme0n1",
                Some("nvme"),
            ),
            (
                "/sys/devices/pci0000:00/0000:00:05.0/host2/port-2:0/end_device-2:0/target2:0:0/block/sdc",
                "sdc",
                Some("sas"),
            ),
            (
                "/sys/devices/pci0000:00/0000:00:05.0/host2/target2:0:0/block/sdc",
                "sdc",
                Some("scsi"),
            ),
            ("/sys/devices/platform/odd", "odd", None),
        ];
        for (path, name, expected) in cases {
            assert_eq!(transport(path, name).as_deref(), expected, "{path}");
        }
    }
}
