//! The compared servers, each with a minimal configuration.

use std::{fs, net::Ipv4Addr, path::Path, thread, time::Duration};

use super::namespaces::{LINK, Namespaces, Program, SERVER};
use crate::server::{PROGRAM, run};

/// The TFTP port of each server; they run at the same time.
pub(crate) const BOOTWRIGHT_PORT: u16 = 69;
pub(crate) const ATFTPD: u16 = 1_069;
pub(crate) const HPA: u16 = 2_069;

/// The number of requests to a server until it answers.
const TRIES: usize = 200;
/// The only repo, under the directory for files.
pub(crate) const REPO: &str = "files/repo/debian";

/// The size of Debian's loader in bytes.
pub(crate) const LOADER: usize = 300_000;
pub(crate) const KERNEL: usize = 8 << 20;
pub(crate) const INITRD: usize = 32 << 20;
/// The size of the file that a single TFTP client downloads, and of the file that each of many downloads.
pub(crate) const SINGLE_FILE: usize = 64 << 20;
pub(crate) const FILE_SIZE: usize = 2 << 20;

/// The number of declared machines.
pub(crate) const NODES: usize = 50;

/// The first of their addresses. No host uses them; otherwise the installations would not begin.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 16, 0);

/// The first bytes of the files' content.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// Writes the served files: a loader, and the repo.
pub(crate) fn write_files(namespaces: &Namespaces) -> anyhow::Result<()> {
    let repo = namespaces.work.join(REPO);
    let netboot = repo.join("debian-installer/amd64");
    fs::create_dir_all(&netboot)?;
    for (path, length) in [
        (namespaces.work.join("files/snponly.efi"), LOADER),
        (netboot.join("linux"), KERNEL),
        (netboot.join("initrd.gz"), INITRD),
        (repo.join("alone"), SINGLE_FILE),
        (repo.join("each"), FILE_SIZE),
    ] {
        fs::write(path, content(length))?;
    }
    Ok(())
}

/// The site: these machines are declared; all others get an address and a boot file.
fn site(dhcp: &str) -> String {
    let mut text = format!(
        r#"[defaults]
timezone = "Etc/UTC"
root-password-hash = "$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/"

[network.bench]
subnet = "198.18.0.0/15"
range = "198.19.0.0-198.19.255.254"
gateway = "198.18.0.1"
dns = "198.18.0.1"
domain = "bench.example"
dhcp = "{dhcp}"
unknown = "discover"

[repo.debian]
path = "repo/debian"
task = "debian"
vars = {{ mirror = "http://mirror.example/debian" }}

"#
    );
    for number in 0..NODES {
        let address = Ipv4Addr::from_bits(FIRST_ADDRESS.to_bits() + number as u32);
        text += &format!(
            "[node.machine{number:02}]\nmac = \"{}\"\naddress = \"{address}\"\nrepo = \"debian\"\n",
            crate::site::mac(number)
        );
    }
    text
}

/// Bootwright without a history, with its state at `state`; `dhcp` is the DHCP mode of the network.
pub(crate) fn bootwright(
    namespaces: &Namespaces,
    state: &Path,
    dhcp: &str,
) -> anyhow::Result<Program> {
    started(namespaces, state, dhcp, &[])
}

/// The same as a DHCP server whose fsync and fdatasync each take `sync` microseconds.
pub(crate) fn bootwright_with_slow_disk(
    namespaces: &Namespaces,
    state: &Path,
    sync: u32,
) -> anyhow::Result<Program> {
    let delay = format!("inject=fsync,fdatasync:delay_exit={sync}");
    // The tracer is a grandchild (-D), so that the server itself is ended.
    let tracer = [
        "strace",
        "-D",
        "-f",
        "--seccomp-bpf",
        "-qqq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        &delay,
    ];
    started(namespaces, state, "server", &tracer)
}

