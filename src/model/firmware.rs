//! What kind of firmware and processor asks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a machine's firmware starts programs, as iPXE's `${platform}` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// A BIOS, or a UEFI that plays one.
    #[serde(alias = "bios")]
    Pcbios,
    /// UEFI.
    #[serde(alias = "uefi")]
    Efi,
}

/// Which program asks for what a machine boots.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum BootProgram {
    /// iPXE, at `/boot`.
    #[default]
    Ipxe,
    /// GRUB, by its configuration.
    Grub,
    /// ESXi's own loader without iPXE, by its boot.cfg.
    Mboot,
    /// PXELINUX, by its configuration.
    Pxelinux,
    /// The firmware itself, by DHCP, where no answer sends it to its disk.
    Firmware,
}

/// A processor architecture, as iPXE's `${buildarch}` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 32-bit x86. BIOS builds of iPXE say this on 64-bit machines too.
    I386,
    /// 64-bit x86.
    #[serde(rename = "x86_64", alias = "amd64")]
    X86_64,
    /// 64-bit ARM.
    #[serde(alias = "aarch64")]
    Arm64,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Platform::Pcbios => "pcbios",
            Platform::Efi => "efi",
        })
    }
}

impl fmt::Display for BootProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            BootProgram::Ipxe => "ipxe",
            BootProgram::Grub => "grub",
            BootProgram::Mboot => "mboot",
            BootProgram::Pxelinux => "pxelinux",
            BootProgram::Firmware => "firmware",
        })
    }
}

impl BootProgram {
    /// Tells whether it is iPXE, which is left out where a boot is written down.
    pub fn is_ipxe(&self) -> bool {
        *self == BootProgram::Ipxe
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Arch::I386 => "i386",
            Arch::X86_64 => "x86_64",
            Arch::Arm64 => "arm64",
        })
    }
}
