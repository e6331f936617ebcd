//! Encoding the packets that a server sends, and a client's ACK.

pub use tftpd::ErrorCode;
use tftpd::Packet;

use super::NegotiatedOptions;

/// Encodes the header of a DATA packet: the opcode and the block's number, which wraps to 0 after 65,535.
pub fn data_header(block: u64) -> [u8; 4] {
    let [.., high, low] = block.to_be_bytes();
    [0, 3, high, low]
}

pub fn encode_ack(block: u16) -> Vec<u8> {
    let [high, low] = block.to_be_bytes();
    vec![0, 4, high, low]
}

/// Encodes an OACK with the negotiated options (RFC 2347).
pub fn encode_oack(options: &NegotiatedOptions) -> Vec<u8> {
    encode(&Packet::Oack(options.to_packet()))
}

pub fn encode_error(code: ErrorCode, text: &str) -> Vec<u8> {
    encode(&Packet::Error {
        code,
        msg: text.replace('\0', " "),
    })
}

fn encode(packet: &Packet) -> Vec<u8> {
    packet.serialize().expect("every packet can be encoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_encoded_as_in_the_rfc() {
        let options = NegotiatedOptions {
            block: Some(1_468),
            window: Some(4),
            timeout: Some(2),
            size: Some(70_000),
        };
        let oack = b"\0\x06blksize\x001468\0tsize\x0070000\0timeout\x002\0windowsize\x004\0";
        assert_eq!(encode_oack(&options), oack);
        assert_eq!(encode_ack(0xfffe), b"\0\x04\xff\xfe");
        for (block, header) in [
            (1, b"\0\x03\0\x01"),
            (65_535, b"\0\x03\xff\xff"),
            (65_536, b"\0\x03\0\0"),
        ] {
            assert_eq!(&data_header(block), header);
        }
        let error = encode_error(ErrorCode::AccessViolation, "n\0o");
        assert_eq!(error, b"\0\x05\0\x02n o\0");
    }
}
