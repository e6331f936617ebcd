//! The secret part of an attempt's URLs.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use crate::journal::{AttemptId, MachineId};

/// The first 128 bits of HMAC-SHA256 over the machine and the attempt, or only over the machine for its check-in. A token is
/// not stored: it is the same after a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UrlToken([u8; 16]);

/// The key of a state directory. All tokens can be computed from it.
#[derive(Clone)]
pub struct TokenKey(pub [u8; 32]);

impl TokenKey {
    /// Computes the token of an attempt.
    pub fn token(&self, attempt: AttemptId) -> UrlToken {
        let machine = attempt.machine.0.to_be_bytes();
        self.over(&[b"attempt\0", &machine, &attempt.number.to_be_bytes()])
    }

    /// Computes the token with which a boot script reports that the disk of an attempt does not boot. It permits nothing else.
    pub fn no_disk(&self, attempt: AttemptId) -> UrlToken {
        let machine = attempt.machine.0.to_be_bytes();
        self.over(&[b"no-disk\0", &machine, &attempt.number.to_be_bytes()])
    }

    /// Computes the check-in token of a machine in the microkernel.
    pub fn check_in(&self, machine: MachineId) -> UrlToken {
        self.over(&[b"check-in\0", &machine.0.to_be_bytes()])
    }

    fn over(&self, parts: &[&[u8]]) -> UrlToken {
        let mut hmac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        parts.iter().for_each(|part| hmac.update(part));
        let digest = hmac.finalize().into_bytes();
        UrlToken(digest[..16].try_into().expect("SHA-256 yields 32 bytes"))
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

impl UrlToken {
    /// The placeholder in documents that are rendered only for display.
    pub const ZERO: UrlToken = UrlToken([0; 16]);

    /// Reads 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<UrlToken> {
        let digits = text.as_bytes();
        let mut bytes = [0; 16];
        if digits.len() != 32 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(UrlToken(bytes))
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for UrlToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for UrlToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_and_each_check_in_has_its_own_token() {
        let id = |machine, number| AttemptId {
            machine: MachineId(machine),
            number,
        };
        let (key, other) = (TokenKey([1; 32]), TokenKey([2; 32]));
        let tokens = [
            key.token(id(1, 1)),
            key.no_disk(id(1, 1)),
            key.token(id(1, 2)),
            key.token(id(2, 1)),
            other.token(id(1, 1)),
            key.check_in(MachineId(1)),
            key.check_in(MachineId(2)),
            other.check_in(MachineId(1)),
        ];
        let distinct: std::collections::BTreeSet<_> = tokens.into_iter().collect();
        assert_eq!(distinct.len(), tokens.len());
        assert_eq!(UrlToken::parse(&tokens[0].to_string()), Some(tokens[0]));
        for text in ["", "0", "G0000000000000000000000000000000", &"0".repeat(33)] {
            assert_eq!(UrlToken::parse(text), None, "{text}");
        }
    }
}
