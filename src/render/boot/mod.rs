//! Boot scripts and configurations for each loader: iPXE, GRUB, ESXi's mboot, and PXELINUX.
//!
//! Those of an attempt come from the task's templates. Here are the ones for every other answer to a boot, and
//! [`boot_cfg`], which rewrites an ESXi image's boot.cfg for an attempt.

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
