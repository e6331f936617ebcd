//! Serves loaders over HTTP, and records which machines request loaders and other files.

use std::{net::IpAddr, sync::Arc, time::Instant};

use crate::{
    boot::{PROGRAM_HEAD_SIZE, Program},
    control::{FailedFetch, Fetched},
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
    pub(crate) async fn on_loader(self: &Arc<Self>, request: LoaderRequest) -> FileReply {
        let loaders = self.loaders().clone();
        let name = request.name.clone();
        let read = tokio::task::spawn_blocking(move || loaders.read(&name)).await;
        let missing = |reply| FileReply::Bytes {
            reply,
            receipt: None,
        };
        let file = match read {
            Ok(Ok(Some(file))) => file,
            Ok(Ok(None)) => return missing(Reply::error(404, "no such loader\n")),
            Ok(Err(error)) => {
                tracing::error!("loader {}: {error}", request.name);
                let text = "the loader cannot be read; see the server's log\n";
                return missing(Reply::error(500, text));
            }
            Err(error) => return missing(Reply::error(500, format!("{error}\n"))),
        };
        self.loader(request.peer, request.name, file.bytes, request.whole)
    }

    /// Serves a program that firmware starts, and records the request. If the whole file is requested, the outcome is recorded
    /// too.
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
            self.on_loader_request(machine, &name);
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

    /// Records how the download of a loader ends.
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
                DownloadEnd::Aborted => Err(FailedFetch {
                    reason: "the connection was closed".into(),
                    no_response: false,
                }),
            };
            let fetched = Fetched {
                by: "http",
                name,
                program,
                outcome,
            };
            engine.on_fetched(machine, ip, fetched);
        })
    }

    /// Records the outcome of a download by a machine. Downloads by unknown hosts are only logged.
    pub(crate) fn on_fetched(&self, machine: Option<MachineId>, ip: IpAddr, fetched: Fetched) {
        let Some(machine) = machine else {
            tracing::debug!("{} from {ip}, an unknown host", fetched.name);
            return;
        };
        let ((), _ticket) = self.transaction(|transaction| transaction.fetched(machine, fetched));
    }

    /// Records that a machine has requested a loader.
    pub(crate) fn on_loader_request(&self, machine: MachineId, name: &str) {
        let ((), _ticket) =
            self.transaction(|transaction| transaction.on_loader_request(machine, name));
    }

    /// Records the request of a file of a repo, if the boot of the client is observed. `bytes` is the length of the file, `None`
    /// if it does not exist.
    pub(crate) fn on_repo_request(&self, ip: IpAddr, file: &str, bytes: Option<u64>) {
        if self.read(|transaction| transaction.is_followed(ip)) {
            let ((), _ticket) =
                self.transaction(|transaction| transaction.on_repo_file_request(ip, file, bytes));
        }
    }

    /// Returns the MACs at an address, from the kernel's neighbour table.
    pub(crate) fn macs_at(&self, ip: IpAddr) -> SmallSet<Mac> {
        neighbour::macs_at(ip).unwrap_or_else(|error| {
            tracing::warn!("cannot read the kernel's neighbour table: {error}");
            SmallSet::default()
        })
    }

    /// Returns the machine with these MACs, or else the machine that has leased the address.
    pub(crate) fn machine_of(&self, macs: SmallSet<Mac>, ip: IpAddr) -> Option<MachineId> {
        self.read(|transaction| {
            let by_mac = transaction.machine_at(macs);
            by_mac.or_else(|| transaction.machine_leased(ip))
        })
    }
}
