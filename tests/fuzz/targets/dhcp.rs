//! Any datagram as a DHCP question: no panic, and whatever is answered can be written.
#![no_main]

use std::net::Ipv4Addr;

use bootwright::{
    boot::{
        Wishes, boot_file,
        dhcp::{Door, Ground, Held, Query, Terms, decide},
    },
    model::DhcpMode,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(query) = Query::read(bytes) else {
        return;
    };
    let us = Ipv4Addr::new(192, 0, 2, 1);
    let own = Ipv4Addr::new(192, 0, 2, 21);
    for mode in [DhcpMode::Proxy, DhcpMode::Reserve, DhcpMode::Server] {
        for door in [Door::Dhcp, Door::Pxe] {
            let ground = Ground {
                door,
                mode,
                us,
                terms: Terms {
                    subnet: "192.0.2.0/24".parse().expect("a subnet"),
                    gateways: vec![us],
                    dns: vec![us],
                    domain: Some("lab.example".into()),
                    search: vec!["lab.example".into()],
                    ntp: vec![us],
                    mtu: Some(1_500),
                    lease: std::time::Duration::from_secs(600),
                },
                declared: true,
                held: Held::Reserved(own),
                boot: boot_file(query.client, &Wishes::default(), "http://192.0.2.1", |_| {
                    true
                }),
                other: None,
            };
            if let Ok(answer) = decide(&query, &ground) {
                let datagram = answer.datagram(&query);
                assert!(datagram.len() >= 300 && datagram[28..34] == query.mac.0);
                assert!(Query::read(&datagram).is_err(), "an answer is no question");
            }
        }
    }
});
