//! What the switch at the other end of a cable says of itself (LLDP, IEEE 802.1AB).

use std::{
    collections::BTreeMap,
    io,
    os::fd::AsRawFd,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

/// The type of its frames.
const LLDP: u16 = 0x88cc;

/// The neighbours heard so far, by the index of the card.
#[derive(Debug, Clone, Default)]
pub(crate) struct LldpNeighbours(Arc<Mutex<BTreeMap<u32, String>>>);

impl LldpNeighbours {
    /// Listens from now on. A switch speaks every half minute.
    pub(crate) fn listen() -> io::Result<LldpNeighbours> {
        // The frame without its header; the kernel wants the type as it is on the wire.
        let protocol = Protocol::from(i32::from(LLDP.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
        let neighbours = LldpNeighbours::default();
        let heard = neighbours.clone();
        thread::Builder::new()
            .name("lldp".into())
            .spawn(move || heard.hear(&socket))?;
        Ok(neighbours)
    }

    /// Who is at the other end of this card.
    pub(crate) fn of(&self, card: u32) -> Option<String> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&card).cloned()
    }

    fn hear(&self, socket: &Socket) {
        let mut frame = [0; 1600];
        // A socket that fails hears nothing more, and the fact stays as it is.
        while let Ok((length, from)) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut frame) {
            let card = from.and_then(|from| u32::try_from(from.ifindex()).ok());
            if let (Some(card), Some(neighbour)) = (card, neighbour(&frame[..length])) {
                let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                heard.insert(card, neighbour);
            }
        }
    }
}

/// The switch and its port: "switch Ethernet1/7".
fn neighbour(mut frame: &[u8]) -> Option<String> {
    let (mut chassis, mut port, mut system) = (None, None, None);
    // A length of nine bits after seven of type (8.4).
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

/// An identity as text; one of kind `mac` is a MAC.
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
    fn a_switch_and_its_port_are_told() {
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
