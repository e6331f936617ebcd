//! Any bytes as the sector of a seal, and as the text of one: no panic, and only what this site has made is accepted.
#![no_main]

use bootwright::{
    control::{SealAuthority, SealError},
    model::{MAX_SEAL_CHARS, is_plain, seal_sector, seal_text},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let authority = SealAuthority::new("5f0c", [1; 32]);
    if let Some(text) = seal_text(bytes) {
        assert!(text.chars().count() <= MAX_SEAL_CHARS);
        assert!(
            text.bytes().all(|byte| is_plain(byte) || byte == b'?'),
            "{text:?}"
        );
        check(&authority, &text);
    }
    check(&authority, &String::from_utf8_lossy(bytes));
});

fn check(authority: &SealAuthority, text: &str) {
    match authority.read(text) {
        // An attacker would have to find the key.
        Ok(seal) => {
            assert_eq!(authority.text(&seal), text);
            assert_eq!(seal_text(&seal_sector(text)).as_deref(), Some(text));
        }
        Err(error) => assert_ne!(error.to_string(), "", "{error:?}"),
    }
    let other = SealAuthority::new("5f0c", [2; 32]);
    assert!(other.read(text).is_err() || authority.read(text) == Err(SealError::WrongChecksum));
}
