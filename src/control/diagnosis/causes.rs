//! What is said of a boot that stops: the signature by which a fault is known, its likely cause and its remedy.
//!
//! The manual lists all of them in the same words (`src/manual/troubleshooting.md`); a test compares both.

use std::{fmt, net::Ipv4Addr};

use crate::boot::Program;

/// How a boot is seen to have stopped, or why none begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Diagnosis {
    /// Nothing at all arrives on the DHCP ports.
    NothingHeard {
        /// For how long.
        seconds: u64,
    },
    /// Running systems alone are heard.
    HostsAlone {
        /// How many messages.
        messages: u64,
        /// For how long.
        seconds: u64,
    },
    /// Its loader is not there, or none exists for it.
    NoLoader {
        /// Why nothing was given.
        reason: String,
    },
    /// It is no declared machine, and declared machines have never been seen.
    NotDeclared {
        /// Some of those.
        never_seen: String,
    },
    /// A proxy's offers lead to nothing.
    OfferIgnored,
    /// A server's offers lead to nothing.
    OfferLost,
    /// It goes with another server, and never contacted this one.
    AnotherServer {
        /// Which.
        server: Ipv4Addr,
    },
    /// Beside another server: it has its address and asks us for nothing.
    NoBootServer {
        /// Who gave it its address.
        server: Ipv4Addr,
    },
    /// It was told of its loader and does not ask for it.
    LoaderNotAsked {
        /// The boot file.
        file: String,
    },
    /// Of a TFTP transfer nothing was ever acknowledged.
    TransferUnheard {
        /// The file.
        file: String,
    },
    /// Its firmware cannot start what it fetched.
    WrongLoader {
        /// The file.
        file: String,
        /// What it is.
        program: Program,
        /// What the firmware is.
        firmware: String,
    },
    /// It has its loader, and nothing more was heard.
    LoaderSilent {
        /// The file.
        file: String,
    },
    /// iPXE runs and does not come to its script.
    NoScript {
        /// Where the script is.
        url: String,
    },
    /// The script is there, and no kernel was asked for.
    NoKernel,
    /// A file that its script names is not there.
    FileMissing {
        /// The repo and the path in it.
        file: String,
    },
    /// Everything was fetched, and the installer does not come for its document.
    NoDocument,
}

impl Diagnosis {
    /// What was seen.
    pub fn what(&self) -> String {
        match self {
            Diagnosis::NothingHeard { seconds } => {
                format!("no DHCP message arrived for {seconds} s, not even from phones")
            }
            Diagnosis::HostsAlone { messages, seconds } => format!(
                "{messages} DHCP messages in {seconds} s, none from a PXE client (cabling and broadcast work)"
            ),
            Diagnosis::NoLoader { reason } => format!("it gets no boot file: {reason}"),
            Diagnosis::NotDeclared { never_seen } => {
                format!("no declaration has this MAC address, and {never_seen} was never seen")
            }
            Diagnosis::OfferIgnored => "it repeats its request and accepts no offer".into(),
            Diagnosis::OfferLost => {
                "it repeats its request and accepts no offer of an address".into()
            }
            Diagnosis::AnotherServer { server } => {
                format!(
                    "it accepted an offer from another DHCP server, {server}, and never contacted this one"
                )
            }
            Diagnosis::NoBootServer { server } => format!(
                "it got its address from {server} and sent no request to port 4011 or for a loader"
            ),
            Diagnosis::LoaderNotAsked { file } => {
                format!("its boot file is {file}, but it never requested the file")
            }
            Diagnosis::TransferUnheard { file } => {
                format!("it requested {file} over TFTP and acknowledged no block")
            }
            Diagnosis::WrongLoader {
                file,
                program,
                firmware,
            } => format!("{file} is {program}, and its firmware is {firmware}"),
            Diagnosis::LoaderSilent { file } => {
                format!("it fetched {file} and sent no request after that")
            }
            Diagnosis::NoScript { url } => {
                format!("it runs iPXE, which did not load its script from {url}")
            }
            Diagnosis::NoKernel => "it loaded its script, but requested no kernel".into(),
            Diagnosis::FileMissing { file } => format!("it requested {file}, which does not exist"),
            Diagnosis::NoDocument => {
                "it fetched all that its script names, but its installer requested no document"
                    .into()
            }
        }
    }

