//! Becoming somebody else than root, once everything that needs root is open.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use nix::unistd::{Gid, Uid};

use crate::{
    model::ServerConfig,
    site::{self, LoadCache, Severity, SiteFiles},
};

/// The server's own file.
const CONFIG: &str = "bootwright.toml";

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

/// Becomes the site's `run.user` for good, with the two capabilities that DHCP and low ports need and no other one;
/// to be called before there are other threads, which then have no more either. Returns the state directory,
/// which is chosen and given away before. Without such a user, or without root, nothing is done.
pub(crate) fn drop_privileges(site: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    let root = crate::serve::reload::load::absolute(site)?;
    let Some(config) = own_config(&root) else {
        return Ok(None);
    };
    let Some(user) = &config.run.user else {
        return Ok(None);
    };
    let (uid, gid) = ids(&user.value)?;
    let state = crate::serve::site_id::state_path(&root, &config)?;
    fs::create_dir_all(&state)
        .and_then(|()| give(&state, uid, gid))
        .with_context(|| format!("`{}` cannot be given to {}", state.display(), user.value))?;
    let keep = nix::sys::prctl::set_keepcaps(true);
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    keep.and_then(|()| nix::unistd::setgroups(&[gid]))
        .and_then(|()| nix::unistd::setresgid(gid, gid, gid))
        .and_then(|()| nix::unistd::setresuid(uid, uid, uid))
        .with_context(|| format!("cannot become {}", user.value))?;
    have_only(&[CAP_NET_BIND_SERVICE, CAP_NET_RAW]).context("the capabilities cannot be set")?;
    Ok(Some(state))
}

/// The server's own settings, if they can be read: what is wrong with them is told when it starts.
fn own_config(root: &Path) -> Option<Arc<ServerConfig>> {
    let content = fs::read(root.join(CONFIG)).ok()?;
    let mut files = SiteFiles::default();
    files.content.insert(CONFIG.into(), content.into());
    let (config, diagnostics) = site::read_config(&files, &mut LoadCache::default());
    let is_wrong = |one: &site::Diagnostic| one.severity == Severity::Error;
    (!diagnostics.iter().any(is_wrong)).then_some(config)
}

/// Their numbers (linux/capability.h).
const CAP_NET_BIND_SERVICE: u32 = 10;
const CAP_NET_RAW: u32 = 13;

/// Has this thread, and those that it begins, have these capabilities alone (capset(2), version 3).
#[expect(
    unsafe_code,
    reason = "capset(2) has no safe wrapper; it reads two structures of numbers"
)]
fn have_only(capabilities: &[u32]) -> std::io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let bits = capabilities.iter().fold(0, |bits, one| bits | 1 << one);
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    let own = Data {
        effective: bits,
        permitted: bits,
        inheritable: 0,
    };
    let none = Data {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    };
    let data = [own, none];
    // SAFETY: both live while the call reads them, in the layout that this version has.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    match done {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// The numbers of a user and of its group. A static program cannot ask the name service, so the file is read.
pub(crate) fn ids(name: &str) -> anyhow::Result<(u32, u32)> {
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
