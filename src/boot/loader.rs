//! The programs that firmware starts first, by the names that they are served under.

/// A loader that is looked for in directories: the site's own, then those of the distribution's packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Loader {
    /// The name that it is served under.
    pub name: &'static str,
    /// Debian's package that has it.
    pub package: &'static str,
    /// Where that package puts it (Debian 12).
    pub path: &'static str,
}

impl Loader {
    /// iPXE for a BIOS, over the card's own driver.
    pub const UNDIONLY: Loader = Loader {
        name: "undionly.kpxe",
        package: "ipxe",
        path: "/usr/lib/ipxe/undionly.kpxe",
    };
    /// iPXE for UEFI x64, over the firmware's own driver.
    pub const SNPONLY: Loader = Loader {
        name: "snponly.efi",
        package: "ipxe",
        path: "/usr/lib/ipxe/snponly.efi",
    };
    /// iPXE for UEFI x64 with drivers of its own.
    pub const IPXE: Loader = Loader {
        name: "ipxe.efi",
        package: "ipxe",
        path: "/usr/lib/ipxe/ipxe.efi",
    };
    /// The shim that firmware with Secure Boot trusts.
    pub const SHIM: Loader = Loader {
        name: "shimx64.efi",
        package: "shim-signed",
        path: "/usr/lib/shim/shimx64.efi.signed",
    };
    /// The GRUB that the shim trusts, with TFTP and no HTTP.
    pub const GRUB: Loader = Loader {
        name: "grubx64.efi",
        package: "grub-efi-amd64-signed",
        path: "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
    };
    /// The shim for UEFI on ARM.
    pub const SHIM_ARM64: Loader = Loader {
        name: "bootnetaa64.efi",
        package: "debian-installer-12-netboot-arm64",
        path: "/usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/bootnetaa64.efi",
    };
    /// The GRUB for UEFI on ARM.
    pub const GRUB_ARM64: Loader = Loader {
        name: "grubaa64.efi",
        package: "debian-installer-12-netboot-arm64",
        path: "/usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/grubaa64.efi",
    };

    /// Every loader that is known.
    pub const ALL: [Loader; 7] = [
        Loader::UNDIONLY,
        Loader::SNPONLY,
        Loader::IPXE,
        Loader::SHIM,
        Loader::GRUB,
        Loader::SHIM_ARM64,
        Loader::GRUB_ARM64,
    ];

    /// Finds one by the name that it is served under.
    pub fn named(name: &str) -> Option<Loader> {
        Loader::ALL.into_iter().find(|loader| loader.name == name)
    }
}