fn started(
    namespaces: &Namespaces,
    state: &Path,
    dhcp: &str,
    tracer: &[&str],
) -> anyhow::Result<Program> {
    let root = namespaces.work.join("ours/site");
    let files = namespaces.work.join("files");
    let witness = namespaces.work.join("ours/witness");
    fs::create_dir_all(root.join("policies.d"))?;
    fs::write(root.join("policies.d/site.toml"), site(dhcp))?;
    fs::write(
        root.join("bootwright.toml"),
        format!(
            "site-id = \"bench\"\n[http]\nlisten = \"{SERVER}:80\"\n[tftp]\nlisten = \"{SERVER}:{BOOTWRIGHT_PORT}\"\n\
             [paths]\nstate = {state:?}\nwitness = {witness:?}\nrepos = {files:?}\nloaders = {files:?}\n\
             [limits]\ninstalls-per-hour = 1000000\n"
        ),
    )?;
    clear(state)?;
    run(&["init", "--state", "new"], &root)?;
    let serve = [PROGRAM, "serve", "--color", "never", text(&root)];
    namespaces.serve(&[tracer, &serve].concat())
}

/// Kea without leases, with its lease file under `state`, which it writes and does not sync.
pub(crate) fn kea(namespaces: &Namespaces, state: &Path) -> anyhow::Result<Program> {
    clear(state)?;
    let (config, leases) = (namespaces.work.join("kea.json"), state.join("leases.csv"));
    fs::write(
        &config,
        format!(
            r#"{{"Dhcp4": {{
  "interfaces-config": {{"interfaces": ["{LINK}"]}},
  "lease-database": {{"type": "memfile", "persist": true, "name": {leases:?}}},
  "valid-lifetime": 43200,
  "subnet4": [{{
    "subnet": "198.18.0.0/15",
    "pools": [{{"pool": "198.19.0.0-198.19.255.254"}}],
    "option-data": [
      {{"name": "routers", "data": "{SERVER}"}},
      {{"name": "domain-name-servers", "data": "{SERVER}"}},
      {{"name": "domain-name", "data": "bench.example"}}
    ]
  }}],
  "loggers": [{{"name": "kea-dhcp4", "output_options": [{{"output": "stdout"}}], "severity": "WARN"}}]
}}}}
"#
        ),
    )?;
    namespaces.serve(&["kea-dhcp4", "-c", text(&config)])
}

/// dnsmasq as a proxy.
pub(crate) fn dnsmasq(namespaces: &Namespaces) -> anyhow::Result<Program> {
    let leases = namespaces.work.join("dnsmasq.leases");
    namespaces.serve(&[
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--user=root",
        "--port=0",
        "--pid-file",
        "--quiet-dhcp",
        &format!(
            "--log-facility={}",
            text(&namespaces.work.join("dnsmasq.log"))
        ),
        &format!("--interface={LINK}"),
        "--bind-interfaces",
        &format!("--dhcp-leasefile={}", text(&leases)),
        "--dhcp-range=198.18.0.0,proxy,255.254.0.0",
        "--pxe-service=x86-64_EFI,\"bench\",snponly.efi",
    ])
}

/// atftpd.
pub(crate) fn atftpd(namespaces: &Namespaces) -> anyhow::Result<Program> {
    namespaces.serve(&[
        "atftpd",
        "--daemon",
        "--no-fork",
        "--user=root",
        "--group=root",
        "--logfile=/dev/null",
        "--verbose=0",
        "--maxthread=1000",
        &format!("--bind-address={SERVER}"),
        &format!("--port={ATFTPD}"),
        text(&namespaces.work.join("files")),
    ])
}

/// tftpd-hpa, at any path: its package conflicts with that of atftpd.
pub(crate) fn hpa(namespaces: &Namespaces, program: &str) -> anyhow::Result<Program> {
    let address = format!("{SERVER}:{HPA}");
    let files = namespaces.work.join("files");
    namespaces.serve(&[
        program,
        "--foreground",
        "--user",
        "root",
        "--address",
        &address,
        "--secure",
        text(&files),
    ])
}

/// Waits until a server answers.
pub(crate) fn until(
    server: &mut Program,
    mut ask: impl FnMut() -> anyhow::Result<Result<(), String>>,
) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        outcome = ask()?;
        if outcome.is_ok() {
            return Ok(());
        }
        server.check_running()?;
        thread::sleep(Duration::from_millis(100));
    }
    outcome.map_err(|why| anyhow::anyhow!("{} does not answer: {why}", server.name))
}

fn clear(directory: &Path) -> anyhow::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory)?;
    Ok(())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("what we named ourselves is UTF-8")
}
