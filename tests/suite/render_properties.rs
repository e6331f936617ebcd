//! Arbitrary texts cause no panic, and quoted texts are read back unchanged.

use bootwright::render::{
    boot::boot_cfg::{BootCfgChanges, named_files, rewrite},
    check::{BootCfgRequirements, check_boot_cfg, check_ks, split},
    quote,
};
use proptest::prelude::*;

/// Texts of characters that are special in one of the formats.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\n"),
        Just("\r\n"),
        Just("%pre"),
        Just("%end"),
        Just("include"),
        Just("network --ip="),
        Just("rootpw"),
        Just("wget "),
        Just("kernel="),
        Just("modules=/a --- b"),
        Just("kernelopt="),
        Just("---"),
        Just("="),
        Just("'"),
        Just("\""),
        Just("\\"),
        Just("#"),
        Just(" "),
        Just("ä"),
        Just("/"),
        Just("http://"),
        Just("%include /a"),
        Just("echo "),
        Just("> /a"),
        Just("<<"),
        Just("x"),
        Just("--device="),
        Just("ks="),
        Just(":"),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_a_check_panic(text in text(), any in any::<String>()) {
        for text in [text, any] {
            check_ks(&text, true);
            check_boot_cfg(&text, &BootCfgRequirements { mac: None, has: Box::new(|_| true) });
            named_files(&text);
        }
    }

    #[test]
    fn a_boot_cfg_that_was_rewritten_stays_as_it_is(text in text()) {
        let changes = BootCfgChanges { prefix: "http://192.0.2.1/repo/esxi".into(), kernelopt: vec!["ks=http://192.0.2.1/ks".into()] };
        let find = |path: &str| Some(path.to_string());
        if let Ok(once) = rewrite(&text, &changes, find) {
            prop_assert_eq!(rewrite(&once, &changes, find), Ok(once));
        }
    }

    #[test]
    fn a_kickstart_word_comes_back(text in text(), any in any::<String>()) {
        for text in [text, any] {
            if let Ok(quoted) = quote::kickstart(&text) {
                prop_assert_eq!(split(&quoted), Some(vec![text]));
            }
        }
    }
}
