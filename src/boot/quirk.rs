//! What firmware does against the letter, each with its source, and what is done about it.

/// One thing that firmware does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirk {
    /// By what it is called in logs and in code.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// What is done about it.
    pub answer: &'static str,
    /// Where that is known from.
    pub source: &'static str,
}

impl Quirk {
    /// The ladder of loaders.
    pub const LADDER: Quirk = Quirk {
        name: "loader-ladder",
        what: "iPXE with drivers of its own lacks some cards (2.5G: RTL8125, I225, I226), and the firmware's own driver fails on others",
        answer: "a machine that has fetched its loader twice without asking for a script gets the other one next",
        source: "ipxe/ipxe issue 1776; Debian 12's ipxe.efi has no driver for RTL8125, I225 and I226",
    };
    /// A router that hands out one boot file for everybody.
    pub const ONE_BOOT_FILE: Quirk = Quirk {
        name: "one-boot-file",
        what: "a router that knows one boot file gives it to iPXE too, which then loads iPXE for ever",
        answer: "the second request for it by the same machine, with another block size, is answered with the script",
        source: "measured: OVMF asks with blksize 1468 and windowsize 4, Debian's iPXE with blksize 1432",
    };
    /// Boot code that reads the fixed field alone.
    pub const FILE_FIELD: Quirk = Quirk {
        name: "file-field",
        what: "U-Boot and old PXE ROMs read the boot file from the fixed `file` field and ignore option 67",
        answer: "the boot file is in both, always, where it fits",
        source: "U-Boot net/bootp.c; RFC 2132 section 9.5",
    };
    /// What a Raspberry Pi waits for.
    pub const PI_MENU: Quirk = Quirk {
        name: "raspberry-pi-menu",
        what: "a Raspberry Pi's boot code goes on only after an answer whose option 43 names `Raspberry Pi Boot`",
        answer: "option 43 with that menu, and option 66",
        source: "Raspberry Pi documentation, network booting; dnsmasq's pxe-service for it",
    };

    /// All of them.
    pub const ALL: [Quirk; 4] = [
        Quirk::LADDER,
        Quirk::ONE_BOOT_FILE,
        Quirk::FILE_FIELD,
        Quirk::PI_MENU,
    ];
}
