//! Facts of the disks.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use super::{SystemRoot, entries, name, number, signature, text};
use crate::{
    agent::{disk_groups::DiskGroups, partitions},
    model::{
        DiskFact, SEAL_BYTES, SEAL_OFFSET, is_disk_name, is_only_named, normal_wwid, seal_text,
    },
};

/// A disk, with properties for choosing one beside its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetectedDisk {
    pub(crate) fact: DiskFact,
    /// Whether it is removable, such as a memory card or USB stick.
    pub(crate) is_removable: bool,
    /// Whether it is chosen only by path or serial number: a removable disk, an NVDIMM.
    pub(crate) must_be_named: bool,
    /// Which device of it the running system uses: a mounted one, or one of swap.
    pub(crate) used: Option<String>,
    /// Its World Wide Identifier, which all paths of a disk share, without the prefix of its notation.
    pub(crate) wwid: Option<String>,
    /// The names that udev would create under `/dev/disk/by-id`, if the kernel provides their parts.
    pub(crate) links: Vec<String>,
}

/// All disks, including removable ones.
pub(in crate::agent) fn disks(root: &SystemRoot) -> Vec<DetectedDisk> {
    let devices = root.entries("sys/block").into_iter();
    devices.filter_map(|device| disk(root, &device)).collect()
}

/// The size of a disk's sectors in bytes.
pub(in crate::agent) fn sector(root: &SystemRoot, path: &str) -> u64 {
    let name = path.trim_start_matches("/dev/");
    let size = number(&root.at(&format!("sys/block/{name}/queue/logical_block_size")));
    size.unwrap_or(512)
}

fn disk(root: &SystemRoot, device: &Path) -> Option<DetectedDisk> {
    let name = name(device);
    let sectors = number(&device.join("size")).unwrap_or(0);
    let is_removable = number(&device.join("removable")) == Some(1);
    // Skipped: the hidden paths of a multipath NVMe disk, and card readers without a medium, which have size zero.
    if !is_disk_name(&name) || sectors == 0 || number(&device.join("hidden")) == Some(1) {
        return None;
    }
    let target = fs::canonicalize(device).unwrap_or_else(|_| device.into());
    let fact = DiskFact {
        path: format!("/dev/{name}"),
        model: text(&device.join("device/model")),
        serial: serial(device),
        // The kernel counts units of 512 bytes, whatever the disk's sector size is.
        size_bytes: sectors.checked_mul(512),
        rotational: number(&device.join("queue/rotational")).map(|rotational| rotational == 1),
        transport: transport(&target.to_string_lossy(), &name),
        contents: Some(contents(root, device, &name)),
        seal: seal(root, &name),
    };
    Some(DetectedDisk {
        is_removable,
        must_be_named: is_removable || is_only_named(&name),
        used: used(root, device, &name),
        wwid: wwid(device).map(|wwid| normal_wwid(&wwid)),
        links: links(device, &fact),
        fact,
    })
}

/// The text of a disk's seal. An unreadable disk is reported through its contents.
fn seal(root: &SystemRoot, name: &str) -> Option<String> {
    let mut device = File::open(root.at(&format!("dev/{name}"))).ok()?;
    seal_text(&sealed_sector(&mut device).ok()?)
}

/// Reads the sector in which a disk has its seal; less of it, if the disk is smaller.
pub(in crate::agent) fn sealed_sector(device: &mut File) -> io::Result<Vec<u8>> {
    let mut sector = Vec::new();
    device.seek(SeekFrom::Start(SEAL_OFFSET))?;
    let length = SEAL_BYTES as u64;
    device.by_ref().take(length).read_to_end(&mut sector)?;
    Ok(sector)
}

/// The names that udev's rules create (60-persistent-storage.rules of systemd).
fn links(device: &Path, fact: &DiskFact) -> Vec<String> {
    let joined = |text: &str| text.split_whitespace().collect::<Vec<_>>().join("_");
    let serial = fact.serial.as_deref().map(joined);
    let both = fact.model.as_deref().map(joined).zip(serial.clone());
    let by_model = match fact.transport.as_deref() {
        Some("virtio") => serial.map(|serial| format!("virtio-{serial}")),
        Some("nvme") => both.map(|(model, serial)| format!("nvme-{model}_{serial}")),
        Some("sata") => both.map(|(model, serial)| format!("ata-{model}_{serial}")),
        _ => None,
    };
    let by_name = wwid(device).and_then(|wwid| match wwid.split_once('.') {
        Some(("naa", number)) => Some(format!("wwn-0x{number}")),
        Some(("eui" | "nvme", _)) => Some(format!("nvme-{wwid}")),
        _ => None,
    });
    by_model.into_iter().chain(by_name).collect()
}

