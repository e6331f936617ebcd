//! How far one machine's boot has come, and by which signature it is known to have stopped.
//!
//! A [`BootProgress`] is told each [`Observation`] of the machine as it comes, and says what there is to say at once; what only
//! time shows it says when it is asked at [`BootProgress::due`]. A false alarm is worse than silence: whatever cannot be
//! seen for sure, such as what a machine fetches from elsewhere, ends the trail. Nothing is decided by it.

use std::{net::Ipv4Addr, time::Duration};

use crate::control::Diagnosis;
use crate::{
    boot::{ClientArch, Program, dhcp::Client},
    model::MonotonicTime,
};

/// What was seen of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Observation {
    /// It looked for servers, and was answered with what it boots.
    Offered {
        client: Client,
        file: String,
        by_proxy: bool,
    },
    /// It was given nothing to boot, for a reason that stays.
    Refused(Diagnosis),
    /// It goes with another server.
    Elsewhere(Ipv4Addr),
    /// It took our answer.
    Acknowledged { client: Client, file: String },
    /// It began to fetch a loader.
    Asked(String),
    /// It has fetched a loader to the end.
    Loaded {
        file: String,
        program: Option<Program>,
    },
    /// It acknowledged nothing of a transfer.
    Unheard(String),
    /// It was given the script of an installer; whether what it fetches then can be seen.
    Script { is_seen: bool },
    /// It asked for a file of so many bytes.
    File { bytes: u64 },
    /// It asked for a file that is not there.
    Missing(String),
    /// It has come as far as is looked at here, or nothing more can be seen.
    Over,
}

/// How far a boot has come. The order is that of a boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Reached {
    #[default]
    Nothing,
    Offered,
    Elsewhere(Ipv4Addr),
    Acknowledged(String),
    Asked,
    Unheard(String),
    Loaded(String),
    Running(String),
    Scripted,
    Fetching,
    Missing(String),
    Over,
}

/// One machine's boot, as far as this run saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct BootProgress {
    reached: Reached,
    since: MonotonicTime,
    /// Whether it is said why it goes no further from here.
    is_told: bool,
    by_proxy: bool,
    arch: Option<ClientArch>,
    /// What it asked for and has not fetched yet.
    open: Option<String>,
    /// DISCOVERs that were answered, since the machine last went on.
    offers: u32,
    /// Loaders fetched since it last came to a script.
    loads: u32,
    /// Files fetched since then, and how long the last of them may take.
    files: u32,
    transfer: Duration,
    /// What was said, when, and how far the boot had come.
    said: Option<(Diagnosis, MonotonicTime, Reached)>,
}

/// A script names a kernel and an initrd; installers then look for files that need not be there.
const NAMED: u32 = 2;
/// The slowest link that is waited for, in bytes per second: one of 10 Mbit/s.
const SLOWEST: u64 = 1_000_000;
/// So many DISCOVERs in a row were answered in vain when the offers are known to lead to nothing.
const IN_VAIN: u32 = 4;
/// Firmware asks again after 4, 8, 16 and 32 s (PXE 2.1 section 2.2.2); after more than that it is another boot.
const SAME_BOOT: Duration = Duration::from_secs(90);
/// Firmware that comes back with DHCP after so long has given up what it was at; a shorter time may be a repetition.
const GIVEN_UP: Duration = Duration::from_secs(8);
/// The same sentence is not said again within this time: firmware tries one boot entry after the other.
const SAID: Duration = Duration::from_secs(180);

impl Reached {
    /// For how long nothing need follow; none: for as long as it takes.
    fn patience(&self) -> Option<Duration> {
        let seconds = match self {
            Reached::Nothing | Reached::Offered | Reached::Asked | Reached::Over => return None,
            // The loader is asked for within a second of the address; a machine is rarely switched off in that.
            Reached::Elsewhere(_) | Reached::Acknowledged(_) => 30,
            // The firmware may try another transfer.
            Reached::Unheard(_) => 5,
            // Spanning tree keeps a port closed for 30 s, and iPXE tries DHCP for as long.
            Reached::Loaded(_) => 90,
            Reached::Running(_) => 60,
            Reached::Scripted => 90,
            // A kernel starts and an installer finds its network: 75 s in QEMU, longer on large servers.
            Reached::Fetching => 180,
            Reached::Missing(_) => 20,
        };
        Some(Duration::from_secs(seconds))
    }
}

