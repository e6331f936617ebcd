//! What the wire sees: DHCP, TFTP and whole boots, beside the servers that others use, in the same run.
//!
//! Two network namespaces are joined by a veth pair. The servers run at one end, on the last core; the clients at
//! the other, on the first. Ours and theirs are asked by turns and medians are compared, so that whatever else
//! the machine does falls on both alike. It needs root, for the namespaces.

mod ground;
mod share;
mod servers;
mod fetch;
mod dhcp;
mod tftp;
mod boots;
mod slow_disk;

use std::path::{Path, PathBuf};

use ground::Ground;
pub(crate) use ground::need;

/// What can be said on the command line.
pub(crate) struct Options {
    /// What is measured.
    parts: Vec<Part>,
    rounds: usize,
    /// On a real disk.
    disk: PathBuf,
    /// The program of tftpd-hpa.
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
    /// Reads what comes after `wire`.
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

/// Measures, with files in `work`.
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
    let ground = Ground::new(work)?;
    servers::write_files(&ground)?;
    if has(Part::Dhcp) {
        dhcp::measure(&ground, options.rounds, &options.disk)?;
    }
    if has(Part::Tftp) {
        tftp::measure(&ground, options.rounds, &options.hpa)?;
    }
    if has(Part::Boots) {
        boots::measure(&ground, options.rounds)?;
    }
    if has(Part::SlowDisk) {
        slow_disk::measure(&ground, options.rounds, &options.disk)?;
    }
    Ok(())
}
