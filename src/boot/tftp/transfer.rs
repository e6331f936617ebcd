//! The state of one file transfer: which blocks were acknowledged, which to send, and when to retransmit.
//!
//! It holds neither the file's bytes nor the client's address. Blocks are counted from 1 without limit; packets carry
//! the low 16 bits of the number, so it wraps in large files.

use std::time::Duration;

use super::NegotiatedOptions;

/// The retransmission timeout before the first round-trip time is measured. Shorter than other servers' 1 to 5 s: on a
/// local network a repeated window costs less than an idle second.
const INITIAL_TIMEOUT: Duration = Duration::from_millis(250);
/// The shortest timeout. A client that writes to slow memory sometimes acknowledges late.
const MIN_TIMEOUT: Duration = Duration::from_millis(100);
/// The longest timeout, unless the client requested a `timeout`.
const MAX_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the same blocks are retransmitted before the transfer fails, after about 13 s without a packet from the
/// client.
const MAX_RETRANSMITS: u32 = 6;
/// The timeouts before the first acknowledgement. Until then the source address may be spoofed: it gets four packets, and its transfer
/// takes a place for 2 s. A client that needs longer repeats its request.
const FIRST_TIMEOUTS: [Duration; 4] = [
    INITIAL_TIMEOUT,
    Duration::from_millis(500),
    Duration::from_millis(500),
    Duration::from_millis(750),
];

#[derive(Debug)]
pub struct Transfer {
    block: u16,
    window: u16,
    size: u64,
    /// Whether the client requested `tsize`. Some clients only need the size, and abort the transfer.
    requests_size: bool,
    /// Whether the OACK is not acknowledged yet.
    negotiating: bool,
    /// Whether the client has acknowledged anything, so that its address is not spoofed.
    confirmed: bool,
    /// The highest acknowledged block; all before it are acknowledged too.
    acked: u64,
    /// The highest block that was sent.
    sent: u64,
    /// Whether a block in flight was sent more than once, so that its acknowledgement may be of either.
    retransmitted: bool,
    /// Whether a duplicate acknowledgement triggers a retransmission: the first block in flight may be lost.
    allows_fast_retransmit: bool,
    /// How often the blocks in flight were retransmitted after a timeout.
    retransmits: u32,
    max_timeout: Duration,
    timeout: Duration,
    /// The smoothed round-trip time, from a window to its acknowledgement.
    round_trip: Option<Duration>,
    sent_at: Duration,
    deadline: Duration,
}

/// What the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferStep {
    /// Send the OACK.
    Oack,
    Send(BlockRange),
    /// Wait for a packet or for [`Transfer::deadline`].
    Wait,
    /// Remove the transfer.
    End(TransferEnd),
}

/// Consecutive blocks, by number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRange {
    pub first: u64,
    /// Not less than `first`.
    pub last: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferEnd {
    /// The last block was acknowledged.
    Completed,
    /// The client only checked the size, or whether the file exists.
    Probe,
    Failed(TransferError),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    #[error("no acknowledgement of block {block}")]
    NoResponse {
        /// 0 means the OACK.
        block: u64,
    },
    #[error("the client aborted: error {code} `{text}`")]
    Aborted {
        /// The code and text of its ERROR.
        code: u16,
        text: String,
    },
}

impl Transfer {
    /// Starts the transfer of a file of `size` bytes. `now` counts from a fixed point in time, the same in every call.
    pub fn start(
        options: &NegotiatedOptions,
        size: u64,
        now: Duration,
    ) -> (Transfer, TransferStep) {
        let max_timeout = options
            .timeout
            .map(|seconds| Duration::from_secs(seconds.into()));
        let mut transfer = Transfer {
            block: options.block(),
            window: options.window(),
            size,
            requests_size: options.size.is_some(),
            negotiating: options.has_options(),
            confirmed: false,
            acked: 0,
            sent: 0,
            retransmitted: false,
            allows_fast_retransmit: false,
            retransmits: 0,
            max_timeout: max_timeout.unwrap_or(MAX_TIMEOUT),
            timeout: INITIAL_TIMEOUT,
            round_trip: None,
            sent_at: now,
            deadline: now,
        };
        let step = transfer.send(now);
        (transfer, step)
    }

