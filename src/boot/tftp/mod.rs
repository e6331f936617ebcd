//! TFTP (RFC 1350, 2347, 2348, 2349, 7440), read only, without sockets.
//!
//! A datagram is decoded ([`ClientPacket`]), the name that is asked for cleaned ([`FileName`]), the options agreed on
//! ([`NegotiatedOptions`]) and the file sent by a state machine ([`Transfer`]), which is told what arrived and says what to
//! send. Which file a name leads to, and the bytes of it, are not known here.

mod name;
mod options;
mod request;
mod encode;
mod transfer;
#[cfg(test)]
mod lossy;

pub use encode::{ErrorCode, data_head, encode_ack, encode_error, encode_oack};
pub use name::{FileName, FileNameError};
pub use options::{
    DEFAULT_BLOCK, MAX_BLOCK, MAX_WINDOW, MIN_BLOCK, NegotiatedOptions, RequestedOptions,
};
pub use request::{ClientPacket, ReadRequest, TftpDecodeError};
pub use transfer::{BlockRange, Transfer, TransferEnd, TransferError, TransferStep};
