//! The firmware, processor architecture and boot program of a request.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of firmware, named as in iPXE's `${platform}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// BIOS, or UEFI in legacy BIOS mode (CSM).
    #[serde(alias = "bios")]
    Pcbios,
    /// UEFI.
    #[serde(alias = "uefi")]
    Efi,
}

/// The program that requests a boot.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum BootProgram {
    /// iPXE, at `/boot`.
    #[default]
    Ipxe,
    /// GRUB, by its configuration file.
    Grub,
    /// ESXi's loader without iPXE, by its boot.cfg.
    Mboot,
    /// PXELINUX, by its configuration file.
    Pxelinux,
    /// The firmware itself, by DHCP: without an answer it boots the local disk.
    Firmware,
}

/// A processor architecture, named as in iPXE's `${buildarch}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 32-bit x86. BIOS builds of iPXE report this on 64-bit machines too.
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
    /// Whether it is iPXE, which is omitted from stored boots.
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
