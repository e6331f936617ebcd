//! Switches from root to the site's user.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::lchown,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use nix::unistd::{Gid, Uid};

use crate::{
    disk::{self, atomic, operator_token, state::StateDirectory},
    model::ServerConfig,
    net::{dhcp, ports, tftp},
    serve::capabilities,
    site::{self, LoadCache, Severity, SiteFiles},
};

/// Where programs are searched if the server itself has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Changes the owner of the state directory to a user and switches all threads to that user.
pub(crate) fn become_user(name: &str, state: &Path) -> anyhow::Result<()> {
    let (uid, gid) = ids(name)?;
    if nix::unistd::geteuid().as_raw() == uid {
        return Ok(());
    }
    chown_state(state, uid, gid)
        .with_context(|| format!("cannot change the owner of `{}` to {name}", state.display()))?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    // The C library changes every thread of the process. Groups have to be set first, while the process is still root.
    nix::unistd::setgroups(&[gid])
        .and_then(|()| nix::unistd::setresgid(gid, gid, gid))
        .and_then(|()| nix::unistd::setresuid(uid, uid, uid))
        .with_context(|| format!("cannot switch to user {name}"))
}

/// Gives up what the server does not need of root's privileges. It must be called before other threads start, so that they inherit
/// this. The directories are prepared before. It only finds them without root, and does nothing if the site's own settings are
/// invalid.
pub(crate) fn drop_privileges(site: &Path) -> anyhow::Result<OwnDirectories> {
    let root = crate::serve::reload::load::absolute(site)?;
    let Some(config) = own_config(&root) else {
        return Ok(OwnDirectories::default());
    };
    let witness = crate::serve::site_id::witness_path(&root, &config);
    if !nix::unistd::geteuid().is_root() {
        let state = None;
        return Ok(OwnDirectories { state, witness });
    }
    let path = crate::serve::site_id::state_path(&root, &config)?;
    let state = StateDirectory::open(&path)
        .with_context(|| format!("the state directory `{}` cannot be used", path.display()))?;
    if config.operator.token_file.is_none() {
        // Only root can give the file to the group.
        operator_token::provide(&state, operator_group()?)?;
    }
    let witness_directory = witness
        .as_deref()
        .filter(|witness| !crate::serve::site_id::is_in(witness, &path));
    if let Some(witness) = witness_directory {
        // A witness that cannot be written is reported later, and does not keep the server from running.
        if let Err(error) = atomic::create_dir(witness) {
            tracing::debug!("`{}` cannot be created: {error}", witness.display());
        }
    }
    ports::remember_udp_owners(&[dhcp::SERVER_PORT, dhcp::PXE_PORT, tftp::PORT]);
    match &config.run.user {
        Some(user) => switch_to(&user.value, &path, witness_directory)?,
        None => capabilities::restrict_root(&path).context("cannot drop capabilities")?,
    }
    let state = Some(path);
    Ok(OwnDirectories { state, witness })
}

/// The directories that a server writes, as root finds them.
#[derive(Debug, Default)]
pub(crate) struct OwnDirectories {
    /// None if the server is to find it itself.
    pub(crate) state: Option<PathBuf>,
    /// None for a demonstration.
    pub(crate) witness: Option<PathBuf>,
}

/// Switches permanently to a user, keeping only CAP_NET_BIND_SERVICE and CAP_NET_RAW.
fn switch_to(user: &str, state: &Path, witness: Option<&Path>) -> anyhow::Result<()> {
    let (uid, gid) = ids(user)?;
    chown_state(state, uid, gid)
        .with_context(|| format!("cannot change the owner of `{}` to {user}", state.display()))?;
    if let Some(witness) = witness.filter(|witness| witness.is_dir()) {
        chown_tree(witness, uid, gid).with_context(|| {
            format!(
                "cannot change the owner of `{}` to {user}",
                witness.display()
            )
        })?;
    }
    let keep = nix::sys::prctl::set_keepcaps(true);
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    keep.and_then(|()| nix::unistd::setgroups(&[gid]))
        .and_then(|()| nix::unistd::setresgid(gid, gid, gid))
        .and_then(|()| nix::unistd::setresuid(uid, uid, uid))
        .with_context(|| format!("cannot switch to user {user}"))?;
    capabilities::restrict(capabilities::NETWORK).context("cannot set the capabilities")
}

