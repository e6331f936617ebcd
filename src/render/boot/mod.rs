//! What each loader reads: iPXE scripts, GRUB's grub.cfg, mboot's boot.cfg and PXELINUX's configuration.
//!
//! They belong to no attempt, but for [`boot_cfg`], which rewrites an ESXi image's own file for one machine.

pub mod boot_cfg;
pub mod ipxe;
pub mod grub;
pub mod mboot;
pub mod pxelinux;

/// How many characters of a reason a loader shows.
const MAX_SCREEN_LINE: usize = 200;

/// A reason as one line that every loader prints as it is: no variables, no operators, only ASCII.
fn screen_line(reason: &str) -> String {
    let plain: String = reason
        .chars()
        .map(|c| match c {
            '\u{20}'..='\u{7e}' if !"${}#;&|".contains(c) => c,
            _ => ' ',
        })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let mut line = words.join(" ");
    line.truncate(MAX_SCREEN_LINE);
    line
}

/// The reason for booting the disk, as a loader shows it.
fn disk_reason(reason: Option<&str>) -> String {
    reason.map_or_else(|| "booting the disk".into(), screen_line)
}
