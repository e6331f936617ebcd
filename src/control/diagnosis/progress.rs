//! The progress of one machine's boot, and where it has stopped.
//!
//! A [`BootProgress`] receives each [`Observation`] of the machine. It returns a diagnosis at once, or when its
//! time limit ([`BootProgress::due`]) has passed. A false diagnosis is worse than none: when something cannot be
//! observed reliably, such as downloads from another server, the boot is no longer followed. No decision depends on
//! it.

use std::{net::Ipv4Addr, time::Duration};

use crate::control::Diagnosis;
use crate::{
    boot::{ClientArch, Program, dhcp::Client},
    model::MonotonicTime,
};

/// An observation of a booting machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Observation {
    /// It sent a DISCOVER, and the answer had its boot file.
    Offered {
        client: Client,
        file: String,
        by_proxy: bool,
    },
    /// It got no boot file, for a permanent reason.
    NoBootFile(Diagnosis),
    /// It accepted the offer of another DHCP server.
    OtherServer(Ipv4Addr),
    /// It accepted our answer.
    Acknowledged { client: Client, file: String },
    /// It began to download a loader.
    LoaderRequested(String),
    /// It has downloaded a loader completely.
    Loaded {
        file: String,
        program: Option<Program>,
    },
    /// It acknowledged no block of a transfer.
    NotAcknowledged(String),
    /// It got the script of an installer. `is_seen`: the downloads of that script can be observed.
    Script { is_seen: bool },
    /// It requested a file of this size.
    File { bytes: u64 },
    /// It requested a file that does not exist.
    Missing(String),
    /// The boot is complete as far as it is followed, or can no longer be observed.
    Over,
}

/// The progress of a boot, in the order of its steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Reached {
    #[default]
    Nothing,
    Offered,
    OtherServer(Ipv4Addr),
    Acknowledged(String),
    LoaderRequested,
    NotAcknowledged(String),
    Loaded(String),
    Running(String),
    Scripted,
    Fetching,
    Missing(String),
    Ended,
}

/// The progress of one machine's boot in this run of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct BootProgress {
    reached: Reached,
    since: MonotonicTime,
    /// Whether the diagnosis of this step was reported.
    is_reported: bool,
    by_proxy: bool,
    arch: Option<ClientArch>,
    /// The file that it has requested and not downloaded yet.
    open: Option<String>,
    /// The number of answered DISCOVERs since the last progress.
    offers: u32,
    /// The number of loaders downloaded since its last script.
    loads: u32,
    /// The number of files downloaded since its last script, and the time limit of the last download.
    files: u32,
    transfer: Duration,
    /// The current diagnosis, the time of its report, and the progress at that time.
    reported: Option<(Diagnosis, MonotonicTime, Reached)>,
}

/// A script names a kernel and an initrd; the files that installers request after those may be optional.
const NAMED_FILES: u32 = 2;
/// The assumed minimum bandwidth in bytes per second, about that of a link of 10 Mbit/s.
const MIN_BYTES_PER_SECOND: u64 = 1_000_000;
/// After this many answered DISCOVERs in a row, the offers do not reach the machine.
const MAX_OFFERS: u32 = 4;
/// Firmware repeats its request after 4, 8, 16 and 32 s (PXE 2.1 section 2.2.2). A request after a longer time is
/// another boot.
const SAME_BOOT: Duration = Duration::from_secs(90);
/// Firmware that sends DHCP messages again after this time has given up its last step. After a shorter time it may
/// only repeat a request.
const GIVE_UP_TIME: Duration = Duration::from_secs(8);
/// The same diagnosis is not reported again within this time: firmware tries one boot entry after the other.
const REPEAT_INTERVAL: Duration = Duration::from_secs(180);

