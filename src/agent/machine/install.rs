//! A machine that is given an image: its order, the right disk, the image, and what it tells of it.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use super::{MicrokernelAgent, ODD, SETTLING, TICK};
use crate::{
    agent::{
        backoff,
        hardware::{self, DetectedDisk},
        image::{ImageSource, RemoteImage, choose, volume, write},
        network::Netlink,
        partitions::DiskSize,
        server::{InstallServer, InstructionError, read},
    },
    model::ImageInstruction,
    render::encoded,
};

/// Disks have all appeared when no further one did for so long.
const STEADY: Duration = Duration::from_secs(5);
/// And are not waited for any longer than this.
const APPEARING: Duration = Duration::from_secs(60);

/// How often a stage is told at most, and a failure.
const TELLS: u32 = 20;

/// After a failure the machine stays as it is for so long, to be read.
const FAILED: Duration = Duration::from_secs(60);

/// Progress is told in steps of so many per cent, and no more often than this.
const STEP: u64 = 10;
const SELDOM: Duration = Duration::from_secs(5);

impl MicrokernelAgent {
    /// Does what the order at this URL says. Never returns: the machine starts anew.
    pub(super) fn install(mut self, links: &Netlink, url: &str) -> ! {
        let server = InstallServer::new();
        let order = self.image_order(links, &server, url);
        self.shown.node.clone_from(&order.node);
        let stage = |name: &str| format!("{}/stage/{name}", order.callbacks);
        self.tell(links, &server, &stage("installing"), 5);
        match self.put(links, &server, &order) {
            Ok(()) => {
                self.doing("is installed; starts anew");
                self.tell(links, &server, &stage("installed"), TELLS);
            }
            Err(why) => {
                let seconds = FAILED.as_secs();
                self.doing(&format!("failed: {why}; starts anew in {seconds} s"));
                let failed = format!("{}?reason={}", stage("failed"), encoded(&why));
                self.tell(links, &server, &failed, 5);
                self.wait(links, FAILED);
            }
        }
        loop {
            self.restart();
        }
    }

    /// The order, however often it has to be asked for. One that is not there any more is another boot's.
    fn image_order(
        &mut self,
        links: &Netlink,
        server: &InstallServer,
        url: &str,
    ) -> ImageInstruction {
        let mut failures = 0;
        loop {
            self.doing("asks for its order");
            let order = server.get(url).and_then(|text| read(&text));
            let error = match order {
                Ok(order) => return order,
                Err(error) => error,
            };
            failures += 1;
            if error == InstructionError::Unknown {
                self.doing("its order is not there any more; starts anew in 30 s");
                self.wait(links, ODD);
                self.restart();
            }
            let pause = backoff::after(failures);
            self.doing(&format!("{error}; tries again in {} s", pause.as_secs()));
            self.wait(links, backoff::spread(pause, backoff::chance()));
        }
    }

    /// Tells a stage or a failure, so many times at most until somebody hears it. What is not heard stops nothing.
    fn tell(&mut self, links: &Netlink, server: &InstallServer, url: &str, times: u32) {
        for failures in 1..=times {
            match server.get(url) {
                Ok(_) | Err(InstructionError::Unknown) => return,
                Err(error) => self.trouble(error.to_string()),
            }
            self.wait(links, backoff::after(failures));
        }
    }

