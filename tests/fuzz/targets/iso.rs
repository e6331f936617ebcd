//! Any bytes as an ISO image: no panic, no endless loop, and a consistent index: every file is found by its own
//! path and is within the image.
#![no_main]

use std::io::Cursor;

use bootwright::iso::{EntryKind, IsoIndex};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = IsoIndex::read(Cursor::new(bytes)) else {
        return;
    };
    for entry in index.entries() {
        let parts: Vec<&str> = entry.path.split('/').collect();
        let found = index.file(&parts);
        if let EntryKind::File(extents) = &entry.kind {
            assert!(extents.end() <= bytes.len() as u64);
            let found = found.expect("a file is found by its path");
            assert_eq!((found.path, found.extents), (&*entry.path, extents));
            assert!(extents.locate(extents.size(), 1).is_none());
        }
        let above = &parts[..parts.len() - 1];
        assert!(
            index
                .list(above)
                .iter()
                .any(|listed| listed.path == entry.path)
        );
    }
});
