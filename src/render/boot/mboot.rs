//! ESXi's loader mboot, started without iPXE.

use super::{BootAction, boot_cfg::PREFIX, disk_reason, esxi_loader};
use crate::model::Mac;

/// The directory in which a repo's mboot is served, over TFTP and HTTP. The files that mboot requests from its own directory
/// are there, and all other files of the repo.
pub const DIRECTORY: &str = "mboot";
/// The task whose machines can start it.
pub const TASK: &str = "esxi";
/// The loader's name in that directory. As `loader` of a node it makes the machine start mboot without iPXE.
pub const LOADER: &str = "mboot.efi";
/// The path of a repo's loader.
pub fn loader_path(repo: &str) -> String {
    format!("{DIRECTORY}/{repo}/{LOADER}")
}

/// A file in the directory of a repo's mboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MbootFile<'a> {
    /// The boot.cfg of the machine with this MAC; none if the path does not contain it.
    BootCfg(Option<Mac>),
    Loader,
    /// A file of the repo.
    File(&'a str),
}

impl<'a> MbootFile<'a> {
    /// Parses a path below `mboot/<repo>/`.
    pub fn parse(path: &'a str) -> MbootFile<'a> {
        let lower = path.to_ascii_lowercase();
        if lower == LOADER {
            return MbootFile::Loader;
        }
        match lower.rsplit_once('/') {
            None if lower == "boot.cfg" => MbootFile::BootCfg(None),
            Some((folder, "boot.cfg")) => match folder.strip_prefix("01-").map(str::parse) {
                Some(Ok(mac)) => MbootFile::BootCfg(Some(mac)),
                _ => MbootFile::File(path),
            },
            _ => MbootFile::File(path),
        }
    }
}

/// Whether a path, over TFTP or HTTP, is one that a running loader fetches: a kernel or module, not a loader or configuration.
pub fn is_file(name: &str) -> bool {
    match name.split_once('/') {
        Some(("repo", _)) => true,
        Some((DIRECTORY, rest)) => {
            let path = rest.split_once('/').map(|(_, path)| path);
            matches!(path.map(MbootFile::parse), Some(MbootFile::File(_)))
        }
        _ => false,
    }
}

/// Changes the boot.cfg of an attempt for a loader that was loaded over TFTP, and can only fetch over TFTP.
pub fn over_tftp(text: &str, repo: &str) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some((key, _)) if key == PREFIX => format!("{PREFIX}=/repo/{repo}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Returns the boot.cfg of a boot. mboot can neither wait nor start anything but ESXi.
pub fn answer(action: &BootAction) -> String {
    esxi_loader(action, local)
}

/// Makes mboot exit, so that the firmware continues with the disk. Loaders before 8.0.1 do not support `skip` and stop with an
/// error.
fn local(reason: Option<&str>) -> String {
    format!(
        "bootstate=0\ntitle=Bootwright: {}\ntimeout=5\nskip=1\n",
        disk_reason(reason)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tftp_only_the_prefix_differs() {
        let http = "bootstate=0\nprefix=http://192.0.2.1/repo/esxi\nkernel=b.b00\n# prefix=x\n\
                    kernelopt=ks=http://192.0.2.1/t/0/ks.cfg prefix=y\nmodules=a.gz --- b.gz\n";
        let tftp = http.replace("prefix=http://192.0.2.1/repo/esxi", "prefix=/repo/esxi");
        assert_eq!(over_tftp(http, "esxi"), tftp);
        assert_eq!(over_tftp(&tftp, "esxi"), tftp);
    }

    #[test]
    fn paths_in_the_directory_of_the_loader_are_parsed() {
        let mac: Mac = "52:54:00:12:34:58".parse().unwrap();
        for (path, expected) in [
            ("mboot.efi", MbootFile::Loader),
            (
                "01-52-54-00-12-34-58/boot.cfg",
                MbootFile::BootCfg(Some(mac)),
            ),
            (
                "01-52-54-00-12-34-58/BOOT.CFG",
                MbootFile::BootCfg(Some(mac)),
            ),
            ("boot.cfg", MbootFile::BootCfg(None)),
            ("crypto64.efi", MbootFile::File("crypto64.efi")),
            ("efi/boot/boot.cfg", MbootFile::File("efi/boot/boot.cfg")),
            ("01-52/boot.cfg", MbootFile::File("01-52/boot.cfg")),
        ] {
            assert_eq!(MbootFile::parse(path), expected, "{path}");
        }
        for (name, expected) in [
            ("repo/esxi/b.b00", true),
            ("mboot/esxi/crypto64.efi", true),
            ("mboot/esxi/mboot.efi", false),
            ("mboot/esxi/boot.cfg", false),
            ("mboot/esxi", false),
            ("snponly.efi", false),
        ] {
            assert_eq!(is_file(name), expected, "{name}");
        }
    }

    #[test]
    fn a_reason_is_one_line_of_ascii() {
        let reason = Some("held: \nkernel=x\n\u{1b}[2J");
        assert_eq!(local(reason).lines().count(), 4);
        assert!(local(reason).is_ascii());
    }
}
