//! The diagnoses of a boot that has stopped: what was observed, the likely cause and the fix.
//!
//! The manual lists all of them in the same words (`src/manual/troubleshooting.md`); a test compares both.

use std::{fmt, net::Ipv4Addr};

use crate::boot::Program;

/// Where a boot has stopped, or why none begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Diagnosis {
    /// No message at all arrives on the DHCP ports.
    NoMessages {
        /// In this time.
        seconds: u64,
    },
    /// Only messages of running systems arrive.
    OnlyRunningSystems {
        messages: u64,
        /// In this time.
        seconds: u64,
    },
    /// Its loader is missing, or there is none for its firmware.
    NoLoader { reason: String },
    /// It is undeclared, and some declared machines have never contacted the server.
    NotDeclared {
        /// The names of some of those.
        never_seen: String,
    },
    /// It accepts no offer of the proxy.
    OfferIgnored,
    /// It accepts no offer of this DHCP server.
    OfferLost,
    /// It accepted an offer from another DHCP server, and never contacted this one.
    AnotherServer { server: Ipv4Addr },
    /// Beside another DHCP server: it has an address, and sends no request to this server.
    NoBootServer {
        /// The server that assigned its address.
        server: Ipv4Addr,
    },
    /// It got the name of its loader, and never requested it.
    LoaderNotRequested { file: String },
    /// It never acknowledged a block of a TFTP transfer.
    TransferUnacknowledged { file: String },
    /// Its firmware cannot start the file that it downloaded.
    WrongLoader {
        file: String,
        /// The kind of the file.
        program: Program,
        /// The kind of the firmware.
        firmware: String,
    },
    /// It downloaded its loader, and sent no request after that.
    NoRequestFromLoader { file: String },
    /// iPXE runs and does not load its script.
    NoScript {
        /// The URL of the script.
        url: String,
    },
    /// It loaded its script, and requested no kernel.
    NoKernel,
    /// A file that its script names does not exist.
    FileMissing {
        /// The repo and the path in it.
        file: String,
    },
    /// It downloaded everything, and its installer requests no document.
    NoDocument,
}

impl Diagnosis {
    /// What was observed.
    pub fn what(&self) -> String {
        match self {
            Diagnosis::NoMessages { seconds } => {
                format!("no DHCP message arrived for {seconds} s, not even from phones")
            }
            Diagnosis::OnlyRunningSystems { messages, seconds } => format!(
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
            Diagnosis::LoaderNotRequested { file } => {
                format!("its boot file is {file}, but it never requested the file")
            }
            Diagnosis::TransferUnacknowledged { file } => {
                format!("it requested {file} over TFTP and acknowledged no block")
            }
            Diagnosis::WrongLoader {
                file,
                program,
                firmware,
            } => format!("{file} is {program}, and its firmware is {firmware}"),
            Diagnosis::NoRequestFromLoader { file } => {
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

    /// The likely cause, and the fix.
    pub fn remedy(&self) -> &'static str {
        match self {
            Diagnosis::NoMessages { .. } => {
                "is this the right cable and interface, and does a firewall drop UDP 67?"
            }
            Diagnosis::OnlyRunningSystems { .. } => {
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
            Diagnosis::LoaderNotRequested { .. } => {
                "a firewall drops UDP 69 (of a URL: its TCP port), or TFTP is off; open the port, and read what `serve` \
                 logs about TFTP at its start"
            }
            Diagnosis::TransferUnacknowledged { .. } => {
                "a firewall allows the request and drops the next packets; allow UDP between port 69 of this server and \
                 every port of the machine, both ways"
            }
            Diagnosis::WrongLoader { .. } => "remove `loader`, or set it to one for this firmware",
            Diagnosis::NoRequestFromLoader { .. } => {
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

    /// One example of each diagnosis.
    pub fn examples() -> Vec<Diagnosis> {
        let server = Ipv4Addr::new(192, 0, 2, 254);
        let snponly = || String::from("snponly.efi");
        vec![
            Diagnosis::NoMessages { seconds: 90 },
            Diagnosis::OnlyRunningSystems {
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
            Diagnosis::LoaderNotRequested { file: snponly() },
            Diagnosis::TransferUnacknowledged { file: snponly() },
            Diagnosis::WrongLoader {
                file: snponly(),
                program: Program::EfiX64,
                firmware: "BIOS".into(),
            },
            Diagnosis::NoRequestFromLoader { file: snponly() },
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
