//! A short digest of texts, the same in every run of the program.

use sha2::{Digest, Sha256};

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
    /// Returns the fingerprint of `parts`, in order.
    pub(super) fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Fingerprint {
        let mut hash = Sha256::new();
        for part in parts {
            // The length separates one text from the next.
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

    /// Combines two fingerprints. The order matters.
    pub(super) fn with(self, other: Fingerprint) -> Fingerprint {
        // The prime of FNV-1a.
        Fingerprint((self.0 ^ other.0.rotate_left(17)).wrapping_mul(0x0000_0100_0000_01b3))
    }
}
