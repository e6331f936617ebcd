//! A program that sends datagrams and counts the answers.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

/// The pause between two datagrams.
const PAUSE: Duration = Duration::from_millis(20);
/// How long answers are awaited after the last datagram.
const SILENCE: Duration = Duration::from_millis(1_500);

/// The role `udp`: sends datagrams from an address to a server, each as hexadecimal digits, and prints the first two bytes and the
/// length of each answer.
pub(crate) fn exchange(arguments: &[String]) {
    let [from, server, datagrams @ ..] = arguments else {
        panic!("`udp` needs two addresses");
    };
    let server: SocketAddr = server.parse().unwrap();
    let socket = UdpSocket::bind(from).unwrap();
    for datagram in datagrams {
        let digits: Vec<char> = datagram.chars().collect();
        let bytes = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap());
        socket.send_to(&bytes.collect::<Vec<u8>>(), server).unwrap();
        thread::sleep(PAUSE);
    }
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    let mut answer = vec![0; 70_000];
    while let Ok(length) = socket.recv(&mut answer) {
        println!("{:02x}{:02x} {length}", answer[0], answer[1]);
    }
}

/// A datagram as an argument of the role.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
