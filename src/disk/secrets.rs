//! Secrets that a site refers to: the secrets directory, and files that hold passwords.
//!
//! A file that is readable by others than its owner and group, or writable by its group, is not read. The error is
//! reported with the command that fixes it. No message contains a secret.
//!
//! A plain password is hashed with a salt derived from a key and the password, so that every render of a document
//! is the same.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::{Mutex, PoisonError},
};

use hmac::{Hmac, KeyInit, Mac};
use sha_crypt::{Algorithm, Params, PasswordHasher, ShaCrypt};
use sha2::Sha256;

use super::state::SecretKey;
use crate::model::{PasswordHash, SecretText};

/// In bytes.
const MAX_SECRET: u64 = 64 << 10;

/// The minimum length of a token, in characters.
const MIN_TOKEN: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("`{path}` cannot be read: {why}")]
    Unreadable { path: String, why: String },
    /// Others may read or change it.
    #[error(
        "`{path}` has mode {mode:04o}, so that others than its owner may {what} it: `chmod 600 {path}`"
    )]
    Exposed {
        path: String,
        mode: u32,
        /// `read` or `change`.
        what: &'static str,
    },
    #[error("`{path}` is too large for a secret: at most 64 KiB")]
    TooLarge { path: String },
    #[error("`{path}` is not UTF-8")]
    NotText { path: String },
    #[error("`{path}` contains no password: expected one line with a password or its hash")]
    NoPassword { path: String },
    #[error(
        "`{path}` begins like a password hash, but is not a valid one (create one with `openssl passwd -6`)"
    )]
    BadHash { path: String },
    #[error(
        "`{path}` contains no token: expected one line with at least {MIN_TOKEN} characters (create one with \
         `openssl rand -hex 16`)"
    )]
    NoToken { path: String },
}

/// Reads every file of the secrets directory at `dir`, by name. Files that cannot be used are returned separately with
/// their errors. Without the directory there are no secrets.
pub fn read(dir: &Path) -> (BTreeMap<String, SecretText>, BTreeMap<String, SecretError>) {
    let mut secrets = BTreeMap::new();
    let mut errors = BTreeMap::new();
    let names = match names(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (secrets, errors),
        Err(error) => {
            errors.insert(String::new(), SecretError::unreadable(dir, &error));
            return (secrets, errors);
        }
    };
    for name in names {
        match text(&dir.join(&name)) {
            Ok(Some(text)) => {
                secrets.insert(name, SecretText::new(without_line_end(&text)));
            }
            // A directory or another special file.
            Ok(None) => {}
            Err(error) => {
                errors.insert(name, error);
            }
        }
    }
    (secrets, errors)
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        // A name that is hidden or not UTF-8 cannot be referred to.
        names.extend(
            entry?
                .file_name()
                .into_string()
                .ok()
                .filter(|name| !name.starts_with('.')),
        );
    }
    Ok(names)
}

/// Reads a file that holds a token on one line.
pub fn token(path: &Path) -> Result<SecretText, SecretError> {
    let token = regular(path)?.trim().to_owned();
    let is_usable = token.chars().count() >= MIN_TOKEN && !token.contains(char::is_whitespace);
    match is_usable {
        true => Ok(SecretText::new(&token)),
        false => Err(SecretError::NoToken {
            path: path.display().to_string(),
        }),
    }
}

/// Reads a file that holds a secret of several lines, such as a private key.
pub fn private_text(path: &Path) -> Result<SecretText, SecretError> {
    regular(path).map(SecretText::new)
}

/// Hashes passwords and caches the hashes.
pub struct PasswordHashCache {
    key: SecretKey,
    cached: Mutex<BTreeMap<[u8; 32], PasswordHash>>,
}

impl PasswordHashCache {
    /// Derives salts from `key`.
    pub fn new(key: SecretKey) -> PasswordHashCache {
        PasswordHashCache {
            key,
            cached: Mutex::default(),
        }
    }

    /// Reads a file that holds a password, or its hash, on one line.
    pub fn read(&self, path: &Path) -> Result<PasswordHash, SecretError> {
        let shown = || path.display().to_string();
        let text = regular(path)?;
        let password = without_line_end(&text);
        if password.is_empty() || password.contains(['\n', '\0']) {
            return Err(SecretError::NoPassword { path: shown() });
        }
        if looks_hashed(password) {
            return password
                .parse()
                .map_err(|_| SecretError::BadHash { path: shown() });
        }
        Ok(self.hash(password))
    }

