//! ESXi's loader without iPXE: the loader itself, the boot.cfg that it looks for beside itself, and the image's files, over
//! HTTP and TFTP alike; and PXELINUX, which starts it on a BIOS.

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

/// The paths at which a repo may have what mboot knows by this name.
pub(crate) fn paths(engine: &Engine, name: &str) -> Vec<String> {
    let snapshot = engine.snapshot();
    let tasks = snapshot.library.tasks();
    let named = tasks
        .filter(|task| task.spec.has_boot_cfg())
        .flat_map(|task| task.spec.paths_of(name));
    named.chain([name.to_owned()]).collect()
}

impl Server {
    /// Serves what lies beside mboot over HTTP.
    pub(crate) async fn on_mboot(&self, ask: MbootRequest) -> FileReply {
        match MbootFile::parse(&ask.path) {
            MbootFile::BootCfg(mac) => reply(self.boot_cfg(&ask, mac).await),
            MbootFile::Loader => self.mboot_itself(&ask).await,
            MbootFile::File(_) => self.beside_mboot(&ask).await,
        }
    }

    async fn boot_cfg(&self, ask: &MbootRequest, mac: Option<Mac>) -> Reply {
        let engine = &self.0;
        let nobody = || Reply::error(404, "nothing is known of this machine's card\n");
        let Some(mac) = mac.or_else(|| card_at(engine, ask.peer)) else {
            return nobody();
        };
        // Whoever asks for the head alone boots nothing.
        if ask.head {
            let open = engine.read(|transaction| {
                let id = transaction.machine_at([mac].into_iter().collect())?;
                let open = transaction.server.state.machine(id)?.open();
                open.map(|open| open.id)
            });
            let kept = open.and_then(|attempt| engine.file_text(attempt, BOOT_CFG).ok()?);
            return kept.map_or_else(nobody, Reply::text);
        }
        let (by, platform) = (BootProgram::Mboot, Platform::Efi);
        let mut boot = Boot::of_mac(mac, by, platform, ask.peer, ask.base.clone());
        let outcome = engine.boot(&mut boot).await;
        Reply::text(engine.boot_cfg(outcome))
    }

    async fn mboot_itself(&self, ask: &MbootRequest) -> FileReply {
        let (server, repo) = (self.clone(), ask.repo.clone());
        let read = tokio::task::spawn_blocking(move || {
            let blob = server.open_beside(&repo, mboot::LOADER)?.blob;
            let mut bytes = vec![0; usize::try_from(blob.size()).map_err(unread)?];
            blob.read_exact_at(&mut bytes, 0).map_err(unread)?;
            Ok(bytes)
        });
        match read.await.unwrap_or_else(|error| Err(unread(error))) {
            Ok(bytes) => {
                let name = mboot::loader_path(&ask.repo);
                self.0.loader(ask.peer, name, bytes, ask.whole)
            }
            Err(refusal) => reply(refusal),
        }
    }

    async fn beside_mboot(&self, ask: &MbootRequest) -> FileReply {
        let (server, repo, path) = (self.clone(), ask.repo.clone(), ask.path.clone());
        let opened = tokio::task::spawn_blocking(move || server.open_beside(&repo, &path));
        let opened = opened.await.unwrap_or_else(|error| Err(unread(error)));
        let name = format!("{}/{}/{}", mboot::DIRECTORY, ask.repo, ask.path);
        self.note_opened(ask.peer, &name, &opened);
        opened.map_or_else(reply, FileReply::File)
    }

    /// Opens a file of a repo by the name that it has beside mboot.
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

fn unread(error: impl std::fmt::Display) -> Reply {
    tracing::error!("mboot: {error}");
    Reply::error(500, "the file cannot be read; see the server's log\n")
}

/// The card of whoever asks, by the kernel's neighbour table.
pub(crate) fn card_at(engine: &Engine, peer: Peer) -> Option<Mac> {
    engine.macs_at(peer.address.ip()).first().copied()
}