impl Reached {
    /// The time limit for the next step; none if there is no limit.
    fn time_limit(&self) -> Option<Duration> {
        let seconds = match self {
            Reached::Nothing | Reached::Offered | Reached::LoaderRequested | Reached::Ended => {
                return None;
            }
            // Firmware requests the loader within a second after it has its address. A machine is rarely switched
            // off in between.
            Reached::OtherServer(_) | Reached::Acknowledged(_) => 30,
            // The firmware may try another transfer.
            Reached::NotAcknowledged(_) => 5,
            // Spanning tree blocks a port for 30 s, and iPXE tries DHCP for as long.
            Reached::Loaded(_) => 90,
            Reached::Running(_) => 60,
            Reached::Scripted => 90,
            // A kernel starts, and its installer configures the network: 75 s in QEMU, longer on large servers.
            Reached::Fetching => 180,
            Reached::Missing(_) => 20,
        };
        Some(Duration::from_secs(seconds))
    }
}

impl BootProgress {
    /// Processes an observation, and returns a diagnosis that is certain at once.
    pub(crate) fn on(&mut self, observation: Observation, now: MonotonicTime) -> Option<Diagnosis> {
        match observation {
            Observation::Offered {
                client,
                file,
                by_proxy,
            } => {
                self.by_proxy = by_proxy;
                match client {
                    Client::Ipxe(_) => self.advance(Reached::Running(file), now),
                    _ => return self.on_offered(client, now),
                }
            }
            Observation::NoBootFile(diagnosis) => {
                self.advance(Reached::Nothing, now);
                return self.report(diagnosis, Reached::Nothing, now);
            }
            Observation::OtherServer(server) => self.on_other_server(server, now),
            Observation::Acknowledged { client, file } => match client {
                Client::Ipxe(_) => self.advance(Reached::Running(file), now),
                _ if self.reached < Reached::Acknowledged(String::new()) => {
                    self.advance(Reached::Acknowledged(file), now);
                }
                _ => {}
            },
            Observation::LoaderRequested(file) => {
                self.open = Some(file);
                self.advance(Reached::LoaderRequested, now);
            }
            Observation::Loaded { file, program } => return self.on_loaded(file, program, now),
            Observation::NotAcknowledged(file) => return self.on_not_acknowledged(file, now),
            Observation::Script { is_seen } => {
                self.loads = 0;
                self.files = 0;
                let next = if is_seen {
                    Reached::Scripted
                } else {
                    Reached::Ended
                };
                self.advance(next, now);
            }
            Observation::File { bytes } if self.is_fetching() => {
                self.files += 1;
                self.advance(Reached::Fetching, now);
                self.transfer = Duration::from_secs(bytes / MIN_BYTES_PER_SECOND);
            }
            Observation::Missing(file) if self.is_fetching() && self.files < NAMED_FILES => {
                self.advance(Reached::Missing(file), now);
            }
            Observation::File { .. } | Observation::Missing(_) => {}
            Observation::Over => self.advance(Reached::Ended, now),
        }
        None
    }

    /// Whether it downloads the files of its script.
    pub(crate) fn is_fetching(&self) -> bool {
        self.reached >= Reached::Scripted && self.reached < Reached::Ended
    }

    /// When [`BootProgress::stalled`] must be called.
    pub(crate) fn due(&self) -> Option<MonotonicTime> {
        let time_limit = self.reached.time_limit().filter(|_| !self.is_reported)?;
        Some(self.since.after(time_limit + self.transfer))
    }

    /// Returns the diagnosis if the time limit has passed.
    pub(crate) fn stalled(&mut self, now: MonotonicTime) -> Option<Diagnosis> {
        self.due().filter(|due| *due <= now)?;
        let diagnosis = self.stall()?;
        self.report(diagnosis, self.reached.clone(), now)
    }

    /// The current diagnosis.
    pub(crate) fn current(&self) -> Option<&Diagnosis> {
        self.reported.as_ref().map(|(diagnosis, ..)| diagnosis)
    }

    fn on_offered(&mut self, client: Client, now: MonotonicTime) -> Option<Diagnosis> {
        let (before, stall) = (self.reached.clone(), self.on_restart(now));
        let repeats = self.reached == Reached::Offered && now.since(self.since) < SAME_BOOT;
        self.offers = if repeats { self.offers + 1 } else { 1 };
        self.arch = client.arch();
        self.advance(Reached::Offered, now);
        match stall {
            Some(diagnosis) => self.report(diagnosis, before, now),
            None if self.offers != MAX_OFFERS => None,
            None if self.by_proxy => self.report(Diagnosis::OfferIgnored, before, now),
            None => self.report(Diagnosis::OfferLost, before, now),
        }
    }

