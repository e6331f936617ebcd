//! TFTP (RFC 1350, 2347, 2348, 2349, 7440), read only, without sockets.
//!
//! A datagram is decoded ([`ClientPacket`]), the requested name normalized ([`FileName`]), the options negotiated
//! ([`NegotiatedOptions`]) and the file sent by a state machine ([`Transfer`]): received packets in, packets to send
//! out. Finding the file and reading its bytes are the caller's part.

mod name;
mod options;
mod request;
mod encode;
mod transfer;
#[cfg(test)]
mod lossy;

pub use encode::{ErrorCode, data_header, encode_ack, encode_error, encode_oack};
pub use name::{FileName, FileNameError};
pub use options::{
    DEFAULT_BLOCK, MAX_BLOCK, MAX_WINDOW, MIN_BLOCK, NegotiatedOptions, RequestedOptions,
};
pub use request::{ClientPacket, ReadRequest, TftpDecodeError};
pub use transfer::{BlockRange, Transfer, TransferEnd, TransferError, TransferStep};
