//! Any bytes as an image's boot.cfg: no panic, and a second rewrite changes nothing.
#![no_main]

use bootwright::render::boot::boot_cfg::{BootCfgChanges, rewrite};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let changes = BootCfgChanges {
        prefix: "http://192.0.2.1:8080/repo/esxi".into(),
        kernelopt: vec![
            "ks=http://192.0.2.1:8080/t/0/ks.cfg".into(),
            "BOOTIF=01-52-54-00-00-00-01".into(),
        ],
    };
    // An image that has every file with an ordinary name.
    let ordinary = |c: char| c.is_ascii_alphanumeric() || "._/".contains(c);
    let find = |path: &str| path.chars().all(ordinary).then(|| path.to_string());
    if let Ok(once) = rewrite(&text, &changes, find) {
        assert_eq!(rewrite(&once, &changes, find), Ok(once));
    }
});
