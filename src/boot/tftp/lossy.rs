//! A transfer over a network that loses, doubles and overtakes, to a client that keeps to the RFCs.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::{NegotiatedOptions, Transfer, TransferEnd, TransferStep};

/// So many datagrams may be lost before the server hears something new: one less than it repeats.
const MOST_LOST: u32 = 5;
/// The same before the client has acknowledged anything: a server gives up on strangers sooner.
const MOST_LOST_FIRST: u32 = 3;

/// The client's patience.
const ALARM: Duration = Duration::from_secs(1);

/// What becomes of datagrams.
#[derive(Debug, Clone)]
struct Weather {
    seed: u64,
    /// Of a hundred datagrams.
    lost: u64,
    doubled: u64,
    /// In milliseconds: each takes up to so much longer than 1 ms.
    spread: u64,
}

/// How the client keeps to the RFCs.
#[derive(Debug, Clone, Copy)]
struct Manners {
    /// It complains of every block after a gap, not of the first alone.
    complains: bool,
    /// It acknowledges every block that it has already.
    repeats: bool,
}

/// A datagram on its way.
#[derive(Debug)]
enum Event {
    Oack,
    Data(u64),
    Ack(u64),
}

struct World {
    weather: Weather,
    now: Duration,
    /// By time of arrival, and in the order of sending where that is the same.
    events: BTreeMap<(Duration, u64), Event>,
    count: u64,
    lost: u32,
    most_lost: u32,
    data_sent: u64,
}

/// The client: all blocks up to `have` arrived.
struct Client {
    manners: Manners,
    window: u64,
    last: u64,
    have: u64,
    since_ack: u64,
    complained: bool,
    /// When it acknowledges once more for want of news.
    alarm: Duration,
}

impl World {
    fn random(&mut self, below: u64) -> u64 {
        // xorshift64*.
        let seed = &mut self.weather.seed;
        *seed ^= *seed >> 12;
        *seed ^= *seed << 25;
        *seed ^= *seed >> 27;
        (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    fn post(&mut self, make: impl Fn() -> Event) {
        if self.random(100) < self.weather.lost && self.lost < self.most_lost {
            self.lost += 1;
            return;
        }
        self.deliver(make());
        if self.random(100) < self.weather.doubled {
            self.deliver(make());
        }
    }

    fn deliver(&mut self, event: Event) {
        let late = 1 + self.random(self.weather.spread + 1);
        self.at(Duration::from_millis(late), event);
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.count += 1;
        self.events.insert((self.now + after, self.count), event);
    }

    /// Does what the server says; returns the ending.
    fn perform(&mut self, step: TransferStep) -> Option<TransferEnd> {
        match step {
            TransferStep::Oack => self.post(|| Event::Oack),
            TransferStep::Send(blocks) => {
                for block in blocks.first..=blocks.last {
                    self.data_sent += 1;
                    self.post(|| Event::Data(block));
                }
            }
            TransferStep::Wait => {}
            TransferStep::End(ending) => return Some(ending),
        }
        None
    }

    fn ack(&mut self, client: &mut Client) {
        client.since_ack = 0;
        let have = client.have;
        self.post(|| Event::Ack(have));
    }

    /// What arrives next, wherever it goes.
    fn arrive(&mut self, client: &mut Client, transfer: &mut Transfer) -> TransferStep {
        let (_, event) = self.events.pop_first().expect("something is on its way");
        match event {
            Event::Oack if client.have == 0 => {
                client.alarm = self.now + ALARM;
                self.ack(client);
            }
            Event::Oack => {}
            Event::Data(block) => self.on_data(client, block),
            Event::Ack(block) => {
                let [.., high, low] = block.to_be_bytes();
                return transfer.on_ack(u16::from_be_bytes([high, low]), self.now);
            }
        }
        TransferStep::Wait
    }

    fn on_data(&mut self, client: &mut Client, block: u64) {
        client.alarm = self.now + ALARM;
        if block == client.have + 1 {
            client.have = block;
            client.since_ack += 1;
            client.complained = false;
            if client.since_ack == client.window || block == client.last {
                self.ack(client);
            }
        } else if block > client.have {
            if !client.complained || client.manners.complains {
                client.complained = true;
                self.ack(client);
            }
        } else if client.manners.repeats || (block == client.have && client.since_ack == 0) {
            self.ack(client);
        }
    }
}

/// Sends a file of `blocks` full blocks and an empty one; returns how many blocks were sent.
fn run(window: u16, blocks: u64, weather: &Weather, manners: Manners) -> Result<u64, String> {
    let agreed = NegotiatedOptions {
        block: Some(8),
        window: Some(window),
        ..NegotiatedOptions::default()
    };
    let mut world = World {
        weather: weather.clone(),
        now: Duration::ZERO,
        events: BTreeMap::new(),
        count: 0,
        lost: 0,
        most_lost: MOST_LOST_FIRST,
        data_sent: 0,
    };
    let mut client = Client {
        manners,
        window: window.into(),
        last: blocks + 1,
        have: 0,
        since_ack: 0,
        complained: false,
        alarm: Duration::MAX,
    };
    let (mut transfer, step) = Transfer::begin(&agreed, blocks * 8, world.now);
    world.perform(step);
    loop {
        let delivered = transfer.delivered();
        let arrival = world
            .events
            .keys()
            .next()
            .map_or(Duration::MAX, |(at, _)| *at);
        world.now = arrival.min(client.alarm).min(transfer.deadline());
        let step = if world.now == arrival {
            world.arrive(&mut client, &mut transfer)
        } else if world.now == client.alarm {
            client.alarm += ALARM;
            world.ack(&mut client);
            TransferStep::Wait
        } else {
            transfer.on_timeout(world.now)
        };
        if transfer.delivered() > delivered {
            world.lost = 0;
        }
        if transfer.is_proven() {
            world.most_lost = MOST_LOST;
        }
        match world.perform(step) {
            None => {}
            Some(TransferEnd::Completed) if client.have == client.last => {
                return Ok(world.data_sent);
            }
            Some(ending) => {
                let have = client.have;
                return Err(format!(
                    "{ending:?}, the client has {have} of {}",
                    client.last
                ));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_byte_arrives_in_any_weather(
        seed in 1_u64..,
        lost in 0_u64..40,
        doubled in 0_u64..40,
        spread in 0_u64..30,
        window in 1_u16..=64,
        blocks in 0_u64..300,
        complains: bool,
        repeats: bool,
    ) {
        let weather = Weather { seed, lost, doubled, spread };
        let sent = run(window, blocks, &weather, Manners { complains, repeats });
        prop_assert!(sent.is_ok(), "{sent:?}");
    }

    #[test]
    fn a_doubling_network_makes_no_apprentice(
        seed in 1_u64..,
        window in 1_u16..=64,
        complains: bool,
        repeats: bool,
    ) {
        // Everything arrives twice, nothing is lost: hardly more is sent than once.
        let weather = Weather { seed, lost: 0, doubled: 100, spread: 0 };
        let sent = run(window, 2_000, &weather, Manners { complains, repeats });
        prop_assert!(sent.as_ref().is_ok_and(|sent| *sent < 4_100), "{sent:?}");
    }
}

#[test]
fn numbers_roll_over_in_bad_weather() {
    for window in [1, 16, 64] {
        let weather = Weather {
            seed: 7,
            lost: 3,
            doubled: 3,
            spread: 5,
        };
        let manners = Manners {
            complains: true,
            repeats: false,
        };
        let sent = run(window, 70_000, &weather, manners);
        assert!(sent.is_ok(), "{window}: {sent:?}");
    }
}