    /// Hashes a password for crypt(3) with the method `$6$` (SHA-512).
    pub fn hash(&self, password: &str) -> PasswordHash {
        let salt_bytes = self.salt_bytes(password);
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        cached
            .entry(salt_bytes)
            .or_insert_with(|| sha512_crypt(password, &salt_bytes))
            .clone()
    }

    fn salt_bytes(&self, password: &str) -> [u8; 32] {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key.0);
        let mut mac = mac.expect("HMAC takes keys of every length");
        mac.update(b"salt of a password\0");
        mac.update(password.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for PasswordHashCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(…)")
    }
}

/// Thirteen letters could be a hash of the oldest method (DES); they count as a plain password.
fn looks_hashed(password: &str) -> bool {
    ["$1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "$y$"]
        .iter()
        .any(|method| password.starts_with(method))
}

fn sha512_crypt(password: &str, salt_bytes: &[u8; 32]) -> PasswordHash {
    // 9 bytes make a salt of 12 characters. The crate's own salts have 22, which crypt(3) cuts to 16 and so
    // verifies against another hash: root would be locked out.
    let salt = &salt_bytes[..9];
    let method = ShaCrypt::new(Algorithm::Sha512Crypt, Params::RECOMMENDED);
    let hash = method.hash_password_with_salt(password.as_bytes(), salt);
    let hash = hash.expect("a salt of 9 bytes is fine");
    // A hash without a number of rounds means 5000, and ESXi's installer does not accept a hash with a number.
    let text = hash.as_str().replacen("$rounds=5000$", "$", 1);
    text.parse().expect("what was hashed is a hash")
}

/// Reads a regular file if its permissions allow it.
fn regular(path: &Path) -> Result<String, SecretError> {
    text(path)?.ok_or_else(|| SecretError::Unreadable {
        path: path.display().to_string(),
        why: "not a regular file".into(),
    })
}

/// Reads a file if its permissions allow it; none when it is no regular file.
fn text(path: &Path) -> Result<Option<String>, SecretError> {
    let unreadable = |error| SecretError::unreadable(path, &error);
    // A FIFO must not make us wait for its writer.
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let shown = path.display().to_string();
    let mode = metadata.permissions().mode() & 0o7777;
    if let Some(what) = exposure(mode) {
        return Err(SecretError::Exposed {
            path: shown,
            mode,
            what,
        });
    }
    let mut bytes = Vec::new();
    file.take(MAX_SECRET + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_SECRET {
        return Err(SecretError::TooLarge { path: shown });
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| SecretError::NotText { path: shown })
}

/// Returns what others may do and must not: the owner may do anything, the group may read.
fn exposure(mode: u32) -> Option<&'static str> {
    match mode & 0o077 {
        0 | 0o040 => None,
        mode if mode & 0o004 != 0 => Some("read"),
        mode if mode & 0o022 != 0 => Some("change"),
        // Only the execute permission reveals nothing.
        _ => None,
    }
}

fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

impl SecretError {
    fn unreadable(path: &Path, error: &io::Error) -> SecretError {
        SecretError::Unreadable {
            path: path.display().to_string(),
            why: super::site::reason(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, content: &[u8], mode: u32) {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn passwords() -> PasswordHashCache {
        PasswordHashCache::new(SecretKey([7; 32]))
    }

    #[test]
    fn secrets_are_read_and_exposed_ones_reported() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        put(&at("ipmi"), b"hush\n", 0o600);
        put(&at("shared"), b" a b \r\n", 0o640);
        put(&at("open"), b"hush", 0o644);
        put(&at("writable"), b"hush", 0o660);
        put(&at("binary"), b"\xff", 0o400);
        put(&at("large"), &[b'x'; 70_000], 0o600);
        put(&at(".hidden"), b"hush", 0o644);
        fs::create_dir(at("directory")).unwrap();
        let (secrets, errors) = read(dir.path());
        let texts: Vec<_> = secrets
            .iter()
            .map(|(name, text)| (name.as_str(), text.expose()))
            .collect();
        assert_eq!(texts, [("ipmi", "hush"), ("shared", " a b ")]);
        let here = dir.path().display().to_string();
        let errors: Vec<_> = errors
            .values()
            .map(|error| error.to_string().replace(&here, "DIR"))
            .collect();
        let expected = [
            "`DIR/binary` is not UTF-8",
            "`DIR/large` is too large for a secret: at most 64 KiB",
            "`DIR/open` has mode 0644, so that others than its owner may read it: `chmod 600 DIR/open`",
            "`DIR/writable` has mode 0660, so that others than its owner may change it: `chmod 600 DIR/writable`",
        ];
        assert_eq!(errors, expected);
        let (secrets, errors) = read(&at("none"));
        assert_eq!((secrets.len(), errors.len()), (0, 0));
    }

    #[test]
    fn a_file_holds_a_password_or_its_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root");
        let hash = format!("$6$abcdefgh${}", "x".repeat(86));
        put(&path, format!("{hash}\n").as_bytes(), 0o600);
        assert_eq!(passwords().read(&path).unwrap().expose(), hash);
        // Thirteen letters, like a hash of the oldest method.
        put(&path, b"correcthorse1\n", 0o640);
        let read = passwords().read(&path).unwrap();
        assert_eq!(read, passwords().hash("correcthorse1"));
        for (content, why) in [
            (
                "\n",
                "contains no password: expected one line with a password or its hash",
            ),
            (
                "one\ntwo\n",
                "contains no password: expected one line with a password or its hash",
            ),
            (
                "$6$oops",
                "begins like a password hash, but is not a valid one (create one with `openssl passwd -6`)",
            ),
        ] {
            put(&path, content.as_bytes(), 0o600);
            let error = passwords().read(&path).unwrap_err().to_string();
            assert_eq!(error, format!("`{}` {why}", path.display()));
        }
        let missing = passwords().read(&dir.path().join("none")).unwrap_err();
        assert!(
            missing
                .to_string()
                .ends_with("cannot be read: no such file or directory"),
            "{missing}"
        );
    }

    #[test]
    fn a_token_is_one_long_word_that_others_cannot_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator-token");
        let long = "0123456789abcdef";
        for (content, mode) in [(long.into(), 0o600), (format!(" {long}\r\n"), 0o640)] {
            put(&path, content.as_bytes(), mode);
            assert_eq!(token(&path).unwrap().expose(), long);
        }
        let none = "contains no token";
        for (content, mode, why) in [
            ("", 0o600, none),
            ("0123456789abcde\n", 0o600, none),
            ("0123456789 abcdef\n", 0o600, none),
            ("0123456789abcdef\n0123456789abcdef\n", 0o600, none),
            (long, 0o644, "others than its owner may read it"),
            (long, 0o660, "others than its owner may change it"),
            (long, 0o602, "others than its owner may change it"),
        ] {
            put(&path, content.as_bytes(), mode);
            let error = token(&path).unwrap_err().to_string();
            assert!(error.contains(why), "{content:?} {mode:o}: {error}");
            assert!(content.is_empty() || !error.contains(content), "{error}");
        }
        for path in [dir.path(), &dir.path().join("none")] {
            let error = token(path).unwrap_err();
            assert!(matches!(error, SecretError::Unreadable { .. }), "{error}");
        }
    }

    #[test]
    fn a_password_has_one_hash_per_key() {
        let first = passwords().hash("secret");
        assert_eq!(first, passwords().hash("secret"));
        assert_ne!(
            first,
            PasswordHashCache::new(SecretKey([8; 32])).hash("secret")
        );
        let salt = first.expose().split('$').nth(2).unwrap();
        assert_eq!(salt.len(), 12);
    }

    /// The expected hashes are the output of `openssl passwd -6 -salt SALT PASSWORD` (OpenSSL 3.0).
    #[test]
    fn a_hash_is_what_openssl_makes_of_the_same_salt() {
        for (password, hash) in [
            (
                "secret",
                "$6$BObNlNEhIwCS$X0NkO3UxSAyHV2UnmQqZGL1VWRwSty8NNdpe10WUg0/kaOCZWaWvwBKH5yCQ1nXoaLRYAI8goq5PagHh5zIi5/",
            ),
            (
                "pass word",
                "$6$FjdmaOY6.3gp$NC.zNRCWdNXOzJhh6ab8RPzxNelx7cY4cRvl55IUBmNM538tQ/jRA7MJffp6F0KK93pJf51uqmUyh0lZVKyGx.",
            ),
            (
                "p\u{e4}ssw\u{f6}rd",
                "$6$Rlm1K9Cfllx7$mj4inLxfmQ8imDu.KwR4pwp8R52fnTt7HIKcm66qvsoIkm7hQBlwDmNkFuUYiXQYQ0f/wJG96VwiBUlCT77UL/",
            ),
            (
                &"long".repeat(40),
                "$6$SPHtxcJzKGTL$lmfb3qywVY7jxoN5e6g31YRjgTIXQIYfkesx9KqBRgIss9sd2QDbxUEzKd7aRgWiG9o8hZoB8pm./hW054e6J1",
            ),
        ] {
            assert_eq!(passwords().hash(password).expose(), hash);
        }
    }
}
