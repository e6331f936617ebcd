//! One file on its way to one client: what was acknowledged, what is to be sent, and when to send it again.
//!
//! Neither the bytes nor the client's address are known here. Blocks are counted from 1 without end; on the wire
//! only the low 16 bits of their number are seen, so files of any size roll over.

use std::time::Duration;

use super::NegotiatedOptions;

/// The wait before anything is known of the client's pace. Shorter than other servers' 1 to 5 s: what is lost on a
/// machine room's network is lost at once, and a repeated window costs less than an idle second.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The shortest wait. A client that writes to slow memory acknowledges late now and then.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait, where the client asked for no `timeout`.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often the same blocks are sent again before the client is given up: after about 13 s without a word.
const REPEATS: u32 = 6;
/// The same for the first answer. Whoever has acknowledged nothing may be a stranger whose address was borrowed.
const FIRST_REPEATS: u32 = 4;

/// A transfer.
#[derive(Debug)]
pub struct Transfer {
    block: u16,
    window: u16,
    size: u64,
    /// Whether the client asked for the size, as those do who want nothing else.
    asks_size: bool,
    /// Whether the options wait for their acknowledgement.
    greeting: bool,
    /// Whether the client has acknowledged anything.
    proven: bool,
    /// The highest block that is acknowledged, with all before it.
    acked: u64,
    /// The highest block that was sent since.
    sent: u64,
    /// Whether something in flight was sent before, so that its acknowledgement may be of either.
    repeated: bool,
    /// Whether a repeated acknowledgement may say that the first block in flight was lost.
    may_hurry: bool,
    /// How often this was sent again for want of an answer.
    repeats: u32,
    longest_wait: Duration,
    wait: Duration,
    /// The smoothed time from a window to its acknowledgement.
    pace: Option<Duration>,
    sent_at: Duration,
    deadline: Duration,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferStep {
    /// Send the options that were agreed on.
    Oack,
    /// Send these blocks.
    Send(BlockRange),
    /// Nothing, until something arrives or [`Transfer::deadline`] has come.
    Wait,
    /// Forget the transfer.
    End(TransferEnd),
}

/// Blocks that follow each other, by their numbers counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRange {
    /// The first.
    pub first: u64,
    /// The last, no less than the first.
    pub last: u64,
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferEnd {
    /// The last block was acknowledged.
    Completed,
    /// The client wanted to know the size alone, or that there is such a file.
    Probe,
    /// It has failed.
    Failed(TransferError),
}

/// Why a transfer failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The client has stopped answering.
    #[error("no answer to block {block}")]
    Silent {
        /// The block that it did not acknowledge; 0 is the options.
        block: u64,
    },
    /// The client has given up.
    #[error("the client gave up: error {code} `{text}`")]
    Client {
        /// The code of its ERROR.
        code: u16,
        /// What it said.
        text: String,
    },
}

impl Transfer {
    /// Begins to send a file of `size` bytes. Times are since any moment, the same in every call.
    pub fn begin(agreed: &NegotiatedOptions, size: u64, now: Duration) -> (Transfer, TransferStep) {
        let longest_wait = agreed
            .timeout
            .map(|seconds| Duration::from_secs(seconds.into()));
        let longest_wait = longest_wait.unwrap_or(LONGEST_WAIT);
        let mut transfer = Transfer {
            block: agreed.block(),
            window: agreed.window(),
            size,
            asks_size: agreed.size.is_some(),
            greeting: agreed.has_options(),
            proven: false,
            acked: 0,
            sent: 0,
            repeated: false,
            may_hurry: false,
            repeats: 0,
            longest_wait,
            wait: FIRST_WAIT,
            pace: None,
            sent_at: now,
            deadline: now,
        };
        let step = transfer.send(now);
        (transfer, step)
    }

    /// Takes in an ACK of the block whose number ends in `number`.
    pub fn on_ack(&mut self, number: u16, now: Duration) -> TransferStep {
        // How far it is from what was acknowledged last; the window is far smaller than what rolls over.
        let ahead = u64::from(number.wrapping_sub(low(self.acked)));
        if ahead > self.sent - self.acked {
            return TransferStep::Wait;
        }
        if self.greeting {
            return self.on_greeted(now);
        }
        if ahead == 0 {
            return self.on_repeated_ack(now);
        }
        self.acked += ahead;
        self.proven = true;
        if self.acked == self.last() {
            return TransferStep::End(TransferEnd::Completed);
        }
        self.learn_pace(now);
        // Blocks that the client had no use for are sent anew from the gap on (RFC 7440 section 4). One that was
        // sent twice a moment ago may make it complain of what is on its way already.
        let gap = self.acked < self.sent;
        if gap && self.repeated && self.is_early(now) {
            self.repeats = 0;
            return self.extend(now);
        }
        self.may_hurry = !gap && !self.repeated;
        self.repeated = gap;
        self.repeats = 0;
        self.send(now)
    }

