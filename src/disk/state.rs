//! The state directory: its path, the site that it belongs to, and its keys.
//!
//! ```text
//! /var/lib/bootwright/     or $XDG_STATE_HOME/bootwright/<hash of the site's path>/
//!   site-id                the site it belongs to; written by `init`
//!   token-key              32 random bytes: URLs of attempts derive from it
//!   password-key           32 random bytes: salts of passwords derive from it
//!   seal-key               32 random bytes: the checksums of seals derive from it; see `witness`
//!   generation             a random number; see `witness`
//!   alive                  when a server was last known to run
//!   operator-token         see `operator_token`
//!   journal/               see `journal`
//!   attempts/              see `attempts`
//!   microkernel/           the kernel and the initial file system that undeclared machines boot
//!   last-good              see `last_good`
//! ```

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::atomic;
use crate::model::Timestamp;

/// The name of the microkernel's directory.
pub const MICROKERNEL: &str = "microkernel";

/// The files of a state directory that cannot be built again, besides the journal and the documents of attempts.
pub(super) const KEPT_FILES: [&str; 7] = [
    "site-id",
    GENERATION,
    TOKEN_KEY,
    PASSWORD_KEY,
    SEAL_KEY,
    "operator-token",
    "last-good",
];
/// The directories with what can be built again.
pub const BUILT_DIRECTORIES: [&str; 2] = ["images", MICROKERNEL];

/// The name of the key of the seals, here and in the witness.
pub(super) const SEAL_KEY: &str = "seal-key";
const TOKEN_KEY: &str = "token-key";
const PASSWORD_KEY: &str = "password-key";
const GENERATION: &str = "generation";
const ALIVE: &str = "alive";

/// The environment that determines the paths of the state directory and of the witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub is_root: bool,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<OsString>,
    /// `XDG_DATA_HOME`.
    pub xdg_data_home: Option<OsString>,
    /// `HOME`.
    pub home: Option<OsString>,
}

/// The state directory of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDirectory {
    path: PathBuf,
}

/// A key that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(pub [u8; 32]);

impl Environment {
    /// The environment of this process.
    pub fn current() -> Environment {
        Environment {
            is_root: nix::unistd::geteuid().is_root(),
            xdg_state_home: std::env::var_os("XDG_STATE_HOME"),
            xdg_data_home: std::env::var_os("XDG_DATA_HOME"),
            home: std::env::var_os("HOME"),
        }
    }

    /// The state directory of the site at `site` when its configuration does not set one.
    pub fn state_of_site(&self, site: &Path) -> io::Result<PathBuf> {
        let base = self.base()?;
        Ok(if self.is_root {
            base
        } else {
            base.join(hash(site)?)
        })
    }

    /// The state directory of a demonstration, a site without an id. It is not shared with another site.
    pub fn state_of_demonstration(&self, site: &Path) -> io::Result<PathBuf> {
        Ok(self.base()?.join(format!("demo-{}", hash(site)?)))
    }

    /// The witness of a site with this id when its configuration does not set one; none without a home directory.
    pub fn witness_of_site(&self, id: &str) -> Option<PathBuf> {
        let base = match self.is_root {
            true => Some("/var/lib".into()),
            false => self.user_directory(self.xdg_data_home.as_ref(), ".local/share"),
        };
        // An id that is no file name is written as one.
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "-_".contains(c) {
                c
            } else {
                '_'
            }
        };
        let id: String = id.chars().map(plain).collect();
        Some(base?.join("bootwright-witness").join(id))
    }

    fn base(&self) -> io::Result<PathBuf> {
        if self.is_root {
            return Ok("/var/lib/bootwright".into());
        }
        let base = self.user_directory(self.xdg_state_home.as_ref(), ".local/state");
        let base = base.map(|base| base.join("bootwright"));
        let nowhere = "neither XDG_STATE_HOME nor HOME is set: set `state` in `[paths]`";
        base.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, nowhere))
    }

    /// A directory of the user. Relative paths are ignored, as the XDG Base Directory Specification requires.
    fn user_directory(&self, xdg: Option<&OsString>, default: &str) -> Option<PathBuf> {
        let absolute =
            |path: &OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
        let home = self.home.as_ref().and_then(absolute);
        let default = home.map(|home| home.join(default));
        xdg.and_then(absolute).or(default)
    }
}

