//! PXELINUX, which starts ESXi's mboot on a BIOS.

use super::{BootAction, disk_reason, esxi_loader, mboot::DIRECTORY};

/// The program of SYSLINUX 3.86 for a BIOS, which the site provides: later releases do not start mboot.c32 (VMware, ESXi 8.0,
/// "Boot the ESXi Installer by Using PXE and TFTP").
pub const LOADER: &str = "pxelinux.0";

/// Makes PXELINUX start mboot with one machine's boot.cfg. `mac` is the machine's, with hyphens.
pub fn install(repo: &str, mac: &str) -> String {
    format!(
        "DEFAULT install\nPROMPT 0\nSAY Bootwright: installing\nLABEL install\n  KERNEL {DIRECTORY}/{repo}/mboot.c32\n  \
         APPEND -c {DIRECTORY}/{repo}/01-{mac}/boot.cfg\n  IPAPPEND 2\n"
    )
}

/// Returns the configuration of a boot that does not start mboot. PXELINUX can neither wait nor start anything else.
pub fn answer(action: &BootAction) -> String {
    esxi_loader(action, local)
}

/// Makes PXELINUX boot the disk.
fn local(reason: Option<&str>) -> String {
    format!(
        "DEFAULT disk\nPROMPT 0\nSAY Bootwright: {}\nLABEL disk\n  LOCALBOOT 0\n",
        disk_reason(reason)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_ascii() {
        let text = local(Some("held: \nLABEL x\n\u{1b}[2J"));
        assert_eq!(text.lines().count(), 5);
        assert!(text.is_ascii());
    }
}
