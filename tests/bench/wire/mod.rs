//! DHCP, TFTP and whole boots, compared with other common servers in the same run.
//!
//! Two network namespaces are joined by a veth pair. The servers run in one of them, on the last core; the clients
//! in the other, on the first. The servers are measured alternately and medians are compared, so that other load on
//! the machine affects all of them equally. Root is needed for the namespaces.

mod namespaces;
mod share;
mod servers;
mod fetch;
mod dhcp;
mod tftp;
mod boots;
mod slow_disk;

use std::path::{Path, PathBuf};

use namespaces::Namespaces;
pub(crate) use namespaces::need;

/// The options of the command line.
pub(crate) struct Options {
    /// The measurements to run.
    parts: Vec<Part>,
    rounds: usize,
    /// A directory on a real disk.
    disk: PathBuf,
    /// The path of tftpd-hpa.
    hpa: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Dhcp,
    Tftp,
    Boots,
    SlowDisk,
}

const USAGE: &str = "usage: cargo bench -- wire [dhcp] [tftp] [boots] [slow-disk] [--rounds N] [--disk DIR] [--tftpd-hpa PROGRAM]

Debian's tftpd-hpa and atftpd exclude each other: install atftpd, and unpack the other one:
  apt-get download tftpd-hpa && dpkg -x tftpd-hpa_*.deb DIR, then --tftpd-hpa DIR/usr/sbin/in.tftpd";

impl Options {
    /// Parses the options after `wire`.
    pub(crate) fn read(words: &[&str]) -> anyhow::Result<Self> {
        let mut options = Options {
            parts: Vec::new(),
            rounds: 5,
            disk: env!("CARGO_TARGET_TMPDIR").into(),
            hpa: "in.tftpd".into(),
        };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| anyhow::anyhow!(USAGE));
            match word {
                "dhcp" => options.parts.push(Part::Dhcp),
                "tftp" => options.parts.push(Part::Tftp),
                "boots" => options.parts.push(Part::Boots),
                "slow-disk" => options.parts.push(Part::SlowDisk),
                "--rounds" => options.rounds = value()?.parse()?,
                "--disk" => options.disk = value()?.into(),
                "--tftpd-hpa" => options.hpa = value()?.into(),
                _ => anyhow::bail!(USAGE),
            }
        }
        if options.parts.is_empty() {
            options.parts = vec![Part::Dhcp, Part::Tftp, Part::Boots, Part::SlowDisk];
        }
        Ok(options)
    }
}

/// Runs the measurements, with files in `work`.
pub(crate) fn measure(options: &Options, work: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "`wire` makes network namespaces: run it as root"
    );
    let has = |part| options.parts.contains(&part);
    let mut programs = vec![("ip", "iproute2"), ("taskset", "util-linux")];
    if has(Part::Dhcp) {
        programs.extend([
            ("perfdhcp", "kea-admin"),
            ("kea-dhcp4", "kea-dhcp4-server"),
            ("dnsmasq", "dnsmasq-base"),
        ]);
    }
    if has(Part::Tftp) {
        programs.extend([("atftpd", "atftpd"), (options.hpa.as_str(), "tftpd-hpa")]);
    }
    if has(Part::SlowDisk) {
        programs.push(("strace", "strace"));
    }
    need(&programs)?;
    let namespaces = Namespaces::new(work)?;
    servers::write_files(&namespaces)?;
    if has(Part::Dhcp) {
        dhcp::measure(&namespaces, options.rounds, &options.disk)?;
    }
    if has(Part::Tftp) {
        tftp::measure(&namespaces, options.rounds, &options.hpa)?;
    }
    if has(Part::Boots) {
        boots::measure(&namespaces, options.rounds)?;
    }
    if has(Part::SlowDisk) {
        slow_disk::measure(&namespaces, options.rounds, &options.disk)?;
    }
    Ok(())
}