    /// Ends the transfer if the first packet is not acknowledged: it is not retransmitted, because its receiver may not have requested
    /// it.
    pub fn send_first_once(&mut self) {
        self.retransmits = FIRST_TIMEOUTS.len() as u32 - 1;
    }

    /// Handles an ACK of the block whose low 16 bits are `number`.
    pub fn on_ack(&mut self, number: u16, now: Duration) -> TransferStep {
        // The distance to the last acknowledged block. The window is far smaller than 65,536, so this is unambiguous.
        let ahead = u64::from(number.wrapping_sub(low(self.acked)));
        if ahead > self.sent - self.acked {
            return TransferStep::Wait;
        }
        if self.negotiating {
            return self.on_oack_acknowledged(now);
        }
        if ahead == 0 {
            return self.on_duplicate_ack(now);
        }
        self.acked += ahead;
        self.confirmed = true;
        if self.acked == self.last() {
            return TransferStep::End(TransferEnd::Completed);
        }
        self.measure_round_trip(now);
        // After a gap, blocks are sent again from the gap on (RFC 7440 section 4). After a retransmission the client may
        // report a gap for blocks that are already on their way.
        let gap = self.acked < self.sent;
        if gap && self.retransmitted && self.is_early(now) {
            self.retransmits = 0;
            return self.extend(now);
        }
        self.allows_fast_retransmit = !gap && !self.retransmitted;
        self.retransmitted = gap;
        self.retransmits = 0;
        self.send(now)
    }

    /// Handles a repeated request, which the client sends until it receives a reply.
    pub fn on_repeated_request(&mut self, now: Duration) -> TransferStep {
        if self.confirmed {
            return TransferStep::Wait;
        }
        self.send(now)
    }

    /// Handles an ERROR.
    pub fn on_error(&mut self, code: u16, text: String) -> TransferStep {
        let is_probe = match code {
            // The client rejects the options (RFC 2347), or only needed the size (UEFI firmware).
            8 => true,
            // PXE ROMs send "TFTP Aborted" with code 0 after they received the size.
            0 => self.requests_size,
            _ => false,
        };
        if is_probe && self.acked == 0 {
            return TransferStep::End(TransferEnd::Probe);
        }
        TransferStep::End(TransferEnd::Failed(TransferError::Aborted { code, text }))
    }

    /// Handles the passing of time.
    pub fn on_timeout(&mut self, now: Duration) -> TransferStep {
        if now < self.deadline {
            return TransferStep::Wait;
        }
        let max = if self.confirmed {
            MAX_RETRANSMITS
        } else {
            FIRST_TIMEOUTS.len() as u32 - 1
        };
        if self.retransmits == max {
            let block = if self.negotiating { 0 } else { self.acked + 1 };
            return TransferStep::End(TransferEnd::Failed(TransferError::NoResponse { block }));
        }
        self.retransmits += 1;
        self.retransmitted = true;
        self.allows_fast_retransmit = false;
        self.send(now)
    }

    /// When [`Transfer::on_timeout`] is to be called.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Whether the client has acknowledged anything, so that its address is not spoofed.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// How many bytes the client has acknowledged.
    pub fn delivered(&self) -> u64 {
        self.acked.saturating_mul(self.block.into()).min(self.size)
    }

    /// The offset of a block in the file, and its length. The last block is shorter than the others and may be empty:
    /// that marks the end of the file.
    pub fn position(&self, block: u64) -> (u64, u16) {
        let start = (block - 1) * u64::from(self.block);
        let left = u16::try_from(self.size.saturating_sub(start)).unwrap_or(u16::MAX);
        (start, left.min(self.block))
    }

    /// The block size in bytes.
    pub fn block(&self) -> u16 {
        self.block
    }

    fn last(&self) -> u64 {
        self.size / u64::from(self.block) + 1
    }

    /// The client acknowledges the OACK with an ACK of block 0.
    fn on_oack_acknowledged(&mut self, now: Duration) -> TransferStep {
        self.measure_round_trip(now);
        self.negotiating = false;
        self.confirmed = true;
        self.retransmits = 0;
        self.allows_fast_retransmit = !self.retransmitted;
        self.retransmitted = false;
        self.send(now)
    }