    /// Takes in that the client has asked for the same once more, before it acknowledged anything.
    pub fn on_repeated_request(&mut self, now: Duration) -> TransferStep {
        if self.proven {
            return TransferStep::Wait;
        }
        self.send(now)
    }

    /// Takes in an ERROR.
    pub fn on_error(&mut self, code: u16, text: String) -> TransferStep {
        let is_probe = match code {
            // The options are not to its liking (RFC 2347), or it has seen what it wanted (UEFI's firmware).
            8 => true,
            // PXE ROMs say "TFTP Aborted" with code 0 once they know the size.
            0 => self.asks_size,
            _ => false,
        };
        if is_probe && self.acked == 0 {
            return TransferStep::End(TransferEnd::Probe);
        }
        TransferStep::End(TransferEnd::Failed(TransferError::Client { code, text }))
    }

    /// Takes in that time has passed.
    pub fn on_timeout(&mut self, now: Duration) -> TransferStep {
        if now < self.deadline {
            return TransferStep::Wait;
        }
        let most = if self.proven { REPEATS } else { FIRST_REPEATS };
        if self.repeats == most {
            let block = if self.greeting { 0 } else { self.acked + 1 };
            return TransferStep::End(TransferEnd::Failed(TransferError::Silent { block }));
        }
        self.repeats += 1;
        self.repeated = true;
        self.may_hurry = false;
        self.send(now)
    }

    /// When [`Transfer::on_timeout`] is due.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Tells whether the client has acknowledged anything, and so is who it says it is.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// How many bytes the client is known to have.
    pub fn delivered(&self) -> u64 {
        self.acked.saturating_mul(self.block.into()).min(self.size)
    }

    /// Where a block begins in the file, and how many bytes it has. The last block has fewer than the others, and
    /// maybe none: so the client knows that it is the last.
    pub fn place(&self, block: u64) -> (u64, u16) {
        let start = (block - 1) * u64::from(self.block);
        let left = u16::try_from(self.size.saturating_sub(start)).unwrap_or(u16::MAX);
        (start, left.min(self.block))
    }

    /// The size of a block in bytes.
    pub fn block(&self) -> u16 {
        self.block
    }

    fn last(&self) -> u64 {
        self.size / u64::from(self.block) + 1
    }

    /// The options are acknowledged by an ACK of block 0.
    fn on_greeted(&mut self, now: Duration) -> TransferStep {
        self.learn_pace(now);
        self.greeting = false;
        self.proven = true;
        self.repeats = 0;
        self.may_hurry = !self.repeated;
        self.repeated = false;
        self.send(now)
    }

    /// A duplicate acknowledgement must not trigger a resend, or every block would be sent twice from then on (the
    /// "sorcerer's apprentice", RFC 1123 section 4.2.3.1). In a window it may also say that the first block was
    /// lost. So it is heeded once, not before the window can have arrived, and only when nothing was sent twice in
    /// this window or the one before: the duplicates that a resend brings forth find no ear.
    fn on_repeated_ack(&mut self, now: Duration) -> TransferStep {
        if self.window == 1 || !self.may_hurry || self.is_early(now) {
            return TransferStep::Wait;
        }
        self.may_hurry = false;
        self.repeated = true;
        self.send(now)
    }

    /// Whether what was sent last cannot have been answered yet.
    fn is_early(&self, now: Duration) -> bool {
        now < self.sent_at + self.pace.unwrap_or_default() / 2
    }

    /// Sends what fits the window beyond what is on its way.
    fn extend(&mut self, now: Duration) -> TransferStep {
        self.deadline = now + self.wait();
        let first = self.sent + 1;
        let last = (self.acked + u64::from(self.window)).min(self.last());
        if first > last {
            return TransferStep::Wait;
        }
        self.sent = last;
        TransferStep::Send(BlockRange { first, last })
    }