impl BootProgress {
    /// Takes a sign in; returns what is to be said at once.
    pub(crate) fn on(&mut self, observation: Observation, now: MonotonicTime) -> Option<Diagnosis> {
        match observation {
            Observation::Offered {
                client,
                file,
                by_proxy,
            } => {
                self.by_proxy = by_proxy;
                match client {
                    Client::Ipxe(_) => self.go(Reached::Running(file), now),
                    _ => return self.on_offered(client, now),
                }
            }
            Observation::Refused(diagnosis) => {
                self.go(Reached::Nothing, now);
                return self.say(diagnosis, Reached::Nothing, now);
            }
            Observation::Elsewhere(server) => self.on_elsewhere(server, now),
            Observation::Acknowledged { client, file } => match client {
                Client::Ipxe(_) => self.go(Reached::Running(file), now),
                _ if self.reached < Reached::Acknowledged(String::new()) => {
                    self.go(Reached::Acknowledged(file), now);
                }
                _ => {}
            },
            Observation::Asked(file) => {
                self.open = Some(file);
                self.go(Reached::Asked, now);
            }
            Observation::Loaded { file, program } => return self.on_loaded(file, program, now),
            Observation::Unheard(file) => return self.on_unheard(file, now),
            Observation::Script { is_seen } => {
                self.loads = 0;
                self.files = 0;
                let next = if is_seen {
                    Reached::Scripted
                } else {
                    Reached::Over
                };
                self.go(next, now);
            }
            Observation::File { bytes } if self.is_fetching() => {
                self.files += 1;
                self.go(Reached::Fetching, now);
                self.transfer = Duration::from_secs(bytes / SLOWEST);
            }
            Observation::Missing(file) if self.is_fetching() && self.files < NAMED => {
                self.go(Reached::Missing(file), now);
            }
            Observation::File { .. } | Observation::Missing(_) => {}
            Observation::Over => self.go(Reached::Over, now),
        }
        None
    }

    /// Whether it fetches what its script names.
    pub(crate) fn is_fetching(&self) -> bool {
        self.reached >= Reached::Scripted && self.reached < Reached::Over
    }

    /// When [`BootProgress::stalled`] is to be asked.
    pub(crate) fn due(&self) -> Option<MonotonicTime> {
        let patience = self.reached.patience().filter(|_| !self.is_told)?;
        Some(self.since.after(patience + self.transfer))
    }

    /// Says what is known by the time that has passed.
    pub(crate) fn stalled(&mut self, now: MonotonicTime) -> Option<Diagnosis> {
        self.due().filter(|due| *due <= now)?;
        let diagnosis = self.stall()?;
        self.say(diagnosis, self.reached.clone(), now)
    }

    /// What stands against the machine now.
    pub(crate) fn said(&self) -> Option<&Diagnosis> {
        self.said.as_ref().map(|(diagnosis, ..)| diagnosis)
    }

    fn on_offered(&mut self, client: Client, now: MonotonicTime) -> Option<Diagnosis> {
        let (before, stall) = (self.reached.clone(), self.came_back(now));
        let repeats = self.reached == Reached::Offered && now.since(self.since) < SAME_BOOT;
        self.offers = if repeats { self.offers + 1 } else { 1 };
        self.arch = client.arch();
        self.go(Reached::Offered, now);
        match stall {
            Some(diagnosis) => self.say(diagnosis, before, now),
            None if self.offers != IN_VAIN => None,
            None if self.by_proxy => self.say(Diagnosis::OfferIgnored, before, now),
            None => self.say(Diagnosis::OfferLost, before, now),
        }
    }

    /// Firmware that begins anew has given up what it was at.
    fn came_back(&self, now: MonotonicTime) -> Option<Diagnosis> {
        let is_sure = match &self.reached {
            // Somebody may have reset it; the ladder of loaders counts as well.
            Reached::Loaded(_) => self.loads >= 2,
            Reached::Unheard(_) => true,
            // An installer that was reset says nothing of its network.
            Reached::Fetching => false,
            _ => now.since(self.since) >= GIVEN_UP,
        };
        (is_sure && !self.is_told).then(|| self.stall()).flatten()
    }

