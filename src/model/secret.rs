//! Hashes of passwords, and secret texts.
//!
//! Neither type reveals its value when it is formatted or serialized. Callers that need the value call `expose`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The hash of a password in the format of crypt(3).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PasswordHash(String);

/// A secret text: a password, a key, a token.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretText(String);

/// The method of a hash (crypt(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashKind {
    /// Traditional DES, 13 characters.
    Des,
    /// `$1$`.
    Md5,
    /// `$2a$`, `$2b$`, `$2y$`.
    Bcrypt,
    /// `$5$`.
    Sha256,
    /// `$6$` with the default number of rounds.
    Sha512,
    /// `$6$rounds=…$`.
    Sha512Rounds,
    /// `$y$`.
    Yescrypt,
}

/// Why a text is not a hash. It does not contain the text, which may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a password hash: expected such as `$6$salt$…` (make one with `openssl passwd -6`)"
)]
pub struct HashError;

impl PasswordHash {
    /// Returns the hash, for the installer.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The method of the hash.
    pub fn kind(&self) -> HashKind {
        kind(&self.0).expect("a hash is only made from a text that has a kind")
    }
}

impl FromStr for PasswordHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        kind(text)
            .map(|_| PasswordHash(text.into()))
            .ok_or(HashError)
    }
}

fn kind(text: &str) -> Option<HashKind> {
    let crypt64 = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte))
    };
    let Some(rest) = text.strip_prefix('$') else {
        return (text.len() == 13 && crypt64(text)).then_some(HashKind::Des);
    };
    let parts: Vec<&str> = rest.split('$').collect();
    let hash_of = |salt: &str, hash: &str, max_salt, length| {
        (crypt64(salt) && salt.len() <= max_salt && crypt64(hash) && hash.len() == length)
            .then_some(())
    };
    match parts.as_slice() {
        ["1", salt, hash] => hash_of(salt, hash, 8, 22).map(|()| HashKind::Md5),
        ["5", salt, hash] => hash_of(salt, hash, 16, 43).map(|()| HashKind::Sha256),
        ["5", rounds, salt, hash] if is_rounds(rounds) => {
            hash_of(salt, hash, 16, 43).map(|()| HashKind::Sha256)
        }
        ["6", salt, hash] => hash_of(salt, hash, 16, 86).map(|()| HashKind::Sha512),
        ["6", rounds, salt, hash] if is_rounds(rounds) => {
            hash_of(salt, hash, 16, 86).map(|()| HashKind::Sha512Rounds)
        }
        ["2a" | "2b" | "2y", cost, hash] => {
            let cost = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
            (cost && crypt64(hash) && hash.len() == 53).then_some(HashKind::Bcrypt)
        }
        ["y", parameters, salt, hash] => {
            let is_valid = crypt64(parameters)
                && !parameters.is_empty()
                && crypt64(salt)
                && crypt64(hash)
                && hash.len() == 43;
            is_valid.then_some(HashKind::Yescrypt)
        }
        _ => None,
    }
}

fn is_rounds(part: &str) -> bool {
    part.strip_prefix("rounds=")
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

impl fmt::Display for PasswordHash {
    /// Formats only the method: `$6$…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self
            .0
            .strip_prefix('$')
            .and_then(|rest| rest.split('$').next())
        {
            Some(method) => write!(f, "${method}$…"),
            None => f.write_str("…"),
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PasswordHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl SecretText {
    pub fn new(text: impl Into<String>) -> Self {
        SecretText(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_is_detected_by_its_format() {
        let of = |length| "x".repeat(length);
        for (text, kind) in [
            (of(13), HashKind::Des),
            (format!("$1$abcdefgh${}", of(22)), HashKind::Md5),
            (format!("$2b$10${}", of(53)), HashKind::Bcrypt),
            (format!("$5$abcdefgh${}", of(43)), HashKind::Sha256),
            (format!("$6$abcdefgh${}", of(86)), HashKind::Sha512),
            (
                format!("$6$rounds=5000$abcdefgh${}", of(86)),
                HashKind::Sha512Rounds,
            ),
            (format!("$y$j9T$abcdefgh${}", of(43)), HashKind::Yescrypt),
        ] {
            assert_eq!(text.parse::<PasswordHash>().unwrap().kind(), kind, "{text}");
        }
    }

    #[test]
    fn a_password_is_not_a_hash_and_is_not_repeated() {
        for text in [
            "",
            "secret",
            "$6$short",
            "$6$abcdefgh$not:crypt64",
            "$9$x$y",
        ] {
            let error = text.parse::<PasswordHash>().unwrap_err().to_string();
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn neither_shows_its_value() {
        let hash: PasswordHash = format!("$6$abcdefgh${}", "x".repeat(86)).parse().unwrap();
        assert_eq!(format!("{hash} {hash:?}"), "$6$… $6$…");
        assert_eq!(format!("{:?}", SecretText::new("hush")), "…");
    }
}
