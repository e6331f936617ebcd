//! Observes ARP requests, in a process of its own that may be on another host.

use std::{
    io::{BufRead, BufReader, Read},
    net::Ipv4Addr,
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use nix::libc::{AF_PACKET, ETH_P_ARP};
use socket2::{Domain, Protocol, Socket, Type};

use super::{child::KillOnDrop, client::until};

/// The addresses that ARP requests have asked for so far.
pub(crate) struct ArpObserver {
    _child: KillOnDrop,
    requested: Arc<Mutex<Vec<String>>>,
}

impl ArpObserver {
    /// Starts a command of the role `arp-observer`.
    pub(super) fn start(mut command: Command) -> ArpObserver {
        let mut child = KillOnDrop(command.spawn().unwrap());
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let observes = lines.any(|line| line.unwrap() == "observing");
        assert!(observes, "the observer has ended");
        let requested = Arc::<Mutex<Vec<String>>>::default();
        let list = requested.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                list.lock().unwrap().push(line);
            }
        });
        ArpObserver {
            _child: child,
            requested,
        }
    }

    /// Waits until a request has asked for an address.
    #[track_caller]
    pub(crate) fn wait_for(&self, address: &str) {
        until(&format!("an ARP request for {address}"), || {
            self.has(address).then_some(())
        });
    }

    pub(crate) fn has(&self, address: &str) -> bool {
        let requested = self.requested.lock().unwrap();
        requested.iter().any(|one| one == address)
    }
}

/// The role `arp-observer`: prints `observing`, and then the address that each ARP request asks for.
pub(super) fn observe(_: &[String]) {
    let arp = Protocol::from(i32::from((ETH_P_ARP as u16).to_be()));
    let mut socket = Socket::new(Domain::from(AF_PACKET), Type::RAW, Some(arp)).unwrap();
    println!("observing");
    let mut frame = [0; 128];
    loop {
        let length = socket.read(&mut frame).unwrap();
        // RFC 826: after the 14 bytes of the Ethernet header, the operation is at 6 and the target's address at 24.
        if length >= 42 && frame[20..22] == [0, 1] {
            let address: [u8; 4] = frame[38..42].try_into().unwrap();
            println!("{}", Ipv4Addr::from(address));
        }
    }
}
