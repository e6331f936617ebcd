//! Tests of a transfer over a simulated network that loses, duplicates and reorders packets.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::{NegotiatedOptions, Transfer, TransferEnd, TransferStep};

/// The most datagrams lost between two new acknowledgements: one less than the server retransmits.
const MAX_LOST: u32 = 5;
/// The same before the first acknowledgement, when the server retransmits less often.
const MAX_LOST_FIRST: u32 = 3;

/// After this time without a new block the client repeats its acknowledgement.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
struct NetworkConditions {
    seed: u64,
    /// In percent.
    lost: u64,
    /// In percent.
    duplicated: u64,
    /// In milliseconds: each datagram takes 1 ms plus up to this.
    jitter: u64,
}

/// Behavior that the RFCs leave to the client.
#[derive(Debug, Clone, Copy)]
struct ClientBehavior {
    /// It acknowledges on every block after a gap, not only on the first.
    acks_every_gap: bool,
    /// It acknowledges every block that it already has.
    acks_duplicates: bool,
}

#[derive(Debug)]
enum SimulatedPacket {
    Oack,
    Data(u64),
    Ack(u64),
}

struct SimulatedNetwork {
    conditions: NetworkConditions,
    now: Duration,
    /// By time of arrival, then in the order of sending.
    in_flight: BTreeMap<(Duration, u64), SimulatedPacket>,
    count: u64,
    lost: u32,
    max_lost: u32,
    data_sent: u64,
}

/// The client. All blocks up to `received` have arrived.
struct SimulatedClient {
    behavior: ClientBehavior,
    window: u64,
    last: u64,
    received: u64,
    since_ack: u64,
    reported_gap: bool,
    /// When it repeats its acknowledgement.
    deadline: Duration,
}

