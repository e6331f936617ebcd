//! The active transfers: reading blocks and sending them.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    time::Duration,
};

use super::{
    FileContent, OpenedFile, OutcomeCallback, TransferOutcome,
    origin::{Origin, origin},
    ports::ReceivedAt,
    socket::{LocalAddress, TftpSocket},
};
use crate::{
    boot::tftp::{
        BlockRange, NegotiatedOptions, Transfer, TransferEnd, TransferError, TransferStep,
        data_header, encode_oack,
    },
    model::Mac,
};

/// The most transfers at a time: more than the machines that boot from one server.
const MAX_TRANSFERS: usize = 2_048;
/// The most transfers of one address. Firmware has one or two.
const MAX_TRANSFERS_PER_ADDRESS: usize = 64;

/// The largest block that is read ahead, in bytes: with a window of one block, the next is read while the client handles
/// the last. All transfers together hold at most 4 MiB this way.
const MAX_READ_AHEAD: usize = 2_048;

/// The size of a DATA packet's header in bytes.
const DATA_HEADER: usize = 4;

/// All transfers, by the client's address and port.
#[derive(Default)]
pub(super) struct Transfers {
    all: HashMap<SocketAddr, ActiveTransfer>,
    count_by_address: HashMap<IpAddr, usize>,
    /// Those of transfers that have one of their own.
    sockets: HashMap<SocketAddr, TftpSocket>,
    /// The packets of a window.
    packets: Vec<u8>,
    /// The bytes of a window as read from the file.
    read: Vec<u8>,
}

struct ActiveTransfer {
    name: String,
    transfer: Transfer,
    options: NegotiatedOptions,
    content: FileContent,
    on_end: OutcomeCallback,
    local: Option<LocalAddress>,
    /// The MACs that sent the request, if the kernel had none of its address yet.
    unresolved: Option<Vec<Mac>>,
    started: Duration,
    /// The next block, and its offset in the file.
    read_ahead: Vec<u8>,
    read_ahead_offset: u64,
}

pub(super) struct AcceptedRequest {
    pub(super) name: String,
    pub(super) options: NegotiatedOptions,
    pub(super) file: OpenedFile,
    /// The socket of the transfer; none: that of requests.
    pub(super) socket: Option<TftpSocket>,
    pub(super) local: Option<LocalAddress>,
    /// Whether the first packet is not retransmitted.
    pub(super) is_first_sent_once: bool,
    /// The MACs that sent the request, if its origin is checked at the first acknowledgement.
    pub(super) unresolved: Option<Vec<Mac>>,
}

impl Transfers {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether a packet from this client belongs to its transfer: it came to the socket of the transfer.
    pub(super) fn is_at(&self, from: SocketAddr, at: ReceivedAt) -> bool {
        match at {
            ReceivedAt::Requests => !self.sockets.contains_key(&from),
            ReceivedAt::Transfer(client) => client == from,
        }
    }

