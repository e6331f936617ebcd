//! QEMU's command line, from what a machine is to be.

use std::path::{Path, PathBuf};

use super::net::GuestNetwork;
use crate::{cli::play::Hardware, model::Mac};

/// A machine that QEMU is to be.
#[derive(Debug, Clone)]
pub(super) struct Guest<'a> {
    /// The node's name.
    pub(super) name: &'a str,
    /// Its cards, its serial number, its UUID.
    pub(super) hardware: &'a Hardware,
    /// Its firmware.
    pub(super) firmware: QemuFirmware,
    /// What kind of cards it has.
    pub(super) card: NicModel,
    /// The network of the card it boots from.
    pub(super) net: &'a GuestNetwork,
    /// Memory in MiB.
    pub(super) memory: u64,
    /// The file of its disk; none: it has no disk.
    pub(super) disk: Option<&'a Path>,
    /// The file that gets what it writes on its serial port.
    pub(super) serial: &'a Path,
    /// Where its screen is.
    pub(super) screen: QemuDisplay,
}

/// A machine's firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum QemuFirmware {
    /// SeaBIOS, which QEMU brings along.
    Bios,
    /// OVMF.
    Uefi {
        /// Its code.
        code: PathBuf,
        /// A copy of its variables that this machine may write.
        vars: PathBuf,
    },
}

/// What kind of network card a machine has. iPXE is in the ROM of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NicModel {
    /// The fastest.
    Virtio,
    /// The one that ESXi has a driver for.
    Vmxnet3,
}

/// Where a machine's screen is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum QemuDisplay {
    /// There is none: the BIOS writes on the serial port.
    None,
    /// In a window of QEMU's own choice.
    Window,
    /// Where QEMU's `-display` says.
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
    // KVM may be there and yet end firmware guests; and it wants rights that not everybody has.
    // A second processor takes a third off the way to an installer's first document: the kernel unpacks, and the
    // installer asks, beside what each waits for.
    add(&["-accel", "tcg", "-smp", "2", "-m", &memory]);
    add(&["-no-user-config", "-nodefaults"]);
    add(&["-monitor", "none", "-serial", &serial]);
    let headless = guest.screen == QemuDisplay::None;
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
    match &guest.screen {
        QemuDisplay::None => add(&["-display", "none"]),
        QemuDisplay::Window => add(&["-vga", "std"]),
        QemuDisplay::Display(kind) => add(&["-vga", "std", "-display", kind]),
    }
    for smbios in smbios(guest.hardware) {
        add(&["-smbios", &smbios]);
    }
    // Firmware and kernels wait for randomness.
    add(&["-device", "virtio-rng-pci"]);
    for (index, mac) in guest.hardware.macs.iter().enumerate() {
        add(&["-netdev", &netdev(guest.net, index)]);
        add(&["-device", &card(guest.card, index, *mac)]);
    }
    if let Some(disk) = guest.disk {
        let drive = format!("if=none,id=disk,format=raw,file={}", escaped(disk));
        let bus = match guest.card {
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

/// The first card's network leads to the server; the others lead nowhere.
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
    // With IPv6, since iPXE waits 13 s for a router of it where there is none.
    let mut text = format!(
        "user,id=net0,net={subnet},host={host},dns={dns},dhcpstart={guest},bootfile={server}/boot.ipxe"
    );
    for ip in answered {
        // QEMU answers ARP for an address that something is forwarded from. Nobody uses this port (RFC 863).
        text += &format!(",guestfwd=tcp:{ip}:9-cmd:false");
    }
    text
}

fn card(card: NicModel, index: usize, mac: Mac) -> String {
    let model = match card {
        NicModel::Virtio => "virtio-net-pci",
        NicModel::Vmxnet3 => "vmxnet3",
    };
    match index {
        0 => format!("{model},netdev=net0,mac={mac},bootindex=0"),
        _ => format!("{model},netdev=net{index},mac={mac},romfile="),
    }
}

/// A comma ends a value, and two of them are one (qemu(1)).
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
            arch: Arch::X86_64,
        }
    }

    fn guest<'a>(hardware: &'a Hardware, net: &'a GuestNetwork) -> Guest<'a> {
        Guest {
            name: "web01",
            hardware,
            firmware: QemuFirmware::Bios,
            card: NicModel::Virtio,
            net,
            memory: 1024,
            disk: None,
            serial: Path::new("/tmp/x/serial"),
            screen: QemuDisplay::None,
        }
    }

    /// The arguments, one blank between them, without the name.
    fn line(guest: &Guest<'_>) -> String {
        let list = arguments(guest);
        assert_eq!(list[..2], ["-name", "bootwright try web01"]);
        list[2..].join(" ")
    }

    #[test]
    fn a_bios_without_a_screen_writes_on_the_serial_port() {
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
    fn a_whole_machine_with_uefi() {
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
            card: NicModel::Vmxnet3,
            memory: 8192,
            disk: Some(Path::new("/tmp/x/disk")),
            screen: QemuDisplay::Window,
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
    fn a_display_is_named_as_qemu_does() {
        let (hardware, net) = (hardware(&["52:54:00:00:00:02"]), net("127.0.0.1:8080"));
        let guest = Guest {
            screen: QemuDisplay::Display("vnc=127.0.0.1:1".into()),
            ..guest(&hardware, &net)
        };
        assert!(line(&guest).contains(" -machine pc -vga std -display vnc=127.0.0.1:1 "));
    }
}
