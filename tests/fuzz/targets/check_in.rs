//! Any bytes as the report of a machine in the microkernel: no panic, and what is accepted is bounded text.
#![no_main]

use bootwright::control::Reported;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(reported) = Reported::read(bytes) else {
        return;
    };
    let facts = &reported.facts;
    for (name, text) in &facts.custom {
        assert!(
            name.chars().count() <= 64 && text.chars().count() <= 256,
            "{name}: {text}"
        );
        assert!(!name.contains(char::is_control) && !text.contains(char::is_control));
    }
    assert!(facts.custom.len() <= 256);
    for disk in facts.disks.iter().flatten() {
        let texts = [Some(&disk.path), disk.seal.as_ref(), disk.contents.as_ref()];
        for text in texts.into_iter().flatten() {
            assert!(
                text.chars().count() <= 256 && !text.contains(char::is_control),
                "{text:?}"
            );
        }
    }
    assert!(facts.nics.iter().flatten().count() <= 64);
    assert!(facts.disks.iter().flatten().count() <= 256);
    // Whatever was accepted is stored in the journal and read from it again.
    let stored = serde_json::to_string(facts).unwrap();
    assert_eq!(
        serde_json::from_str::<bootwright::model::Facts>(&stored).unwrap(),
        *facts
    );
});
