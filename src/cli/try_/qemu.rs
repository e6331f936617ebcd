//! Builds QEMU's command line for a machine.

use std::path::{Path, PathBuf};

use super::net::GuestNetwork;
use crate::{cli::play::Hardware, model::Mac};

/// The machine that QEMU emulates.
#[derive(Debug, Clone)]
pub(super) struct Guest<'a> {
    /// The node's name.
    pub(super) name: &'a str,
    /// Its MACs, serial number and UUID.
    pub(super) hardware: &'a Hardware,
    pub(super) firmware: QemuFirmware,
    /// The model of its NICs.
    pub(super) nic: NicModel,
    /// The network of the NIC that it boots from.
    pub(super) net: &'a GuestNetwork,
    /// Memory in MiB.
    pub(super) memory: u64,
    /// The file of its disk; `None` for no disk.
    pub(super) disk: Option<&'a Path>,
    /// The file for the output of its serial port.
    pub(super) serial: &'a Path,
    /// Where its screen is shown.
    pub(super) display: QemuDisplay,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum QemuFirmware {
    /// SeaBIOS, which QEMU includes.
    Bios,
    /// OVMF.
    Uefi {
        /// The file of its code.
        code: PathBuf,
        /// A writable copy of its variables.
        vars: PathBuf,
    },
}

/// The model of a NIC. The ROM of each contains iPXE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NicModel {
    /// The fastest.
    Virtio,
    /// The one for which ESXi has a driver.
    Vmxnet3,
}

/// Where a machine's screen is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum QemuDisplay {
    /// Nowhere: the BIOS uses the serial port.
    None,
    /// In a window, with QEMU's default.
    Window,
    /// With this value of QEMU's `-display`.
    Display(String),
}

/// QEMU's arguments.
pub(super) fn arguments(guest: &Guest<'_>) -> Vec<String> {
    let mut list = Vec::new();
    let mut add = |words: &[&str]| list.extend(words.iter().map(ToString::to_string));
    let memory = guest.memory.to_string();
    let serial = format!("file:{}", escaped(guest.serial));
    let name = escaped_text(&format!("bootwright try {}", guest.name));
    add(&["-name", &name]);
    // No KVM: it needs permissions that not every user has, and on some hosts it terminates guests in their firmware.
    // A second processor shortens the time to an installer's first document by a third: unpacking and waiting overlap.
    add(&["-accel", "tcg", "-smp", "2", "-m", &memory]);
    add(&["-no-user-config", "-nodefaults"]);
    add(&["-monitor", "none", "-serial", &serial]);
    let headless = guest.display == QemuDisplay::None;
    let screen = if headless { ",graphics=off" } else { "" };
    match &guest.firmware {
        QemuFirmware::Bios => add(&["-machine", &format!("pc{screen}")]),
        QemuFirmware::Uefi { code, vars } => {
            add(&["-machine", &format!("q35{screen}")]);
            let flash = "if=pflash,format=raw";
            add(&[
                "-drive",
                &format!("{flash},readonly=on,file={}", escaped(code)),
            ]);
            add(&["-drive", &format!("{flash},file={}", escaped(vars))]);
        }
    }
    match &guest.display {
        QemuDisplay::None => add(&["-display", "none"]),
        QemuDisplay::Window => add(&["-vga", "std"]),
        QemuDisplay::Display(kind) => add(&["-vga", "std", "-display", kind]),
    }
    for smbios in smbios(guest.hardware) {
        add(&["-smbios", &smbios]);
    }
    // Without a source of random numbers, firmware and kernels wait for one.
    add(&["-device", "virtio-rng-pci"]);
    for (index, mac) in guest.hardware.macs.iter().enumerate() {
        add(&["-netdev", &netdev(guest.net, index)]);
        add(&["-device", &nic(guest.nic, index, *mac)]);
    }
    if let Some(disk) = guest.disk {
        let drive = format!("if=none,id=disk,format=raw,file={}", escaped(disk));
        let bus = match guest.nic {
            NicModel::Virtio => "virtio-blk-pci",
            NicModel::Vmxnet3 => "nvme,serial=bootwright",
        };
        add(&["-drive", &drive]);
        add(&["-device", &format!("{bus},drive=disk,bootindex=1")]);
    }
    list
}

fn smbios(hardware: &Hardware) -> Vec<String> {
    let mut system = "type=1".to_string();
    if let Some(serial) = &hardware.serial {
        system += &format!(",serial={}", escaped_text(serial));
    }
    if let Some(uuid) = &hardware.uuid {
        system += &format!(",uuid={uuid}");
    }
    let asset = hardware.asset.as_ref();
    let chassis = asset.map(|asset| format!("type=3,asset={}", escaped_text(asset)));
    let system = (system != "type=1").then_some(system);
    system.into_iter().chain(chassis).collect()
}

/// The network of the first NIC reaches the server; those of the others are isolated.
fn netdev(net: &GuestNetwork, index: usize) -> String {
    if index > 0 {
        return format!("user,id=net{index},restrict=on");
    }
    let GuestNetwork {
        subnet,
        host,
        dns,
        guest,
        answered,
        server,
    } = net;
    // With IPv6: without it iPXE waits 13 s for an IPv6 router.
    let mut text = format!(
        "user,id=net0,net={subnet},host={host},dns={dns},dhcpstart={guest},bootfile={server}/boot.ipxe"
    );
    for ip in answered {
        // QEMU answers ARP for addresses with a forwarded port. The discard port (RFC 863) is not used otherwise.
        text += &format!(",guestfwd=tcp:{ip}:9-cmd:false");
    }
    text
}

