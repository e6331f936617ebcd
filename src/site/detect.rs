//! Which operating system a repo holds, told by files that its vendor puts there.

use crate::model::TaskName;

/// A file that tells, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepoSignature {
    /// The file.
    pub file: &'static str,
    /// What stands in it; nothing where it is enough that it is there.
    pub says: &'static str,
    /// The operating system.
    pub title: &'static str,
    /// The task that installs it, of those that are built in.
    pub task: Option<&'static str>,
}

const fn signature(
    file: &'static str,
    says: &'static str,
    title: &'static str,
    task: Option<&'static str>,
) -> RepoSignature {
    RepoSignature {
        file,
        says,
        title,
        task,
    }
}

/// What is known, the surest first. Where a vendor builds upon another one's image, its own sign comes before.
const SIGNATURES: [RepoSignature; 16] = [
    signature(".pve-cd-id.txt", "", "Proxmox VE", None),
    signature("boot.cfg", "modules=", "VMware ESXi", Some("esxi")),
    signature(".treeinfo", "SUSE", "SUSE", None),
    signature(".treeinfo", "[general]", "RHEL family", Some("redhat")),
    signature(".disk/info", "Ubuntu", "Ubuntu", None),
    signature(".disk/info", "Debian", "Debian", Some("debian")),
    signature("casper/vmlinuz", "", "Ubuntu family", None),
    signature("debian-installer/amd64/linux", "", "Debian", Some("debian")),
    signature("debian-installer/arm64/linux", "", "Debian", Some("debian")),
    signature("install.amd/vmlinuz", "", "Debian", Some("debian")),
    signature("images/pxeboot/vmlinuz", "", "RHEL family", Some("redhat")),
    signature("boot/x86_64/loader/linux", "", "SUSE", None),
    signature("arch/boot/x86_64/vmlinuz-linux", "", "Arch Linux", None),
    signature("boot/vmlinuz-lts", "", "Alpine Linux", None),
    signature("nix-store.squashfs", "", "NixOS", None),
    signature("sources/boot.wim", "", "Windows", None),
];

/// Guesses; `says` tells whether a file is there and has a text in it.
pub fn detect_repo(mut says: impl FnMut(&str, &str) -> bool) -> Option<&'static RepoSignature> {
    SIGNATURES
        .iter()
        .find(|signature| says(signature.file, signature.says))
}

impl RepoSignature {
    /// The task's name.
    pub fn task_name(&self) -> Option<TaskName> {
        self.task
            .map(|task| task.parse().expect("a built-in task has a name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_s_own_files_tell() {
        const TREEINFO: &str = "[general]\nfamily = Rocky Linux\n";
        const SUSE: &str = "[general]\nfamily = openSUSE Leap\n";
        type SiteFiles = &'static [(&'static str, &'static str)];
        type Found = Option<(&'static str, Option<&'static str>)>;
        let cases: [(SiteFiles, Found); 10] = [
            (
                &[("boot.cfg", "kernel=b.b00\nmodules=a.gz --- b.gz\n")],
                Some(("VMware ESXi", Some("esxi"))),
            ),
            (&[("boot.cfg", "title=something\n")], None),
            (
                &[(".treeinfo", TREEINFO)],
                Some(("RHEL family", Some("redhat"))),
            ),
            (&[(".treeinfo", SUSE)], Some(("SUSE", None))),
            (
                &[(".disk/info", "Debian GNU/Linux 12.8.0 \"Bookworm\"")],
                Some(("Debian", Some("debian"))),
            ),
            (
                &[
                    (".disk/info", "Ubuntu-Server 24.04"),
                    ("casper/vmlinuz", ""),
                ],
                Some(("Ubuntu", None)),
            ),
            (
                &[("debian-installer/amd64/linux", "")],
                Some(("Debian", Some("debian"))),
            ),
            (
                &[(".pve-cd-id.txt", "x"), (".disk/info", "Debian")],
                Some(("Proxmox VE", None)),
            ),
            (&[("sources/boot.wim", "")], Some(("Windows", None))),
            (&[("README", "hello")], None),
        ];
        for (files, expected) in cases {
            let says = |path: &str, text: &str| {
                let mut all = files.iter();
                all.any(|(name, content)| *name == path && content.contains(text))
            };
            let found = detect_repo(says).map(|signature| (signature.title, signature.task));
            assert_eq!(found, expected, "{files:?}");
        }
    }

    #[test]
    fn every_task_that_is_guessed_has_a_name() {
        assert!(
            SIGNATURES
                .iter()
                .filter_map(RepoSignature::task_name)
                .count()
                >= 7
        );
    }
}