impl SimulatedNetwork {
    fn random(&mut self, below: u64) -> u64 {
        // xorshift64*.
        let seed = &mut self.conditions.seed;
        *seed ^= *seed >> 12;
        *seed ^= *seed << 25;
        *seed ^= *seed >> 27;
        (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    fn send(&mut self, packet: impl Fn() -> SimulatedPacket) {
        if self.random(100) < self.conditions.lost && self.lost < self.max_lost {
            self.lost += 1;
            return;
        }
        self.schedule(packet());
        if self.random(100) < self.conditions.duplicated {
            self.schedule(packet());
        }
    }

    fn schedule(&mut self, packet: SimulatedPacket) {
        let delay = 1 + self.random(self.conditions.jitter + 1);
        let arrival = self.now + Duration::from_millis(delay);
        self.count += 1;
        self.in_flight.insert((arrival, self.count), packet);
    }

    /// Carries out a step of the server; returns how the transfer ended.
    fn perform(&mut self, step: TransferStep) -> Option<TransferEnd> {
        match step {
            TransferStep::Oack => self.send(|| SimulatedPacket::Oack),
            TransferStep::Send(blocks) => {
                for block in blocks.first..=blocks.last {
                    self.data_sent += 1;
                    self.send(|| SimulatedPacket::Data(block));
                }
            }
            TransferStep::Wait => {}
            TransferStep::End(end) => return Some(end),
        }
        None
    }

    fn ack(&mut self, client: &mut SimulatedClient) {
        client.since_ack = 0;
        let received = client.received;
        self.send(|| SimulatedPacket::Ack(received));
    }

    /// Delivers the next packet to the client or the server.
    fn deliver_next(
        &mut self,
        client: &mut SimulatedClient,
        transfer: &mut Transfer,
    ) -> TransferStep {
        let (_, packet) = self.in_flight.pop_first().expect("a packet is in flight");
        match packet {
            SimulatedPacket::Oack if client.received == 0 => {
                client.deadline = self.now + CLIENT_TIMEOUT;
                self.ack(client);
            }
            SimulatedPacket::Oack => {}
            SimulatedPacket::Data(block) => self.on_data(client, block),
            SimulatedPacket::Ack(block) => {
                let [.., high, low] = block.to_be_bytes();
                return transfer.on_ack(u16::from_be_bytes([high, low]), self.now);
            }
        }
        TransferStep::Wait
    }

    fn on_data(&mut self, client: &mut SimulatedClient, block: u64) {
        client.deadline = self.now + CLIENT_TIMEOUT;
        if block == client.received + 1 {
            client.received = block;
            client.since_ack += 1;
            client.reported_gap = false;
            if client.since_ack == client.window || block == client.last {
                self.ack(client);
            }
        } else if block > client.received {
            if !client.reported_gap || client.behavior.acks_every_gap {
                client.reported_gap = true;
                self.ack(client);
            }
        } else if client.behavior.acks_duplicates
            || (block == client.received && client.since_ack == 0)
        {
            self.ack(client);
        }
    }
}

/// Sends a file of `blocks` full blocks and an empty one; returns how many blocks were sent.
fn run(
    window: u16,
    blocks: u64,
    conditions: &NetworkConditions,
    behavior: ClientBehavior,
) -> Result<u64, String> {
    let options = NegotiatedOptions {
        block: Some(8),
        window: Some(window),
        ..NegotiatedOptions::default()
    };
    let mut network = SimulatedNetwork {
        conditions: conditions.clone(),
        now: Duration::ZERO,
        in_flight: BTreeMap::new(),
        count: 0,
        lost: 0,
        max_lost: MAX_LOST_FIRST,
        data_sent: 0,
    };
    let mut client = SimulatedClient {
        behavior,
        window: window.into(),
        last: blocks + 1,
        received: 0,
        since_ack: 0,
        reported_gap: false,
        deadline: Duration::MAX,
    };
    let (mut transfer, step) = Transfer::start(&options, blocks * 8, network.now);
    network.perform(step);
    loop {
        let delivered = transfer.delivered();
        let arrival = network
            .in_flight
            .keys()
            .next()
            .map_or(Duration::MAX, |(at, _)| *at);
        network.now = arrival.min(client.deadline).min(transfer.deadline());
        let step = if network.now == arrival {
            network.deliver_next(&mut client, &mut transfer)
        } else if network.now == client.deadline {
            client.deadline += CLIENT_TIMEOUT;
            network.ack(&mut client);
            TransferStep::Wait
        } else {
            transfer.on_timeout(network.now)
        };
        if transfer.delivered() > delivered {
            network.lost = 0;
        }
        if transfer.is_confirmed() {
            network.max_lost = MAX_LOST;
        }
        match network.perform(step) {
            None => {}
            Some(TransferEnd::Completed) if client.received == client.last => {
                return Ok(network.data_sent);
            }
            Some(end) => {
                let SimulatedClient { received, last, .. } = client;
                return Err(format!("{end:?}, the client has {received} of {last}"));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_block_arrives_despite_loss_duplication_and_reordering(
        seed in 1_u64..,
        lost in 0_u64..40,
        duplicated in 0_u64..40,
        jitter in 0_u64..30,
        window in 1_u16..=64,
        blocks in 0_u64..300,
        acks_every_gap: bool,
        acks_duplicates: bool,
    ) {
        let conditions = NetworkConditions { seed, lost, duplicated, jitter };
        let behavior = ClientBehavior { acks_every_gap, acks_duplicates };
        let sent = run(window, blocks, &conditions, behavior);
        prop_assert!(sent.is_ok(), "{sent:?}");
    }

    #[test]
    fn duplicated_packets_do_not_double_the_transfer(
        seed in 1_u64..,
        window in 1_u16..=64,
        acks_every_gap: bool,
        acks_duplicates: bool,
    ) {
        // Every packet arrives twice and none is lost (the "sorcerer's apprentice", RFC 1123 section 4.2.3.1).
        let conditions = NetworkConditions { seed, lost: 0, duplicated: 100, jitter: 0 };
        let behavior = ClientBehavior { acks_every_gap, acks_duplicates };
        let sent = run(window, 2_000, &conditions, behavior);
        prop_assert!(sent.as_ref().is_ok_and(|sent| *sent < 4_100), "{sent:?}");
    }
}

#[test]
fn block_numbers_wrap_on_a_lossy_network() {
    for window in [1, 16, 64] {
        let conditions = NetworkConditions {
            seed: 7,
            lost: 3,
            duplicated: 3,
            jitter: 5,
        };
        let behavior = ClientBehavior {
            acks_every_gap: true,
            acks_duplicates: false,
        };
        let sent = run(window, 70_000, &conditions, behavior);
        assert!(sent.is_ok(), "{window}: {sent:?}");
    }
}
