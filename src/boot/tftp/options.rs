//! Negotiating transfer options before the first block (RFC 2347).
//!
//! Only requested options that the server supports are acknowledged; the others are ignored.

use tftpd::{OptionType, TransferOption};

/// The block size in bytes when the client requests none (RFC 1350 section 2).
pub const DEFAULT_BLOCK: u16 = 512;
/// The smallest block size in bytes (RFC 2348).
pub const MIN_BLOCK: u16 = 8;
/// The largest block size in bytes (RFC 2348).
pub const MAX_BLOCK: u16 = 65_464;
/// The largest number of blocks sent without an acknowledgement. RFC 7440 allows 65,535, more than the NIC of a booting
/// machine can buffer.
pub const MAX_WINDOW: u16 = 64;

/// The supported options of a request, with the client's values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestedOptions {
    /// `blksize` (RFC 2348), at least 8; larger values than 65,464 count as 65,464.
    pub block: Option<u16>,
    /// `windowsize` (RFC 7440), at least 1; larger values than 65,535 count as 65,535.
    pub window: Option<u16>,
    /// `timeout` (RFC 2349), 1 to 255 seconds.
    pub timeout: Option<u8>,
    /// Whether the client requested `tsize` (RFC 2349).
    pub size: bool,
}

impl RequestedOptions {
    /// Adds an option. One that is out of range or unsupported is ignored; of a repeated option the first counts.
    pub fn add(&mut self, option: OptionType, value: u64) {
        match option {
            OptionType::BlockSize if self.block.is_none() && value >= MIN_BLOCK.into() => {
                self.block = Some(capped(value, MAX_BLOCK));
            }
            OptionType::WindowSize if self.window.is_none() && value >= 1 => {
                self.window = Some(capped(value, u16::MAX));
            }
            // The server must not reply with another value (RFC 2349), so one that is out of range is ignored.
            OptionType::Timeout if self.timeout.is_none() && value >= 1 => {
                self.timeout = u8::try_from(value).ok();
            }
            OptionType::TransferSize => self.size = true,
            // Out of range, repeated, or an option without an RFC (utimeout, windowwait).
            _ => {}
        }
    }

    /// Negotiates the options for a file of `size` bytes, on a network path that carries blocks of at most `max_block`
    /// bytes.
    pub fn negotiate(&self, size: u64, max_block: u16) -> NegotiatedOptions {
        let limit = max_block.clamp(MIN_BLOCK, MAX_BLOCK);
        NegotiatedOptions {
            block: self.block.map(|block| block.min(limit)),
            window: self.window.map(|window| window.min(MAX_WINDOW)),
            timeout: self.timeout,
            size: self.size.then_some(size),
        }
    }
}

fn capped(value: u64, max: u16) -> u16 {
    u16::try_from(value).map_or(max, |value| value.min(max))
}

/// The negotiated options: `None` where the client requested none and the protocol's default applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NegotiatedOptions {
    /// The block size in bytes.
    pub block: Option<u16>,
    /// How many blocks are sent for one acknowledgement.
    pub window: Option<u16>,
    /// The longest wait before a retransmission, in seconds.
    pub timeout: Option<u8>,
    /// The size of the file in bytes.
    pub size: Option<u64>,
}

impl NegotiatedOptions {
    /// In bytes.
    pub fn block(&self) -> u16 {
        self.block.unwrap_or(DEFAULT_BLOCK)
    }

    /// How many blocks are sent for one acknowledgement.
    pub fn window(&self) -> u16 {
        self.window.unwrap_or(1)
    }

    /// The options of the OACK; empty when the first block is the reply.
    pub fn to_packet(&self) -> Vec<TransferOption> {
        let all = [
            (OptionType::BlockSize, self.block.map(u64::from)),
            (OptionType::TransferSize, self.size),
            (OptionType::Timeout, self.timeout.map(u64::from)),
            (OptionType::WindowSize, self.window.map(u64::from)),
        ];
        let negotiated = all
            .into_iter()
            .filter_map(|(option, value)| Some((option, value?)));
        negotiated
            .map(|(option, value)| TransferOption { option, value })
            .collect()
    }

    /// Whether an OACK is sent.
    pub fn has_options(&self) -> bool {
        *self != NegotiatedOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(options: &[(OptionType, u64)]) -> RequestedOptions {
        let mut requested = RequestedOptions::default();
        for (option, value) in options {
            requested.add(*option, *value);
        }
        requested
    }

    #[test]
    fn supported_options_are_negotiated() {
        use OptionType::{BlockSize, Timeout, TransferSize, UTimeout, WindowSize, WindowWait};
        type Options = &'static [(OptionType, u64)];
        let cases: [(Options, Options); 17] = [
            (&[], &[]),
            (&[(BlockSize, 512)], &[(BlockSize, 512)]),
            (&[(BlockSize, 8)], &[(BlockSize, 8)]),
            (&[(BlockSize, 7)], &[]),
            (&[(BlockSize, 1_468)], &[(BlockSize, 1_468)]),
            (&[(BlockSize, 1_469)], &[(BlockSize, 1_468)]),
            (&[(BlockSize, u64::MAX)], &[(BlockSize, 1_468)]),
            (
                &[(BlockSize, 1_024), (BlockSize, 600)],
                &[(BlockSize, 1_024)],
            ),
            (&[(WindowSize, 16)], &[(WindowSize, 16)]),
            (&[(WindowSize, 65_536)], &[(WindowSize, 64)]),
            (&[(WindowSize, 0)], &[]),
            (&[(Timeout, 255)], &[(Timeout, 255)]),
            (&[(Timeout, 256)], &[]),
            (&[(Timeout, 0), (Timeout, 3)], &[(Timeout, 3)]),
            (&[(TransferSize, 0)], &[(TransferSize, 70_000)]),
            (&[(UTimeout, 5), (WindowWait, 5)], &[]),
            (
                &[
                    (WindowSize, 4),
                    (TransferSize, 9),
                    (BlockSize, 1_432),
                    (Timeout, 1),
                ],
                &[
                    (BlockSize, 1_432),
                    (TransferSize, 70_000),
                    (Timeout, 1),
                    (WindowSize, 4),
                ],
            ),
        ];
        for (options, expected) in cases {
            let negotiated = requested(options).negotiate(70_000, 1_468);
            let oack: Vec<_> = negotiated
                .to_packet()
                .iter()
                .map(|it| (it.option, it.value))
                .collect();
            assert_eq!(oack, expected, "{options:?}");
            assert_eq!(
                negotiated.has_options(),
                !expected.is_empty(),
                "{options:?}"
            );
        }
    }

    #[test]
    fn the_smallest_block_fits_every_path() {
        let wide = requested(&[(OptionType::BlockSize, 65_464)]);
        for (limit, block) in [(0, 8), (1_448, 1_448), (u16::MAX, 65_464)] {
            assert_eq!(wide.negotiate(0, limit).block(), block);
        }
        let plain = RequestedOptions::default().negotiate(0, 100);
        assert_eq!((plain.block(), plain.window()), (512, 1));
    }
}