    fn on_elsewhere(&mut self, server: Ipv4Addr, now: MonotonicTime) {
        match &self.reached {
            // Beside a proxy iPXE takes its address from the other server, as it should.
            Reached::Running(url) if self.by_proxy => self.go(Reached::Running(url.clone()), now),
            Reached::Nothing | Reached::Offered | Reached::Running(_) | Reached::Over => {
                self.go(Reached::Elsewhere(server), now);
            }
            // The same once more, or late.
            _ => {}
        }
    }

    fn on_unheard(&mut self, file: String, now: MonotonicTime) -> Option<Diagnosis> {
        self.open.take_if(|open| *open == file)?;
        match self.reached {
            Reached::Asked => self.go(Reached::Unheard(file), now),
            // The firmware has begun anew in the meantime.
            Reached::Offered | Reached::Elsewhere(_) | Reached::Acknowledged(_) => {
                let at = Reached::Unheard(file.clone());
                return self.say(Diagnosis::TransferUnheard { file }, at, now);
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
        self.go(Reached::Loaded(file.clone()), now);
        let (program, arch) = (program?, self.arch?);
        let firmware = arch.to_string();
        let wrong = (!program.runs_on(arch)).then_some(Diagnosis::WrongLoader {
            file,
            program,
            firmware,
        });
        self.say(wrong?, self.reached.clone(), now)
    }

    fn go(&mut self, reached: Reached, now: MonotonicTime) {
        // What was said is withdrawn once the boot gets further.
        if self.said.as_ref().is_some_and(|(_, _, at)| reached > *at) {
            self.said = None;
        }
        self.reached = reached;
        self.since = now;
        self.is_told = false;
        self.transfer = Duration::ZERO;
    }

    /// By what a boot that goes no further from here is known.
    fn stall(&self) -> Option<Diagnosis> {
        Some(match self.reached.clone() {
            Reached::Nothing | Reached::Offered | Reached::Asked | Reached::Over => return None,
            Reached::Elsewhere(server) if self.by_proxy => Diagnosis::NoBootServer { server },
            Reached::Elsewhere(server) => Diagnosis::AnotherServer { server },
            Reached::Acknowledged(file) => Diagnosis::LoaderNotAsked { file },
            Reached::Unheard(file) => Diagnosis::TransferUnheard { file },
            Reached::Loaded(file) => Diagnosis::LoaderSilent { file },
            Reached::Running(url) => Diagnosis::NoScript { url },
            Reached::Scripted => Diagnosis::NoKernel,
            Reached::Fetching => Diagnosis::NoDocument,
            Reached::Missing(file) => Diagnosis::FileMissing { file },
        })
    }

    fn say(&mut self, diagnosis: Diagnosis, at: Reached, now: MonotonicTime) -> Option<Diagnosis> {
        self.is_told |= at == self.reached;
        let same = self.said.as_ref().filter(|(said, ..)| *said == diagnosis);
        if same.is_some_and(|(_, before, _)| now.since(*before) < SAID) {
            return None;
        }
        self.said = Some((diagnosis.clone(), now, at));
        Some(diagnosis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://192.0.2.1/boot.ipxe";
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

    fn observation(words: &str) -> Observation {
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
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
            "elsewhere" => Observation::Elsewhere(OTHER),
            "unknown" => Observation::Refused(Diagnosis::NotDeclared {
                never_seen: "db1".into(),
            }),
            "asks" => Observation::Asked(rest.into()),
            "loads" => Observation::Loaded {
                file: rest.into(),
                program: rest.ends_with(".efi").then_some(Program::EfiX64),
            },
            "loads-bios" => Observation::Loaded {
                file: rest.into(),
                program: Some(Program::NotEfi),
            },
            "unheard" => Observation::Unheard(rest.into()),
            "script" => Observation::Script {
                is_seen: rest != "unseen",
            },
            "file" => Observation::File {
                bytes: rest.parse().unwrap_or(0),
            },
            "missing" => Observation::Missing(rest.into()),
            "over" => Observation::Over,
            other => panic!("`{other}` is no sign"),
        }
    }

    /// Plays a story of `seconds: observation` and lets ten minutes pass. Returns what is said, with the second that it is
    /// said at, and what stands in the end.
    fn played(story: &str) -> (Vec<(i64, Diagnosis)>, Option<Diagnosis>) {
        let mut progress = BootProgress::default();
        let mut said = Vec::new();
        let mut now = 0;
        let lines = story.split(',').map(str::trim);
        let mut signs: Vec<(i64, Option<Observation>)> = lines
            .map(|line| {
                let (at, words) = line.split_once(": ").unwrap();
                (at.parse().unwrap(), Some(observation(words)))
            })
            .collect();
        let end = signs.last().unwrap().0 + 600;
        signs.push((end, None));
        for (at, observation) in signs {
            while now < at {
                now += 1;
                let stalled = progress.stalled(MonotonicTime(now * 1_000));
                said.extend(stalled.map(|diagnosis| (now, diagnosis)));
            }
            let at_once = observation
                .and_then(|observation| progress.on(observation, MonotonicTime(now * 1_000)));
            said.extend(at_once.map(|diagnosis| (now, diagnosis)));
        }
        (said, progress.said().cloned())
    }

    #[test]
    fn a_boot_that_goes_well_says_nothing() {
        let stories = [
            // Beside a router, in our own network, over HTTP, and with iPXE in the card.
            "0: proxied, 1: elsewhere, 1: acked, 1: asks snponly.efi, 2: loads snponly.efi, 9: proxied ipxe, \
             10: elsewhere, 10: acked ipxe, 11: script, 11: file, 14: file, 60: over",
            "0: offered, 1: acked, 1: asks snponly.efi, 2: loads snponly.efi, 9: offered ipxe, 10: acked ipxe, \
             11: script, 11: file, 14: file, 60: over",
            "0: offered http, 1: acked http, 1: asks snponly.efi, 2: loads snponly.efi, 9: offered ipxe, 9: script, \
             9: file, 90: over",
            "0: offered ipxe, 1: acked ipxe, 2: script, 2: file, 5: file, 60: over",
            // Shim, GRUB, and a configuration that is the script.
            "0: offered, 1: acked, 1: asks shimx64.efi, 2: loads shimx64.efi, 3: asks grubx64.efi, 9: loads grubx64.efi, \
             12: script, 12: file, 50: file, 120: over",
            // Firmware that looks at the size first, and leaves that transfer alone.
            "0: offered, 1: acked, 1: asks snponly.efi, 1: asks snponly.efi, 2: loads snponly.efi, 8: unheard snponly.efi, \
             20: script, 20: file, 80: over",
            "0: offered, 1: acked, 1: asks snponly.efi, 9: unheard snponly.efi, 11: asks snponly.efi, \
             12: loads snponly.efi, 30: script, 30: file, 80: over",
            // Everything takes long: repeated questions, spanning tree, a large initrd, a slow installer.
            "0: offered, 4: offered, 12: offered, 13: acked, 40: asks snponly.efi, 100: loads snponly.efi, \
             160: offered ipxe, 190: offered ipxe, 240: acked ipxe, 250: script, 330: file, 480: file, 650: over",
            "0: offered ipxe, 1: script, 1: file 8000000, 9: file 100000000, 250: over",
            // An installer looks for what need not be there.
            "0: offered ipxe, 1: script, 1: file, 2: file, 30: missing repo/r/images/updates.img, 60: over",
            // mboot looks for what need not be there.
            "0: offered ipxe, 1: script, 1: file, 2: missing repo/esxi/crypto64.efi, 3: file, 90: file, 200: over",
            // Its disk, by a script; a second network boot soon after.
            "0: proxied, 1: elsewhere, 1: acked, 1: asks snponly.efi, 2: loads snponly.efi, 9: proxied ipxe, 11: over, \
             20: proxied http, 21: elsewhere, 21: asks snponly.efi, 22: loads snponly.efi, 30: proxied ipxe, 31: over",
            // What it fetches from elsewhere is not seen.
            "0: offered ipxe, 1: script unseen",
            // Switched off while it looked for servers, several times.
            "0: offered",
            "0: offered, 200: offered, 400: offered, 600: offered, 800: offered",
            // Reset in the middle of things, and well after that.
            "0: offered, 1: acked, 1: asks snponly.efi, 2: loads snponly.efi, 30: offered, 31: acked, \
             31: asks snponly.efi, 32: loads snponly.efi, 40: offered ipxe, 41: script, 41: file, 70: offered, \
             71: acked, 71: asks snponly.efi, 72: loads snponly.efi, 80: offered ipxe, 81: script, 82: file, 140: over",
            // Another server's loader is ours.
            "0: elsewhere, 1: asks snponly.efi, 2: loads snponly.efi, 20: script, 20: file, 80: over",
        ];
        for story in stories {
            assert_eq!(played(story), (Vec::new(), None), "{story}");
        }
    }

    #[test]
    fn a_boot_that_stops_says_where() {
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
                "0: offered, 1: elsewhere",
                31,
                Diagnosis::AnotherServer { server: OTHER },
            ),
            (
                "0: elsewhere, 20: elsewhere",
                30,
                Diagnosis::AnotherServer { server: OTHER },
            ),
            (
                "0: offered ipxe, 1: elsewhere",
                31,
                Diagnosis::AnotherServer { server: OTHER },
            ),
            (
                "0: proxied, 1: elsewhere",
                31,
                Diagnosis::NoBootServer { server: OTHER },
            ),
            // Firmware gives up sooner than we, and begins anew.
            (
                "0: proxied, 1: elsewhere, 16: proxied, 17: elsewhere, 33: proxied",
                16,
                Diagnosis::NoBootServer { server: OTHER },
            ),
            (
                "0: offered, 1: acked, 5: acked",
                31,
                Diagnosis::LoaderNotAsked { file: file() },
            ),
            (
                "0: proxied, 1: elsewhere, 2: acked",
                32,
                Diagnosis::LoaderNotAsked { file: file() },
            ),
            (
                "0: offered, 1: acked, 1: asks snponly.efi, 9: unheard snponly.efi",
                14,
                Diagnosis::TransferUnheard { file: file() },
            ),
            (
                "0: offered, 1: acked, 1: asks snponly.efi, 9: unheard snponly.efi, 11: offered",
                11,
                Diagnosis::TransferUnheard { file: file() },
            ),
            (
                "0: offered, 1: acked, 1: asks snponly.efi, 7: offered, 9: unheard snponly.efi",
                9,
                Diagnosis::TransferUnheard { file: file() },
            ),
            (
                "0: offered bios, 1: acked bios, 1: asks snponly.efi, 2: loads snponly.efi",
                2,
                Diagnosis::WrongLoader {
                    file: file(),
                    program: Program::EfiX64,
                    firmware: "BIOS".into(),
                },
            ),
            (
                "0: offered, 1: asks undionly.kpxe, 2: loads-bios undionly.kpxe",
                2,
                Diagnosis::WrongLoader {
                    file: "undionly.kpxe".into(),
                    program: Program::NotEfi,
                    firmware: "UEFI x64".into(),
                },
            ),
            (
                "0: offered, 1: acked, 1: asks snponly.efi, 2: loads snponly.efi",
                92,
                Diagnosis::LoaderSilent { file: file() },
            ),
            // It goes round: the second time is no accident.
            (
                "0: offered, 1: loads snponly.efi, 4: offered, 5: loads snponly.efi, 8: offered",
                8,
                Diagnosis::LoaderSilent { file: file() },
            ),
            (
                "0: offered, 1: loads snponly.efi, 9: offered ipxe, 10: acked ipxe",
                70,
                Diagnosis::NoScript { url: url() },
            ),
            (
                "0: proxied ipxe, 1: elsewhere",
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
            let (said, stands) = played(story);
            assert_eq!(said.first(), Some(&(at, diagnosis.clone())), "{story}");
            assert!(
                said.iter().all(|(_, one)| *one == diagnosis),
                "{story}: {said:?}"
            );
            assert_eq!(stands, Some(diagnosis), "{story}");
        }
    }

    #[test]
    fn a_sentence_is_said_once_in_each_boot_and_withdrawn_when_it_goes_on() {
        let round = "0: offered, 1: acked, 40: offered, 41: acked";
        let (said, _) = played(round);
        let seconds: Vec<i64> = said.iter().map(|(at, _)| *at).collect();
        assert_eq!(seconds, [31]);
        let (said, _) = played("0: offered, 1: acked, 300: offered, 301: acked");
        let seconds: Vec<i64> = said.iter().map(|(at, _)| *at).collect();
        assert_eq!(seconds, [31, 331]);
        let mended = "0: offered, 1: acked, 40: offered, 41: acked, 42: asks snponly.efi, 43: over";
        let (said, stands) = played(mended);
        assert_eq!((said.len(), stands), (1, None));
    }
}
