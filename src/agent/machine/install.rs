//! The installation of an image: its instruction, the disk, the image, the reports.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use super::{LEASE_CHECK_INTERVAL, MicrokernelAgent, RETRY_DELAY, SETTLE_TIME};
use crate::{
    agent::{
        backoff,
        hardware::{self, DetectedDisk},
        image::{ImageSource, RemoteImage, WrittenImage, choose, volume, write},
        network::Netlink,
        partitions::DiskSize,
        server::{InstallServer, InstructionError},
    },
    model::{ImageInstruction, seal_text},
    render::encoded,
};

/// All disks have appeared if no further one did for this long.
const DISK_QUIET_TIME: Duration = Duration::from_secs(5);
/// The longest wait for disks.
const DISK_TIMEOUT: Duration = Duration::from_secs(60);

/// The number of attempts to report a stage or fetch a file.
const MAX_TRIES: u32 = 20;

/// How long a failure stays on the screen before the machine restarts.
const FAILURE_DISPLAY_TIME: Duration = Duration::from_secs(60);

/// Progress is reported in steps of this many per cent.
const PROGRESS_STEP: u64 = 10;
/// The shortest time between two progress reports.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

impl MicrokernelAgent {
    /// Executes the instruction at this URL. Never returns: the machine restarts.
    pub(super) fn install(mut self, netlink: &Netlink, url: &str) -> ! {
        let server = InstallServer::new();
        let instruction = self.image_instruction(netlink, &server, url);
        self.screen_content.node.clone_from(&instruction.node);
        let stage = |name: &str| format!("{}/stage/{name}", instruction.callbacks);
        self.report(netlink, &server, &stage("installing"), 5);
        match self.write_image(netlink, &server, &instruction) {
            Ok(()) => {
                self.set_status("installed; restarting");
                self.report(netlink, &server, &stage("installed"), MAX_TRIES);
            }
            Err(reason) => {
                let seconds = FAILURE_DISPLAY_TIME.as_secs();
                self.set_status(&format!("failed: {reason}; restarting in {seconds} s"));
                let failed = format!("{}?reason={}", stage("failed"), encoded(&reason));
                self.report(netlink, &server, &failed, 5);
                self.wait(netlink, FAILURE_DISPLAY_TIME);
            }
        }
        loop {
            self.restart();
        }
    }

    /// Fetches the instruction, with retries. If it does not exist any more, it was that of an earlier boot.
    fn image_instruction(
        &mut self,
        netlink: &Netlink,
        server: &InstallServer,
        url: &str,
    ) -> ImageInstruction {
        let mut failures = 0;
        loop {
            self.set_status("fetching its instruction");
            let error = match server.instruction(url) {
                Ok(instruction) => return instruction,
                Err(error) => error,
            };
            failures += 1;
            if error == InstructionError::Unknown {
                self.set_status("its instruction does not exist any more; restarting in 30 s");
                self.wait(netlink, RETRY_DELAY);
                self.restart();
            }
            let delay = backoff::after(failures);
            self.set_status(&format!("{error}; retrying in {} s", delay.as_secs()));
            self.wait(netlink, backoff::with_jitter(delay, backoff::random()));
        }
    }

    /// Reports a stage or a failure, with retries. The installation continues even if no report arrives.
    fn report(&mut self, netlink: &Netlink, server: &InstallServer, url: &str, tries: u32) {
        for failures in 1..=tries {
            match server.get(url) {
                Ok(_) | Err(InstructionError::Unknown) => return,
                Err(error) => self.add_problem(error.to_string()),
            }
            self.wait(netlink, backoff::after(failures));
        }
    }