/// The World Wide Identifier of a disk, as the kernel has it.
fn wwid(device: &Path) -> Option<String> {
    let mut paths = ["wwid", "device/wwid"].iter();
    paths.find_map(|path| text(&device.join(path)))
}

/// What a disk belongs to together with other disks, and what it contains that is protected.
pub(in crate::agent) fn disk_groups(root: &SystemRoot, path: &str) -> DiskGroups {
    let name = path.trim_start_matches("/dev/");
    let mut found = DiskGroups::default();
    match head(&root.at(path)) {
        Ok(head) => found.add_partition_types(&head),
        Err(_) => found.is_unreadable = true,
    }
    for part in with_partitions(&root.at(&format!("sys/block/{name}")), name) {
        let device = File::open(root.at(&format!("dev/{part}")));
        let added = device.and_then(|mut device| found.add(&mut device));
        // The others are still read: one of them may belong to a group.
        found.is_unreadable |= added.is_err();
    }
    found
}

/// The identifier of a disk's partition table; none if there is none, or it cannot be read.
pub(in crate::agent) fn table_id(root: &SystemRoot, path: &str) -> Option<String> {
    partitions::table_id(&head(&root.at(path)).ok()?)
}

/// Whether a disk or one of its partitions is a seed volume of cloud-init.
pub(in crate::agent) fn has_seed(root: &SystemRoot, path: &str) -> bool {
    let name = path.trim_start_matches("/dev/");
    let mut devices = with_partitions(&root.at(&format!("sys/block/{name}")), name).into_iter();
    devices.any(|device| {
        let device = File::open(root.at(&format!("dev/{device}")));
        // A volume that cannot be read is not a seed for cloud-init either.
        device.is_ok_and(|mut device| signature::is_seed(&mut device).unwrap_or(false))
    })
}

/// The beginning of a disk, which contains its partition table.
fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let length = partitions::HEAD as u64;
    File::open(path)?.take(length).read_to_end(&mut head)?;
    Ok(head)
}

/// The names of a disk and its partitions.
fn with_partitions(device: &Path, name: &str) -> Vec<String> {
    let partitions = entries(device).into_iter();
    let partitions = partitions.filter(|path| path.join("partition").exists());
    let names = partitions.map(|path| self::name(&path));
    [name.to_owned()].into_iter().chain(names).collect()
}

/// The first device of a disk that is mounted or used as swap.
fn used(root: &SystemRoot, device: &Path, name: &str) -> Option<String> {
    let sources =
        ["proc/self/mounts", "proc/swaps"].map(|path| root.text(path).unwrap_or_default());
    let is_used = |path: &String| {
        let mut lines = sources.iter().flat_map(|text| text.lines());
        lines.any(|line| line.split_whitespace().next() == Some(path))
    };
    let names = with_partitions(device, name).into_iter();
    names.map(|name| format!("/dev/{name}")).find(is_used)
}

fn serial(device: &Path) -> Option<String> {
    // virtio, then NVMe, then SCSI's vital product data page, which has a header of four bytes (SPC-4, 7.8.15).
    let plain = ["serial", "device/serial"];
    let plain = plain.iter().find_map(|path| text(&device.join(path)));
    plain.or_else(|| {
        let page = fs::read(device.join("device/vpd_pg80")).ok()?;
        let serial = String::from_utf8_lossy(page.get(4..)?).trim().to_owned();
        (!serial.is_empty()).then_some(serial)
    })
}

/// A disk's transport, from its path in the device tree.
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

/// The contents of a disk: its partition table and the signature of each partition, or the signature of the whole disk.
fn contents(root: &SystemRoot, device: &Path, name: &str) -> String {
    let signature_of = |name: &str| {
        let path = root.at(&format!("dev/{name}"));
        let opened = File::open(&path);
        opened.and_then(|mut file| signature::signature(&mut file))
    };
    let whole = match signature_of(name) {
        Ok(whole) => whole,
        Err(error) => return format!("unreadable: {}", error.kind()),
    };
    let mut found: Vec<&str> = Vec::new();
    for partition in with_partitions(device, name).iter().skip(1) {
        match signature_of(partition) {
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
    fn the_path_of_a_disk_has_its_transport() {
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
