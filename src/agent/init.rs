//! What the first process of a machine does before all else, and how the machine ends.

use std::{fs, io, path::Path};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sys::reboot::{RebootMode, reboot},
    unistd::sync,
};

/// The kernel's file systems: kind and place.
const FILE_SYSTEMS: [(&str, &str); 4] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
];

/// Mounts what the kernel shows of the machine.
pub(super) fn mount_all() -> io::Result<()> {
    for (kind, place) in FILE_SYSTEMS {
        fs::create_dir_all(place)?;
        mounted(kind, place)?;
    }
    Ok(())
}

/// Mounts UEFI's variables; a machine without UEFI has none.
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

/// Starts the machine anew; an error says why it goes on.
pub(super) fn restart() -> io::Error {
    end(RebootMode::RB_AUTOBOOT)
}

/// Switches the machine off; an error says why it stays on.
pub(super) fn power_off() -> io::Error {
    end(RebootMode::RB_POWER_OFF)
}

fn end(how: RebootMode) -> io::Error {
    sync();
    match reboot(how) {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}
