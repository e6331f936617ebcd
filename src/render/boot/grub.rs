//! GRUB configurations that belong to no attempt: what every machine with Secure Boot reads first, and what it
//! gets when nothing is to be installed.

use super::{super::quote, disk_reason, screen_line};
use crate::model::LocalBoot;

/// Starts what is on a disk; the same for tasks whose installer does not boot.
const DISK: &str = include_str!("../../../templates/common/disk.grub.j2");
/// Leaves: firmware goes on as it likes.
const EXIT: &str = "exit\n";

/// What GRUB looks for by itself: it leads to the machine's own, by the card that it booted from.
pub fn entry() -> String {
    format!(
        "# Bootwright: leads to this machine's own configuration.\nset timeout=0\n\
         configfile $prefix/by-mac/$net_default_mac/grub.cfg\n\
         echo \"Bootwright does not know this machine, booting the disk\"\nsleep 3\n{DISK}"
    )
}

/// Sends a machine to its own disk, with the reason on its screen. What only iPXE can do is done by GRUB in its
/// own way.
pub fn local(how: LocalBoot, reason: Option<&str>) -> String {
    let leave = match how {
        LocalBoot::Exit | LocalBoot::Exit1 => EXIT,
        LocalBoot::Auto | LocalBoot::Sanboot | LocalBoot::Silent => DISK,
    };
    let reason = disk_reason(reason);
    let pause = reason_pause(&reason);
    format!(
        "set timeout=0\necho \"Bootwright: {}\"\nsleep {pause}\n{leave}",
        plain(&reason)
    )
}

/// Makes a machine ask again every 30 seconds, five times without an answer at most.
pub fn wait(reason: &str) -> String {
    let reason = plain(&screen_line(reason));
    format!(
        "set timeout=0\necho \"Bootwright: {reason}\"\nsleep 30\n\
         configfile $prefix/by-mac/$net_default_mac/grub.cfg\nsleep 30\n\
         configfile $prefix/by-mac/$net_default_mac/grub.cfg\n\
         echo \"Bootwright does not answer, booting the disk\"\n{DISK}"
    )
}

/// Starts the microkernel from these paths of the server that GRUB came from, with these words on its command line.
pub fn microkernel(kernel: &str, initrd: &str, words: &[String]) -> String {
    let quoted = |word: &String| quote::grub(word).expect("a URL and a MAC are one line");
    let words: String = words
        .iter()
        .map(|word| format!(" {}", quoted(word)))
        .collect();
    format!(
        "set timeout=0\necho \"Bootwright: looking at this machine\"\n\
         if linux {kernel}{words}; then\n  if initrd {initrd}; then\n    boot\n  fi\nfi\n\
         echo \"The microkernel cannot be booted, booting the disk in 10 seconds\"\nsleep 10\n{DISK}"
    )
}

fn reason_pause(reason: &str) -> u32 {
    if reason == "booting the disk" { 1 } else { 5 }
}

/// Inside of GRUB's double quotes these are its own (GRUB manual, section 6.2).
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if "\"\\$`".contains(c) { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_reason_is_a_command() {
        let reason = "held: \"; reboot; echo $root `x` \\";
        let text = local(LocalBoot::Exit, Some(reason));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[1].matches('"').count(), 2, "{text}");
        assert!(!lines[1].contains(['$', '`', '\\']), "{text}");
        assert_eq!(lines[3], "exit");
    }

    #[test]
    fn the_microkernel_is_started_with_its_words_and_else_the_disk() {
        let words = [
            "bootwright.url=http://192.0.2.1/c/abc".into(),
            "BOOTIF=01-52-54-00-00-00-01".into(),
        ];
        let text = microkernel("/microkernel/vmlinuz", "/microkernel/initrd", &words);
        assert!(text.contains("linux /microkernel/vmlinuz "), "{text}");
        assert!(text.contains("http://192.0.2.1/c/abc"), "{text}");
        assert!(text.contains("initrd /microkernel/initrd"), "{text}");
        assert!(text.contains("chainloader"), "{text}");
    }

    #[test]
    fn the_disk_is_started_unless_the_site_wants_grub_to_leave() {
        for (how, starts) in [
            (LocalBoot::Auto, true),
            (LocalBoot::Sanboot, true),
            (LocalBoot::Silent, true),
            (LocalBoot::Exit, false),
            (LocalBoot::Exit1, false),
        ] {
            assert_eq!(local(how, None).contains("chainloader"), starts, "{how:?}");
        }
        for text in [entry(), wait("later")] {
            assert!(text.contains("chainloader"), "{text}");
        }
        assert!(
            !DISK.contains("{%") && !DISK.contains("{{"),
            "it is no template"
        );
    }
}
