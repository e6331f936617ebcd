//! Becoming somebody else than root, once everything that needs root is open.

use std::{fs, os::unix::fs::chown, path::Path};

use anyhow::Context;
use nix::unistd::{Gid, Uid};

/// Gives the state directory to a user and becomes that user, in every thread.
pub(crate) fn become_user(name: &str, state: &Path) -> anyhow::Result<()> {
    let (uid, gid) = ids(name)?;
    if nix::unistd::geteuid().as_raw() == uid {
        return Ok(());
    }
    give(state, uid, gid)
        .with_context(|| format!("`{}` cannot be given to {name}", state.display()))?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    // The C library changes every thread of the process; groups first, while that is still allowed.
    nix::unistd::setgroups(&[gid])
        .and_then(|()| nix::unistd::setresgid(gid, gid, gid))
        .and_then(|()| nix::unistd::setresuid(uid, uid, uid))
        .with_context(|| format!("cannot become {name}"))
}

/// A static program cannot ask the name service, so the file is read.
fn ids(name: &str) -> anyhow::Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").context("/etc/passwd cannot be read")?;
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let user = fields
        .into_iter()
        .find(|fields| fields.first() == Some(&name));
    let user = user.with_context(|| format!("there is no user `{name}` in /etc/passwd"))?;
    let number = |at: usize| user.get(at).and_then(|text| text.parse().ok());
    number(2)
        .zip(number(3))
        .with_context(|| format!("the line of `{name}` in /etc/passwd cannot be read"))
}

fn give(path: &Path, uid: u32, gid: u32) -> std::io::Result<()> {
    chown(path, Some(uid), Some(gid))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}
