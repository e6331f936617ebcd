//! Receives the names of neighbouring switches and ports (LLDP, IEEE 802.1AB).

use std::{
    collections::BTreeMap,
    io,
    os::fd::AsRawFd,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

/// The EtherType.
const LLDP: u16 = 0x88cc;

/// The neighbours received so far, by the index of the NIC.
#[derive(Debug, Clone, Default)]
pub(crate) struct LldpNeighbours(Arc<Mutex<BTreeMap<u32, String>>>);

impl LldpNeighbours {
    /// Starts receiving. A switch usually sends every 30 s.
    pub(crate) fn listen() -> io::Result<LldpNeighbours> {
        // Frames without their header; the kernel expects the type in network byte order.
        let protocol = Protocol::from(i32::from(LLDP.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
        let neighbours = LldpNeighbours::default();
        let receiver = neighbours.clone();
        thread::Builder::new()
            .name("lldp".into())
            .spawn(move || receiver.receive(&socket))?;
        Ok(neighbours)
    }

    /// The neighbour on this NIC.
    pub(crate) fn of(&self, nic: u32) -> Option<String> {
        let neighbours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        neighbours.get(&nic).cloned()
    }

    fn receive(&self, socket: &Socket) {
        let mut frame = [0; 1600];
        // After an error of the socket the facts stay as they are.
        while let Ok((length, from)) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut frame) {
            let nic = from.and_then(|from| u32::try_from(from.ifindex()).ok());
            if let (Some(nic), Some(neighbour)) = (nic, neighbour(&frame[..length])) {
                let mut neighbours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                neighbours.insert(nic, neighbour);
            }
        }
    }
}

/// Parses the names of the switch and its port: "switch Ethernet1/7".
fn neighbour(mut frame: &[u8]) -> Option<String> {
    let (mut chassis, mut port, mut system) = (None, None, None);
    // Seven bits of type, then nine of length (8.4).
    while let [high, low, rest @ ..] = frame {
        let (kind, length) = (high >> 1, usize::from(high & 1) << 8 | usize::from(*low));
        let value = rest.get(..length)?;
        match kind {
            0 => break,
            1 => chassis = value.split_first().map(|(kind, id)| identity(*kind, 4, id)),
            2 => port = value.split_first().map(|(kind, id)| identity(*kind, 3, id)),
            5 => system = Some(String::from_utf8_lossy(value).trim().to_owned()),
            _ => {}
        }
        frame = &rest[length..];
    }
    let system = system.filter(|system| !system.is_empty()).or(chassis)?;
    Some(format!("{system} {}", port?))
}

/// An identifier as text; one of subtype `mac` is a MAC.
fn identity(kind: u8, mac: u8, id: &[u8]) -> String {
    match id {
        [a, b, c, d, e, f] if kind == mac => {
            format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
        }
        text => String::from_utf8_lossy(text).trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
        let mut tlv = vec![kind << 1, u8::try_from(value.len()).unwrap()];
        tlv.extend(value);
        tlv
    }

    #[test]
    fn a_frame_names_the_switch_and_its_port() {
        let chassis = tlv(1, &[4, 2, 0, 0, 0, 0, 9]);
        let port = tlv(2, b"\x05Ethernet1/7");
        let named = [
            chassis.clone(),
            port.clone(),
            tlv(3, &[0, 120]),
            tlv(5, b"switch1"),
            tlv(0, b""),
        ];
        assert_eq!(
            neighbour(&named.concat()).as_deref(),
            Some("switch1 Ethernet1/7")
        );
        let nameless = [chassis.clone(), tlv(2, &[3, 2, 0, 0, 0, 0, 10])].concat();
        assert_eq!(
            neighbour(&nameless).as_deref(),
            Some("02:00:00:00:00:09 02:00:00:00:00:0a")
        );
        for bad in [&chassis[..], &chassis[..3], b"", b"\x02", &[0xff, 0xff, 1]] {
            assert_eq!(neighbour(bad), None, "{bad:?}");
        }
    }
}
