//! Switches from root to the site's user.

use std::{
    ffi::OsString,
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

/// Where programs are searched if the server itself has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file with the server's own settings.
const CONFIG: &str = "bootwright.toml";

/// Changes the owner of the state directory to a user and switches all threads to that user.
pub(crate) fn become_user(name: &str, state: &Path) -> anyhow::Result<()> {
    let (uid, gid) = ids(name)?;
    if nix::unistd::geteuid().as_raw() == uid {
        return Ok(());
    }
    chown_tree(state, uid, gid)
        .with_context(|| format!("cannot change the owner of `{}` to {name}", state.display()))?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    // The C library changes every thread of the process. Groups have to be set first, while the process is still root.
    nix::unistd::setgroups(&[gid])
        .and_then(|()| nix::unistd::setresgid(gid, gid, gid))
        .and_then(|()| nix::unistd::setresuid(uid, uid, uid))
        .with_context(|| format!("cannot switch to user {name}"))
}

/// Switches permanently to the `user` in the site's `[run]`, keeping only CAP_NET_BIND_SERVICE and CAP_NET_RAW. It must be
/// called before other threads start, so that they inherit this. Returns the state directory, whose owner is changed before.
/// Does nothing and returns `None` without such a setting or without root.
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
        .and_then(|()| chown_tree(&state, uid, gid))
        .with_context(|| {
            format!(
                "cannot change the owner of `{}` to {}",
                state.display(),
                user.value
            )
        })?;
    let keep = nix::sys::prctl::set_keepcaps(true);
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    keep.and_then(|()| nix::unistd::setgroups(&[gid]))
        .and_then(|()| nix::unistd::setresgid(gid, gid, gid))
        .and_then(|()| nix::unistd::setresuid(uid, uid, uid))
        .with_context(|| format!("cannot switch to user {}", user.value))?;
    set_capabilities(&[CAP_NET_BIND_SERVICE, CAP_NET_RAW])
        .context("cannot set the capabilities")?;
    Ok(Some(state))
}

/// Returns the server's own settings if they are valid. Errors in them are reported when the server starts.
fn own_config(root: &Path) -> Option<Arc<ServerConfig>> {
    let content = fs::read(root.join(CONFIG)).ok()?;
    let mut files = SiteFiles::default();
    files.content.insert(CONFIG.into(), content.into());
    let (config, diagnostics) = site::read_config(&files, &mut LoadCache::default());
    let is_wrong = |one: &site::Diagnostic| one.severity == Severity::Error;
    (!diagnostics.iter().any(is_wrong)).then_some(config)
}

/// Capability numbers of linux/capability.h.
const CAP_NET_BIND_SERVICE: u32 = 10;
const CAP_NET_RAW: u32 = 13;

/// Restricts this thread, and threads that it starts, to these capabilities (capset(2), version 3).
#[expect(
    unsafe_code,
    reason = "capset(2) has no safe wrapper; it reads two structures of numbers"
)]
fn set_capabilities(capabilities: &[u32]) -> std::io::Result<()> {
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
    // SAFETY: both structures are valid for the duration of the call and have the layout of version 3.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    match done {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Returns the IDs of a user and of its primary group. They are read from /etc/passwd, because a statically linked program
/// cannot use the name service.
pub(crate) fn ids(name: &str) -> anyhow::Result<(u32, u32)> {
    let user = user_where(|fields| fields.first().is_some_and(|field| field == name))?;
    let user = user.with_context(|| format!("there is no user `{name}` in /etc/passwd"))?;
    let number = |at: usize| user.get(at).and_then(|text| text.parse().ok());
    number(2)
        .zip(number(3))
        .with_context(|| format!("the line of `{name}` in /etc/passwd is invalid"))
}

/// Returns the environment for a program that the server starts: like that of cron, and nothing of the server's own but `PATH`.
/// The server's may contain credentials and the sockets of its service manager.
pub(crate) fn program_environment() -> anyhow::Result<[(&'static str, OsString); 5]> {
    let id = nix::unistd::geteuid().to_string();
    // In a container there may be no user of this number.
    let user = user_where(|fields| fields.get(2) == Some(&id))?;
    let field = |at: usize| user.as_ref().and_then(|user| user.get(at)).cloned();
    let name: OsString = field(0).unwrap_or(id).into();
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    Ok([
        ("HOME", field(5).unwrap_or_else(|| "/".into()).into()),
        ("LOGNAME", name.clone()),
        ("USER", name),
        ("PATH", path),
        ("SHELL", "/bin/sh".into()),
    ])
}

/// Returns the fields of the first user in /etc/passwd for which `is_wanted` returns true.
fn user_where(is_wanted: impl Fn(&[String]) -> bool) -> anyhow::Result<Option<Vec<String>>> {
    let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let mut users = users
        .lines()
        .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
    Ok(users.find(|fields| is_wanted(fields)))
}

fn chown_tree(path: &Path, uid: u32, gid: u32) -> std::io::Result<()> {
    chown(path, Some(uid), Some(gid))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path)? {
            chown_tree(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}
