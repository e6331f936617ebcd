//! The tasks of process 1: mounting the kernel's file systems, restart and power-off.

use std::{fs, io, path::Path};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sys::reboot::{RebootMode, reboot},
    unistd::sync,
};

/// The kernel's file systems: type and mount point.
const FILE_SYSTEMS: [(&str, &str); 4] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
];

/// Mounts the kernel's file systems.
pub(super) fn mount_all() -> io::Result<()> {
    for (kind, place) in FILE_SYSTEMS {
        fs::create_dir_all(place)?;
        mounted(kind, place)?;
    }
    Ok(())
}

/// Mounts UEFI's variables, if the machine has UEFI.
pub(super) fn mount_variables() -> io::Result<()> {
    match Path::new("/sys/firmware/efi/efivars").is_dir() {
        true => mounted("efivarfs", "/sys/firmware/efi/efivars"),
        false => Ok(()),
    }
}

fn mounted(kind: &str, place: &str) -> io::Result<()> {
    match mount(
        Some(kind),
        place,
        Some(kind),
        MsFlags::empty(),
        None::<&str>,
    ) {
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(io::Error::other(format!("cannot mount {kind}: {errno}"))),
    }
}

/// Restarts the machine; returns only on failure.
pub(super) fn restart() -> io::Error {
    end(RebootMode::RB_AUTOBOOT)
}

/// Powers the machine off; returns only on failure.
pub(super) fn power_off() -> io::Error {
    end(RebootMode::RB_POWER_OFF)
}

fn end(mode: RebootMode) -> io::Error {
    sync();
    match reboot(mode) {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}
