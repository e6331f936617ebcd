//! Any bytes as the parameters of `/boot`: no panic, and only valid texts are accepted.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};

use bootwright::net::http::{Peer, boot_request};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let query = String::from_utf8_lossy(bytes);
    let end = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    let peer = Peer {
        address: end,
        local: end,
    };
    let Ok(ask) = boot_request(&query, peer, "http://192.0.2.1:8080".into()) else {
        return;
    };
    let texts = [
        ask.report.serial,
        ask.report.uuid,
        ask.report.asset,
        ask.report.manufacturer,
        ask.report.product,
    ];
    for text in texts.into_iter().flatten() {
        assert!(!text.is_empty() && text == text.trim(), "{text:?}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    for ignored in ask.ignored {
        assert!(!ignored.contains(char::is_control), "{ignored:?}");
    }
});
