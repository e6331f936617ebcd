//! Any datagram as a DHCP message: no panic, and every reply can be encoded.
#![no_main]

use std::net::Ipv4Addr;

use bootwright::{
    boot::{
        LoaderPreference, boot_file,
        dhcp::{AddressAssignment, DhcpMessage, DhcpPort, NetworkOptions, ReplyContext, decide},
    },
    model::{DhcpMode, SiteOption, SiteOptionValue},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(query) = DhcpMessage::read(bytes) else {
        return;
    };
    let us = Ipv4Addr::new(192, 0, 2, 1);
    let own = Ipv4Addr::new(192, 0, 2, 21);
    for mode in [DhcpMode::Proxy, DhcpMode::Reserve, DhcpMode::Server] {
        for dhcp_port in [DhcpPort::Dhcp, DhcpPort::Pxe] {
            let ground = ReplyContext {
                port: dhcp_port,
                mode,
                server_ip: us,
                options: NetworkOptions {
                    subnet: "192.0.2.0/24".parse().expect("a subnet"),
                    gateways: vec![us],
                    dns: vec![us],
                    domain: Some("lab.example".into()),
                    search: vec!["lab.example".into()],
                    ntp: vec![us],
                    mtu: Some(1_500),
                    lease: std::time::Duration::from_secs(600),
                    on_link: true,
                    site: vec![SiteOption {
                        code: 224,
                        value: SiteOptionValue::Bytes(vec![b'x'; 255]),
                        always: false,
                    }],
                },
                declared: true,
                assignment: AddressAssignment::Reserved(own),
                boot: boot_file(
                    query.client,
                    &LoaderPreference::default(),
                    "http://192.0.2.1",
                    |_| true,
                ),
                other_server: None,
            };
            if let Ok(answer) = decide(&query, &ground) {
                let datagram = answer.datagram(&query);
                assert!(
                    (300..=65_507).contains(&datagram.len()) && datagram[28..34] == query.mac.0
                );
                assert!(
                    DhcpMessage::read(&datagram).is_err(),
                    "an answer is no question"
                );
            }
        }
    }
});
