//! File systems whose changes the kernel does not report.

use std::{io, path::Path};

use nix::sys::statfs::statfs;

/// Returns the name of the file system at `path` if other hosts can change its files without an event of our
/// kernel. A site on one is read every two seconds.
pub fn unwatchable_file_system(path: &Path) -> io::Result<Option<&'static str>> {
    let magic = statfs(path)?.filesystem_type().0 as u32;
    let known = UNWATCHABLE.iter().find(|(number, _)| *number == magic);
    Ok(known.map(|(_, name)| *name))
}

/// The types of such file systems, from the kernel's `magic.h`, or from the source of the file system itself.
const UNWATCHABLE: [(u32, &str); 13] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    // Includes sshfs and virtiofs.
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    // Changes of its lower layers are not reported.
    (0x794c_7630, "overlay"),
    (0x786f_4256, "a shared folder of VirtualBox"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_file_system_is_watchable() {
        assert_eq!(unwatchable_file_system(Path::new("/proc")).unwrap(), None);
        assert!(unwatchable_file_system(Path::new("/nowhere/at/all")).is_err());
    }
}
