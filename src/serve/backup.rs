//! Backs up the state directory of a site, and replaces it with a backup.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, lchown},
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::{
    disk::{
        atomic,
        backup::{self, BackupContents, BackupHeader},
        journal::Lock,
        state::{BUILT_DIRECTORIES, StateDirectory},
    },
    journal::SiteEvent,
    model::Timestamp,
    serve::{
        CheckProgram,
        clock::Clock,
        offline::{absolute, change, snapshot},
        site_id::{self, UNKNOWN},
    },
};

/// A restored state directory.
#[derive(Debug)]
pub struct Restored {
    pub state: PathBuf,
    /// Where the state directory from before is now.
    pub before: Option<PathBuf>,
    /// The time of the backup.
    pub at: Timestamp,
}

/// Writes a backup of the state directory of a site to a new file. A server may run meanwhile.
pub fn back_up(root: &Path, file: &Path, program: &CheckProgram) -> anyhow::Result<BackupContents> {
    let (config, _) = snapshot(root, program)?;
    let path = site_id::state_path(root, &config)?;
    let missing = || format!("there is no state directory `{}`", path.display());
    let state = StateDirectory::existing(&path).with_context(missing)?;
    let header = BackupHeader::new(state.site_id()?, Clock::start().now().wall);
    backup::write(&state, header, file)
        .with_context(|| format!("cannot write `{}`", file.display()))
}

/// Replaces the state directory of a site with that of a backup. Every installation is held afterwards.
pub fn restore(root: &Path, file: &Path, program: &CheckProgram) -> anyhow::Result<Restored> {
    let (config, snapshot) = snapshot(root, program)?;
    let path = absolute(&site_id::state_path(root, &config)?)?;
    let now = Clock::start().now().wall;
    let beside = |suffix: &str| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        path.with_file_name(name)
    };
    let (new, before) = (
        beside(".restoring"),
        beside(&format!(".before-restore-{}", now.0 / 1_000)),
    );
    if let Some(parent) = path.parent() {
        atomic::create_dir(parent)?;
    }
    // What an interrupted restore has left.
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove `{}`", new.display()));
        }
        _ => {}
    }
    let lock = match path.join("journal").is_dir() {
        true => Some(Lock::take(&path.join("journal"), root)?),
        false => None,
    };
    let header = backup::unpack(file, &new)
        .with_context(|| format!("`{}` cannot be restored", file.display()))?;
    let site = config.site_id.as_ref().map(|id| &id.value);
    if site != header.site_id.as_ref() {
        fs::remove_dir_all(&new)?;
        anyhow::bail!(
            "`{}` cannot be restored: it is a backup of another site",
            file.display()
        );
    }
    let reason = format!(
        "the state directory was restored from a backup of {}: {UNKNOWN}",
        header.at
    );
    change(
        root,
        &StateDirectory::open(&new)?,
        &snapshot,
        |transaction| {
            transaction.record_site(SiteEvent::StateLost { reason });
        },
    )?;
    let is_replaced = path.exists();
    if is_replaced {
        take_owner(&path, &new)?;
        rename(&path, &before)?;
    }
    rename(&new, &path)?;
    if is_replaced {
        for name in BUILT_DIRECTORIES {
            if before.join(name).is_dir() {
                rename(&before.join(name), &path.join(name))?;
            }
        }
    }
    if let Some(parent) = path.parent() {
        atomic::sync_dir(parent)?;
    }
    drop(lock);
    Ok(Restored {
        state: path,
        before: is_replaced.then_some(before),
        at: header.at,
    })
}

fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("cannot rename `{}` to `{}`", from.display(), to.display()))
}

/// Gives `new` and everything in it the owner of `old`, and its mode.
fn take_owner(old: &Path, new: &Path) -> anyhow::Result<()> {
    let metadata = fs::metadata(old)?;
    let (uid, gid) = (metadata.uid(), metadata.gid());
    let is_own = fs::metadata(new)?.uid() == uid;
    if !is_own {
        give(new, uid, gid).with_context(|| {
            format!(
                "cannot change the owner of `{}`: restore as root",
                new.display()
            )
        })?;
    }
    fs::set_permissions(new, metadata.permissions())?;
    Ok(())
}

fn give(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    lchown(path, Some(uid), Some(gid))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}