fn hash(site: &Path) -> io::Result<String> {
    // A site that does not exist keeps its state: its path is used as written.
    let path = fs::canonicalize(site).or_else(|_| std::path::absolute(site))?;
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    Ok(digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

impl StateDirectory {
    /// Uses the state directory at `path`, and creates it, private to its owner, if it is missing.
    pub fn open(path: &Path) -> io::Result<StateDirectory> {
        atomic::create_dir(path)?;
        Ok(StateDirectory { path: path.into() })
    }

    /// Takes the permissions of other users away, except that members of `group` may search the directory for the operators'
    /// token. Returns a warning if others had more. A directory that may contain other files than those of a server keeps its
    /// mode.
    pub fn narrow(&self, group: Option<u32>) -> io::Result<Option<String>> {
        let metadata = fs::metadata(&self.path)?;
        let mode = metadata.mode() & 0o777;
        let allowed = match Some(metadata.gid()) == group {
            true => 0o710,
            false => 0o700,
        };
        if mode & !allowed == 0 {
            return Ok(None);
        }
        let path = self.path.display();
        let is_own = self.journal().exists() || fs::read_dir(&self.path)?.next().is_none();
        let narrow = fs::Permissions::from_mode(mode & allowed);
        let is_narrowed = is_own && fs::set_permissions(&self.path, narrow).is_ok();
        Ok(Some(match is_narrowed {
            true => format!(
                "the state directory `{path}` had mode {mode:04o}: others can no longer search it"
            ),
            false => format!(
                "the state directory `{path}` has mode {mode:04o}, so that others can search it: `chmod 700 {path}`"
            ),
        }))
    }

    /// The state directory at `path`, if it exists, for reading.
    pub fn existing(path: &Path) -> Option<StateDirectory> {
        path.is_dir().then(|| StateDirectory { path: path.into() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    pub fn attempts(&self) -> PathBuf {
        self.path.join("attempts")
    }

    /// The directory of the cached indexes and digests of images.
    pub fn images(&self) -> PathBuf {
        self.path.join("images")
    }

    pub fn microkernel(&self) -> PathBuf {
        self.path.join(MICROKERNEL)
    }

    pub fn last_good(&self) -> PathBuf {
        self.path.join("last-good")
    }

    /// The id of the site that the directory belongs to; none when none is stored.
    pub fn site_id(&self) -> io::Result<Option<String>> {
        match fs::read_to_string(self.path.join("site-id")) {
            Ok(text) => Ok(Some(text.trim().to_string()).filter(|id| !id.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores the id of the site that the directory belongs to.
    pub fn write_site_id(&self, id: &str) -> io::Result<()> {
        atomic::replace(&self.path.join("site-id"), &[id.as_bytes(), b"\n"])
    }

    /// The key for deriving tokens. It is created if it is missing.
    pub fn token_key(&self) -> io::Result<SecretKey> {
        self.key(TOKEN_KEY)
    }

    /// The key for deriving the salts of passwords. It is created if it is missing.
    pub fn password_key(&self) -> io::Result<SecretKey> {
        self.key(PASSWORD_KEY)
    }

    /// The key for the checksums of seals. It is created if it is missing.
    pub fn seal_key(&self) -> io::Result<SecretKey> {
        self.key(SEAL_KEY)
    }

    pub fn has_seal_key(&self) -> bool {
        self.path.join(SEAL_KEY).exists()
    }

    /// Stores the key of the seals that a copy has.
    pub fn write_seal_key(&self, key: &SecretKey) -> io::Result<()> {
        atomic::replace(&self.path.join(SEAL_KEY), &[&key.0])
    }

    /// The generation of the state: 32 hexadecimal digits. It is created if it is missing.
    pub fn generation(&self) -> io::Result<String> {
        match fs::read_to_string(self.path.join(GENERATION)) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let generation = new_generation()?;
                self.write_generation(&generation)?;
                Ok(generation)
            }
            Err(error) => Err(error),
        }
    }

    pub fn write_generation(&self, generation: &str) -> io::Result<()> {
        atomic::replace(&self.path.join(GENERATION), &[generation.as_bytes(), b"\n"])
    }

    /// Stores that the server runs now.
    pub fn write_alive(&self, now: Timestamp) -> io::Result<()> {
        atomic::replace(&self.path.join(ALIVE), &[now.to_string().as_bytes(), b"\n"])
    }

    /// When a server was last known to run; none if that is not known.
    pub fn alive(&self) -> Option<Timestamp> {
        let text = fs::read_to_string(self.path.join(ALIVE)).ok()?;
        text.trim().parse().ok()
    }

    fn key(&self, name: &str) -> io::Result<SecretKey> {
        let path = self.path.join(name);
        if !path.exists() {
            let mut key = [0; 32];
            getrandom::fill(&mut key).map_err(io::Error::other)?;
            // If another process created one meanwhile, that one is used.
            atomic::create(&path, &key)?;
        }
        let bytes = fs::read(&path)?;
        let key = bytes.try_into().map(SecretKey);
        // A key is never replaced without the operator: every URL in use would become invalid.
        key.map_err(|bytes: Vec<u8>| {
            let (path, length) = (path.display(), bytes.len());
            let why = format!("`{path}` has {length} bytes and must have 32: restore it, or remove it to get a new key");
            io::Error::new(io::ErrorKind::InvalidData, why)
        })
    }
}

/// A random generation of a state.
pub fn new_generation() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_environment_determines_the_state_directory() {
        let site = Path::new("/srv/no-such-site");
        let hash = hash(site).unwrap();
        let of = |is_root, xdg: Option<&str>, home: Option<&str>| {
            let environment = Environment {
                is_root,
                xdg_state_home: xdg.map(OsString::from),
                xdg_data_home: None,
                home: home.map(OsString::from),
            };
            let paths = [
                environment.state_of_site(site),
                environment.state_of_demonstration(site),
            ];
            paths.map(|path| {
                path.map(|path| path.display().to_string().replace(&hash, "HASH"))
                    .ok()
            })
        };
        let expected =
            |site: &str, demonstration: &str| [Some(site.into()), Some(demonstration.into())];
        let cases = [
            (
                of(true, None, Some("/root")),
                expected("/var/lib/bootwright", "/var/lib/bootwright/demo-HASH"),
            ),
            (
                of(false, Some("/x"), Some("/home/a")),
                expected("/x/bootwright/HASH", "/x/bootwright/demo-HASH"),
            ),
            (
                of(false, Some("relative"), Some("/home/a")),
                expected(
                    "/home/a/.local/state/bootwright/HASH",
                    "/home/a/.local/state/bootwright/demo-HASH",
                ),
            ),
            (of(false, None, None), [None, None]),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
        assert_eq!(hash.len(), 16);
    }

    #[test]
    fn a_site_has_the_same_hash_by_every_path() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("site")).unwrap();
        std::os::unix::fs::symlink("site", dir.path().join("link")).unwrap();
        let names = ["site", "link", "site/../site/."];
        let hashes = names.map(|name| hash(&dir.path().join(name)).unwrap());
        assert_eq!(hashes[1..], [hashes[0].clone(), hashes[0].clone()]);
    }

    #[test]
    fn keys_are_created_once_and_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let state = StateDirectory::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| state.token_key().unwrap()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_ne!(keys[0], state.password_key().unwrap());
        assert_eq!(mode(&path.join("token-key")), 0o600);
        fs::write(path.join("token-key"), "short").unwrap();
        let error = state.token_key().unwrap_err().to_string();
        assert!(
            error.ends_with(
                "has 5 bytes and must have 32: restore it, or remove it to get a new key"
            ),
            "{error}"
        );
    }

    #[test]
    fn a_directory_that_others_may_search_is_narrowed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let state = StateDirectory::open(&path).unwrap();
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let own = fs::metadata(&path).unwrap().gid();
        for (before, group, after) in [
            (0o700, None, 0o700),
            (0o755, None, 0o700),
            (0o710, None, 0o700),
            (0o710, Some(own), 0o710),
            (0o775, Some(own), 0o710),
            (0o500, None, 0o500),
        ] {
            set(before);
            let warning = state.narrow(group).unwrap();
            assert_eq!(warning.is_some(), before != after, "{before:o} {warning:?}");
            assert_eq!(mode(&path), after, "{before:o} {group:?}");
        }
        // Other programs may use the directory too.
        fs::write(path.join("other"), "").unwrap();
        set(0o755);
        let warning = state.narrow(None).unwrap().unwrap();
        assert!(
            warning.contains("others can search it: `chmod 700"),
            "{warning}"
        );
        fs::create_dir(state.journal()).unwrap();
        state.narrow(None).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn the_directory_stores_its_site() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(dir.path()).unwrap();
        assert_eq!(state.site_id().unwrap(), None);
        state.write_site_id("abc").unwrap();
        assert_eq!(state.site_id().unwrap().as_deref(), Some("abc"));
        assert_eq!(StateDirectory::existing(&dir.path().join("none")), None);
    }
}
