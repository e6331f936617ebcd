//! The kind of a boot file, detected from its first bytes: whether a firmware can start it.

use std::fmt;

use super::ClientArch;

/// How many bytes of a file are needed to detect its kind.
pub const PROGRAM_HEAD_SIZE: usize = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    EfiX64,
    /// UEFI on 32-bit x86.
    EfiIa32,
    EfiArm64,
    NotEfi,
}

impl Program {
    /// Detects the kind from the first [`PROGRAM_HEAD_SIZE`] bytes; none when they do not determine it.
    pub fn detect(head: &[u8]) -> Option<Program> {
        // A Linux kernel starts on UEFI and on BIOS (Linux, Documentation/arch/x86/boot.rst: `HdrS`).
        if head.len() < 64 || head.get(0x202..0x206) == Some(b"HdrS") {
            return None;
        }
        if !head.starts_with(b"MZ") {
            return Some(Program::NotEfi);
        }
        // The offset of the PE header is at 0x3c (Microsoft PE format, "MS-DOS stub" and "Machine types").
        let offset = u32::from_le_bytes([head[0x3c], head[0x3d], head[0x3e], head[0x3f]]);
        let offset = usize::try_from(offset).ok()?;
        let [b'P', b'E', 0, 0, low, high] = *head.get(offset..offset.checked_add(6)?)? else {
            return None;
        };
        match u16::from_le_bytes([low, high]) {
            0x8664 => Some(Program::EfiX64),
            0x014c => Some(Program::EfiIa32),
            0xaa64 => Some(Program::EfiArm64),
            _ => None,
        }
    }

    /// Whether firmware of this architecture can start it; true for architectures whose file format is unknown.
    pub fn runs_on(self, arch: ClientArch) -> bool {
        match arch {
            ClientArch::Bios => self == Program::NotEfi,
            // Over HTTP firmware also boots a disk image (UEFI 2.10 section 24.7.3).
            ClientArch::HttpX64 => matches!(self, Program::EfiX64 | Program::NotEfi),
            ClientArch::HttpArm64 => matches!(self, Program::EfiArm64 | Program::NotEfi),
            ClientArch::EfiX64 => self == Program::EfiX64,
            ClientArch::EfiIa32 => self == Program::EfiIa32,
            ClientArch::EfiArm64 => self == Program::EfiArm64,
            ClientArch::RaspberryPi | ClientArch::Other(_) => true,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Program::EfiX64 => "a program for UEFI x64",
            Program::EfiIa32 => "a program for UEFI ia32",
            Program::EfiArm64 => "a program for UEFI arm64",
            Program::NotEfi => "not a program for UEFI",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pe(machine: u16, offset: u32) -> Vec<u8> {
        let mut head = vec![0; PROGRAM_HEAD_SIZE];
        head[..2].copy_from_slice(b"MZ");
        head[0x3c..0x40].copy_from_slice(&offset.to_le_bytes());
        if let Some(header) = head.get_mut(offset as usize..offset as usize + 6) {
            header[..4].copy_from_slice(b"PE\0\0");
            header[4..].copy_from_slice(&machine.to_le_bytes());
        }
        head
    }

    #[test]
    fn the_first_bytes_determine_the_kind() {
        let mut kernel = pe(0x8664, 0x80);
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        let cases = [
            (pe(0x8664, 0x80), Some(Program::EfiX64)),
            (pe(0x014c, 0xc0), Some(Program::EfiIa32)),
            (pe(0xaa64, 0x80), Some(Program::EfiArm64)),
            // EFI byte code runs on every UEFI firmware.
            (pe(0x0ebc, 0x80), None),
            (pe(0x8664, 0x4000), None),
            (pe(0x8664, u32::MAX), None),
            (vec![0xea; PROGRAM_HEAD_SIZE], Some(Program::NotEfi)),
            (kernel, None),
            (b"MZ".to_vec(), None),
            (Vec::new(), None),
        ];
        for (at, (head, expected)) in cases.into_iter().enumerate() {
            assert_eq!(Program::detect(&head), expected, "case {at}");
        }
    }

    #[test]
    fn firmware_starts_programs_of_its_architecture() {
        let cases = [
            (Program::EfiX64, ClientArch::EfiX64, true),
            (Program::EfiX64, ClientArch::HttpX64, true),
            (Program::EfiX64, ClientArch::Bios, false),
            (Program::EfiX64, ClientArch::EfiIa32, false),
            (Program::EfiArm64, ClientArch::EfiX64, false),
            (Program::NotEfi, ClientArch::Bios, true),
            (Program::NotEfi, ClientArch::EfiX64, false),
            (Program::NotEfi, ClientArch::HttpX64, true),
            (Program::EfiArm64, ClientArch::HttpX64, false),
            (Program::NotEfi, ClientArch::RaspberryPi, true),
            (Program::EfiX64, ClientArch::Other(22), true),
        ];
        for (program, arch, fits) in cases {
            assert_eq!(program.runs_on(arch), fits, "{program}, {arch}");
        }
    }
}
