//! Finds QEMU, the ROMs with iPXE, and OVMF on this host. An error names the package that is missing.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, anyhow};

use super::qemu::QemuFirmware;
use crate::{
    cli::failure::{CliResult, Failure},
    model::Platform,
};

/// The emulator.
const QEMU: &str = "qemu-system-x86_64";

/// The ROMs of the NIC models, each with iPXE for BIOS and UEFI.
const ROMS: [&str; 2] = ["efi-virtio.rom", "efi-vmxnet3.rom"];

/// The paths of OVMF's code and variables: Debian and Ubuntu, Fedora, Arch.
const OVMF: [(&str, &str); 4] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
];

/// QEMU and its firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QemuInstallation {
    /// The path of QEMU.
    pub(super) program: PathBuf,
    ovmf: Option<(PathBuf, PathBuf)>,
}

/// Finds QEMU and its ROMs.
pub(super) fn find() -> CliResult<QemuInstallation> {
    let ovmf = OVMF
        .iter()
        .map(|(code, vars)| (PathBuf::from(code), PathBuf::from(vars)))
        .find(|(code, vars)| code.exists() && vars.exists());
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates = env::split_paths(&path).map(|directory| directory.join(QEMU));
    let Some(qemu) = candidates.find(|directory| directory.is_file()) else {
        let packages = missing(&["qemu-system-x86", "ipxe-qemu"], ovmf.is_some());
        return Err(Failure::unreachable(anyhow!(
            "QEMU is not installed: `{QEMU}` is not in PATH"
        ))
        .help(install(&packages)));
    };
    let directories = directories(&qemu)?;
    let has = |name: &str| {
        directories
            .iter()
            .any(|directory| directory.join(name).exists())
    };
    if let Some(rom) = ROMS.iter().find(|rom| !has(rom)) {
        let packages = missing(&["ipxe-qemu"], ovmf.is_some());
        return Err(Failure::unreachable(anyhow!(
            "the ROM for network boot is not installed: QEMU has no `{rom}`"
        ))
        .help(install(&packages)));
    }
    Ok(QemuInstallation {
        program: qemu,
        ovmf,
    })
}

impl QemuInstallation {
    /// The firmware of this platform. UEFI's variables are copied to `vars`.
    pub(super) fn firmware(&self, platform: Platform, vars: &Path) -> CliResult<QemuFirmware> {
        match (platform, &self.ovmf) {
            (Platform::Pcbios, _) => Ok(QemuFirmware::Bios),
            (Platform::Efi, Some((code, fresh))) => {
                fs::copy(fresh, vars)
                    .with_context(|| format!("cannot copy `{}`", fresh.display()))?;
                writable(vars)?;
                Ok(QemuFirmware::Uefi {
                    code: code.clone(),
                    vars: vars.into(),
                })
            }
            (Platform::Efi, None) => Err(Failure::unreachable(anyhow!(
                "OVMF, the UEFI firmware of QEMU, is not installed"
            ))
            .help(install(&["ovmf"]) + "; or use --bios")),
        }
    }
}

/// A copy has the permissions of its source, which may be read-only.
fn writable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// The directories in which QEMU searches for ROMs.
fn directories(qemu: &Path) -> CliResult<Vec<PathBuf>> {
    let output = Command::new(qemu).args(["-L", "help"]).output();
    let answer = output.with_context(|| format!("cannot run `{}`", qemu.display()))?;
    let text = String::from_utf8_lossy(&answer.stdout);
    Ok(text.lines().map(|line| line.trim().into()).collect())
}

fn missing<'p>(packages: &[&'p str], has_ovmf: bool) -> Vec<&'p str> {
    let ovmf = (!has_ovmf).then_some("ovmf");
    packages.iter().copied().chain(ovmf).collect()
}

fn install(packages: &[&str]) -> String {
    format!("apt-get install {}", packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_uefi_firmware_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("fresh"), "variables").unwrap();
        fs::set_permissions(
            at("fresh"),
            std::os::unix::fs::PermissionsExt::from_mode(0o444),
        )
        .unwrap();
        let with = |ovmf: bool| QemuInstallation {
            program: "/usr/bin/qemu".into(),
            ovmf: ovmf.then(|| (at("code"), at("fresh"))),
        };
        let uefi = QemuFirmware::Uefi {
            code: at("code"),
            vars: at("vars"),
        };
        for (ovmf, output, expected) in [
            (true, Platform::Efi, Some(&uefi)),
            (true, Platform::Pcbios, Some(&QemuFirmware::Bios)),
            (false, Platform::Pcbios, Some(&QemuFirmware::Bios)),
            (false, Platform::Efi, None),
        ] {
            let got = with(ovmf).firmware(output, &at("vars")).ok();
            assert_eq!(got.as_ref(), expected, "{ovmf} {output:?}");
        }
        assert_eq!(fs::read(at("vars")).unwrap(), b"variables");
        fs::write(at("vars"), "changed").unwrap();
    }

    #[test]
    fn packages_are_named_in_one_command() {
        let words = |has_ovmf| install(&missing(&["qemu-system-x86", "ipxe-qemu"], has_ovmf));
        assert_eq!(words(true), "apt-get install qemu-system-x86 ipxe-qemu");
        assert_eq!(
            words(false),
            "apt-get install qemu-system-x86 ipxe-qemu ovmf"
        );
    }
}
