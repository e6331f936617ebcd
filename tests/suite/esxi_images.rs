//! The boot.cfg of real kinds of images, each in its own repo: the rewritten file only names existing files.
//!
//! This test parses boot.cfg independently, so that the parser is not compared with itself.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use bootwright::render::boot::boot_cfg::{BootCfgChanges, rewrite};

use crate::support::{client::find_token, needs::needs, server::Server, site::TestSite};

/// The boot.cfg of an image.
struct Fixture {
    name: String,
    text: String,
}

fn fixtures() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/esxi/images");
    let mut found: Vec<Fixture> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| Fixture {
            name: entry.file_name().into_string().unwrap(),
            text: fs::read_to_string(entry.path()).unwrap(),
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(found.len(), 12);
    found
}

/// Keys, in lower case, and values, in their order, without comments.
fn pairs(text: &str) -> Vec<(String, &str)> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_lowercase(), value.trim()))
        .collect()
}

/// The last value of a key.
fn value<'t>(text: &'t str, key: &str) -> &'t str {
    let found = pairs(text).into_iter().rev().find(|(one, _)| one == key);
    found.map_or("", |(_, value)| value)
}

/// The files that a boot.cfg names, as spelled there.
fn files(text: &str) -> Vec<&str> {
    ["kernel", "crypto", "modules", "acpitables"]
        .iter()
        .flat_map(|key| value(text, key).split("---"))
        .filter_map(|file| file.split_whitespace().next())
        .filter(|file| *file != "/")
        .collect()
}

/// The path of a file in the image, whose names are in lower case.
fn place(file: &str) -> String {
    file.replace('\\', "/")
        .trim_start_matches('/')
        .to_lowercase()
}

/// Writes an image's tree. Returns the content of each file that its boot.cfg names.
fn write(tree: &Path, fixture: &Fixture) -> BTreeMap<String, Vec<u8>> {
    let put = |path: &str, content: &[u8]| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    put("boot.cfg", fixture.text.as_bytes());
    for other in ["efi/boot/bootx64.efi", "efi/boot/crypto64.efi", "mboot.c32"] {
        put(other, other.as_bytes());
    }
    let mut contents = BTreeMap::new();
    for (number, file) in files(&fixture.text).into_iter().enumerate() {
        let path = place(file);
        let content = format!("{} {path}", fixture.name).repeat(number + 1);
        put(&path, content.as_bytes());
        contents.insert(path, content.into_bytes());
    }
    contents
}

/// Creates an image with names like VMware's: plain ISO 9660, in upper case.
fn image(tree: &Path) -> PathBuf {
    let image = PathBuf::from(format!("{}.iso", tree.display()));
    let mut command = Command::new("genisoimage");
    let output = command.args(["-quiet", "-V", "ESXI", "-o"]);
    let output = output.arg(&image).arg(tree).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    image
}

/// One connection, for several requests in turn.
struct Fetch(BufReader<TcpStream>);

impl Fetch {
    fn of(server: SocketAddr) -> Fetch {
        Fetch(BufReader::new(TcpStream::connect(server).unwrap()))
    }

