//! Serves ESXi's loader without iPXE, over HTTP and TFTP: the loader, the boot.cfg that it requests from its own directory, and
//! the files of the image. On BIOS machines, PXELINUX starts this loader.

use crate::{
    model::{BootProgram, Mac, Platform},
    net::http::{FileReply, MbootRequest, Peer, Reply, ServedFile},
    render::boot::mboot::{self, MbootFile},
    serve::{
        boot::Boot,
        engine::{Engine, documents::BOOT_CFG},
        server::{Server, reply},
    },
};

/// Returns the paths in a repo at which the file that mboot requests by this name may be.
pub(crate) fn paths(engine: &Engine, name: &str) -> Vec<String> {
    let snapshot = engine.snapshot();
    let tasks = snapshot.library.tasks();
    let named = tasks
        .filter(|task| task.spec.has_boot_cfg())
        .flat_map(|task| task.spec.paths_of(name));
    named.chain([name.to_owned()]).collect()
}

impl Server {
    /// Serves the files in mboot's directory over HTTP.
    pub(crate) async fn on_mboot(&self, request: MbootRequest) -> FileReply {
        match MbootFile::parse(&request.path) {
            MbootFile::BootCfg(mac) => reply(self.boot_cfg(&request, mac).await),
            MbootFile::Loader => self.mboot_itself(&request).await,
            MbootFile::File(_) => self.beside_mboot(&request).await,
        }
    }

    async fn boot_cfg(&self, request: &MbootRequest, mac: Option<Mac>) -> Reply {
        let engine = &self.0;
        let unknown_mac = || Reply::error(404, "the MAC of this machine is unknown\n");
        let Some(mac) = mac.or_else(|| mac_at(engine, request.peer)) else {
            return unknown_mac();
        };
        // A HEAD request is not a boot.
        if request.head {
            let open = engine.read(|transaction| {
                let id = transaction.machine_at([mac].into_iter().collect())?;
                let open = transaction.server.state.machine(id)?.open();
                open.map(|open| open.id)
            });
            let stored = open.and_then(|attempt| engine.file_text(attempt, BOOT_CFG).ok()?);
            return stored.map_or_else(unknown_mac, Reply::text);
        }
        let (by, platform) = (BootProgram::Mboot, Platform::Efi);
        let mut boot = Boot::of_mac(mac, by, platform, request.peer, request.base.clone());
        let outcome = engine.boot(&mut boot).await;
        Reply::text(engine.boot_cfg(outcome))
    }

    async fn mboot_itself(&self, request: &MbootRequest) -> FileReply {
        let (server, repo) = (self.clone(), request.repo.clone());
        let read = tokio::task::spawn_blocking(move || {
            let blob = server.open_beside(&repo, mboot::LOADER)?.blob;
            let mut bytes = vec![0; usize::try_from(blob.size()).map_err(read_error)?];
            blob.read_exact_at(&mut bytes, 0).map_err(read_error)?;
            Ok(bytes)
        });
        match read.await.unwrap_or_else(|error| Err(read_error(error))) {
            Ok(bytes) => {
                let name = mboot::loader_path(&request.repo);
                self.0.loader(request.peer, name, bytes, request.whole)
            }
            Err(refusal) => reply(refusal),
        }
    }

    async fn beside_mboot(&self, request: &MbootRequest) -> FileReply {
        let (server, repo, path) = (self.clone(), request.repo.clone(), request.path.clone());
        let opened = tokio::task::spawn_blocking(move || server.open_beside(&repo, &path));
        let opened = opened.await.unwrap_or_else(|error| Err(read_error(error)));
        let name = format!("{}/{}/{}", mboot::DIRECTORY, request.repo, request.path);
        self.record_repo_request(request.peer, &name, &opened);
        opened.map_or_else(reply, FileReply::File)
    }

    /// Opens a file of a repo by its name in mboot's directory.
    fn open_beside(&self, repo: &str, name: &str) -> Result<ServedFile, Reply> {
        let mut opened = Err(Reply::error(404, "this repo has no such file\n"));
        for path in paths(&self.0, name) {
            opened = self.open(repo, &path);
            if !matches!(&opened, Err(refusal) if refusal.status == 404) {
                break;
            }
        }
        opened
    }
}

fn read_error(error: impl std::fmt::Display) -> Reply {
    tracing::error!("mboot: {error}");
    Reply::error(500, "the file cannot be read; see the server's log\n")
}

/// Returns the MAC of the client, from the kernel's neighbour table.
pub(crate) fn mac_at(engine: &Engine, peer: Peer) -> Option<Mac> {
    engine.macs_at(peer.address.ip()).first().copied()
}
