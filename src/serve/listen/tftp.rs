//! The files that TFTP serves.

use std::{
    collections::HashMap,
    fs::File,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    boot::{Loader, PROGRAM_HEAD_SIZE, Program, Quirk},
    control::{FailedFetch, Fetched},
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

/// The block size that iPXE requests. No firmware requests it ([`Quirk::ONE_BOOT_FILE`]).
const IPXE_BLOCK_SIZE: u16 = 1_432;
/// The directory of the microkernel.
const MICROKERNEL: &str = "microkernel/";
/// After fetching iPXE, a machine requests its next file within this time.
const FETCH_LIFETIME: Duration = Duration::from_secs(120);
/// The most machines whose fetched loader is remembered.
const MAX_REMEMBERED: usize = 1_024;

/// The served files: scripts, loaders, configurations of GRUB and PXELINUX, repos and the microkernel.
pub(crate) struct TftpTree {
    pub(crate) engine: Arc<Engine>,
    pub(crate) advertise: Advertise,
    /// The HTTP port for machines.
    pub(crate) port: u16,
    /// The loader that each client fetched last, and when.
    pub(crate) fetched: Mutex<HashMap<ClientKey, (String, Instant)>>,
}

/// Identifies a client: its MAC, or its IP address if the MAC is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ClientKey {
    Mac(Mac),
    Address(IpAddr),
}

impl TftpFiles for TftpTree {
    fn open(&self, request: &FileRequest) -> Result<OpenedFile, TftpRefusal> {
        if !self.engine.serves(request.peer.ip(), request.local) {
            return Err(TftpRefusal::NotServed);
        }
        let content = self.find(request);
        let is_file = mboot_files::is_file(&request.name);
        if is_file {
            let ip = request.peer.ip();
            match &content {
                Ok(content) => {
                    self.engine
                        .on_repo_request(ip, &request.name, Some(content.length()))
                }
                Err(TftpRefusal::NotFound) => self.engine.on_repo_request(ip, &request.name, None),
                // The read error is already logged.
                Err(_) => {}
            }
        }
        let content = content?;
        // Files of a repo and of the microkernel are for a loader that already runs.
        let is_loader = !is_file && !request.name.starts_with(MICROKERNEL);
        let program = is_loader.then(|| program(&content)).flatten();
        let on_end = self.outcome_callback(request, program);
        Ok(OpenedFile { content, on_end })
    }
}

