//! Loaders and other files that firmware asks for by itself: whose request it is, and what came of it.

use std::{net::IpAddr, sync::Arc, time::Instant};

use crate::{
    boot::{PROGRAM_HEAD_SIZE, Program},
    control::{BrokenFetch, Fetched},
    journal::MachineId,
    model::{Mac, SmallSet},
    net::{
        http::{DownloadEnd, DownloadReceipt, FileReply, LoaderRequest, Peer, Reply},
        neighbour,
    },
    serve::engine::Engine,
};

impl Engine {
    /// Serves a loader over HTTP.
    pub(crate) async fn on_loader(self: &Arc<Self>, ask: LoaderRequest) -> FileReply {
        let loaders = self.loaders().clone();
        let name = ask.name.clone();
        let read = tokio::task::spawn_blocking(move || loaders.read(&name)).await;
        let missing = |reply| FileReply::Bytes {
            reply,
            receipt: None,
        };
        let file = match read {
            Ok(Ok(Some(file))) => file,
            Ok(Ok(None)) => return missing(Reply::error(404, "there is no such loader here\n")),
            Ok(Err(error)) => {
                tracing::error!("loader {}: {error}", ask.name);
                let text = "the loader cannot be read; see the server's log\n";
                return missing(Reply::error(500, text));
            }
            Err(error) => return missing(Reply::error(500, format!("{error}\n"))),
        };
        self.loader(ask.peer, ask.name, file.bytes, ask.whole)
    }

    /// A program that firmware starts first: that it was asked for is noted, and what comes of it where all of it is.
    pub(crate) fn loader(
        self: &Arc<Self>,
        peer: Peer,
        name: String,
        bytes: Vec<u8>,
        whole: bool,
    ) -> FileReply {
        let ip = peer.address.ip();
        let machine = self.machine_of(self.macs_at(ip), ip);
        if let Some(machine) = machine {
            self.note_asked(machine, &name);
        }
        let receipt = whole.then(|| self.receipt(machine, ip, name, &bytes));
        FileReply::Bytes {
            reply: Reply {
                status: 200,
                content_type: "application/efi",
                body: bytes.into(),
            },
            receipt,
        }
    }

    /// Writes down what comes of a loader's body.
    fn receipt(
        self: &Arc<Self>,
        machine: Option<MachineId>,
        ip: IpAddr,
        name: String,
        body: &[u8],
    ) -> DownloadReceipt {
        let (engine, begun) = (self.clone(), Instant::now());
        let bytes = body.len() as u64;
        let program = Program::detect(&body[..body.len().min(PROGRAM_HEAD_SIZE)]);
        DownloadReceipt::new(move |delivery| {
            let outcome = match delivery {
                DownloadEnd::Completed => Ok((bytes, begun.elapsed().as_millis() as u64)),
                DownloadEnd::Aborted => Err(BrokenFetch {
                    reason: "broken off".into(),
                    no_response: false,
                }),
            };
            let fetched = Fetched {
                by: "http",
                name,
                program,
                outcome,
            };
            engine.note_fetched(machine, ip, fetched);
        })
    }

    /// Writes down what came of a file that somebody at this address has asked for.
    pub(crate) fn note_fetched(&self, machine: Option<MachineId>, ip: IpAddr, fetched: Fetched) {
        let Some(machine) = machine else {
            tracing::debug!("{} from {ip}, an unknown host", fetched.name);
            return;
        };
        let ((), _told) = self.transaction(|transaction| transaction.fetched(machine, fetched));
    }

    /// Notes that a machine has begun to fetch a loader.
    pub(crate) fn note_asked(&self, machine: MachineId, name: &str) {
        let ((), _told) = self.transaction(|transaction| transaction.asked_loader(machine, name));
    }

    /// Notes that somebody has asked for a file of a repo; of which length, none when it is not there.
    pub(crate) fn note_repo(&self, ip: IpAddr, file: &str, bytes: Option<u64>) {
        if self.read(|transaction| transaction.is_followed(ip)) {
            let ((), _told) =
                self.transaction(|transaction| transaction.asked_repo(ip, file, bytes));
        }
    }

    /// The cards at an address, by the kernel's neighbour table.
    pub(crate) fn macs_at(&self, ip: IpAddr) -> SmallSet<Mac> {
        neighbour::macs_at(ip).unwrap_or_else(|error| {
            tracing::warn!("the kernel's neighbour table cannot be read: {error}");
            SmallSet::default()
        })
    }

    /// The machine with these cards, else the one that has the address from us.
    pub(crate) fn machine_of(&self, cards: SmallSet<Mac>, ip: IpAddr) -> Option<MachineId> {
        self.read(|transaction| {
            let by_card = transaction.machine_at(cards);
            by_card.or_else(|| transaction.machine_leased(ip))
        })
    }
}
