//! What client and server agree on before the first block (RFC 2347).
//!
//! Only what was asked and understood is acknowledged; the rest is as if it had not been asked.

use tftpd::{OptionType, TransferOption};

/// The size of a block where the client asks for none, in bytes (RFC 1350 section 2).
pub const DEFAULT_BLOCK: u16 = 512;
/// The smallest size of a block that can be asked for, in bytes (RFC 2348).
pub const MIN_BLOCK: u16 = 8;
/// The largest size of a block that can be asked for, in bytes (RFC 2348).
pub const MAX_BLOCK: u16 = 65_464;
/// The most blocks that are sent without an acknowledgement. RFC 7440 allows 65,535, which no network card of a
/// booting machine can take in.
pub const MAX_WINDOW: u16 = 64;

/// The options of a request that are understood, as the client asked for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestedOptions {
    /// `blksize` (RFC 2348), from 8 on; what is larger than 65,464 counts as that.
    pub block: Option<u16>,
    /// `windowsize` (RFC 7440), from 1 on; what is larger than 65,535 counts as that.
    pub window: Option<u16>,
    /// `timeout` (RFC 2349), 1 to 255 seconds.
    pub timeout: Option<u8>,
    /// Whether `tsize` (RFC 2349) was asked.
    pub size: bool,
}

impl RequestedOptions {
    /// Takes in one option with its value. What is out of range, unknown or there already changes nothing: the
    /// first of a kind counts.
    pub fn take(&mut self, option: OptionType, value: u64) {
        match option {
            OptionType::BlockSize if self.block.is_none() && value >= MIN_BLOCK.into() => {
                self.block = Some(capped(value, MAX_BLOCK));
            }
            OptionType::WindowSize if self.window.is_none() && value >= 1 => {
                self.window = Some(capped(value, u16::MAX));
            }
            // The server may not answer with another value (RFC 2349), so an impossible one is left out.
            OptionType::Timeout if self.timeout.is_none() && value >= 1 => {
                self.timeout = u8::try_from(value).ok();
            }
            OptionType::TransferSize => self.size = true,
            // Out of range, repeated, or one of the two that no RFC has (utimeout, windowwait).
            _ => {}
        }
    }

    /// Agrees to what was asked, for a file of `size` bytes and a path that carries blocks of at most `max_block`
    /// bytes.
    pub fn agree(&self, size: u64, max_block: u16) -> NegotiatedOptions {
        let limit = max_block.clamp(MIN_BLOCK, MAX_BLOCK);
        NegotiatedOptions {
            block: self.block.map(|block| block.min(limit)),
            window: self.window.map(|window| window.min(MAX_WINDOW)),
            timeout: self.timeout,
            size: self.size.then_some(size),
        }
    }
}

/// The smaller of two numbers.
fn capped(value: u64, most: u16) -> u16 {
    u16::try_from(value).map_or(most, |value| value.min(most))
}

/// What is agreed on: `None` where the client did not ask, and the protocol's default holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NegotiatedOptions {
    /// The size of a block in bytes.
    pub block: Option<u16>,
    /// How many blocks are sent for one acknowledgement.
    pub window: Option<u16>,
    /// The longest wait before something is sent again, in seconds.
    pub timeout: Option<u8>,
    /// The size of the file in bytes.
    pub size: Option<u64>,
}

impl NegotiatedOptions {
    /// The size of a block in bytes.
    pub fn block(&self) -> u16 {
        self.block.unwrap_or(DEFAULT_BLOCK)
    }

    /// How many blocks are sent for one acknowledgement.
    pub fn window(&self) -> u16 {
        self.window.unwrap_or(1)
    }

    /// The options to acknowledge; none when the first block itself is the answer.
    pub fn options(&self) -> Vec<TransferOption> {
        let all = [
            (OptionType::BlockSize, self.block.map(u64::from)),
            (OptionType::TransferSize, self.size),
            (OptionType::Timeout, self.timeout.map(u64::from)),
            (OptionType::WindowSize, self.window.map(u64::from)),
        ];
        let asked = all
            .into_iter()
            .filter_map(|(option, value)| Some((option, value?)));
        asked
            .map(|(option, value)| TransferOption { option, value })
            .collect()
    }

    /// Tells whether there is something to acknowledge.
    pub fn has_options(&self) -> bool {
        *self != NegotiatedOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(options: &[(OptionType, u64)]) -> RequestedOptions {
        let mut asked = RequestedOptions::default();
        for (option, value) in options {
            asked.take(*option, *value);
        }
        asked
    }

    #[test]
    fn what_was_asked_and_understood_is_agreed_to() {
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
            let agreed = asked(options).agree(70_000, 1_468);
            let answer: Vec<_> = agreed
                .options()
                .iter()
                .map(|it| (it.option, it.value))
                .collect();
            assert_eq!(answer, expected, "{options:?}");
            assert_eq!(agreed.has_options(), !expected.is_empty(), "{options:?}");
        }
    }

    #[test]
    fn a_path_carries_at_least_the_smallest_block() {
        let wide = asked(&[(OptionType::BlockSize, 65_464)]);
        for (limit, block) in [(0, 8), (1_448, 1_448), (u16::MAX, 65_464)] {
            assert_eq!(wide.agree(0, limit).block(), block);
        }
        let plain = RequestedOptions::default().agree(0, 100);
        assert_eq!((plain.block(), plain.window()), (512, 1));
    }
}