    /// Firmware that starts again has given up its last step.
    fn on_restart(&self, now: MonotonicTime) -> Option<Diagnosis> {
        let is_certain = match &self.reached {
            // An operator may have reset it, or the other loader may be tried.
            Reached::Loaded(_) => self.loads >= 2,
            Reached::NotAcknowledged(_) => true,
            // A reset installer does not show that its network fails.
            Reached::Fetching => false,
            _ => now.since(self.since) >= GIVE_UP_TIME,
        };
        (is_certain && !self.is_reported)
            .then(|| self.stall())
            .flatten()
    }

    fn on_other_server(&mut self, server: Ipv4Addr, now: MonotonicTime) {
        match &self.reached {
            // Beside a proxy, iPXE correctly gets its address from the other server.
            Reached::Running(url) if self.by_proxy => {
                self.advance(Reached::Running(url.clone()), now)
            }
            Reached::Nothing | Reached::Offered | Reached::Running(_) | Reached::Ended => {
                self.advance(Reached::OtherServer(server), now);
            }
            // A repeated or late message.
            _ => {}
        }
    }

    fn on_not_acknowledged(&mut self, file: String, now: MonotonicTime) -> Option<Diagnosis> {
        self.open.take_if(|open| *open == file)?;
        match self.reached {
            Reached::LoaderRequested => self.advance(Reached::NotAcknowledged(file), now),
            // The firmware has started again meanwhile.
            Reached::Offered | Reached::OtherServer(_) | Reached::Acknowledged(_) => {
                let at = Reached::NotAcknowledged(file.clone());
                return self.report(Diagnosis::TransferUnacknowledged { file }, at, now);
            }
            _ => {}
        }
        None
    }

    fn on_loaded(
        &mut self,
        file: String,
        program: Option<Program>,
        now: MonotonicTime,
    ) -> Option<Diagnosis> {
        self.loads += 1;
        self.open = None;
        self.advance(Reached::Loaded(file.clone()), now);
        let (program, arch) = (program?, self.arch?);
        let firmware = arch.to_string();
        let mismatch = (!program.runs_on(arch)).then_some(Diagnosis::WrongLoader {
            file,
            program,
            firmware,
        });
        self.report(mismatch?, self.reached.clone(), now)
    }

    fn advance(&mut self, reached: Reached, now: MonotonicTime) {
        // A diagnosis is withdrawn when the boot makes progress.
        if self
            .reported
            .as_ref()
            .is_some_and(|(_, _, at)| reached > *at)
        {
            self.reported = None;
        }
        self.reached = reached;
        self.since = now;
        self.is_reported = false;
        self.transfer = Duration::ZERO;
    }

    /// The diagnosis of a boot that stops at the present step.
    fn stall(&self) -> Option<Diagnosis> {
        Some(match self.reached.clone() {
            Reached::Nothing | Reached::Offered | Reached::LoaderRequested | Reached::Ended => {
                return None;
            }
            Reached::OtherServer(server) if self.by_proxy => Diagnosis::NoBootServer { server },
            Reached::OtherServer(server) => Diagnosis::AnotherServer { server },
            Reached::Acknowledged(file) => Diagnosis::LoaderNotRequested { file },
            Reached::NotAcknowledged(file) => Diagnosis::TransferUnacknowledged { file },
            Reached::Loaded(file) => Diagnosis::NoRequestFromLoader { file },
            Reached::Running(url) => Diagnosis::NoScript { url },
            Reached::Scripted => Diagnosis::NoKernel,
            Reached::Fetching => Diagnosis::NoDocument,
            Reached::Missing(file) => Diagnosis::FileMissing { file },
        })
    }