impl TftpTree {
    fn find(&self, request: &FileRequest) -> Result<FileContent, TftpRefusal> {
        let name = request.name.as_str();
        match name.to_ascii_lowercase().as_str() {
            "autoexec.ipxe" | "boot.ipxe" => return self.entry(request),
            "grub/grub.cfg" => return Ok(text(grub_cfg::entry())),
            _ => {}
        }
        if let Some(mac) = mac_of_grub_config(name) {
            return Ok(self.config(request, mac));
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
            return self.beside_mboot(request, repo, path);
        }
        if let Some(mac) = mac_of_pxelinux_config(name) {
            let outcome =
                self.boot_or_probe(request, mac, BootProgram::Pxelinux, Platform::Pcbios)?;
            return Ok(text(self.engine.pxelinux_config(outcome, mac)));
        }
        if self.is_loop(request) {
            tracing::info!(
                "{}: {}",
                Quirk::ONE_BOOT_FILE.name,
                Quirk::ONE_BOOT_FILE.workaround
            );
            return self.entry(request);
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
        // The client cannot distinguish a missing file from one outside the repo.
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

    /// Serves the files that mboot requests from its own directory.
    fn beside_mboot(
        &self,
        request: &FileRequest,
        repo: &str,
        path: &str,
    ) -> Result<FileContent, TftpRefusal> {
        let name = match MbootFile::parse(path) {
            MbootFile::BootCfg(mac) => {
                let mac = mac.or_else(|| mboot::mac_at(&self.engine, self.peer(request)));
                let mac = mac.ok_or(TftpRefusal::NotFound)?;
                let outcome =
                    self.boot_or_probe(request, mac, BootProgram::Mboot, Platform::Efi)?;
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

    /// Answers the boot of a machine whose loader cannot wait. It retransmits its request, and the probe is finished by then.
    fn boot_or_probe(
        &self,
        request: &FileRequest,
        mac: Mac,
        by: BootProgram,
        platform: Platform,
    ) -> Result<BootResult, TftpRefusal> {
        match self.boot(request, mac, by, platform) {
            BootResult::ProbeAddresses(addresses) => {
                self.engine.probe_in_background(addresses);
                Err(TftpRefusal::NotReady)
            }
            outcome => Ok(outcome),
        }
    }

    fn boot(
        &self,
        request: &FileRequest,
        mac: Mac,
        by: BootProgram,
        platform: Platform,
    ) -> BootResult {
        let mut boot = Boot::of_mac(
            mac,
            by,
            platform,
            self.peer(request),
            self.base(request).into(),
        );
        boot.may_wait = false;
        let engine = &self.engine;
        engine.addresses.runtime.block_on(engine.boot(&mut boot))
    }

    fn peer(&self, request: &FileRequest) -> Peer {
        Peer {
            address: request.peer,
            local: SocketAddr::new(request.local, self.port),
        }
    }

    fn entry(&self, request: &FileRequest) -> Result<FileContent, TftpRefusal> {
        let script = self.engine.entry_script(&self.base(request));
        let script = script.map_err(|error| {
            tracing::error!("no random number is available: {error}");
            TftpRefusal::Other("no random number is available".into())
        })?;
        Ok(text(script))
    }

    /// Returns the GRUB configuration of a machine. This request is its network boot.
    fn config(&self, request: &FileRequest, mac: Mac) -> FileContent {
        let base = self.base(request);
        let outcome = self.boot(request, mac, BootProgram::Grub, Platform::Efi);
        text(self.engine.grub_config(outcome, mac, &base))
    }

    fn base(&self, request: &FileRequest) -> String {
        self.advertise
            .base(SocketAddr::new(request.local, self.port))
    }

    /// Returns whether iPXE requests the loader that it is itself.
    fn is_loop(&self, request: &FileRequest) -> bool {
        let is_ipxe = [Loader::UNDIONLY, Loader::SNPONLY, Loader::IPXE]
            .iter()
            .any(|loader| loader.name.eq_ignore_ascii_case(&request.name));
        if !is_ipxe || request.block != Some(IPXE_BLOCK_SIZE) {
            return false;
        }
        let fetched = lock(&self.fetched);
        let ip = request.peer.ip();
        let before = fetched.get(&client_key(ip, &self.engine.macs_at(ip)));
        before.is_some_and(|(name, at)| *name == request.name && at.elapsed() < FETCH_LIFETIME)
    }

    fn record_loader(&self, client_key: ClientKey, name: &str) {
        let mut fetched = lock(&self.fetched);
        if fetched.len() >= MAX_REMEMBERED {
            fetched.retain(|_, (_, at)| at.elapsed() < FETCH_LIFETIME);
            if fetched.len() >= MAX_REMEMBERED {
                fetched.clear();
            }
        }
        fetched.insert(client_key, (name.to_owned(), Instant::now()));
    }

    fn outcome_callback(&self, request: &FileRequest, program: Option<Program>) -> OutcomeCallback {
        let (engine, ip, name) = (self.engine.clone(), request.peer.ip(), request.name.clone());
        let macs = engine.macs_at(ip);
        if Loader::named(&name).is_some() {
            self.record_loader(client_key(ip, &macs), &name);
        }
        let machine = engine.machine_of(macs, ip);
        if let Some(machine) = machine.filter(|_| program.is_some()) {
            engine.on_loader_request(machine, &name);
        }
        OutcomeCallback::new(move |outcome| {
            let outcome = match outcome {
                TransferOutcome::Completed { bytes, took } => Ok((bytes, took.as_millis() as u64)),
                TransferOutcome::Probe => return,
                TransferOutcome::Failed {
                    reason,
                    delivered,
                    no_response,
                } => Err(FailedFetch {
                    reason: format!("failed after {delivered} bytes: {reason}"),
                    no_response,
                }),
            };
            let fetched = Fetched {
                by: "tftp",
                name,
                program,
                outcome,
            };
            engine.on_fetched(machine, ip, fetched);
        })
    }
}

/// Detects which boot program a file is.
fn program(content: &FileContent) -> Option<Program> {
    let FileContent::File(blob) = content else {
        return None;
    };
    let length = PROGRAM_HEAD_SIZE.min(usize::try_from(blob.size()).unwrap_or(PROGRAM_HEAD_SIZE));
    let mut head = vec![0; length];
    // A read error is logged when the file is sent.
    blob.read_exact_at(&mut head, 0).ok()?;
    Program::detect(&head)
}

fn text(text: String) -> FileContent {
    FileContent::Bytes(text.into_bytes().into())
}

/// `grub/by-mac/<mac>/grub.cfg`.
fn mac_of_grub_config(name: &str) -> Option<Mac> {
    let rest = name.strip_prefix("grub/by-mac/")?;
    let (mac, file) = rest.split_once('/')?;
    (file == "grub.cfg").then(|| mac.parse().ok())?
}

/// `pxelinux.cfg/01-<mac>`.
fn mac_of_pxelinux_config(name: &str) -> Option<Mac> {
    name.strip_prefix("pxelinux.cfg/01-")?.parse().ok()
}

fn client_key(ip: IpAddr, macs: &SmallSet<Mac>) -> ClientKey {
    // If the neighbour table has no MAC, the address is sufficient: it stays the same during one boot.
    let mac = macs.first().copied();
    mac.map_or(ClientKey::Address(ip), ClientKey::Mac)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
