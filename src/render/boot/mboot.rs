//! ESXi's loaders without iPXE: mboot.

use super::{boot_cfg::PREFIX, disk_reason};
use crate::model::Mac;

/// The directory in which a repo's mboot is served, over TFTP and HTTP alike: what mboot looks for beside itself is there,
/// and everything else that the repo has.
pub const DIRECTORY: &str = "mboot";
/// The task whose machines it starts.
pub const TASK: &str = "esxi";
/// The loader's name in that directory; as `loader` of a node it says that the machine starts it without iPXE.
pub const LOADER: &str = "mboot.efi";
/// Where a repo's loader is.
pub fn loader_path(repo: &str) -> String {
    format!("{DIRECTORY}/{repo}/{LOADER}")
}

/// What a name beside a repo's mboot stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MbootFile<'a> {
    /// The boot.cfg of the machine with this card; none where the loader did not say it.
    BootCfg(Option<Mac>),
    /// The loader itself.
    Loader,
    /// A file of the repo.
    File(&'a str),
}

impl<'a> MbootFile<'a> {
    /// Reads a path below `mboot/<repo>/`.
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

/// Whether a name, as TFTP and HTTP know it, is that of a file that a loader fetches when it runs already.
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

/// The boot.cfg of an attempt for a loader that came over TFTP, and can fetch over TFTP alone.
pub fn over_tftp(text: &str, repo: &str) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some((key, _)) if key == PREFIX => format!("{PREFIX}=/repo/{repo}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Makes mboot leave, so that firmware goes on to the disk. Loaders before 8.0.1 do not know `skip` and stop with an error.
pub fn local(reason: Option<&str>) -> String {
    format!(
        "bootstate=0\ntitle=Bootwright: {}\ntimeout=5\nskip=1\n",
        disk_reason(reason)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tftp_the_prefix_alone_is_another_one() {
        let http = "bootstate=0\nprefix=http://192.0.2.1/repo/esxi\nkernel=b.b00\n# prefix=x\n\
                    kernelopt=ks=http://192.0.2.1/t/0/ks.cfg prefix=y\nmodules=a.gz --- b.gz\n";
        let tftp = http.replace("prefix=http://192.0.2.1/repo/esxi", "prefix=/repo/esxi");
        assert_eq!(over_tftp(http, "esxi"), tftp);
        assert_eq!(over_tftp(&tftp, "esxi"), tftp);
    }

    #[test]
    fn what_stands_beside_the_loader() {
        let card: Mac = "52:54:00:12:34:58".parse().unwrap();
        for (path, expected) in [
            ("mboot.efi", MbootFile::Loader),
            (
                "01-52-54-00-12-34-58/boot.cfg",
                MbootFile::BootCfg(Some(card)),
            ),
            (
                "01-52-54-00-12-34-58/BOOT.CFG",
                MbootFile::BootCfg(Some(card)),
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
    fn a_reason_is_one_line_of_plain_letters() {
        let reason = Some("held: \nkernel=x\n\u{1b}[2J");
        assert_eq!(local(reason).lines().count(), 4);
        assert!(local(reason).is_ascii());
    }
}
