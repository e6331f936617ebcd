//! TFTP's end in the server: what stands behind the names that firmware asks for.

use std::{
    collections::HashMap,
    fs::File,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    boot::{Loader, PROGRAM_HEAD_SIZE, Program, Quirk},
    control::{BrokenFetch, Fetched},
    disk::repo::Blob,
    model::{BootProgram, Mac, Platform, SmallSet},
    net::{
        http::{Advertise, Peer},
        tftp::{
            FileContent, FileRequest, OpenedFile, OutcomeCallback, TftpFiles, TftpRefusal,
            TransferOutcome,
        },
    },
    render::boot::{
        grub as grub_cfg,
        mboot::{self as mboot_files, MbootFile},
    },
    serve::{
        boot::{Boot, BootResult, mboot},
        engine::Engine,
    },
};

/// The block size that iPXE asks with, and no firmware ([`Quirk::ONE_BOOT_FILE`]).
const IPXE_BLOCK: u16 = 1_432;
/// Where the microkernel is.
const MICROKERNEL: &str = "microkernel/";
/// Within this time iPXE asks after it was fetched itself.
const SAME_BOOT: Duration = Duration::from_secs(120);
/// So many machines are remembered for that.
const REMEMBERED: usize = 1_024;

/// The tree that is served: scripts, loaders, GRUB's configurations, repos.
pub(crate) struct Tree {
    pub(crate) engine: Arc<Engine>,
    pub(crate) advertise: Advertise,
    /// The machines' port.
    pub(crate) port: u16,
    /// Who fetched which loader, and when.
    pub(crate) fetched: Mutex<HashMap<Asker, (String, Instant)>>,
}

/// By what a machine is known here: its card, else its address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Asker {
    Card(Mac),
    Address(IpAddr),
}

impl TftpFiles for Tree {
    fn open(&self, ask: &FileRequest) -> Result<OpenedFile, TftpRefusal> {
        let content = self.find(ask);
        let is_file = mboot_files::is_file(&ask.name);
        if is_file {
            let ip = ask.peer.ip();
            match &content {
                Ok(content) => self.engine.note_repo(ip, &ask.name, Some(content.length())),
                Err(TftpRefusal::NotFound) => self.engine.note_repo(ip, &ask.name, None),
                // What cannot be read is told of already.
                Err(_) => {}
            }
        }
        let content = content?;
        // What a repo holds is for a loader that runs already, and so is the microkernel.
        let is_loader = !is_file && !ask.name.starts_with(MICROKERNEL);
        let program = is_loader.then(|| program(&content)).flatten();
        let on_end = self.told(ask, program);
        Ok(OpenedFile { content, on_end })
    }
}

impl Tree {
    fn find(&self, ask: &FileRequest) -> Result<FileContent, TftpRefusal> {
        let name = ask.name.as_str();
        match name.to_ascii_lowercase().as_str() {
            "autoexec.ipxe" | "boot.ipxe" => return self.entry(ask),
            "grub/grub.cfg" => return Ok(text(grub_cfg::entry())),
            _ => {}
        }
        if let Some(mac) = card_of_config(name) {
            return Ok(self.config(ask, mac));
        }
        if let Some(path) = name.strip_prefix("repo/") {
            return self.repo(path);
        }
        if let Some(name) = name.strip_prefix(MICROKERNEL) {
            return self.microkernel(name);
        }
        if let Some((repo, path)) = name
            .strip_prefix("mboot/")
            .and_then(|rest| rest.split_once('/'))
        {
            return self.beside_mboot(ask, repo, path);
        }
        if let Some(mac) = card_of_pxelinux(name) {
            let outcome = self.boot_or_probe(ask, mac, BootProgram::Pxelinux, Platform::Pcbios)?;
            return Ok(text(self.engine.pxelinux_config(outcome, mac)));
        }
        if self.is_loop(ask) {
            tracing::info!(
                "{}: {}",
                Quirk::ONE_BOOT_FILE.name,
                Quirk::ONE_BOOT_FILE.workaround
            );
            return self.entry(ask);
        }
        self.loader(name)
    }