    pub(super) fn have_sockets(&self) -> bool {
        !self.sockets.is_empty()
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = (ReceivedAt, BorrowedFd<'_>)> {
        let sockets = self.sockets.iter();
        sockets.map(|(client, socket)| (ReceivedAt::Transfer(*client), socket.fd()))
    }

    pub(super) fn socket(&self, client: SocketAddr) -> Option<&TftpSocket> {
        self.sockets.get(&client)
    }

    /// Whether one more transfer from this address is allowed.
    pub(super) fn has_room(&self, from: SocketAddr) -> bool {
        let count = self.count_by_address.get(&from.ip()).copied();
        self.all.len() < MAX_TRANSFERS && count.unwrap_or(0) < MAX_TRANSFERS_PER_ADDRESS
    }

    /// Whether the client already has a transfer of this file.
    pub(super) fn is_repeated(&self, from: SocketAddr, name: &str) -> bool {
        self.all
            .get(&from)
            .is_some_and(|transfer| transfer.name == name)
    }

    pub(super) fn start(
        &mut self,
        socket: &TftpSocket,
        from: SocketAddr,
        accepted: AcceptedRequest,
        now: Duration,
    ) {
        self.end(from, |_| TransferOutcome::Failed {
            reason: "the client requested another file".into(),
            delivered: 0,
            no_response: false,
        });
        let size = accepted.file.content.length();
        let (mut transfer, step) = Transfer::start(&accepted.options, size, now);
        if accepted.is_first_sent_once {
            transfer.send_first_once();
        }
        let active = ActiveTransfer {
            name: accepted.name,
            transfer,
            options: accepted.options,
            content: accepted.file.content,
            on_end: accepted.file.on_end,
            local: accepted.local,
            unresolved: accepted.unresolved,
            started: now,
            read_ahead: Vec::new(),
            read_ahead_offset: 0,
        };
        if let Some(socket) = accepted.socket {
            self.sockets.insert(from, socket);
        }
        *self.count_by_address.entry(from.ip()).or_default() += 1;
        self.all.insert(from, active);
        self.perform(socket, from, step, now);
    }

    /// Passes an event to a client's transfer; returns whether there is one.
    pub(super) fn step(
        &mut self,
        socket: &TftpSocket,
        from: SocketAddr,
        now: Duration,
        event: impl FnOnce(&mut Transfer) -> TransferStep,
    ) -> bool {
        let Some(active) = self.all.get_mut(&from) else {
            return false;
        };
        let step = event(&mut active.transfer);
        self.perform(socket, from, step, now);
        true
    }

    /// Checks the origin of a transfer whose request came before the kernel had a MAC of its address. It has one by the first
    /// acknowledgement, because a packet was sent there. If it is another one, the transfer ends.
    pub(super) fn check_origin(&mut self, from: SocketAddr) {
        let active = self.all.get_mut(&from);
        let Some(sent) = active.and_then(|active| active.unresolved.take()) else {
            return;
        };
        if origin(from.ip().to_canonical(), sent) != Origin::Host {
            self.end(from, |_| TransferOutcome::Failed {
                reason: "another host sent the request".into(),
                delivered: 0,
                no_response: true,
            });
        }
    }

    /// Passes timeouts to the transfers.
    pub(super) fn tick(&mut self, socket: &TftpSocket, now: Duration) {
        let late: Vec<SocketAddr> = self
            .all
            .iter()
            .filter(|(_, active)| active.transfer.deadline() <= now)
            .map(|(from, _)| *from)
            .collect();
        for from in late {
            self.step(socket, from, now, |transfer| transfer.on_timeout(now));
        }
    }

    fn perform(
        &mut self,
        socket: &TftpSocket,
        from: SocketAddr,
        step: TransferStep,
        now: Duration,
    ) {
        match step {
            TransferStep::Wait => {}
            TransferStep::Oack => {
                if let Some(active) = self.all.get(&from) {
                    let bytes = encode_oack(&active.options);
                    let socket = self.sockets.get(&from).unwrap_or(socket);
                    socket.send(&bytes, bytes.len(), from, active.local.as_ref());
                }
            }
            TransferStep::Send(blocks) => {
                if let Err(error) = self.send(socket, from, blocks) {
                    tracing::warn!("TFTP: reading `{}` failed: {error}", self.name(from));
                    self.end(from, |active| TransferOutcome::Failed {
                        reason: format!("reading the file failed: {error}"),
                        delivered: active.transfer.delivered(),
                        no_response: false,
                    });
                }
            }
            TransferStep::End(end) => self.end(from, |active| match end {
                TransferEnd::Completed => TransferOutcome::Completed {
                    bytes: active.content.length(),
                    took: now.saturating_sub(active.started),
                },
                TransferEnd::Probe => TransferOutcome::Probe,
                TransferEnd::Failed(reason) => TransferOutcome::Failed {
                    delivered: active.transfer.delivered(),
                    no_response: matches!(reason, TransferError::NoResponse { .. })
                        && !active.transfer.is_confirmed(),
                    reason: reason.to_string(),
                },
            }),
        }
    }

    fn name(&self, from: SocketAddr) -> &str {
        self.all.get(&from).map_or("", |active| &active.name)
    }

    fn end(&mut self, from: SocketAddr, outcome: impl FnOnce(&ActiveTransfer) -> TransferOutcome) {
        let Some(active) = self.all.remove(&from) else {
            return;
        };
        self.sockets.remove(&from);
        if let Some(count) = self.count_by_address.get_mut(&from.ip()) {
            *count -= 1;
            if *count == 0 {
                self.count_by_address.remove(&from.ip());
            }
        }
        let outcome = outcome(&active);
        active.on_end.call(outcome);
    }

    /// Reads blocks and sends them, each with its header.
    fn send(
        &mut self,
        socket: &TftpSocket,
        from: SocketAddr,
        blocks: BlockRange,
    ) -> io::Result<()> {
        let Some(active) = self.all.get_mut(&from) else {
            return Ok(());
        };
        let transfer = &active.transfer;
        let (start, _) = transfer.position(blocks.first);
        let (last, length) = transfer.position(blocks.last);
        let end = last + u64::from(length);
        let bytes = match &active.content {
            FileContent::Bytes(bytes) => &bytes[start as usize..end as usize],
            FileContent::File(_) if active.has_read_ahead(start, end) => &active.read_ahead[..],
            FileContent::File(blob) => {
                self.read.resize((end - start) as usize, 0);
                blob.read_exact_at(&mut self.read, start)?;
                &self.read[..]
            }
        };
        let block = usize::from(transfer.block());
        self.packets.clear();
        for number in blocks.first..=blocks.last {
            let at = (number - blocks.first) as usize * block;
            self.packets.extend(data_header(number));
            self.packets.extend(&bytes[at..bytes.len().min(at + block)]);
        }
        let local = active.local.as_ref();
        let socket = self.sockets.get(&from).unwrap_or(socket);
        socket.send(&self.packets, block + DATA_HEADER, from, local);
        if blocks.first == blocks.last {
            active.read_ahead(end);
        }
        Ok(())
    }
}

impl ActiveTransfer {
    fn has_read_ahead(&self, start: u64, end: u64) -> bool {
        !self.read_ahead.is_empty()
            && self.read_ahead_offset == start
            && self.read_ahead.len() as u64 == end - start
    }

    /// Reads the block at `start`. An error is ignored here: the block is read again when it is sent.
    fn read_ahead(&mut self, start: u64) {
        let FileContent::File(blob) = &self.content else {
            return;
        };
        let block = usize::from(self.transfer.block());
        let rest = self.content.length().saturating_sub(start);
        let length = usize::try_from(rest).map_or(block, |rest| rest.min(block));
        self.read_ahead.clear();
        if length == 0 || block > MAX_READ_AHEAD {
            return;
        }
        self.read_ahead.resize(length, 0);
        self.read_ahead_offset = start;
        if blob.read_exact_at(&mut self.read_ahead, start).is_err() {
            self.read_ahead.clear();
        }
    }
}