    /// Sends what is not acknowledged, as much as fits the window.
    fn send(&mut self, now: Duration) -> TransferStep {
        self.sent_at = now;
        self.deadline = now + self.wait();
        if self.greeting {
            return TransferStep::Oack;
        }
        let first = self.acked + 1;
        let last = (self.acked + u64::from(self.window)).min(self.last());
        self.sent = last;
        TransferStep::Send(BlockRange { first, last })
    }

    /// The first wait follows the client's pace; then it has time to erase its flash or to come back to the network.
    fn wait(&self) -> Duration {
        let wait = match self.repeats {
            0 => self.wait,
            repeats => self.wait.max(FIRST_WAIT * (1 << repeats)),
        };
        wait.min(self.longest_wait)
    }

    /// What was sent twice tells nothing of the pace (Karn's algorithm): if it was slow, it is given more time.
    fn learn_pace(&mut self, now: Duration) {
        if self.repeats > 0 {
            self.wait = (self.wait * 2).min(self.longest_wait);
        }
        if self.repeated {
            return;
        }
        let took = now.saturating_sub(self.sent_at);
        let pace = self.pace.map_or(took, |pace| (pace * 7 + took) / 8);
        self.pace = Some(pace);
        self.wait = (pace * 4).clamp(SHORTEST_WAIT, LONGEST_WAIT);
    }
}