/// Describes the privileges of a server that runs as root; `None` if it does not.
pub(crate) fn root_warning() -> anyhow::Result<Option<String>> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    let kept = capabilities::kept().context("cannot read the capabilities")?;
    let kept = kept.map_or(String::new(), |kept| match kept.is_empty() {
        true => " without capabilities".into(),
        false => format!(" with {} and no other capability", kept.join(", ")),
    });
    Ok(Some(format!(
        "runs as root{kept}: set `user` in `[run]` of bootwright.toml to change that"
    )))
}

/// Returns the server's own settings if they are valid. Errors in them are reported when the server starts.
fn own_config(root: &Path) -> Option<Arc<ServerConfig>> {
    let content = disk::site::read_config(root).ok()??;
    let mut files = SiteFiles::default();
    files.content.insert(site::CONFIG.into(), content.into());
    let (config, diagnostics) = site::read_config(&files, &mut LoadCache::default());
    let is_wrong = |one: &site::Diagnostic| one.severity == Severity::Error;
    (!diagnostics.iter().any(is_wrong)).then_some(config)
}

/// Returns the IDs of a user and of its primary group. They are read from /etc/passwd, because a statically linked program
/// cannot use the name service.
pub(crate) fn ids(name: &str) -> anyhow::Result<(u32, u32)> {
    let is_wanted = |fields: &[String]| fields.first().is_some_and(|field| field == name);
    let user = entry_where("/etc/passwd", is_wanted)?;
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
    let user = entry_where("/etc/passwd", |fields| fields.get(2) == Some(&id))?;
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

/// Returns the fields of the first line of /etc/passwd or /etc/group for which `is_wanted` returns true.
fn entry_where(
    file: &str,
    is_wanted: impl Fn(&[String]) -> bool,
) -> anyhow::Result<Option<Vec<String>>> {
    let entries = match fs::read_to_string(file) {
        Ok(entries) => entries,
        // A container without users.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {file}")),
    };
    let mut entries = entries
        .lines()
        .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
    Ok(entries.find(|fields| is_wanted(fields)))
}

/// Returns the number of the group whose members may read the operators' token, if this host has it.
pub(crate) fn operator_group() -> anyhow::Result<Option<u32>> {
    let is_wanted = |fields: &[String]| {
        fields
            .first()
            .is_some_and(|name| name == operator_token::GROUP)
    };
    let group = entry_where("/etc/group", is_wanted)?;
    Ok(group.and_then(|fields| fields.get(2)?.parse().ok()))
}

/// Returns the name of a user, or its number if it has none.
pub(crate) fn user_name(id: u32) -> anyhow::Result<String> {
    name_of("/etc/passwd", id)
}

/// Returns the name of a group, or its number if it has none.
pub(crate) fn group_name(id: u32) -> anyhow::Result<String> {
    name_of("/etc/group", id)
}

fn name_of(file: &str, id: u32) -> anyhow::Result<String> {
    let id = id.to_string();
    let entry = entry_where(file, |fields| fields.get(2) == Some(&id))?;
    Ok(entry
        .and_then(|fields| fields.first().cloned())
        .unwrap_or(id))
}

/// Changes the owner of the state directory and of all files in it. The group of the directory itself, and of the operators'
/// token, are those that may operate the server: they are kept.
fn chown_state(state: &Path, uid: u32, gid: u32) -> std::io::Result<()> {
    lchown(state, Some(uid), None)?;
    for entry in fs::read_dir(state)? {
        let path = entry?.path();
        match path == operator_token::path(state) {
            true => lchown(&path, Some(uid), None)?,
            false => chown_tree(&path, uid, gid)?,
        }
    }
    Ok(())
}

fn chown_tree(path: &Path, uid: u32, gid: u32) -> std::io::Result<()> {
    // A link is not followed: its target is not the server's.
    lchown(path, Some(uid), Some(gid))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path)? {
            chown_tree(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}