    /// Writes the image to its disk.
    fn write_image(
        &mut self,
        netlink: &Netlink,
        server: &InstallServer,
        instruction: &ImageInstruction,
    ) -> Result<(), String> {
        let checksum = instruction.checksum();
        let checksum = checksum.ok_or("the instruction has no checksum for the image")?;
        let disks = self.wait_for_disks();
        let groups = |disk: &DetectedDisk| hardware::disk_groups(&self.hardware, &disk.fact.path);
        let disk = choose(&instruction.disk, &disks, groups).map_err(|error| error.to_string())?;
        let path = &disk.fact.path;
        let others = disks.iter().map(|disk| disk.fact.path.clone());
        let others: Vec<String> = others.filter(|other| other != path).collect();
        self.refuse_other_seed(&others)?;
        let size = DiskSize {
            bytes: disk.fact.size_bytes.unwrap_or(0),
            sector: hardware::sector(&self.hardware, path),
        };
        let seed = self.seed(netlink, server, instruction)?;
        self.set_status(&format!("fetching {}", instruction.image));
        let unreachable = |error| format!("cannot fetch the image: {error}");
        let stream = RemoteImage::new(&instruction.image)
            .open()
            .map_err(unreachable)?;
        let (length, fetched) = (stream.length, stream.read.clone());
        // With O_EXCL the kernel refuses a disk that is in use.
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::libc::O_EXCL)
            .open(self.root.join(path.trim_start_matches('/')));
        let mut device = opened.map_err(|error| format!("cannot open {path}: {error}"))?;
        self.ask_about_seal(netlink, server, instruction, &mut device)?;
        let source = ImageSource {
            packed: stream,
            checksum,
            seed,
            guid: guid(instruction),
            seal: instruction.seal.text.clone(),
            other_tables: self.tables(others),
        };
        let log = |text: &str| format!("{}/log/info/{}", instruction.callbacks, encoded(text));
        let (begun, mut reported, mut last_report, mut last_lease_check) =
            (Instant::now(), 0, Instant::now(), Instant::now());
        let progress = |_| {
            let done = fetched.get() * 100 / length.max(1) / PROGRESS_STEP * PROGRESS_STEP;
            if done > reported && done < 100 && last_report.elapsed() >= PROGRESS_INTERVAL {
                (reported, last_report) = (done, Instant::now());
                let text = format!("{done} % of the image written to {path}");
                self.set_status(&text);
                // A lost log line has no consequence.
                drop(server.get(&log(&text)));
            }
            if last_lease_check.elapsed() >= LEASE_CHECK_INTERVAL {
                last_lease_check = Instant::now();
                self.maintain_leases(netlink);
            }
        };
        let written = write(source, size, &mut device, progress);
        let WrittenImage { bytes, unsealed } = written.map_err(|failure| failure.to_string())?;
        if let Some(reason) = unsealed {
            let text = format!("the disk has no seal: {reason}");
            let log = format!("{}/log/warning/{}", instruction.callbacks, encoded(&text));
            drop(server.get(&log));
        }
        let text = format!(
            "{} MB written to {path} in {} s; checksum verified",
            bytes / 1_000_000,
            begun.elapsed().as_secs()
        );
        drop(server.get(&log(&text)));
        Ok(())
    }

    /// Refuses an installation beside a seed volume on another disk: cloud-init reads the one that it finds first.
    fn refuse_other_seed(&self, others: &[String]) -> Result<(), String> {
        let mut others = others.iter();
        let seed = others.find(|other| hardware::has_seed(&self.hardware, other));
        seed.map_or(Ok(()), |other| {
            Err(format!(
                "{other} has a seed volume (CIDATA), which cloud-init could read in place of that of this installation: clear {other} by hand first"
            ))
        })
    }

    /// The identifiers of the partition tables of disks, with their paths.
    fn tables(&self, disks: Vec<String>) -> BTreeMap<String, String> {
        let table = |disk: String| Some((hardware::table_id(&self.hardware, &disk)?, disk));
        disks.into_iter().filter_map(table).collect()
    }

    /// Asks the server whether the disk may be overwritten, if it has a seal. The server records a refusal.
    fn ask_about_seal(
        &mut self,
        netlink: &Netlink,
        server: &InstallServer,
        instruction: &ImageInstruction,
        device: &mut File,
    ) -> Result<(), String> {
        let sector = hardware::sealed_sector(device);
        let sector = sector.map_err(|error| format!("cannot read the disk: {error}"))?;
        let Some(seal) = seal_text(&sector) else {
            return Ok(());
        };
        self.set_status("asking the server about the seal of the disk");
        let url = format!("{}{}", instruction.seal.ask, encoded(&seal));
        let verdict = self.with_retries(netlink, || server.get(&url));
        let verdict = verdict.map_err(|error| {
            format!("the disk has a seal, and the server does not decide about it: {error}")
        })?;
        match verdict.trim_end() {
            "overwrite" => Ok(()),
            verdict => Err(verdict
                .strip_prefix("keep: ")
                .unwrap_or("the disk has a seal, and the server does not permit to overwrite it")
                .to_owned()),
        }
    }

    /// Waits until no further disk appears: a late one could be the one to write to.
    fn wait_for_disks(&mut self) -> Vec<DetectedDisk> {
        self.set_status("waiting for disks");
        let begun = Instant::now();
        let mut since = begun;
        let mut disks = hardware::disks(&self.hardware);
        while since.elapsed() < DISK_QUIET_TIME && begun.elapsed() < DISK_TIMEOUT {
            thread::sleep(SETTLE_TIME);
            self.load_drivers();
            let now = hardware::disks(&self.hardware);
            if now != disks {
                (disks, since) = (now, Instant::now());
            }
        }
        disks
    }

    /// The seed volume with the files of the instruction. All are fetched before the disk is written.
    fn seed(
        &mut self,
        netlink: &Netlink,
        server: &InstallServer,
        instruction: &ImageInstruction,
    ) -> Result<Vec<u8>, String> {
        let mut files = BTreeMap::new();
        for (name, url) in &instruction.seed {
            let text = self.with_retries(netlink, || server.get(url));
            let text = text.map_err(|error| format!("cannot fetch {name}: {error}"))?;
            files.insert(name.clone(), text.into_bytes());
        }
        volume(&files).map_err(|error| format!("cannot create the seed volume: {error}"))
    }

    /// Repeats a request while the server is unreachable.
    fn with_retries<T>(
        &mut self,
        netlink: &Netlink,
        request: impl Fn() -> Result<T, InstructionError>,
    ) -> Result<T, InstructionError> {
        let mut failures = 0;
        loop {
            failures += 1;
            match request() {
                Err(InstructionError::Unreachable(_)) if failures < MAX_TRIES => {
                    self.wait(netlink, backoff::after(failures));
                }
                answer => return answer,
            }
        }
    }
}

/// A GUID for the seed partition, different for each attempt: a version 8 UUID (RFC 9562).
fn guid(instruction: &ImageInstruction) -> [u8; 16] {
    let sum = Sha256::digest(instruction.callbacks.as_bytes());
    let mut guid: [u8; 16] = sum[..16].try_into().expect("a sum is longer");
    // The version is in the high bits of the third part, which is stored little-endian.
    guid[7] = (guid[7] & 0x0f) | 0x80;
    guid[8] = (guid[8] & 0x3f) | 0x80;
    guid
}
