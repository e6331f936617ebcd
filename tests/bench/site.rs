//! Sites of any size: one file for each node, as a large site in git has it.

use std::{fs, io, net::Ipv4Addr, path::Path};

/// 198.18.0.0/15 is set aside for benchmarks (RFC 2544) and has room for 131,000 machines.
const FIRST: u32 = Ipv4Addr::new(198, 18, 1, 0).to_bits();

const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:0"

[operator]
listen = "127.0.0.1:0"

[dhcp]
enabled = false

[tftp]
enabled = false

[limits]
installs-per-hour = 1000000
"#;

const POLICIES: &str = r#"
[defaults]
timezone = "Etc/UTC"
root-password-hash = "$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/"

[network.bench]
subnet = "198.18.0.0/15"
gateway = "198.18.0.1"
dns = "198.18.0.2"
domain = "bench.example"
ntp = "198.18.0.2"

[repo]
esxi = { path = "stand-ins/esxi", task = "esxi" }
debian = { path = "stand-ins/debian", task = "debian", vars = { mirror = "http://mirror.example/debian" } }
rocky = { path = "stand-ins/rocky", task = "redhat" }

[tag]
esxi = {}
debian = {}
rocky = {}

[policy]
esxi = { order = 10, tags = "esxi", repo = "esxi", disk = { first = ["local"], wipe = true } }
debian = { order = 20, tags = "debian", repo = "debian", packages = ["chrony"] }
rocky = { order = 30, tags = "rocky", repo = "rocky", packages = ["chrony"] }
"#;

/// Writes a site of `nodes` machines into `root`: ESXi, Debian and Rocky by turns.
pub(crate) fn write(root: &Path, nodes: usize) -> io::Result<()> {
    let folder = root.join("policies.d/nodes");
    fs::create_dir_all(&folder)?;
    let stand_ins = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart");
    let config = format!("{CONFIG}\n[paths]\nrepos = {:?}\n", stand_ins.display());
    fs::write(root.join("bootwright.toml"), config)?;
    fs::write(root.join("policies.d/site.toml"), POLICIES)?;
    for number in 0..nodes {
        let path = folder.join(format!("{}.toml", name(number)));
        fs::write(path, node(number))?;
    }
    Ok(())
}

/// The name of a machine.
pub(crate) fn name(number: usize) -> String {
    format!("node{number:05}")
}

/// The hardware address of a machine.
pub(crate) fn mac(number: usize) -> String {
    let [_, a, b, c] = (number as u32).to_be_bytes();
    format!("02:00:00:{a:02x}:{b:02x}:{c:02x}")
}

fn node(number: usize) -> String {
    let address = Ipv4Addr::from_bits(FIRST + number as u32);
    let tag = ["esxi", "debian", "rocky"][number % 3];
    format!(
        "[node.{}]\nmac = \"{}\"\ntags = \"{tag}\"\naddress = \"{address}\"\nvars = {{ rack = {}, unit = {} }}\n",
        name(number),
        mac(number),
        number / 40,
        number % 40,
    )
}
