//! The transfers that are under way, and what each has to send.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    FileContent, OpenedFile, OutcomeCallback, TransferOutcome,
    socket::{Local, TftpSocket},
};
use crate::boot::tftp::{
    BlockRange, NegotiatedOptions, Transfer, TransferEnd, TransferError, TransferStep, data_head,
    encode_oack,
};

/// So many transfers at once: more than machines that boot from one server.
pub(super) const MOST: usize = 2_048;
/// So many for one address: firmware has one, or two.
pub(super) const MOST_OF_ONE: usize = 64;

/// A single block that is no longer is read ahead, while its client has the one before it, in bytes. What all transfers hold
/// that way stays under 4 MiB.
const AHEAD: usize = 2_048;

/// What a block's header takes.
const HEAD: usize = 4;

/// All transfers, by the client's address and port.
#[derive(Default)]
pub(super) struct Transfers {
    all: HashMap<SocketAddr, ActiveTransfer>,
    of_one: HashMap<IpAddr, usize>,
    /// A window as it goes out, and as it comes from the file.
    window: Vec<u8>,
    read: Vec<u8>,
}

/// One transfer.
struct ActiveTransfer {
    name: String,
    transfer: Transfer,
    agreed: NegotiatedOptions,
    content: FileContent,
    told: OutcomeCallback,
    local: Option<Local>,
    begun: Duration,
    /// What comes next, and from where in the file it is.
    ahead: Vec<u8>,
    ahead_from: u64,
}

/// A request that was granted.
pub(super) struct Granted {
    pub(super) name: String,
    pub(super) agreed: NegotiatedOptions,
    pub(super) found: OpenedFile,
    pub(super) local: Option<Local>,
}

impl Transfers {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether there is room for one more from this address.
    pub(super) fn has_room(&self, from: SocketAddr) -> bool {
        let own = self.of_one.get(&from.ip()).copied().unwrap_or(0);
        self.all.len() < MOST && own < MOST_OF_ONE
    }

    /// Whether this is what the same client asked for already.
    pub(super) fn repeats(&self, from: SocketAddr, name: &str) -> bool {
        self.all.get(&from).is_some_and(|known| known.name == name)
    }

    pub(super) fn begin(
        &mut self,
        socket: &TftpSocket,
        from: SocketAddr,
        granted: Granted,
        now: Duration,
    ) {
        self.end(from, |_| TransferOutcome::Failed {
            reason: "the client asked for something else".into(),
            delivered: 0,
            no_response: false,
        });
        let size = granted.found.content.length();
        let (transfer, step) = Transfer::begin(&granted.agreed, size, now);
        let sending = ActiveTransfer {
            name: granted.name,
            transfer,
            agreed: granted.agreed,
            content: granted.found.content,
            told: granted.found.told,
            local: granted.local,
            begun: now,
            ahead: Vec::new(),
            ahead_from: 0,
        };
        *self.of_one.entry(from.ip()).or_default() += 1;
        self.all.insert(from, sending);
        self.take(socket, from, step, now);
    }

    /// Lets something happen to a client's transfer; returns whether there is one.
    pub(super) fn step(
        &mut self,
        socket: &TftpSocket,
        from: SocketAddr,
        now: Duration,
        happens: impl FnOnce(&mut Transfer) -> TransferStep,
    ) -> bool {
        let Some(sending) = self.all.get_mut(&from) else {
            return false;
        };
        let step = happens(&mut sending.transfer);
        self.take(socket, from, step, now);
        true
    }

    /// Sends again what was not acknowledged in time.
    pub(super) fn tick(&mut self, socket: &TftpSocket, now: Duration) {
        let late: Vec<SocketAddr> = self
            .all
            .iter()
            .filter(|(_, sending)| sending.transfer.deadline() <= now)
            .map(|(from, _)| *from)
            .collect();
        for from in late {
            self.step(socket, from, now, |transfer| transfer.on_timeout(now));
        }
    }