    fn loader(&self, name: &str) -> Result<FileContent, TftpRefusal> {
        let loaders = self.engine.loaders();
        let path = loaders.get(name).ok_or(TftpRefusal::NotFound)?;
        let opened = File::open(path).and_then(Blob::of);
        let blob = opened.map_err(|error| {
            tracing::error!("loader {}: {error}", path.display());
            TftpRefusal::Other("the loader cannot be read".into())
        })?;
        Ok(FileContent::File(blob))
    }

    fn repo(&self, path: &str) -> Result<FileContent, TftpRefusal> {
        let (repo, path) = path.split_once('/').ok_or(TftpRefusal::NotFound)?;
        let live = self.engine.live();
        let source = live.sources.get(repo).ok_or(TftpRefusal::NotFound)?;
        // What is not there, and what lies outside, look alike from outside.
        let opened = source.open(path).map_err(|error| {
            tracing::debug!("TFTP: repo {repo}: {error}");
            TftpRefusal::NotFound
        })?;
        Ok(FileContent::File(opened.blob))
    }

    fn microkernel(&self, name: &str) -> Result<FileContent, TftpRefusal> {
        match self.engine.open_microkernel(name) {
            Some(Ok(opened)) => Ok(FileContent::File(opened.blob)),
            Some(Err(error)) => {
                tracing::debug!("TFTP: microkernel: {error}");
                Err(TftpRefusal::NotFound)
            }
            None => Err(TftpRefusal::NotFound),
        }
    }

    /// What mboot looks for beside itself.
    fn beside_mboot(
        &self,
        ask: &FileRequest,
        repo: &str,
        path: &str,
    ) -> Result<FileContent, TftpRefusal> {
        let name = match MbootFile::parse(path) {
            MbootFile::BootCfg(mac) => {
                let mac = mac.or_else(|| mboot::card_at(&self.engine, self.peer(ask)));
                let mac = mac.ok_or(TftpRefusal::NotFound)?;
                let outcome = self.boot_or_probe(ask, mac, BootProgram::Mboot, Platform::Efi)?;
                let config = self.engine.boot_cfg(outcome);
                return Ok(text(mboot_files::over_tftp(&config, repo)));
            }
            MbootFile::Loader => mboot_files::LOADER,
            MbootFile::File(path) => path,
        };
        let paths = mboot::paths(&self.engine, name).into_iter();
        let mut opened = paths.map(|path| self.repo(&format!("{repo}/{path}")));
        opened
            .find(Result::is_ok)
            .unwrap_or(Err(TftpRefusal::NotFound))
    }

    /// Answers the boot of a machine whose loader cannot wait. It requests again, and its addresses were probed by then.
    fn boot_or_probe(
        &self,
        ask: &FileRequest,
        mac: Mac,
        by: BootProgram,
        platform: Platform,
    ) -> Result<BootResult, TftpRefusal> {
        match self.boot(ask, mac, by, platform) {
            BootResult::ProbeAddresses(addresses) => {
                self.engine.probe_ahead(addresses);
                Err(TftpRefusal::NotReady)
            }
            outcome => Ok(outcome),
        }
    }

    fn boot(&self, ask: &FileRequest, mac: Mac, by: BootProgram, platform: Platform) -> BootResult {
        let mut boot = Boot::of_mac(mac, by, platform, self.peer(ask), self.base(ask).into());
        boot.may_wait = false;
        let engine = &self.engine;
        engine.addresses.runtime.block_on(engine.boot(&mut boot))
    }

    fn peer(&self, ask: &FileRequest) -> Peer {
        Peer {
            address: ask.peer,
            local: SocketAddr::new(ask.local, self.port),
        }
    }

    fn entry(&self, ask: &FileRequest) -> Result<FileContent, TftpRefusal> {
        let boot = crate::serve::listen::http::random_id().map_err(|error| {
            tracing::error!("no random number: {error}");
            TftpRefusal::Other("no random number".into())
        })?;
        let snapshot = self.engine.snapshot();
        let script = snapshot
            .library
            .ipxe_scripts()
            .entry(&self.base(ask), &boot);
        Ok(text(script))
    }