/// The number of a block on the wire.
fn low(block: u64) -> u16 {
    let [.., high, low] = block.to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    fn agreed(block: u16, window: u16) -> NegotiatedOptions {
        NegotiatedOptions {
            block: Some(block),
            window: Some(window),
            ..NegotiatedOptions::default()
        }
    }

    fn send(first: u64, last: u64) -> TransferStep {
        TransferStep::Send(BlockRange { first, last })
    }

    /// One that has its options acknowledged and its first window in flight.
    fn begun(agreed: &NegotiatedOptions, size: u64) -> Transfer {
        let (mut transfer, step) = Transfer::begin(agreed, size, START);
        assert_eq!(step, TransferStep::Oack);
        assert_eq!(transfer.on_ack(1, START), TransferStep::Wait);
        assert!(matches!(transfer.on_ack(0, START), TransferStep::Send(_)));
        transfer
    }

    #[test]
    fn without_options_the_first_block_is_the_answer() {
        let cases = [
            (0, vec![(0, 0)]),
            (1, vec![(0, 1)]),
            (511, vec![(0, 511)]),
            (512, vec![(0, 512), (512, 0)]),
            (1_025, vec![(0, 512), (512, 512), (1_024, 1)]),
        ];
        for (size, places) in cases {
            let (mut transfer, mut step) =
                Transfer::begin(&NegotiatedOptions::default(), size, START);
            for (number, place) in (1..).zip(&places) {
                let block = u64::from(number);
                assert_eq!(step, send(block, block), "{size}");
                assert_eq!(transfer.place(block), *place, "{size}");
                step = transfer.on_ack(number, START);
            }
            assert_eq!(step, TransferStep::End(TransferEnd::Completed), "{size}");
            assert_eq!(transfer.delivered(), size);
        }
    }

    #[test]
    fn a_window_goes_on_after_the_block_that_is_acknowledged() {
        // 100 blocks and an empty one.
        let mut transfer = begun(&agreed(8, 4), 800);
        let steps = [
            (4, send(5, 8)),
            // The client lacks block 7, and says so for every block after it.
            (6, send(7, 10)),
            (6, TransferStep::Wait),
            (6, TransferStep::Wait),
            // What is not in flight, or no longer.
            (11, TransferStep::Wait),
            (5, TransferStep::Wait),
            (65_535, TransferStep::Wait),
            (10, send(11, 14)),
            // Repeats that the resend brought forth.
            (10, TransferStep::Wait),
            (14, send(15, 18)),
            // A window without a repeat has passed: block 15 was lost.
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
    fn a_repeated_acknowledgement_of_single_blocks_is_never_heeded() {
        let mut transfer = begun(&agreed(8, 1), 800);
        for number in 0..50 {
            assert_eq!(transfer.on_ack(number, START), TransferStep::Wait);
            assert_ne!(transfer.on_ack(number + 1, START), TransferStep::Wait);
            assert_eq!(transfer.on_ack(number, START), TransferStep::Wait);
        }
    }

    #[test]
    fn numbers_roll_over() {
        // Four times 65,536 blocks, of a file that nobody has.
        for (block, window) in [(8, 64), (1_468, 7), (65_464, 1)] {
            let size = 4 * 65_536 * u64::from(block);
            let mut transfer = begun(&agreed(block, window), size);
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
            assert_eq!(transfer.place(in_flight), (size, 0));
            assert_eq!(transfer.delivered(), size);
        }
    }

    #[test]
    fn the_largest_file_is_no_overflow() {
        let mut transfer = begun(&agreed(8, 64), u64::MAX);
        assert_eq!(transfer.on_ack(64, START), send(65, 128));
        assert_eq!(transfer.place(u64::MAX / 8 + 1), (u64::MAX - 7, 7));
    }

    /// When it sends again, in milliseconds, and what it says at the end.
    fn waits(mut transfer: Transfer) -> (Vec<u128>, TransferStep) {
        let (mut now, mut waits) = (START, Vec::new());
        loop {
            let early = transfer.deadline() - Duration::from_millis(1);
            assert_eq!(transfer.on_timeout(early), TransferStep::Wait);
            waits.push((transfer.deadline() - now).as_millis());
            now = transfer.deadline();
            let step = transfer.on_timeout(now);
            if matches!(step, TransferStep::End(_)) {
                return (waits, step);
            }
        }
    }

    #[test]
    fn a_silent_client_is_given_up() {
        let silent =
            |block| TransferStep::End(TransferEnd::Failed(TransferError::Silent { block }));
        let one_second = NegotiatedOptions {
            timeout: Some(1),
            ..agreed(8, 4)
        };
        let cases = [
            // A stranger gets five datagrams in all.
            (
                Transfer::begin(&NegotiatedOptions::default(), 9, START).0,
                vec![250, 500, 1_000, 2_000, 4_000],
                silent(1),
            ),
            (
                Transfer::begin(&agreed(8, 4), 9, START).0,
                vec![250, 500, 1_000, 2_000, 4_000],
                silent(0),
            ),
            (
                begun(&agreed(8, 4), 800),
                vec![100, 500, 1_000, 2_000, 4_000, 5_000, 5_000],
                silent(1),
            ),
            (
                begun(&one_second, 800),
                vec![100, 500, 1_000, 1_000, 1_000, 1_000, 1_000],
                silent(1),
            ),
        ];
        for (transfer, times, end) in cases {
            assert_eq!(waits(transfer), (times, end));
        }
    }

    #[test]
    fn repeats_are_counted_for_each_block() {
        let mut transfer = begun(&agreed(8, 1), 800);
        for number in 1..=50 {
            for _ in 0..REPEATS {
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
        let mut transfer = begun(&agreed(8, 1), 8_000);
        let took = Duration::from_millis(700);
        let (mut now, mut repeats) = (START, Vec::new());
        for number in 1..20 {
            let mut repeated = 0;
            while transfer.deadline() < now + took {
                transfer.on_timeout(transfer.deadline());
                repeated += 1;
            }
            now += took;
            transfer.on_ack(number, now);
            repeats.push(repeated);
        }
        // It is learnt from the second answer on, and known after the first seven.
        assert!(repeats[..7].iter().sum::<i32>() <= 7, "{repeats:?}");
        assert_eq!(repeats[7..], [0; 12]);
    }

    #[test]
    fn giving_up_before_the_first_block_is_a_probe() {
        let client = |code| {
            TransferEnd::Failed(TransferError::Client {
                code,
                text: "no".into(),
            })
        };
        let probing = NegotiatedOptions {
            size: Some(800),
            ..agreed(8, 4)
        };
        let cases = [
            (&probing, 8, false, TransferEnd::Probe),
            (&probing, 0, false, TransferEnd::Probe),
            (&probing, 3, false, client(3)),
            (&probing, 8, true, client(8)),
            (&agreed(8, 4), 8, false, TransferEnd::Probe),
            (&agreed(8, 4), 0, false, client(0)),
        ];
        for (agreed, code, has_data, ending) in cases {
            let (mut transfer, _) = Transfer::begin(agreed, 800, START);
            if has_data {
                transfer.on_ack(0, START);
                transfer.on_ack(4, START);
            }
            assert_eq!(
                transfer.on_error(code, "no".into()),
                TransferStep::End(ending),
                "{code}"
            );
        }
    }

    #[test]
    fn a_repeated_request_is_answered_until_the_client_has_answered() {
        let (mut transfer, _) = Transfer::begin(&agreed(8, 4), 800, START);
        assert_eq!(transfer.on_repeated_request(START), TransferStep::Oack);
        assert!(!transfer.is_proven());
        transfer.on_ack(0, START);
        assert!(transfer.is_proven());
        assert_eq!(transfer.on_repeated_request(START), TransferStep::Wait);
    }
}