    /// A duplicate acknowledgement must not trigger a retransmission, or every block would be sent twice from then on
    /// (the "sorcerer's apprentice", RFC 1123 section 4.2.3.1). With a window it may also report that the first block
    /// was lost. So it triggers one retransmission, not before the window can have arrived, and only if nothing was
    /// sent twice in this window or the one before: duplicates that a retransmission causes are ignored.
    fn on_duplicate_ack(&mut self, now: Duration) -> TransferStep {
        if self.window == 1 || !self.allows_fast_retransmit || self.is_early(now) {
            return TransferStep::Wait;
        }
        self.allows_fast_retransmit = false;
        self.retransmitted = true;
        self.send(now)
    }

    /// Whether the last packets cannot have been acknowledged yet.
    fn is_early(&self, now: Duration) -> bool {
        now < self.sent_at + self.round_trip.unwrap_or_default() / 2
    }

    /// Sends the blocks that fit the window after those in flight.
    fn extend(&mut self, now: Duration) -> TransferStep {
        self.deadline = now + self.next_timeout();
        let first = self.sent + 1;
        let last = (self.acked + u64::from(self.window)).min(self.last());
        if first > last {
            return TransferStep::Wait;
        }
        self.sent = last;
        TransferStep::Send(BlockRange { first, last })
    }

    /// Sends the blocks of the window that are not acknowledged.
    fn send(&mut self, now: Duration) -> TransferStep {
        self.sent_at = now;
        self.deadline = now + self.next_timeout();
        if self.negotiating {
            return TransferStep::Oack;
        }
        let first = self.acked + 1;
        let last = (self.acked + u64::from(self.window)).min(self.last());
        self.sent = last;
        TransferStep::Send(BlockRange { first, last })
    }

    /// The first timeout follows the round-trip time. Later ones leave the client time to erase flash memory or to
    /// reconnect.
    fn next_timeout(&self) -> Duration {
        if !self.confirmed {
            return FIRST_TIMEOUTS[self.retransmits as usize];
        }
        let timeout = match self.retransmits {
            0 => self.timeout,
            count => self.timeout.max(INITIAL_TIMEOUT * (1 << count)),
        };
        timeout.min(self.max_timeout)
    }

    /// The round-trip time of a retransmitted block is ambiguous and not measured (Karn's algorithm). After a
    /// retransmission the timeout doubles.
    fn measure_round_trip(&mut self, now: Duration) {
        if self.retransmits > 0 {
            self.timeout = (self.timeout * 2).min(self.max_timeout);
        }
        if self.retransmitted {
            return;
        }
        let took = now.saturating_sub(self.sent_at);
        let smoothed = |average: Duration| (average * 7 + took) / 8;
        let round_trip = self.round_trip.map_or(took, smoothed);
        self.round_trip = Some(round_trip);
        self.timeout = (round_trip * 4).clamp(MIN_TIMEOUT, MAX_TIMEOUT);
    }
}

