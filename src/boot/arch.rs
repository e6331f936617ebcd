//! The client's system architecture (DHCP option 93).

use std::fmt;

use crate::model::{Arch, Platform};

/// The client system architecture (RFC 4578 section 2.1; IANA, "Processor Architecture Types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientArch {
    /// 0: x86 BIOS.
    Bios,
    /// 6: x86 UEFI of 32 bits.
    EfiIa32,
    /// 7, and 9 in older firmware: x64 UEFI.
    EfiX64,
    /// 11: 64-bit ARM UEFI.
    EfiArm64,
    /// 16: x64 UEFI that boots over HTTP.
    HttpX64,
    /// 19: 64-bit ARM UEFI that boots over HTTP.
    HttpArm64,
    /// 41: a Raspberry Pi's own boot code.
    RaspberryPi,
    Other(u16),
}

impl ClientArch {
    pub fn new(number: u16) -> Self {
        match number {
            0 => ClientArch::Bios,
            6 => ClientArch::EfiIa32,
            7 | 9 => ClientArch::EfiX64,
            11 => ClientArch::EfiArm64,
            16 => ClientArch::HttpX64,
            19 => ClientArch::HttpArm64,
            41 => ClientArch::RaspberryPi,
            other => ClientArch::Other(other),
        }
    }

    pub fn platform(self) -> Option<Platform> {
        match self {
            ClientArch::Bios => Some(Platform::Pcbios),
            ClientArch::EfiIa32
            | ClientArch::EfiX64
            | ClientArch::EfiArm64
            | ClientArch::HttpX64
            | ClientArch::HttpArm64 => Some(Platform::Efi),
            ClientArch::RaspberryPi | ClientArch::Other(_) => None,
        }
    }

    /// The processor, if the architecture determines it. A BIOS may run on a 32-bit or a 64-bit one.
    pub fn arch(self) -> Option<Arch> {
        match self {
            ClientArch::EfiIa32 => Some(Arch::I386),
            ClientArch::EfiX64 | ClientArch::HttpX64 => Some(Arch::X86_64),
            ClientArch::EfiArm64 | ClientArch::HttpArm64 => Some(Arch::Arm64),
            ClientArch::Bios | ClientArch::RaspberryPi | ClientArch::Other(_) => None,
        }
    }
}

impl fmt::Display for ClientArch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientArch::Bios => f.pad("BIOS"),
            ClientArch::EfiIa32 => f.pad("UEFI ia32"),
            ClientArch::EfiX64 => f.pad("UEFI x64"),
            ClientArch::EfiArm64 => f.pad("UEFI arm64"),
            ClientArch::HttpX64 => f.pad("UEFI x64 HTTP"),
            ClientArch::HttpArm64 => f.pad("UEFI arm64 HTTP"),
            ClientArch::RaspberryPi => f.pad("Raspberry Pi"),
            ClientArch::Other(number) => write!(f, "architecture {number}"),
        }
    }
}