    /// Requests a URL. Returns the status, the Content-Length, and the body.
    fn ask(&mut self, method: &str, url: &str) -> (u16, usize, Vec<u8>) {
        let (_, rest) = url.split_once("http://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let request = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "{head}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let head = head.to_lowercase();
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length = length.lines().next().unwrap().parse().unwrap();
        let mut body = vec![0; if method == "HEAD" { 0 } else { length }];
        self.0.read_exact(&mut body).unwrap();
        (status, length, body)
    }
}

const SITE: &str = r#"
[defaults]
timezone = "Etc/UTC"
root-password-hash = "$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/"
disk = { first = ["local"], wipe = true }

[network.lab]
subnet = "192.0.2.0/24"
gateway = "192.0.2.1"
dns = "192.0.2.2"
domain = "lab.example"
"#;

/// A machine of each repo.
fn node(number: usize, kind: &str, repo: &Path) -> String {
    format!(
        "[repo.image{number}]\n{kind} = {repo:?}\ntask = \"esxi\"\n\
         [node.esx{number:02}]\nmac = \"{}\"\naddress = \"192.0.2.{}\"\nrepo = \"image{number}\"\n",
        mac(number).replace('-', ":"),
        10 + number
    )
}

fn mac(number: usize) -> String {
    format!("52-54-00-00-01-{number:02x}")
}

/// The lines with unknown keys, and the names of the known keys, in their order.
fn others(text: &str) -> Vec<String> {
    let own = [
        "kernel",
        "kernelopt",
        "modules",
        "prefix",
        "crypto",
        "acpitables",
    ];
    let lines = text.lines().map(str::trim_end);
    let kept = lines.filter(|line| {
        let key = line.split('=').next().unwrap().trim().to_lowercase();
        line.starts_with('#') || !own.contains(&key.as_str())
    });
    // Spaces around a key or its value are ignored.
    let plain = kept.map(|line| match line.split_once('=') {
        Some((key, value)) if !line.trim_start().starts_with('#') => {
            format!("{}={}", key.trim(), value.trim())
        }
        _ => line.to_owned(),
    });
    plain.collect()
}

/// The kernel arguments of the image that are not replaced for a machine with a static address.
fn own_words(text: &str) -> Vec<&str> {
    let replaced = ["cdromboot", "ks", "bootif", "ip", "ksdevice", "vlanid"];
    let kernelopt = value(text, "kernelopt").split_whitespace();
    kernelopt
        .filter(|word| {
            let key = word.split('=').next().unwrap().to_lowercase();
            !replaced.contains(&key.as_str())
        })
        .collect()
}

#[test]
fn every_rewritten_boot_cfg_names_existing_files_only_and_keeps_all_settings() {
    needs!("genisoimage");
    let site = TestSite::new(0);
    let mut declarations = String::from(SITE);
    let mut machines = Vec::new();
    for fixture in fixtures() {
        let tree = site
            .beside("images")
            .join(fixture.name.trim_end_matches(".cfg"));
        let contents = write(&tree, &fixture);
        let image = image(&tree);
        for (kind, repo) in [("path", &tree), ("iso", &image)] {
            declarations += &node(machines.len(), kind, repo);
            machines.push((
                format!("{} as {kind}", fixture.name),
                fixture.text.clone(),
                contents.clone(),
            ));
        }
    }
    site.write("policies.d/site.toml", &declarations);
    let mut server = Server::start(&site);
    let mut fetch = Fetch::of(server.machines.address());
    for (number, (name, text, contents)) in machines.iter().enumerate() {
        let mac = mac(number);
        let base = format!("http://{}", server.machines.address());
        let ask = format!("/boot?mac={mac}&platform=efi&arch=x86_64&boot={number}");
        let script = server.machines.get(&ask).good();
        let token = find_token(&script).unwrap_or_else(|| {
            let node = format!("/api/v1/nodes/esx{number:02}");
            panic!("{name}: {}", server.operators.get(&node).body)
        });
        let attempt = format!("{base}/t/{token}");
        let (status, _, served) = fetch.ask("GET", &format!("{attempt}/01-{mac}/boot.cfg"));
        let served = String::from_utf8(served).unwrap();
        assert_eq!(status, 200, "{name}: {served}");

        // Every file is served, with the length that HEAD reports and the content from the image.
        let prefix = value(&served, "prefix");
        assert_eq!(prefix, format!("{base}/repo/image{number}"), "{name}");
        let named: Vec<String> = files(&served).into_iter().map(place).collect();
        let expected: Vec<String> = files(text).into_iter().map(place).collect();
        assert_eq!(named, expected, "{name}");
        for file in files(&served) {
            let url = format!("{prefix}/{file}");
            let content = &contents[&place(file)];
            let head = fetch.ask("HEAD", &url);
            assert_eq!(head, (200, content.len(), Vec::new()), "{name}: {url}");
            let whole = fetch.ask("GET", &url);
            assert!(
                whole == (200, content.len(), content.clone()),
                "{name}: {url}"
            );
        }

        // Unknown keys are unchanged.
        assert_eq!(others(&served), others(text), "{name}");
        let kernelopt: Vec<&str> = value(&served, "kernelopt").split_whitespace().collect();
        let (kept, own) = kernelopt.split_at(own_words(text).len());
        assert_eq!(kept, own_words(text), "{name}");
        assert!(
            own.contains(&format!("ks={attempt}/ks.cfg").as_str()),
            "{own:?}"
        );
        assert!(
            own.contains(&format!("BOOTIF=01-{mac}").as_str()),
            "{own:?}"
        );
        assert!(
            !served.contains('\r') && !served.contains("198.51.100."),
            "{name}: {served}"
        );

        // A second rewrite changes nothing.
        let changes = BootCfgChanges {
            prefix: prefix.into(),
            kernelopt: own.iter().map(|word| (*word).to_owned()).collect(),
        };
        let find = |path: &str| contents.contains_key(path).then(|| path.to_owned());
        assert_eq!(
            rewrite(&served, &changes, find).as_ref(),
            Ok(&served),
            "{name}"
        );
    }
    server.stop();
}
