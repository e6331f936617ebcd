//! The operators' token, as the commands find it: in `token-file`, else in the state directory of the site.
//!
//! The permissions of the file decide who may use it. A command without root finds the state directory of a server that root
//! started too.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::anyhow;

use super::failure::{CliResult, Failure};
use crate::{
    disk::{
        operator_token::{self, GROUP},
        regular,
        secrets::{self, SecretError},
        state::Environment,
    },
    model::{SecretText, ServerConfig},
    serve,
};

/// The tokens that a command may use, and the files without one.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenSearch {
    pub(super) found: Vec<FoundToken>,
    failed: Vec<FailedFile>,
}

#[derive(Debug, Clone)]
pub(super) struct FoundToken {
    pub(super) token: SecretText,
    pub(super) path: PathBuf,
}

/// A file that contains no usable token.
#[derive(Debug, Clone)]
struct FailedFile {
    path: PathBuf,
    reason: String,
    kind: FailedKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailedKind {
    Missing,
    Denied,
    Unusable,
}

impl TokenSearch {
    /// Searches the token of the site at `site`.
    pub(super) fn of_site(site: &Path, config: &ServerConfig) -> CliResult<TokenSearch> {
        Ok(TokenSearch::of_files(&candidates(site, config)?))
    }

    /// Searches the token in a state directory.
    pub(super) fn of_state(state: &Path) -> TokenSearch {
        TokenSearch::of_files(&[operator_token::path(state)])
    }

    fn of_files(paths: &[PathBuf]) -> TokenSearch {
        let mut search = TokenSearch::default();
        for path in paths {
            match secrets::token(path) {
                Ok(token) => search.found.push(FoundToken {
                    token,
                    path: path.clone(),
                }),
                Err(error) => search.failed.push(FailedFile::new(path, &error)),
            }
        }
        search
    }

    /// Whether the only files that exist, or may exist, contain no token that this command can use.
    pub(super) fn is_unreadable(&self) -> bool {
        let mut failed = self.failed.iter();
        self.found.is_empty() && failed.any(|file| file.kind != FailedKind::Missing)
    }

    /// The error when the server at `base` needs a token and none was found.
    pub(super) fn failure(&self, base: &str) -> Failure {
        let needs = format!("the server at {base} needs the operator token");
        let of_kind = |kind| self.failed.iter().find(|file| file.kind == kind);
        let readable = of_kind(FailedKind::Denied).or_else(|| of_kind(FailedKind::Unusable));
        if let Some(file) = readable {
            let failure = Failure::refused(anyhow!("{needs}: {}", file.reason));
            return match file.kind {
                FailedKind::Denied => failure.help(permission_help(&file.path)),
                FailedKind::Missing | FailedKind::Unusable => failure,
            };
        }
        let paths = self
            .failed
            .iter()
            .map(|file| format!("`{}`", file.path.display()));
        let paths = paths.collect::<Vec<_>>().join(" or ");
        Failure::refused(anyhow!("{needs}, and there is no file {paths}")).help(
            "the server creates it in its state directory: run this command as root or as the user of the server, and with the \
             same `[paths]` `state`, or set `token-file` in `[operator]` of bootwright.toml",
        )
    }

    /// The error when the server at `base` accepts none of the tokens found.
    pub(super) fn not_accepted(&self, base: &str) -> Failure {
        let paths = self
            .found
            .iter()
            .map(|found| format!("`{}`", found.path.display()));
        let paths = paths.collect::<Vec<_>>().join(" or ");
        Failure::refused(anyhow!(
            "the server at {base} does not accept the operator token in {paths}"
        ))
        .help(
            "the server reads the file when it starts: restart it if the file was replaced, and compare `[paths]` `state` and \
             `token-file` of the server's site with this one",
        )
    }
}

impl FailedFile {
    fn new(path: &Path, error: &SecretError) -> FailedFile {
        // The kind decides only how the error is explained.
        let kind = match regular::open(path).map_err(|error| error.kind()) {
            Err(io::ErrorKind::NotFound) => FailedKind::Missing,
            Err(io::ErrorKind::PermissionDenied) => FailedKind::Denied,
            Ok(_) | Err(_) => FailedKind::Unusable,
        };
        FailedFile {
            path: path.into(),
            reason: error.to_string(),
            kind,
        }
    }
}

/// The files that may contain the token of the site's server.
fn candidates(site: &Path, config: &ServerConfig) -> CliResult<Vec<PathBuf>> {
    if let Some(file) = &config.operator.token_file {
        return Ok(vec![site.join(&file.value)]);
    }
    let mut states = Vec::new();
    // A user without HOME has no state directory, but may use that of root.
    states.extend(serve::state_path(site, config).ok());
    if config.paths.state.is_none() {
        let of_root = Environment {
            is_root: true,
            ..Environment::current()
        };
        states.push(match config.site_id {
            Some(_) => of_root.state_of_site(site)?,
            None => of_root.state_of_demonstration(site)?,
        });
    }
    states.dedup();
    Ok(states
        .iter()
        .map(|state| operator_token::path(state))
        .collect())
}

/// Returns who may read the file, and what to do.
fn permission_help(path: &Path) -> String {
    // The directory may forbid to read anything about the file.
    let directory = path.parent().unwrap_or(path);
    let metadata = fs::metadata(path).or_else(|_| fs::metadata(directory));
    let Ok(metadata) = metadata else {
        return format!("run this command as root, or as a member of the group `{GROUP}`");
    };
    let user = serve::user_name(metadata.uid()).unwrap_or_else(|_| metadata.uid().to_string());
    let group = serve::group_name(metadata.gid()).unwrap_or_else(|_| metadata.gid().to_string());
    let users = match user.as_str() {
        "root" => "root".to_owned(),
        _ => format!("root and the user `{user}`"),
    };
    match metadata.mode() & 0o050 {
        0 => format!(
            "only {users} may read it. To allow others: `addgroup --system {GROUP}`, restart the server, then \
             `adduser USER {GROUP}` and log in again"
        ),
        _ => format!(
            "only {users} and the members of the group `{group}` may read it: `adduser USER {group}`, and log in again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_error_names_the_file_and_who_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = operator_token::path(dir.path());
        let missing = TokenSearch::of_state(dir.path());
        let message = missing.failure("http://x").message();
        let expected = "the server at http://x needs the operator token, and there is no file";
        assert_eq!(message, format!("{expected} `{}`", path.display()));
        fs::write(&path, "too short").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let short = TokenSearch::of_state(dir.path()).failure("http://x");
        assert!(short.message().contains("contains no token"), "{short:?}");
        fs::write(&path, "0123456789abcdef").unwrap();
        assert_eq!(TokenSearch::of_state(dir.path()).found.len(), 1);
        if nix::unistd::geteuid().is_root() {
            let help = permission_help(&path);
            assert!(
                help.starts_with("only root may read it. To allow"),
                "{help}"
            );
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let help = permission_help(&path);
            assert!(help.contains("members of the group `root`"), "{help}");
        }
    }
}
