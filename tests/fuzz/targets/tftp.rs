//! Any datagrams of a TFTP client: no panic, no name that leaves the directory, and no block beyond the file.
#![no_main]

use std::time::Duration;

use bootwright::boot::tftp::{ClientPacket, FileName, RequestedOptions, Transfer, TransferStep};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let requested = match ClientPacket::decode(bytes) {
        Ok(ClientPacket::Read(request)) => {
            if let Ok(name) = FileName::parse(&request.name) {
                let name = name.as_str();
                assert!(!name.starts_with('/') && !name.contains('\\'), "{name:?}");
                assert!(
                    name.split('/').all(|part| !["", ".", ".."].contains(&part)),
                    "{name:?}"
                );
            }
            request.options
        }
        _ => RequestedOptions::default(),
    };
    let size = u64::from(bytes.first().copied().unwrap_or(0)) * 1_000;
    let agreed = requested.negotiate(size, 1_468);
    let mut now = Duration::ZERO;
    let (mut transfer, mut step) = Transfer::start(&agreed, size, now);
    for event in bytes.chunks(3) {
        if let TransferStep::Send(blocks) = &step {
            assert!(blocks.first <= blocks.last && blocks.last - blocks.first < 64);
            let (start, length) = transfer.position(blocks.last);
            assert!(start + u64::from(length) <= size);
        }
        if let TransferStep::End(_) = step {
            return;
        }
        now += Duration::from_millis(u64::from(event[0]));
        let number = u16::from_be_bytes([
            event.get(1).copied().unwrap_or(0),
            event.get(2).copied().unwrap_or(0),
        ]);
        step = match event[0] % 4 {
            0 => transfer.on_timeout(now),
            1 => transfer.on_error(number, String::new()),
            _ => transfer.on_ack(number, now),
        };
    }
});