    fn report(
        &mut self,
        diagnosis: Diagnosis,
        at: Reached,
        now: MonotonicTime,
    ) -> Option<Diagnosis> {
        self.is_reported |= at == self.reached;
        let same = self
            .reported
            .as_ref()
            .filter(|(reported, ..)| *reported == diagnosis);
        if same.is_some_and(|(_, before, _)| now.since(*before) < REPEAT_INTERVAL) {
            return None;
        }
        self.reported = Some((diagnosis.clone(), now, at));
        Some(diagnosis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://192.0.2.1/boot.ipxe";
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

    fn observation(text: &str) -> Observation {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let client = match rest {
            "bios" => Client::Pxe(ClientArch::Bios),
            "http" => Client::Http(ClientArch::HttpX64),
            "ipxe" => Client::Ipxe(Some(ClientArch::EfiX64)),
            _ => Client::Pxe(ClientArch::EfiX64),
        };
        let file = || match rest {
            "ipxe" => URL.to_owned(),
            "bios" => "undionly.kpxe".to_owned(),
            _ => "snponly.efi".to_owned(),
        };
        match verb {
            "proxied" | "offered" => Observation::Offered {
                client,
                file: file(),
                by_proxy: verb == "proxied",
            },
            "acked" => Observation::Acknowledged {
                client,
                file: file(),
            },
            "other-server" => Observation::OtherServer(OTHER),
            "unknown" => Observation::NoBootFile(Diagnosis::NotDeclared {
                never_seen: "db1".into(),
            }),
            "requests" => Observation::LoaderRequested(rest.into()),
            "loads" => Observation::Loaded {
                file: rest.into(),
                program: rest.ends_with(".efi").then_some(Program::EfiX64),
            },
            "loads-bios" => Observation::Loaded {
                file: rest.into(),
                program: Some(Program::NotEfi),
            },
            "unacked" => Observation::NotAcknowledged(rest.into()),
            "script" => Observation::Script {
                is_seen: rest != "unseen",
            },
            "file" => Observation::File {
                bytes: rest.parse().unwrap_or(0),
            },
            "missing" => Observation::Missing(rest.into()),
            "over" => Observation::Over,
            other => panic!("`{other}` is no observation"),
        }
    }

    /// Replays a story of `seconds: observation`, then ten minutes without one. Returns the reported diagnoses with
    /// their times in seconds, and the diagnosis at the end.
    fn played(story: &str) -> (Vec<(i64, Diagnosis)>, Option<Diagnosis>) {
        let mut progress = BootProgress::default();
        let mut reported = Vec::new();
        let mut now = 0;
        let lines = story.split(',').map(str::trim);
        let mut signs: Vec<(i64, Option<Observation>)> = lines
            .map(|line| {
                let (at, text) = line.split_once(": ").unwrap();
                (at.parse().unwrap(), Some(observation(text)))
            })
            .collect();
        let end = signs.last().unwrap().0 + 600;
        signs.push((end, None));
        for (at, observation) in signs {
            while now < at {
                now += 1;
                let stalled = progress.stalled(MonotonicTime(now * 1_000));
                reported.extend(stalled.map(|diagnosis| (now, diagnosis)));
            }
            let at_once = observation
                .and_then(|observation| progress.on(observation, MonotonicTime(now * 1_000)));
            reported.extend(at_once.map(|diagnosis| (now, diagnosis)));
        }
        (reported, progress.current().cloned())
    }

    #[test]
    fn a_boot_without_problems_has_no_diagnosis() {
        let stories = [
            // Beside a router, on our own network, over HTTP, and with iPXE in the NIC.
            "0: proxied, 1: other-server, 1: acked, 1: requests snponly.efi, 2: loads snponly.efi, 9: proxied ipxe, \
             10: other-server, 10: acked ipxe, 11: script, 11: file, 14: file, 60: over",
            "0: offered, 1: acked, 1: requests snponly.efi, 2: loads snponly.efi, 9: offered ipxe, 10: acked ipxe, \
             11: script, 11: file, 14: file, 60: over",
            "0: offered http, 1: acked http, 1: requests snponly.efi, 2: loads snponly.efi, 9: offered ipxe, 9: script, \
             9: file, 90: over",
            "0: offered ipxe, 1: acked ipxe, 2: script, 2: file, 5: file, 60: over",
            // Shim, GRUB, and a configuration that is the script.
            "0: offered, 1: acked, 1: requests shimx64.efi, 2: loads shimx64.efi, 3: requests grubx64.efi, 9: loads grubx64.efi, \
             12: script, 12: file, 50: file, 120: over",
            // Firmware that requests the size first, and abandons that transfer.
            "0: offered, 1: acked, 1: requests snponly.efi, 1: requests snponly.efi, 2: loads snponly.efi, 8: unacked snponly.efi, \
             20: script, 20: file, 80: over",
            "0: offered, 1: acked, 1: requests snponly.efi, 9: unacked snponly.efi, 11: requests snponly.efi, \
             12: loads snponly.efi, 30: script, 30: file, 80: over",
            // Everything is slow: repeated requests, spanning tree, a large initrd, a slow installer.
            "0: offered, 4: offered, 12: offered, 13: acked, 40: requests snponly.efi, 100: loads snponly.efi, \
             160: offered ipxe, 190: offered ipxe, 240: acked ipxe, 250: script, 330: file, 480: file, 650: over",
            "0: offered ipxe, 1: script, 1: file 8000000, 9: file 100000000, 250: over",
            // An installer requests optional files.
            "0: offered ipxe, 1: script, 1: file, 2: file, 30: missing repo/r/images/updates.img, 60: over",
            // mboot requests optional files.
            "0: offered ipxe, 1: script, 1: file, 2: missing repo/esxi/crypto64.efi, 3: file, 90: file, 200: over",
            // It boots its disk by a script, then soon boots from the network again.
            "0: proxied, 1: other-server, 1: acked, 1: requests snponly.efi, 2: loads snponly.efi, 9: proxied ipxe, 11: over, \
             20: proxied http, 21: other-server, 21: requests snponly.efi, 22: loads snponly.efi, 30: proxied ipxe, 31: over",
            // Downloads from another server are not observed.
            "0: offered ipxe, 1: script unseen",
            // It was powered off several times while it sent DISCOVERs.
            "0: offered",
            "0: offered, 200: offered, 400: offered, 600: offered, 800: offered",
            // It was reset during a boot, and boots completely afterwards.
            "0: offered, 1: acked, 1: requests snponly.efi, 2: loads snponly.efi, 30: offered, 31: acked, \
             31: requests snponly.efi, 32: loads snponly.efi, 40: offered ipxe, 41: script, 41: file, 70: offered, \
             71: acked, 71: requests snponly.efi, 72: loads snponly.efi, 80: offered ipxe, 81: script, 82: file, 140: over",
            // Another DHCP server sends it to our loader.
            "0: other-server, 1: requests snponly.efi, 2: loads snponly.efi, 20: script, 20: file, 80: over",
        ];
        for story in stories {
            assert_eq!(played(story), (Vec::new(), None), "{story}");
        }
    }

    #[test]
    fn a_boot_that_stops_is_diagnosed() {
        let file = || String::from("snponly.efi");
        let url = || URL.to_owned();
        let cases = [
            (
                "0: proxied, 4: proxied, 12: proxied, 28: proxied, 60: proxied",
                28,
                Diagnosis::OfferIgnored,
            ),
            (
                "0: offered, 4: offered, 12: offered, 28: offered",
                28,
                Diagnosis::OfferLost,
            ),
            (
                "0: offered, 1: other-server",
                31,
                Diagnosis::AnotherServer { server: OTHER },
            ),
            (
                "0: other-server, 20: other-server",
                30,
                Diagnosis::AnotherServer { server: OTHER },
            ),
            (
                "0: offered ipxe, 1: other-server",
                31,
                Diagnosis::AnotherServer { server: OTHER },
            ),
            (
                "0: proxied, 1: other-server",
                31,
                Diagnosis::NoBootServer { server: OTHER },
            ),
            // Firmware gives up before our time limit, and starts again.
            (
                "0: proxied, 1: other-server, 16: proxied, 17: other-server, 33: proxied",
                16,
                Diagnosis::NoBootServer { server: OTHER },
            ),
            (
                "0: offered, 1: acked, 5: acked",
                31,
                Diagnosis::LoaderNotRequested { file: file() },
            ),
            (
                "0: proxied, 1: other-server, 2: acked",
                32,
                Diagnosis::LoaderNotRequested { file: file() },
            ),
            (
                "0: offered, 1: acked, 1: requests snponly.efi, 9: unacked snponly.efi",
                14,
                Diagnosis::TransferUnacknowledged { file: file() },
            ),
            (
                "0: offered, 1: acked, 1: requests snponly.efi, 9: unacked snponly.efi, 11: offered",
                11,
                Diagnosis::TransferUnacknowledged { file: file() },
            ),
            (
                "0: offered, 1: acked, 1: requests snponly.efi, 7: offered, 9: unacked snponly.efi",
                9,
                Diagnosis::TransferUnacknowledged { file: file() },
            ),
            (
                "0: offered bios, 1: acked bios, 1: requests snponly.efi, 2: loads snponly.efi",
                2,
                Diagnosis::WrongLoader {
                    file: file(),
                    program: Program::EfiX64,
                    firmware: "BIOS".into(),
                },
            ),
            (
                "0: offered, 1: requests undionly.kpxe, 2: loads-bios undionly.kpxe",
                2,
                Diagnosis::WrongLoader {
                    file: "undionly.kpxe".into(),
                    program: Program::NotEfi,
                    firmware: "UEFI x64".into(),
                },
            ),
            (
                "0: offered, 1: acked, 1: requests snponly.efi, 2: loads snponly.efi",
                92,
                Diagnosis::NoRequestFromLoader { file: file() },
            ),
            // A loop: the second time it is not a coincidence.
            (
                "0: offered, 1: loads snponly.efi, 4: offered, 5: loads snponly.efi, 8: offered",
                8,
                Diagnosis::NoRequestFromLoader { file: file() },
            ),
            (
                "0: offered, 1: loads snponly.efi, 9: offered ipxe, 10: acked ipxe",
                70,
                Diagnosis::NoScript { url: url() },
            ),
            (
                "0: proxied ipxe, 1: other-server",
                61,
                Diagnosis::NoScript { url: url() },
            ),
            ("0: offered ipxe, 1: script", 91, Diagnosis::NoKernel),
            (
                "0: offered ipxe, 1: script, 20: offered ipxe, 21: script",
                111,
                Diagnosis::NoKernel,
            ),
            (
                "0: offered ipxe, 1: script, 2: missing repo/r/linux",
                22,
                Diagnosis::FileMissing {
                    file: "repo/r/linux".into(),
                },
            ),
            (
                "0: offered ipxe, 1: script, 2: file, 3: missing repo/r/initrd.gz, 14: offered",
                14,
                Diagnosis::FileMissing {
                    file: "repo/r/initrd.gz".into(),
                },
            ),
            (
                "0: offered ipxe, 1: script, 2: file, 5: file",
                185,
                Diagnosis::NoDocument,
            ),
            (
                "0: offered ipxe, 1: script, 2: file, 5: file 100000000, 40: missing repo/r/product.img",
                285,
                Diagnosis::NoDocument,
            ),
            (
                "0: unknown, 4: unknown",
                0,
                Diagnosis::NotDeclared {
                    never_seen: "db1".into(),
                },
            ),
        ];
        for (story, at, diagnosis) in cases {
            let (reported, remaining) = played(story);
            assert_eq!(reported.first(), Some(&(at, diagnosis.clone())), "{story}");
            assert!(
                reported.iter().all(|(_, one)| *one == diagnosis),
                "{story}: {reported:?}"
            );
            assert_eq!(remaining, Some(diagnosis), "{story}");
        }
    }

    #[test]
    fn a_diagnosis_is_reported_once_per_boot_and_withdrawn_on_progress() {
        let round = "0: offered, 1: acked, 40: offered, 41: acked";
        let (reported, _) = played(round);
        let seconds: Vec<i64> = reported.iter().map(|(at, _)| *at).collect();
        assert_eq!(seconds, [31]);
        let (reported, _) = played("0: offered, 1: acked, 300: offered, 301: acked");
        let seconds: Vec<i64> = reported.iter().map(|(at, _)| *at).collect();
        assert_eq!(seconds, [31, 331]);
        let resumed =
            "0: offered, 1: acked, 40: offered, 41: acked, 42: requests snponly.efi, 43: over";
        let (reported, remaining) = played(resumed);
        assert_eq!((reported.len(), remaining), (1, None));
    }
}