    /// The likely cause, and what to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Diagnosis::NothingHeard { .. } => {
                "is this the right cable and interface, and does a firewall drop UDP 67?"
            }
            Diagnosis::HostsAlone { .. } => {
                "is network boot on, and first in the boot order? Secure Boot and Fast Boot may hide it"
            }
            Diagnosis::NoLoader { .. } => {
                "install it (`bootwright check` names the package), or set `loader` to another"
            }
            Diagnosis::NotDeclared { .. } => {
                "is it that machine? Write this MAC into its declaration"
            }
            Diagnosis::OfferIgnored => {
                "its firmware ignores proxy offers, or no other server gives it an address; set `dhcp = \"reserve\"` on its \
                 network"
            }
            Diagnosis::OfferLost => {
                "replies do not arrive; trust this server's port in the switch's DHCP snooping, and allow outgoing UDP 68"
            }
            Diagnosis::AnotherServer { .. } => {
                "two servers answer there; turn that one off, or set `dhcp = \"proxy\"` on its network"
            }
            Diagnosis::NoBootServer { .. } => {
                "a firewall drops UDP 4011 or 69, or its firmware ignores proxy offers; open both ports, else set \
                 `dhcp = \"reserve\"` on its network"
            }
            Diagnosis::LoaderNotAsked { .. } => {
                "a firewall drops UDP 69 (of a URL: its TCP port), or TFTP is off; open the port, and read what `serve` \
                 logs about TFTP at its start"
            }
            Diagnosis::TransferUnheard { .. } => {
                "a firewall allows the request and drops the next packets; allow UDP between port 69 of this server and \
                 every port of the machine, both ways"
            }
            Diagnosis::WrongLoader { .. } => "remove `loader`, or set it to one for this firmware",
            Diagnosis::LoaderSilent { .. } => {
                "it has no driver for the NIC (the other loader is used after two tries), Secure Boot refuses it \
                 (`secure-boot = true`), or the switch's port opens late (spanning tree: portfast; LACP: fallback)"
            }
            Diagnosis::NoScript { .. } => {
                "a firewall drops that TCP port, or `advertise` names an address that it cannot reach"
            }
            Diagnosis::NoKernel => {
                "HTTP is blocked on the way, or the machine has too little memory; its screen names iPXE's error"
            }
            Diagnosis::FileMissing { .. } => {
                "is the repo complete, and its image still mounted? `bootwright check` names what is missing"
            }
            Diagnosis::NoDocument => {
                "the installer has no driver for the NIC, or no network there (a VLAN, a wrong address, a link that comes up \
                 late); its screen shows which"
            }
        }
    }

    /// One of each kind, with examples for what differs from one to the next.
    pub fn examples() -> Vec<Diagnosis> {
        let server = Ipv4Addr::new(192, 0, 2, 254);
        let snponly = || String::from("snponly.efi");
        vec![
            Diagnosis::NothingHeard { seconds: 90 },
            Diagnosis::HostsAlone {
                messages: 14,
                seconds: 90,
            },
            Diagnosis::NoLoader {
                reason: "snponly.efi is missing: apt-get install ipxe".into(),
            },
            Diagnosis::NotDeclared {
                never_seen: "db1".into(),
            },
            Diagnosis::OfferIgnored,
            Diagnosis::OfferLost,
            Diagnosis::AnotherServer { server },
            Diagnosis::NoBootServer { server },
            Diagnosis::LoaderNotAsked { file: snponly() },
            Diagnosis::TransferUnheard { file: snponly() },
            Diagnosis::WrongLoader {
                file: snponly(),
                program: Program::EfiX64,
                firmware: "BIOS".into(),
            },
            Diagnosis::LoaderSilent { file: snponly() },
            Diagnosis::NoScript {
                url: "http://192.0.2.1/boot.ipxe".into(),
            },
            Diagnosis::NoKernel,
            Diagnosis::FileMissing {
                file: "repo/debian/linux".into(),
            },
            Diagnosis::NoDocument,
        ]
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what(), self.remedy())
    }
}
