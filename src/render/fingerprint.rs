//! A short digest of texts: equal texts, equal fingerprint, in every run of the same program.

use sha2::{Digest, Sha256};

/// A digest of texts.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of `parts` in their order.
    pub(super) fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Fingerprint {
        let mut hash = Sha256::new();
        for part in parts {
            // The length parts one text from the next.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        Fingerprint(u64::from_be_bytes(
            digest[..8]
                .try_into()
                .expect("a digest has eight bytes and more"),
        ))
    }

    /// The fingerprint of both together.
    pub(super) fn with(self, other: Fingerprint) -> Fingerprint {
        // FNV-1a's prime: the order counts.
        Fingerprint((self.0 ^ other.0.rotate_left(17)).wrapping_mul(0x0000_0100_0000_01b3))
    }
}
