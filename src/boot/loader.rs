//! Loaders: the programs that firmware starts first.

/// A loader that Debian packages. A file of the same name in the site's own directories takes precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Loader {
    /// The name under which it is served.
    pub name: &'static str,
    /// The Debian package that contains it.
    pub package: &'static str,
    /// Its path in that package (Debian 12).
    pub path: &'static str,
}

impl Loader {
    /// iPXE for BIOS, with the driver in the NIC's ROM (UNDI).
    pub const UNDIONLY: Loader = Loader {
        name: "undionly.kpxe",
        package: "ipxe",
        path: "/usr/lib/ipxe/undionly.kpxe",
    };
    /// iPXE for UEFI x64, with the firmware's network driver (SNP).
    pub const SNPONLY: Loader = Loader {
        name: "snponly.efi",
        package: "ipxe",
        path: "/usr/lib/ipxe/snponly.efi",
    };
    /// iPXE for UEFI x64, with iPXE's own drivers.
    pub const IPXE: Loader = Loader {
        name: "ipxe.efi",
        package: "ipxe",
        path: "/usr/lib/ipxe/ipxe.efi",
    };
    /// The shim, signed for Secure Boot.
    pub const SHIM: Loader = Loader {
        name: "shimx64.efi",
        package: "shim-signed",
        path: "/usr/lib/shim/shimx64.efi.signed",
    };
    /// The GRUB that the shim verifies. It supports TFTP, not HTTP.
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

    pub const ALL: [Loader; 7] = [
        Loader::UNDIONLY,
        Loader::SNPONLY,
        Loader::IPXE,
        Loader::SHIM,
        Loader::GRUB,
        Loader::SHIM_ARM64,
        Loader::GRUB_ARM64,
    ];

    pub fn named(name: &str) -> Option<Loader> {
        Loader::ALL.into_iter().find(|loader| loader.name == name)
    }
}
