//! The operators' token: the file in the state directory that a server creates at its first start.
//!
//! Who may read the file may operate the server. That is the owner of the state directory, and the group [`GROUP`] if the
//! host has one. The group then needs the permission to search the directory too, but not to list it.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use super::{
    atomic,
    secrets::{self, SecretError},
    state::StateDirectory,
};
use crate::model::SecretText;

/// The group whose members may operate the server.
pub const GROUP: &str = "bootwright";

/// The name of the file in the state directory.
pub const NAME: &str = "operator-token";

/// In bytes: twice as many hexadecimal digits.
const LENGTH: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum OperatorTokenError {
    #[error("cannot create `{path}`")]
    NotCreated { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Returns the token of a state directory. It is created if it is missing. `group` is the number of [`GROUP`].
pub fn provide(
    state: &StateDirectory,
    group: Option<u32>,
) -> Result<SecretText, OperatorTokenError> {
    let path = path(state.path());
    create(&path)
        .and_then(|()| share(state.path(), &path, group))
        .map_err(|source| OperatorTokenError::NotCreated {
            path: path.clone(),
            source,
        })?;
    Ok(secrets::token(&path)?)
}

/// The path of the file in the state directory at `state`.
pub fn path(state: &Path) -> PathBuf {
    state.join(NAME)
}

fn create(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.push('\n');
    // If another process created one meanwhile, that one is used.
    atomic::create(path, text.as_bytes()).map(drop)
}

/// Lets a group read the file, unless its mode was changed. Only root and members of the group can do that; without it, the file
/// stays private.
fn share(state: &Path, path: &Path, group: Option<u32>) -> io::Result<()> {
    let Some(group) = group else {
        return Ok(());
    };
    for (path, private, shared) in [(path, 0o600, 0o640), (state, 0o700, 0o710)] {
        let metadata = fs::metadata(path)?;
        if metadata.mode() & 0o7777 != private {
            continue;
        }
        // The system calls that change an owner may be forbidden, also if they would change nothing.
        if metadata.gid() != group {
            match chown(path, None, Some(group)) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
                changed => changed?,
            }
        }
        fs::set_permissions(path, fs::Permissions::from_mode(shared))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn state() -> (tempfile::TempDir, StateDirectory) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(&dir.path().join("state")).unwrap();
        (dir, state)
    }

    #[test]
    fn a_token_is_created_once_and_is_private() {
        let (_dir, state) = state();
        let token = provide(&state, None).unwrap();
        assert_eq!(token.expose().len(), 2 * LENGTH);
        assert_eq!(provide(&state, None).unwrap(), token);
        assert_eq!(mode(&path(state.path())), 0o600);
        assert_eq!(mode(state.path()), 0o700);
        let (_dir, other) = self::state();
        assert_ne!(provide(&other, None).unwrap(), token);
    }

    #[test]
    fn members_of_the_group_may_read_it() {
        let (_dir, state) = state();
        let own = nix::unistd::getegid().as_raw();
        let token = provide(&state, Some(own)).unwrap();
        assert_eq!(mode(&path(state.path())), 0o640);
        assert_eq!(mode(state.path()), 0o710);
        assert_eq!(provide(&state, None).unwrap(), token);
        // A mode that an operator chose is kept.
        let chosen = fs::Permissions::from_mode(0o400);
        fs::set_permissions(path(state.path()), chosen).unwrap();
        assert_eq!(provide(&state, Some(own)).unwrap(), token);
        assert_eq!(mode(&path(state.path())), 0o400);
    }

    #[test]
    fn an_exposed_token_is_refused() {
        let (_dir, state) = state();
        provide(&state, None).unwrap();
        let exposed = fs::Permissions::from_mode(0o644);
        fs::set_permissions(path(state.path()), exposed).unwrap();
        let error = provide(&state, None).unwrap_err().to_string();
        assert!(
            error.contains("others than its owner may read it"),
            "{error}"
        );
    }
}
