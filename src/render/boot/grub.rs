//! GRUB configurations that belong to no attempt: the one that every machine with Secure Boot reads first, and those for a
//! machine that installs nothing now.

use super::{super::quote, BootAction, MicrokernelBoot, disk_reason, screen_line};
use crate::model::LocalBoot;

/// Boots the local disk. Tasks use the same file when their installer does not boot.
const DISK: &str = include_str!("../../../templates/common/disk.grub.j2");
/// Returns to the firmware, which continues with its boot order.
const EXIT: &str = "exit\n";

/// The configuration that GRUB loads by default: it loads the machine's own, by the MAC of its boot NIC.
pub fn entry() -> String {
    format!(
        "# Bootwright: loads the configuration of this machine.\nset timeout=0\n\
         configfile $prefix/by-mac/$net_default_mac/grub.cfg\n\
         echo \"Bootwright has no configuration for this machine, booting the disk\"\nsleep 3\n{DISK}"
    )
}

/// Returns the configuration of a boot.
pub fn answer(action: &BootAction) -> String {
    match action {
        BootAction::Installer(config) => String::from_utf8_lossy(config).into_owned(),
        BootAction::Disk(disk) | BootAction::Held { disk, .. } => {
            local(disk.how.unwrap_or(LocalBoot::Auto), disk.reason.as_deref())
        }
        BootAction::Wait(reason) => wait(reason),
        BootAction::Microkernel(boot) => microkernel(boot),
    }
}

/// Boots a machine from its local disk, and shows the reason. Methods that only iPXE has are replaced by GRUB's own.
fn local(how: LocalBoot, reason: Option<&str>) -> String {
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

/// Makes a machine load its configuration again after 30 seconds, and once more after a failure. Then it boots the disk.
fn wait(reason: &str) -> String {
    let reason = plain(&screen_line(reason));
    format!(
        "set timeout=0\necho \"Bootwright: {reason}\"\nsleep 30\n\
         configfile $prefix/by-mac/$net_default_mac/grub.cfg\nsleep 30\n\
         configfile $prefix/by-mac/$net_default_mac/grub.cfg\n\
         echo \"Bootwright does not answer, booting the disk\"\n{DISK}"
    )
}

/// Boots the microkernel, from the server that GRUB was loaded from.
fn microkernel(boot: &MicrokernelBoot) -> String {
    let quoted = |word: &String| quote::grub(word).expect("a URL and a MAC are one line");
    let cmdline = boot.cmdline.iter().map(|word| format!(" {}", quoted(word)));
    let (kernel, initrd) = (boot.kernel, boot.initrd);
    let cmdline: String = cmdline.collect();
    format!(
        "set timeout=0\necho \"Bootwright: starting the microkernel\"\n\
         if linux /microkernel/{kernel}{cmdline}; then\n  if initrd /microkernel/{initrd}; then\n    boot\n  fi\nfi\n\
         echo \"The microkernel cannot be booted, booting the disk in 10 seconds\"\nsleep 10\n{DISK}"
    )
}

fn reason_pause(reason: &str) -> u32 {
    if reason == "booting the disk" { 1 } else { 5 }
}

/// Replaces characters that are special inside GRUB's double quotes (GRUB manual, section 6.2).
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if "\"\\$`".contains(c) { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_contains_no_command() {
        let reason = "held: \"; reboot; echo $root `x` \\";
        let text = local(LocalBoot::Exit, Some(reason));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[1].matches('"').count(), 2, "{text}");
        assert!(!lines[1].contains(['$', '`', '\\']), "{text}");
        assert_eq!(lines[3], "exit");
    }

    #[test]
    fn the_microkernel_is_booted_with_its_arguments_and_the_disk_on_failure() {
        let text = microkernel(&MicrokernelBoot {
            base: "http://192.0.2.1/microkernel".into(),
            kernel: "vmlinuz",
            initrd: "initrd",
            cmdline: vec![
                "bootwright.url=http://192.0.2.1/c/abc".into(),
                "BOOTIF=01-52-54-00-00-00-01".into(),
            ],
        });
        assert!(text.contains("linux /microkernel/vmlinuz "), "{text}");
        assert!(text.contains("http://192.0.2.1/c/abc"), "{text}");
        assert!(text.contains("initrd /microkernel/initrd"), "{text}");
        assert!(text.contains("chainloader"), "{text}");
    }

    #[test]
    fn the_disk_is_booted_unless_local_boot_is_exit() {
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
            "it is not a template"
        );
    }
}
