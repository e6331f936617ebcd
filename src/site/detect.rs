//! Detects which operating system a repo contains, by files that only its vendor's images have.

use crate::model::TaskName;

/// A file that identifies an operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepoSignature {
    /// The path of the file.
    pub file: &'static str,
    /// A text that the file contains; empty if its existence is enough.
    pub text: &'static str,
    /// The name of the operating system.
    pub title: &'static str,
    /// The built-in task that installs it.
    pub task: Option<&'static str>,
}

const fn signature(
    file: &'static str,
    text: &'static str,
    title: &'static str,
    task: Option<&'static str>,
) -> RepoSignature {
    RepoSignature {
        file,
        text,
        title,
        task,
    }
}

/// The known signatures, the most reliable first. If a vendor's image is derived from another vendor's, its signature comes
/// before that of the other one.
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

/// Returns the first signature that matches. `contains` returns whether a file exists and contains a text.
pub fn detect_repo(mut contains: impl FnMut(&str, &str) -> bool) -> Option<&'static RepoSignature> {
    SIGNATURES
        .iter()
        .find(|signature| contains(signature.file, signature.text))
}

impl RepoSignature {
    pub fn task_name(&self) -> Option<TaskName> {
        self.task
            .map(|task| task.parse().expect("a built-in task has a name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_s_own_files_identify_the_system() {
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
            let contains = |path: &str, text: &str| {
                let mut all = files.iter();
                all.any(|(name, content)| *name == path && content.contains(text))
            };
            let found = detect_repo(contains).map(|signature| (signature.title, signature.task));
            assert_eq!(found, expected, "{files:?}");
        }
    }

    #[test]
    fn every_detected_task_has_a_name() {
        assert!(
            SIGNATURES
                .iter()
                .filter_map(RepoSignature::task_name)
                .count()
                >= 7
        );
    }
}
