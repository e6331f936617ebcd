//! Tests of facts, with directories in place of `/sys`, `/proc` and `/dev`.

use std::{fs, os::unix::fs::symlink};

use super::*;
use crate::model::{Platform, SEAL_OFFSET, seal_sector};

/// A directory with the files of a machine.
struct FakeMachine(tempfile::TempDir);

impl FakeMachine {
    fn new() -> FakeMachine {
        FakeMachine(tempfile::tempdir().unwrap())
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) -> &FakeMachine {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn link(&self, path: &str, target: &str) -> &FakeMachine {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    fn facts(&self) -> Facts {
        facts(&SystemRoot::new(self.0.path()), |_| None)
    }
}

const CPU: &str = "\
processor\t: 0
model name\t: Example CPU 3000
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu hypervisor

processor\t: 1
model name\t: Example CPU 3000
physical id\t: 0
core id\t\t: 1
flags\t\t: fpu hypervisor

processor\t: 2
physical id\t: 1
core id\t\t: 0
";

#[test]
fn all_facts_of_a_machine_are_read() {
    let machine = FakeMachine::new();
    machine
        .write("sys/class/dmi/id/sys_vendor", "QEMU\n")
        .write("sys/class/dmi/id/product_name", "Standard PC\n")
        .write("sys/class/dmi/id/product_serial", "S-1\n")
        .write(
            "sys/class/dmi/id/product_uuid",
            "3b7a1f6e-0000-4000-8000-000000000001\n",
        )
        .write("sys/class/dmi/id/chassis_asset_tag", "\n")
        .write("sys/class/dmi/id/bios_version", "2.0\n")
        .write(super::board::SECURE_BOOT, [6, 0, 0, 0, 1])
        .write("proc/cpuinfo", CPU)
        .write("proc/meminfo", "MemTotal:        2031616 kB\n")
        .write("sys/bus/pci/devices/0000:00:02.0/vendor", "0x1234\n")
        .write("sys/bus/pci/devices/0000:00:02.0/device", "0x1111\n")
        .write("sys/bus/pci/devices/0000:00:02.0/class", "0x030000\n")
        .write("sys/bus/pci/devices/0000:00:03.0/vendor", "0x1af4\n")
        .write("sys/bus/pci/devices/0000:00:03.0/device", "0x1000\n")
        .write("sys/bus/pci/devices/0000:00:03.0/class", "0x020000\n");
    for (name, index, mac, carrier) in [
        ("eth0", 2, "52:54:00:00:00:01", "1\n"),
        ("eth1", 3, "52:54:00:00:00:02", "0\n"),
    ] {
        let at = format!("sys/class/net/{name}");
        machine
            .write(&format!("{at}/ifindex"), index.to_string())
            .write(&format!("{at}/type"), "1\n")
            .write(&format!("{at}/address"), mac)
            .write(&format!("{at}/speed"), "-1\n")
            .write(&format!("{at}/carrier"), carrier)
            .link(
                &format!("{at}/device/driver"),
                "../../../bus/virtio/drivers/virtio_net",
            );
    }
    machine
        .write("sys/class/net/lo/ifindex", "1")
        .write("sys/class/net/lo/type", "772\n")
        .write("sys/class/net/lo/address", "00:00:00:00:00:00");
    machine
        .write("sys/devices/pci0000:00/ata1/host0/block/sda/size", "8192\n")
        .write(
            "sys/devices/pci0000:00/ata1/host0/block/sda/removable",
            "0\n",
        )
        .write(
            "sys/devices/pci0000:00/ata1/host0/block/sda/queue/rotational",
            "1\n",
        )
        .write(
            "sys/devices/pci0000:00/ata1/host0/block/sda/device/model",
            "Disk 9  \n",
        )
        .write(
            "sys/devices/pci0000:00/ata1/host0/block/sda/device/vpd_pg80",
            b"\0\x80\0\x04 WD7",
        )
        .write(
            "sys/devices/pci0000:00/ata1/host0/block/sda/sda1/partition",
            "1\n",
        )
        .link(
            "sys/block/sda",
            "../devices/pci0000:00/ata1/host0/block/sda",
        )
        .write("sys/block/sr0/size", "8192\n")
        .write("sys/block/loop0/size", "8192\n")
        .write("sys/block/sdb/size", "0\n")
        .write("sys/block/sdc/size", "8192\n")
        .write("sys/block/sdc/removable", "1\n");
    let mut disk = vec![0; 4 << 20];
    disk[512..520].copy_from_slice(b"EFI PART");
    let seal = SEAL_OFFSET as usize;
    disk[seal..seal + 512].copy_from_slice(&seal_sector("bootwright-seal/1/x"));
    let mut partition = vec![0; 1 << 20];
    partition[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
    machine.write("dev/sda", disk).write("dev/sda1", partition);

    let facts = machine.facts();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(facts.manufacturer, text("QEMU"));
    assert_eq!(facts.product, text("Standard PC"));
    assert_eq!(facts.serial, text("S-1"));
    assert_eq!(facts.asset, None);
    assert_eq!(
        (facts.firmware, facts.secure_boot),
        (Some(Platform::Efi), Some(true))
    );
    assert_eq!(facts.virtualization, text("qemu"));
    assert_eq!((facts.sockets, facts.cores), (Some(2), Some(3)));
    assert_eq!(facts.cpu_model, text("Example CPU 3000"));
    assert_eq!((facts.memory_mib, facts.memory_modules), (Some(1984), None));
    assert_eq!(facts.pci.unwrap(), ["1234:1111", "1af4:1000"]);
    assert_eq!(facts.pci_classes.unwrap(), ["0200", "0300"]);
    assert_eq!(facts.gpus.unwrap(), ["1234:1111"]);
    let nics = facts.nics.unwrap();
    let links: Vec<_> = nics
        .iter()
        .map(|nic| (nic.mac.to_string(), nic.link, nic.speed_mbit))
        .collect();
    assert_eq!(
        links,
        [
            ("52:54:00:00:00:01".into(), Some(true), None),
            ("52:54:00:00:00:02".into(), Some(false), None)
        ]
    );
    assert_eq!(nics[0].driver, text("virtio_net"));
    let disks = facts.disks.unwrap();
    assert_eq!(disks.len(), 1, "{disks:?}");
    let disk = &disks[0];
    assert_eq!(
        (&*disk.path, disk.size_bytes, disk.rotational),
        ("/dev/sda", Some(4 << 20), Some(true))
    );
    assert_eq!(
        (disk.model.as_deref(), disk.serial.as_deref()),
        (Some("Disk 9"), Some("WD7"))
    );
    assert_eq!(
        (disk.transport.as_deref(), disk.contents.as_deref()),
        (Some("sata"), Some("gpt: ext"))
    );
    assert_eq!(disk.seal, text("bootwright-seal/1/x"));
}

#[test]
fn a_machine_without_files_has_few_facts() {
    let facts = FakeMachine::new().facts();
    assert_eq!(facts.firmware, Some(Platform::Pcbios));
    assert_eq!(
        (facts.secure_boot, facts.memory_mib, facts.cores),
        (Some(false), None, None)
    );
    assert_eq!(facts.nics.unwrap().len() + facts.disks.unwrap().len(), 0);
}

#[test]
fn modaliases_of_nested_devices_are_found() {
    let machine = FakeMachine::new();
    machine
        .write("sys/devices/pci0000:00/0000:00:03.0/modalias", "pci:v1\n")
        .write(
            "sys/devices/pci0000:00/0000:00:03.0/virtio0/modalias",
            "virtio:d1\n",
        )
        .write("sys/devices/virtual/dmi/id/modalias", "dmi:x\n")
        .link(
            "sys/devices/pci0000:00/0000:00:03.0/virtio0/subsystem",
            "../..",
        );
    let found = modaliases(&SystemRoot::new(machine.0.path()));
    assert_eq!(found, ["dmi:x", "pci:v1", "virtio:d1"]);
}