/// The number of a block in packets: its low 16 bits.
fn low(block: u64) -> u16 {
    let [.., high, low] = block.to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    fn options(block: u16, window: u16) -> NegotiatedOptions {
        NegotiatedOptions {
            block: Some(block),
            window: Some(window),
            ..NegotiatedOptions::default()
        }
    }

    fn send(first: u64, last: u64) -> TransferStep {
        TransferStep::Send(BlockRange { first, last })
    }

    /// A transfer with its OACK acknowledged and its first window in flight.
    fn started(options: &NegotiatedOptions, size: u64) -> Transfer {
        let (mut transfer, step) = Transfer::start(options, size, START);
        assert_eq!(step, TransferStep::Oack);
        assert_eq!(transfer.on_ack(1, START), TransferStep::Wait);
        assert!(matches!(transfer.on_ack(0, START), TransferStep::Send(_)));
        transfer
    }

    #[test]
    fn without_options_the_first_block_is_the_reply() {
        let cases = [
            (0, vec![(0, 0)]),
            (1, vec![(0, 1)]),
            (511, vec![(0, 511)]),
            (512, vec![(0, 512), (512, 0)]),
            (1_025, vec![(0, 512), (512, 512), (1_024, 1)]),
        ];
        for (size, positions) in cases {
            let (mut transfer, mut step) =
                Transfer::start(&NegotiatedOptions::default(), size, START);
            for (number, position) in (1..).zip(&positions) {
                let block = u64::from(number);
                assert_eq!(step, send(block, block), "{size}");
                assert_eq!(transfer.position(block), *position, "{size}");
                step = transfer.on_ack(number, START);
            }
            assert_eq!(step, TransferStep::End(TransferEnd::Completed), "{size}");
            assert_eq!(transfer.delivered(), size);
        }
    }

    #[test]
    fn the_window_continues_after_the_acknowledged_block() {
        // 100 blocks and an empty one.
        let mut transfer = started(&options(8, 4), 800);
        let steps = [
            (4, send(5, 8)),
            // Block 7 was lost; the client acknowledges block 6 for every block after it.
            (6, send(7, 10)),
            (6, TransferStep::Wait),
            (6, TransferStep::Wait),
            // Blocks that are not in flight, or no longer.
            (11, TransferStep::Wait),
            (5, TransferStep::Wait),
            (65_535, TransferStep::Wait),
            (10, send(11, 14)),
            // Duplicates that the retransmission caused.
            (10, TransferStep::Wait),
            (14, send(15, 18)),
            // After a window without a retransmission: block 15 was lost.
            (14, send(15, 18)),
            (14, TransferStep::Wait),
            (18, send(19, 22)),
            (18, TransferStep::Wait),
        ];
        for (number, step) in steps {
            assert_eq!(transfer.on_ack(number, START), step, "{number}");
        }
    }

    #[test]
    fn a_duplicate_acknowledgement_of_single_blocks_is_ignored() {
        let mut transfer = started(&options(8, 1), 800);
        for number in 0..50 {
            assert_eq!(transfer.on_ack(number, START), TransferStep::Wait);
            assert_ne!(transfer.on_ack(number + 1, START), TransferStep::Wait);
            assert_eq!(transfer.on_ack(number, START), TransferStep::Wait);
        }
    }

    #[test]
    fn block_numbers_wrap() {
        // Four times 65,536 blocks.
        for (block, window) in [(8, 64), (1_468, 7), (65_464, 1)] {
            let size = 4 * 65_536 * u64::from(block);
            let mut transfer = started(&options(block, window), size);
            let mut in_flight = u64::from(window);
            loop {
                let step = transfer.on_ack(low(in_flight), START);
                let TransferStep::Send(blocks) = step else {
                    assert_eq!(step, TransferStep::End(TransferEnd::Completed));
                    break;
                };
                assert_eq!(blocks.first, in_flight + 1);
                in_flight = blocks.last;
            }
            assert_eq!(in_flight, 4 * 65_536 + 1);
            assert_eq!(transfer.position(in_flight), (size, 0));
            assert_eq!(transfer.delivered(), size);
        }
    }

    #[test]
    fn the_largest_file_does_not_overflow() {
        let mut transfer = started(&options(8, 64), u64::MAX);
        assert_eq!(transfer.on_ack(64, START), send(65, 128));
        assert_eq!(transfer.position(u64::MAX / 8 + 1), (u64::MAX - 7, 7));
    }

    /// The timeouts in milliseconds, and the last step.
    fn timeouts(mut transfer: Transfer) -> (Vec<u128>, TransferStep) {
        let (mut now, mut timeouts) = (START, Vec::new());
        loop {
            let early = transfer.deadline() - Duration::from_millis(1);
            assert_eq!(transfer.on_timeout(early), TransferStep::Wait);
            timeouts.push((transfer.deadline() - now).as_millis());
            now = transfer.deadline();
            let step = transfer.on_timeout(now);
            if matches!(step, TransferStep::End(_)) {
                return (timeouts, step);
            }
        }
    }

    #[test]
    fn a_transfer_without_acknowledgements_fails() {
        let without_reply =
            |block| TransferStep::End(TransferEnd::Failed(TransferError::NoResponse { block }));
        let one_second = NegotiatedOptions {
            timeout: Some(1),
            ..options(8, 4)
        };
        let cases = [
            // An unconfirmed client gets four datagrams in all.
            (
                Transfer::start(&NegotiatedOptions::default(), 9, START).0,
                vec![250, 500, 500, 750],
                without_reply(1),
            ),
            (
                Transfer::start(&options(8, 4), 9, START).0,
                vec![250, 500, 500, 750],
                without_reply(0),
            ),
            (
                started(&options(8, 4), 800),
                vec![100, 500, 1_000, 2_000, 4_000, 5_000, 5_000],
                without_reply(1),
            ),
            (
                started(&one_second, 800),
                vec![100, 500, 1_000, 1_000, 1_000, 1_000, 1_000],
                without_reply(1),
            ),
        ];
        for (transfer, times, end) in cases {
            assert_eq!(timeouts(transfer), (times, end));
        }
    }

    #[test]
    fn the_first_block_of_an_unchecked_client_is_not_retransmitted() {
        let begin = || {
            let (mut transfer, _) = Transfer::start(&NegotiatedOptions::default(), 5_000, START);
            transfer.send_first_once();
            transfer
        };
        let mut transfer = begin();
        assert_eq!(transfer.on_repeated_request(START), send(1, 1));
        let late = transfer.deadline();
        let end = TransferEnd::Failed(TransferError::NoResponse { block: 1 });
        assert_eq!(transfer.on_timeout(late), TransferStep::End(end));
        // With an acknowledgement it is a transfer like any other.
        let mut transfer = begin();
        assert_eq!(transfer.on_ack(1, START), send(2, 2));
        assert_eq!(transfer.on_timeout(transfer.deadline()), send(2, 2));
    }

    #[test]
    fn retransmissions_are_counted_for_each_block() {
        let mut transfer = started(&options(8, 1), 800);
        for number in 1..=50 {
            for _ in 0..MAX_RETRANSMITS {
                let now = transfer.deadline();
                assert_eq!(transfer.on_timeout(now), send(number.into(), number.into()));
            }
            assert_ne!(
                transfer.on_ack(number, transfer.deadline()),
                TransferStep::Wait
            );
        }
    }

    #[test]
    fn a_slow_client_gets_more_time() {
        let mut transfer = started(&options(8, 1), 8_000);
        let took = Duration::from_millis(700);
        let (mut now, mut counts) = (START, Vec::new());
        for number in 1..20 {
            let mut count = 0;
            while transfer.deadline() < now + took {
                transfer.on_timeout(transfer.deadline());
                count += 1;
            }
            now += took;
            transfer.on_ack(number, now);
            counts.push(count);
        }
        // The timeout grows from the second acknowledgement on and fits after seven.
        assert!(counts[..7].iter().sum::<i32>() <= 7, "{counts:?}");
        assert_eq!(counts[7..], [0; 12]);
    }

    #[test]
    fn an_abort_before_the_first_block_is_a_probe() {
        let client = |code| {
            TransferEnd::Failed(TransferError::Aborted {
                code,
                text: "no".into(),
            })
        };
        let probing = NegotiatedOptions {
            size: Some(800),
            ..options(8, 4)
        };
        let cases = [
            (&probing, 8, false, TransferEnd::Probe),
            (&probing, 0, false, TransferEnd::Probe),
            (&probing, 3, false, client(3)),
            (&probing, 8, true, client(8)),
            (&options(8, 4), 8, false, TransferEnd::Probe),
            (&options(8, 4), 0, false, client(0)),
        ];
        for (options, code, has_data, end) in cases {
            let (mut transfer, _) = Transfer::start(options, 800, START);
            if has_data {
                transfer.on_ack(0, START);
                transfer.on_ack(4, START);
            }
            assert_eq!(
                transfer.on_error(code, "no".into()),
                TransferStep::End(end),
                "{code}"
            );
        }
    }

    #[test]
    fn a_repeated_request_gets_a_reply_until_the_first_acknowledgement() {
        let (mut transfer, _) = Transfer::start(&options(8, 4), 800, START);
        assert_eq!(transfer.on_repeated_request(START), TransferStep::Oack);
        assert!(!transfer.is_confirmed());
        transfer.on_ack(0, START);
        assert!(transfer.is_confirmed());
        assert_eq!(transfer.on_repeated_request(START), TransferStep::Wait);
    }
}