    fn take(&mut self, socket: &TftpSocket, from: SocketAddr, step: TransferStep, now: Duration) {
        match step {
            TransferStep::Wait => {}
            TransferStep::Oack => {
                if let Some(sending) = self.all.get(&from) {
                    let bytes = encode_oack(&sending.agreed);
                    socket.send(&bytes, bytes.len(), from, sending.local.as_ref());
                }
            }
            TransferStep::Send(blocks) => {
                if let Err(error) = self.send(socket, from, blocks) {
                    tracing::warn!("TFTP: a file cannot be read any more: {error}");
                    self.end(from, |sending| TransferOutcome::Failed {
                        reason: format!("the file cannot be read any more: {error}"),
                        delivered: sending.transfer.delivered(),
                        no_response: false,
                    });
                }
            }
            TransferStep::End(ending) => self.end(from, |sending| match ending {
                TransferEnd::Completed => TransferOutcome::Completed {
                    bytes: sending.content.length(),
                    took: now.saturating_sub(sending.begun),
                },
                TransferEnd::Probe => TransferOutcome::Probe,
                TransferEnd::Failed(reason) => TransferOutcome::Failed {
                    delivered: sending.transfer.delivered(),
                    no_response: matches!(reason, TransferError::Silent { .. })
                        && !sending.transfer.is_proven(),
                    reason: reason.to_string(),
                },
            }),
        }
    }

    fn end(&mut self, from: SocketAddr, outcome: impl FnOnce(&ActiveTransfer) -> TransferOutcome) {
        let Some(sending) = self.all.remove(&from) else {
            return;
        };
        if let Some(count) = self.of_one.get_mut(&from.ip()) {
            *count -= 1;
            if *count == 0 {
                self.of_one.remove(&from.ip());
            }
        }
        let outcome = outcome(&sending);
        sending.told.tell(outcome);
    }

    /// Sends blocks, read at once and laid out with their headers.
    fn send(
        &mut self,
        socket: &TftpSocket,
        from: SocketAddr,
        blocks: BlockRange,
    ) -> io::Result<()> {
        let Some(sending) = self.all.get_mut(&from) else {
            return Ok(());
        };
        let transfer = &sending.transfer;
        let (start, _) = transfer.place(blocks.first);
        let (last, length) = transfer.place(blocks.last);
        let end = last + u64::from(length);
        let bytes = match &sending.content {
            FileContent::Bytes(bytes) => &bytes[start as usize..end as usize],
            FileContent::File(_) if sending.has_ahead(start, end) => &sending.ahead[..],
            FileContent::File(blob) => {
                self.read.resize((end - start) as usize, 0);
                blob.read_exact_at(&mut self.read, start)?;
                &self.read[..]
            }
        };
        let block = usize::from(transfer.block());
        self.window.clear();
        for number in blocks.first..=blocks.last {
            let at = (number - blocks.first) as usize * block;
            self.window.extend(data_head(number));
            self.window.extend(&bytes[at..bytes.len().min(at + block)]);
        }
        let local = sending.local.as_ref();
        socket.send(&self.window, block + HEAD, from, local);
        if blocks.first == blocks.last {
            sending.read_ahead(end);
        }
        Ok(())
    }
}

impl ActiveTransfer {
    fn has_ahead(&self, start: u64, end: u64) -> bool {
        !self.ahead.is_empty() && self.ahead_from == start && self.ahead.len() as u64 == end - start
    }

    /// Reads the block that begins here. What cannot be read now is read, and told of, when it is wanted.
    fn read_ahead(&mut self, start: u64) {
        let FileContent::File(blob) = &self.content else {
            return;
        };
        let block = usize::from(self.transfer.block());
        let rest = self.content.length().saturating_sub(start);
        let length = usize::try_from(rest).map_or(block, |rest| rest.min(block));
        self.ahead.clear();
        if length == 0 || block > AHEAD {
            return;
        }
        self.ahead.resize(length, 0);
        self.ahead_from = start;
        if blob.read_exact_at(&mut self.ahead, start).is_err() {
            self.ahead.clear();
        }
    }
}