    /// Writes the image; an error says why the disk does not have it.
    fn put(
        &mut self,
        links: &Netlink,
        server: &InstallServer,
        order: &ImageInstruction,
    ) -> Result<(), String> {
        if order.version != 1 {
            return Err(format!(
                "this agent knows orders of version 1, and this is {}: `bootwright microkernel build` makes a newer one",
                order.version
            ));
        }
        let checksum = order.checksum();
        let checksum = checksum.ok_or("the order has no checksum for the image")?;
        let disks = self.steady_disks();
        let has_others =
            |disk: &DetectedDisk| hardware::has_others(&self.hardware, &disk.fact.path);
        let disk = choose(&order.disk, &disks, has_others).map_err(|doubt| doubt.to_string())?;
        let path = &disk.fact.path;
        let size = DiskSize {
            bytes: disk.fact.size_bytes.unwrap_or(0),
            sector: hardware::sector(&self.hardware, path),
        };
        let seed = self.seed(links, server, order)?;
        self.doing(&format!("fetches {}", order.image));
        let unreachable = |error| format!("the image cannot be fetched: {error}");
        let stream = RemoteImage::new(&order.image).open().map_err(unreachable)?;
        let (length, fetched) = (stream.length, stream.read.clone());
        // Exclusively: a disk that the kernel uses itself is refused.
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::libc::O_EXCL)
            .open(self.root.join(path.trim_start_matches('/')));
        let mut device = opened.map_err(|error| format!("{path} cannot be opened: {error}"))?;
        let source = ImageSource {
            packed: stream,
            checksum,
            seed,
            guid: guid(order),
        };
        let log = |text: &str| format!("{}/log/info/{}", order.callbacks, encoded(text));
        let (begun, mut told, mut last, mut looked) =
            (Instant::now(), 0, Instant::now(), Instant::now());
        let progress = |_| {
            let done = fetched.get() * 100 / length.max(1) / STEP * STEP;
            if done > told && done < 100 && last.elapsed() >= SELDOM {
                (told, last) = (done, Instant::now());
                let text = format!("{done} % of the image is on {path}");
                self.doing(&text);
                // A line that is not heard is one line less.
                drop(server.get(&log(&text)));
            }
            if looked.elapsed() >= TICK {
                looked = Instant::now();
                self.keep_addresses(links);
            }
        };
        let written = write(source, size, &mut device, progress);
        let bytes = written.map_err(|failure| failure.to_string())?;
        let text = format!(
            "{} MB are on {path}, in {} s; the checksum fits",
            bytes / 1_000_000,
            begun.elapsed().as_secs()
        );
        drop(server.get(&log(&text)));
        Ok(())
    }

    /// The disks, when no further one has appeared for a while: one that is late could be the one that is meant.
    fn steady_disks(&mut self) -> Vec<DetectedDisk> {
        self.doing("looks for its disks");
        let begun = Instant::now();
        let mut since = begun;
        let mut disks = hardware::disks(&self.hardware);
        while since.elapsed() < STEADY && begun.elapsed() < APPEARING {
            thread::sleep(SETTLING);
            self.drive();
            let now = hardware::disks(&self.hardware);
            if now != disks {
                (disks, since) = (now, Instant::now());
            }
        }
        disks
    }

    /// The volume with what the order names, all of it fetched before anything is written.
    fn seed(
        &mut self,
        links: &Netlink,
        server: &InstallServer,
        order: &ImageInstruction,
    ) -> Result<Vec<u8>, String> {
        let mut files = BTreeMap::new();
        for (name, url) in &order.seed {
            let text = self.patiently(links, || server.get(url));
            let text = text.map_err(|error| format!("{name} cannot be fetched: {error}"))?;
            files.insert(name.clone(), text.into_bytes());
        }
        volume(&files).map_err(|error| format!("the seed volume cannot be made: {error}"))
    }

    /// Tries something that may fail for a while.
    fn patiently<T>(
        &mut self,
        links: &Netlink,
        ask: impl Fn() -> Result<T, InstructionError>,
    ) -> Result<T, InstructionError> {
        let mut failures = 0;
        loop {
            failures += 1;
            match ask() {
                Err(InstructionError::Unreachable(_)) if failures < TELLS => {
                    self.wait(links, backoff::after(failures));
                }
                answer => return answer,
            }
        }
    }
}

/// A partition's number that is another one for each attempt: a version 8 UUID (RFC 9562).
fn guid(order: &ImageInstruction) -> [u8; 16] {
    let sum = Sha256::digest(order.callbacks.as_bytes());
    let mut guid: [u8; 16] = sum[..16].try_into().expect("a sum is longer");
    // The version stands in the third part's high bits, which a disk has last.
    guid[7] = (guid[7] & 0x0f) | 0x80;
    guid[8] = (guid[8] & 0x3f) | 0x80;
    guid
}
