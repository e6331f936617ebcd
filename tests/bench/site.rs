//! Sites of any size: one file per node, as usual in a large site in git.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// 198.18.0.0/15 is reserved for benchmarks (RFC 2544) and has room for 131,000 machines.
const FIRST: u32 = Ipv4Addr::new(198, 18, 1, 0).to_bits();

/// Settings of `[http]`: the simulated machines are programs of this host.
const LOCAL_MACHINES: &str = "allow-from = \"127.0.0.0/8\"\nconfirm-neighbour = \"off\"\n";

const CONFIG: &str = r#"
site-id = "benchmark"

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

/// The operators' token of every site.
pub(crate) const OPERATOR_TOKEN: &str = "benchmark-operator-token";

/// A site on the disk.
pub(crate) struct Site {
    /// Its directory. It has no other directories beside it, because the server also watches the parent directory.
    pub(crate) root: PathBuf,
    /// The file for the server's log.
    pub(crate) log: PathBuf,
    /// The number of its machines.
    pub(crate) nodes: usize,
    /// The port for machines.
    pub(crate) machines: u16,
    /// The port for operators.
    pub(crate) operators: u16,
}

impl Site {
    /// Writes a site of `nodes` machines at `path`: ESXi, Debian and Rocky alternately.
    pub(crate) fn write(path: &Path, nodes: usize) -> io::Result<Self> {
        let root = path.join("site");
        let site = Site {
            log: path.with_extension("log"),
            nodes,
            root,
            machines: free_port()?,
            operators: free_port()?,
        };
        fs::create_dir_all(site.root.join("policies.d/nodes"))?;
        site.write_config(&path.with_extension("state"))?;
        fs::write(site.root.join("policies.d/site.toml"), POLICIES)?;
        for number in 0..nodes {
            site.write_node(number, 0)?;
        }
        Ok(site)
    }

    /// Writes `bootwright.toml`, with this state directory, and the operators' token.
    pub(crate) fn write_config(&self, state: &Path) -> io::Result<()> {
        let token = self.root.join("operator-token");
        fs::write(&token, OPERATOR_TOKEN)?;
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600))?;
        let stand_ins = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart");
        let (machines, operators) = (self.machines, self.operators);
        let ports = format!(
            "[http]\nlisten = \"127.0.0.1:{machines}\"\n{LOCAL_MACHINES}[operator]\nlisten = \"127.0.0.1:{operators}\"\n\
             token-file = \"operator-token\"\n"
        );
        let paths = format!(
            "[paths]\nstate = {state:?}\nwitness = \"../witness\"\nrepos = {stand_ins:?}\n"
        );
        fs::write(
            self.root.join("bootwright.toml"),
            format!("{CONFIG}\n{ports}{paths}"),
        )
    }

    /// Writes a machine's file. `edit` changes its contents.
    pub(crate) fn write_node(&self, number: usize, edit: usize) -> io::Result<()> {
        let path = format!("policies.d/nodes/{}.toml", name(number));
        put(&self.root.join(path), &node(number, edit))
    }

    /// Writes a template of the site that every installation includes. `edit` changes its contents.
    pub(crate) fn write_template(&self, edit: usize) -> io::Result<()> {
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("templates")
            .join(TEMPLATE);
        let text = fs::read_to_string(built_in)?;
        let path = self.root.join("templates").join(TEMPLATE);
        fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        put(&path, &format!("{text}{{# Edit {edit}. #}}\n"))
    }
}

/// A template that the documents of every task import.
const TEMPLATE: &str = "common/tell.j2";

/// Writes a file like editors do: a temporary file that replaces the old one.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let compare = path.with_extension("swp");
    fs::write(&compare, text)?;
    fs::rename(compare, path)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The number of kinds of machines, which alternate: ESXi, Debian, Rocky.
pub(crate) const KINDS: usize = 3;

pub(crate) fn name(number: usize) -> String {
    format!("node{number:05}")
}

pub(crate) fn mac(number: usize) -> String {
    let [_, a, b, c] = (number as u32).to_be_bytes();
    format!("02:00:00:{a:02x}:{b:02x}:{c:02x}")
}

fn node(number: usize, edit: usize) -> String {
    let address = Ipv4Addr::from_bits(FIRST + number as u32);
    let tag = ["esxi", "debian", "rocky"][number % KINDS];
    format!(
        "[node.{}]\nmac = \"{}\"\ntags = \"{tag}\"\naddress = \"{address}\"\nvars = {{ rack = {}, unit = {}, edit = {edit} }}\n",
        name(number),
        mac(number),
        number / 40,
        number % 40,
    )
}
