//! Any bytes as lines of a journal: no panic, and a known line and the state are written as they were read.
#![no_main]

use bootwright::journal::{self, JournalLine, JournalState, ParsedLine};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut state = JournalState::default();
    for line in text.lines() {
        let Ok(parsed) = JournalLine::parse(line) else {
            continue;
        };
        if let ParsedLine::Known(line) = &parsed {
            assert_eq!(JournalLine::parse(&line.text()).as_ref(), Ok(&parsed));
            journal::describe(line);
        }
        state.take(&parsed);
    }
    let kept = serde_json::to_string(&state).expect("a state is JSON");
    assert_eq!(
        serde_json::from_str::<JournalState>(&kept).ok(),
        Some(state)
    );
});