fn nic(model: NicModel, index: usize, mac: Mac) -> String {
    let model = match model {
        NicModel::Virtio => "virtio-net-pci",
        NicModel::Vmxnet3 => "vmxnet3",
    };
    match index {
        0 => format!("{model},netdev=net0,mac={mac},bootindex=0"),
        _ => format!("{model},netdev=net{index},mac={mac},romfile="),
    }
}

/// In QEMU's options a comma ends a value, and `,,` is a comma (qemu(1)).
fn escaped_text(text: &str) -> String {
    text.replace(',', ",,")
}

fn escaped(path: &Path) -> String {
    escaped_text(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::try_::net::NodeNetwork,
        model::{Arch, Platform},
    };

    const FIXED: &str = "-no-user-config -nodefaults -monitor none";
    const NET: &str = "-netdev user,id=net0,net=192.0.2.0/24,host=192.0.2.1,dns=192.0.2.2,dhcpstart=192.0.2.11,\
                       bootfile=http://192.0.2.1:8080/boot.ipxe";

    fn net(server: &str) -> GuestNetwork {
        let home = NodeNetwork {
            subnet: "192.0.2.0/24".parse().ok(),
            address: "192.0.2.11".parse().ok(),
            gateway: "192.0.2.1".parse().ok(),
            dns: vec!["192.0.2.2".parse().unwrap()],
        };
        GuestNetwork::new(&home, server.parse().unwrap())
    }

    fn hardware(macs: &[&str]) -> Hardware {
        Hardware {
            macs: macs.iter().map(|mac| mac.parse().unwrap()).collect(),
            serial: None,
            uuid: None,
            asset: None,
            platform: Platform::Efi,
            arch: Some(Arch::X86_64),
        }
    }

    fn guest<'a>(hardware: &'a Hardware, net: &'a GuestNetwork) -> Guest<'a> {
        Guest {
            name: "web01",
            hardware,
            firmware: QemuFirmware::Bios,
            nic: NicModel::Virtio,
            net,
            memory: 1024,
            disk: None,
            serial: Path::new("/tmp/x/serial"),
            display: QemuDisplay::None,
        }
    }

    /// The arguments joined with spaces, without the name.
    fn line(guest: &Guest<'_>) -> String {
        let list = arguments(guest);
        assert_eq!(list[..2], ["-name", "bootwright try web01"]);
        list[2..].join(" ")
    }

    #[test]
    fn a_bios_without_a_display_uses_the_serial_port() {
        let (hardware, net) = (hardware(&["52:54:00:00:00:02"]), net("127.0.0.1:8080"));
        assert_eq!(
            line(&guest(&hardware, &net)),
            format!(
                "-accel tcg -smp 2 -m 1024 {FIXED} -serial file:/tmp/x/serial -machine pc,graphics=off -display none \
                 -device virtio-rng-pci {NET} -device virtio-net-pci,netdev=net0,mac=52:54:00:00:00:02,bootindex=0"
            )
        );
    }

    #[test]
    fn a_uefi_machine_with_all_options() {
        let hardware = Hardware {
            serial: Some("a,b".into()),
            uuid: Some("00112233-4455-6677-8899-aabbccddeeff".into()),
            asset: Some("42".into()),
            ..hardware(&["52:54:00:00:00:02", "52:54:00:00:00:03"])
        };
        let net = net("192.0.2.5:8080");
        let guest = Guest {
            firmware: QemuFirmware::Uefi {
                code: "/usr/share/OVMF/code.fd".into(),
                vars: "/tmp/x,y/vars".into(),
            },
            nic: NicModel::Vmxnet3,
            memory: 8192,
            disk: Some(Path::new("/tmp/x/disk")),
            display: QemuDisplay::Window,
            ..guest(&hardware, &net)
        };
        let net = NET.replace("192.0.2.1:8080", "192.0.2.5:8080");
        assert_eq!(
            line(&guest),
            format!(
                "-accel tcg -smp 2 -m 8192 {FIXED} -serial file:/tmp/x/serial -machine q35 \
                 -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/code.fd \
                 -drive if=pflash,format=raw,file=/tmp/x,,y/vars -vga std \
                 -smbios type=1,serial=a,,b,uuid=00112233-4455-6677-8899-aabbccddeeff -smbios type=3,asset=42 \
                 -device virtio-rng-pci {net},guestfwd=tcp:192.0.2.5:9-cmd:false \
                 -device vmxnet3,netdev=net0,mac=52:54:00:00:00:02,bootindex=0 \
                 -netdev user,id=net1,restrict=on -device vmxnet3,netdev=net1,mac=52:54:00:00:00:03,romfile= \
                 -drive if=none,id=disk,format=raw,file=/tmp/x/disk \
                 -device nvme,serial=bootwright,drive=disk,bootindex=1"
            )
        );
    }

    #[test]
    fn a_display_option_is_passed_to_qemu() {
        let (hardware, net) = (hardware(&["52:54:00:00:00:02"]), net("127.0.0.1:8080"));
        let guest = Guest {
            display: QemuDisplay::Display("vnc=127.0.0.1:1".into()),
            ..guest(&hardware, &net)
        };
        assert!(line(&guest).contains(" -machine pc -vga std -display vnc=127.0.0.1:1 "));
    }
}
