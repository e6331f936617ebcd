//! Deviations of firmware from the standards, each with its source and the workaround.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirk {
    pub name: &'static str,
    /// What the firmware does.
    pub behavior: &'static str,
    pub workaround: &'static str,
    pub source: &'static str,
}

impl Quirk {
    /// Neither iPXE's drivers nor the firmware's work on every NIC.
    pub const LOADER_FALLBACK: Quirk = Quirk {
        name: "loader-fallback",
        behavior: "iPXE's own drivers do not support some NICs (2.5G: RTL8125, I225, I226), and the firmware's driver fails on others",
        workaround: "a machine that downloaded its loader twice without requesting a script gets the other loader next",
        source: "ipxe/ipxe issue 1776; Debian 12's ipxe.efi has no driver for RTL8125, I225 and I226",
    };
    /// A router that offers the same boot file to every client.
    pub const ONE_BOOT_FILE: Quirk = Quirk {
        name: "one-boot-file",
        behavior: "a router with a single boot file setting offers it to iPXE too, which then loads iPXE again, endlessly",
        workaround: "the second request for it from the same machine, with another block size, gets the script",
        source: "measured: OVMF asks with blksize 1468 and windowsize 4, Debian's iPXE with blksize 1432",
    };
    /// Boot code that only reads the fixed `file` field.
    pub const FILE_FIELD: Quirk = Quirk {
        name: "file-field",
        behavior: "U-Boot and old PXE ROMs read the boot file from the fixed `file` field and ignore option 67",
        workaround: "the boot file is always sent in both, if it fits the field",
        source: "U-Boot net/bootp.c; RFC 2132 section 9.5",
    };
    /// The PXE menu that a Raspberry Pi requires.
    pub const PI_MENU: Quirk = Quirk {
        name: "raspberry-pi-menu",
        behavior: "a Raspberry Pi's boot code only continues after a reply whose option 43 contains `Raspberry Pi Boot`",
        workaround: "option 43 with that menu, and option 66",
        source: "Raspberry Pi documentation, network booting; dnsmasq's pxe-service for it",
    };

    pub const ALL: [Quirk; 4] = [
        Quirk::LOADER_FALLBACK,
        Quirk::ONE_BOOT_FILE,
        Quirk::FILE_FIELD,
        Quirk::PI_MENU,
    ];
}
