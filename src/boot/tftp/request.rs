//! Decoding the packets that clients send (RFC 1350 section 5, RFC 2347).
//!
//! Options that the packet codec cannot read are removed first: it would reject the whole request. Packets shorter than
//! their opcode requires are rejected before it reads them.

use std::str::FromStr;

use tftpd::{Opcode, OptionType, Packet};

use super::RequestedOptions;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientPacket {
    /// RRQ.
    Read(ReadRequest),
    /// WRQ, which the server rejects.
    Write,
    /// ACK of the block with this number.
    Ack(u16),
    /// ERROR: the client aborts. It gets no reply.
    Error {
        /// May be a code that RFC 1350 does not list.
        code: u16,
        /// The client's message without control characters.
        text: String,
    },
    /// DATA or OACK, which only servers send.
    Unexpected,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// The name as the client sent it.
    pub name: String,
    pub options: RequestedOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TftpDecodeError {
    /// It gets no reply.
    #[error("not a TFTP packet")]
    Packet,
    /// The name, the mode or the zero after one of them is missing.
    #[error("the request is malformed")]
    Request,
    #[error("the mode is neither octet nor netascii")]
    Mode,
}

/// The shortest ACK, DATA or ERROR in bytes.
const MIN_PACKET: usize = 4;
/// The length to which a client's error message is cut, in characters.
const MAX_ERROR_TEXT: usize = 200;

impl ClientPacket {
    pub fn decode(datagram: &[u8]) -> Result<ClientPacket, TftpDecodeError> {
        let [high, low, rest @ ..] = datagram else {
            return Err(TftpDecodeError::Packet);
        };
        let opcode = Opcode::from_u16(u16::from_be_bytes([*high, *low]));
        match opcode.map_err(|_| TftpDecodeError::Packet)? {
            Opcode::Rrq => ReadRequest::decode(rest).map(ClientPacket::Read),
            Opcode::Wrq => Ok(ClientPacket::Write),
            Opcode::Data | Opcode::Oack => Ok(ClientPacket::Unexpected),
            _ if datagram.len() < MIN_PACKET => Err(TftpDecodeError::Packet),
            Opcode::Error => Ok(decode_error(rest)),
            Opcode::Ack => match Packet::deserialize(datagram) {
                Ok(Packet::Ack(block)) => Ok(ClientPacket::Ack(block)),
                _ => Err(TftpDecodeError::Packet),
            },
        }
    }
}

impl ReadRequest {
    /// Decodes the bytes after the opcode.
    fn decode(body: &[u8]) -> Result<ReadRequest, TftpDecodeError> {
        let Ok(Packet::Rrq {
            filename,
            mode,
            options,
        }) = Packet::deserialize(&readable(body)?)
        else {
            return Err(TftpDecodeError::Request);
        };
        // netascii would change a loader's bytes, so files are sent as octets in both modes, as other servers do.
        if !["octet", "netascii"].contains(&mode.to_ascii_lowercase().as_str()) {
            return Err(TftpDecodeError::Mode);
        }
        let mut requested = RequestedOptions::default();
        for option in options {
            requested.add(option.option, option.value);
        }
        Ok(ReadRequest {
            name: filename,
            options: requested,
        })
    }
}

/// Rebuilds the request with what the codec can read: the name, the mode, and the options that it supports and whose
/// value is a number.
fn readable(body: &[u8]) -> Result<Vec<u8>, TftpDecodeError> {
    // Bytes after the last zero are padding, or a value that was cut off.
    let end = body.iter().rposition(|byte| *byte == 0);
    let end = end.ok_or(TftpDecodeError::Request)?;
    let mut fields = body[..end].split(|byte| *byte == 0);
    let (Some(name), Some(mode)) = (fields.next(), fields.next()) else {
        return Err(TftpDecodeError::Request);
    };
    let mut request = Opcode::Rrq.as_bytes().to_vec();
    let mut push = |field: &[u8]| {
        request.extend_from_slice(field);
        request.push(0);
    };
    push(name);
    push(mode);
    while let (Some(option), Some(value)) = (fields.next(), fields.next()) {
        if is_known(option) && is_number(value) {
            push(option);
            push(value);
        }
    }
    Ok(request)
}

fn is_known(option: &[u8]) -> bool {
    let option = std::str::from_utf8(option).map(str::to_lowercase);
    option.is_ok_and(|option| OptionType::from_str(&option).is_ok())
}

/// Whether the codec can parse a value as a number.
fn is_number(value: &[u8]) -> bool {
    let digits = value.iter().all(u8::is_ascii_digit);
    let value = std::str::from_utf8(value);
    digits && value.is_ok_and(|value| value.parse::<u64>().is_ok())
}

/// Decodes the bytes after the opcode of an ERROR. Clients often omit the zero after the text or send an unlisted code;
/// the transfer ends all the same.
fn decode_error(body: &[u8]) -> ClientPacket {
    let (code, text) = body.split_first_chunk().unwrap_or((&[0, 0], &[]));
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let plain = text.chars().filter(|c| !c.is_control());
    ClientPacket::Error {
        code: u16::from_be_bytes(*code),
        text: plain.take(MAX_ERROR_TEXT).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(name: &str, options: RequestedOptions) -> Result<ClientPacket, TftpDecodeError> {
        let name = name.into();
        Ok(ClientPacket::Read(ReadRequest { name, options }))
    }

    fn error(code: u16, text: &str) -> Result<ClientPacket, TftpDecodeError> {
        let text = text.into();
        Ok(ClientPacket::Error { code, text })
    }

    #[test]
    fn requests_are_decoded() {
        let none = RequestedOptions::default();
        let block = |block| RequestedOptions {
            block: Some(block),
            ..none
        };
        let firmware = RequestedOptions {
            block: Some(1_468),
            window: Some(4),
            timeout: None,
            size: true,
        };
        let cases: [(&[u8], Result<ClientPacket, TftpDecodeError>); 22] = [
            (b"\0\x01a\0octet\0", read("a", none)),
            (b"\0\x01a\0OCTET\0", read("a", none)),
            (b"\0\x01a\0NetASCII\0", read("a", none)),
            (b"\0\x01a\0mail\0", Err(TftpDecodeError::Mode)),
            (b"\0\x01a\0\0", Err(TftpDecodeError::Mode)),
            (
                b"\0\x01ipxe.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0",
                read("ipxe.efi", firmware),
            ),
            (
                b"\0\x01a\0octet\0BLKSIZE\x001024\0",
                read("a", block(1_024)),
            ),
            // A malformed or unsupported option does not affect the others.
            (
                b"\0\x01a\0octet\0tsize\0x\0blksize\x00600\0",
                read("a", block(600)),
            ),
            (
                b"\0\x01a\0octet\0blksize\0-1\0blksize\x00600\0",
                read("a", block(600)),
            ),
            (b"\0\x01a\0octet\0blksize\0+9\0", read("a", none)),
            (b"\0\x01a\0octet\0blksize\0\0", read("a", none)),
            (
                b"\0\x01a\0octet\0tsize\x0099999999999999999999\0",
                read("a", none),
            ),
            (
                b"\0\x01a\0octet\0multicast\0\0blksize\x00600\0",
                read("a", block(600)),
            ),
            (
                b"\0\x01a\0octet\0\xff\xfe\x001\0blksize\x00600\0",
                read("a", block(600)),
            ),
            (
                b"\0\x01a\0octet\0utimeout\x00100\0windowwait\x005\0",
                read("a", none),
            ),
            (
                b"\0\x01a\0octet\0blksize\x00600\0blksize\x00700\0",
                read("a", block(600)),
            ),
            // Cut off, or padded.
            (b"\0\x01a\0octet\0blksize\x00600", read("a", none)),
            (b"\0\x01a\0octet\0blksize", read("a", none)),
            (b"\0\x01a\0octet\0\0\0\0\0", read("a", none)),
            (b"\0\x01a\0octet", Err(TftpDecodeError::Request)),
            (b"\0\x01\xe9\0octet\0", Err(TftpDecodeError::Request)),
            (b"\0\x02a\0octet\0", Ok(ClientPacket::Write)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(
                ClientPacket::decode(bytes),
                expected,
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn other_packets_are_decoded() {
        let cases: [(&[u8], Result<ClientPacket, TftpDecodeError>); 18] = [
            (b"", Err(TftpDecodeError::Packet)),
            (b"\0", Err(TftpDecodeError::Packet)),
            (b"\0\0", Err(TftpDecodeError::Packet)),
            (b"\0\x07a", Err(TftpDecodeError::Packet)),
            (b"\x01\x01a\0octet\0", Err(TftpDecodeError::Packet)),
            (b"\0\x01", Err(TftpDecodeError::Request)),
            (b"\0\x03", Ok(ClientPacket::Unexpected)),
            (b"\0\x03\0", Ok(ClientPacket::Unexpected)),
            (b"\0\x06", Ok(ClientPacket::Unexpected)),
            (b"\0\x04", Err(TftpDecodeError::Packet)),
            (b"\0\x04\0", Err(TftpDecodeError::Packet)),
            (b"\0\x04\x12\x34", Ok(ClientPacket::Ack(0x1234))),
            (b"\0\x04\x12\x34padding", Ok(ClientPacket::Ack(0x1234))),
            (b"\0\x05\0", Err(TftpDecodeError::Packet)),
            (b"\0\x05\0\x08", error(8, "")),
            (b"\0\x05\0\0TFTP Aborted\0", error(0, "TFTP Aborted")),
            (b"\0\x05\xff\xffno\nzero", error(65_535, "nozero")),
            (b"\0\x05\0\x03\xff\0rest", error(3, "\u{fffd}")),
        ];
        for (bytes, expected) in cases {
            assert_eq!(
                ClientPacket::decode(bytes),
                expected,
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn a_truncated_packet_does_not_panic() {
        let whole = b"\0\x01ipxe.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0";
        for opcode in 0..=8 {
            for length in 0..=whole.len() {
                let mut bytes = whole[..length].to_vec();
                if let Some(low) = bytes.get_mut(1) {
                    *low = opcode;
                }
                drop(ClientPacket::decode(&bytes));
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(opcode in 0_u8..8, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            drop(ClientPacket::decode(&bytes));
            let bytes = [&[0, opcode], &bytes[..]].concat();
            drop(ClientPacket::decode(&bytes));
        }
    }
}