    /// A machine's own configuration for GRUB: this is its network boot.
    fn config(&self, ask: &FileRequest, mac: Mac) -> FileContent {
        let base = self.base(ask);
        let outcome = self.boot(ask, mac, BootProgram::Grub, Platform::Efi);
        text(self.engine.grub_config(outcome, mac, &base))
    }

    fn base(&self, ask: &FileRequest) -> String {
        self.advertise.base(SocketAddr::new(ask.local, self.port))
    }

    /// Whether iPXE asks for the loader that it is itself.
    fn is_loop(&self, ask: &FileRequest) -> bool {
        let is_ipxe = [Loader::UNDIONLY, Loader::SNPONLY, Loader::IPXE]
            .iter()
            .any(|loader| loader.name.eq_ignore_ascii_case(&ask.name));
        if !is_ipxe || ask.block != Some(IPXE_BLOCK) {
            return false;
        }
        let fetched = lock(&self.fetched);
        let ip = ask.peer.ip();
        let before = fetched.get(&asker(ip, &self.engine.macs_at(ip)));
        before.is_some_and(|(name, at)| *name == ask.name && at.elapsed() < SAME_BOOT)
    }

    fn remember(&self, asker: Asker, name: &str) {
        let mut fetched = lock(&self.fetched);
        if fetched.len() >= REMEMBERED {
            fetched.retain(|_, (_, at)| at.elapsed() < SAME_BOOT);
            if fetched.len() >= REMEMBERED {
                fetched.clear();
            }
        }
        fetched.insert(asker, (name.to_owned(), Instant::now()));
    }

    fn told(&self, ask: &FileRequest, program: Option<Program>) -> OutcomeCallback {
        let (engine, ip, name) = (self.engine.clone(), ask.peer.ip(), ask.name.clone());
        let cards = engine.macs_at(ip);
        if Loader::named(&name).is_some() {
            self.remember(asker(ip, &cards), &name);
        }
        let machine = engine.machine_of(cards, ip);
        if let Some(machine) = machine.filter(|_| program.is_some()) {
            engine.note_asked(machine, &name);
        }
        OutcomeCallback::new(move |outcome| {
            let outcome = match outcome {
                TransferOutcome::Completed { bytes, took } => Ok((bytes, took.as_millis() as u64)),
                TransferOutcome::Probe => return,
                TransferOutcome::Failed {
                    reason,
                    delivered,
                    no_response,
                } => Err(BrokenFetch {
                    reason: format!("died after {delivered} bytes: {reason}"),
                    no_response,
                }),
            };
            let fetched = Fetched {
                by: "tftp",
                name,
                program,
                outcome,
            };
            engine.note_fetched(machine, ip, fetched);
        })
    }
}

/// What a loader is. Scripts and what repos hold are none.
fn program(content: &FileContent) -> Option<Program> {
    let FileContent::File(blob) = content else {
        return None;
    };
    let length = PROGRAM_HEAD_SIZE.min(usize::try_from(blob.size()).unwrap_or(PROGRAM_HEAD_SIZE));
    let mut head = vec![0; length];
    // A file that cannot be read is told of when it is sent.
    blob.read_exact_at(&mut head, 0).ok()?;
    Program::detect(&head)
}

fn text(text: String) -> FileContent {
    FileContent::Bytes(text.into_bytes().into())
}

/// `grub/by-mac/<mac>/grub.cfg`.
fn card_of_config(name: &str) -> Option<Mac> {
    let rest = name.strip_prefix("grub/by-mac/")?;
    let (mac, file) = rest.split_once('/')?;
    (file == "grub.cfg").then(|| mac.parse().ok())?
}

/// `pxelinux.cfg/01-<mac>`.
fn card_of_pxelinux(name: &str) -> Option<Mac> {
    name.strip_prefix("pxelinux.cfg/01-")?.parse().ok()
}

fn asker(ip: IpAddr, cards: &SmallSet<Mac>) -> Asker {
    // Without the table the address will do: it is the same for one boot.
    let card = cards.first().copied();
    card.map_or(Asker::Address(ip), Asker::Card)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
