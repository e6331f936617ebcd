//! ESXi's loader, by every way of starting it. Its requests, in the recorded order (VMware's own mboot.efi in OVMF,
//! and Debian's iPXE), get the right answers, and all of them belong to one attempt.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::support::{
    child::in_network_namespace,
    client::{Client, events, find_token, log, node, token},
    namespace::Host,
    program::ServerProgram,
    site::{TestSite, boot_path},
    test_name,
};

/// The files that mboot of 8.0 reads from the stand-in's boot.cfg, the kernel first.
const NAMED: [&str; 9] = [
    "b.b00",
    "jumpstrt.gz",
    "useropts.gz",
    "features.gz",
    "k.b00",
    "s.v00",
    "weaselin.v00",
    "imgdb.tgz",
    "imgpayld.tgz",
];

fn image() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/stand-ins/esxi")
}

fn content(path: &str) -> String {
    fs::read_to_string(image().join(path)).unwrap()
}

/// The repo is ESXi's; every node starts mboot in another way.
fn esxi(site: &TestSite) {
    let file = "policies.d/site.toml";
    let text = fs::read_to_string(site.path().join(file)).unwrap();
    let text = text
        .replace("stand-ins/rocky", "stand-ins/esxi")
        .replace("task = \"redhat\"", "task = \"esxi\"")
        .replace("repo.rocky", "repo.esxi")
        .replace("timezone = \"Etc/UTC\"\ndisk = { smallest = true, wipe = true }", "root-password-hash = \"$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/\"\ndisk = { first = [\"local\"] }");
    site.write(file, &text);
    for number in 1..=6 {
        let mac = format!("52:54:00:00:00:{number:02x}");
        let more = match number {
            1 | 2 => "secure-boot = true",
            3 => "loader = \"mboot.efi\"",
            _ => "",
        };
        let declared = format!(
            "[node.n{number:02}]\nmac = \"{mac}\"\nrepo = \"esxi\"\naddress = \"192.0.2.{}\"\n{more}\n",
            10 + number
        );
        site.write(&format!("policies.d/nodes/n{number:02}.toml"), &declared);
    }
    site.write("loaders/pxelinux.0", "SYSLINUX 3.86");
    site.write("loaders/undionly.kpxe", "a loader");
}

/// The answer over TFTP: the acknowledged options and the file, or the error code.
fn tftp(
    name: &str,
    options: &[(&str, &str)],
    only_size: bool,
) -> Result<(BTreeMap<String, String>, String), u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut request = format!("\0\x01{name}\0octet\0").into_bytes();
    for (option, value) in options {
        request.extend(format!("{option}\0{value}\0").bytes());
    }
    socket.send_to(&request, "127.0.0.1:69").unwrap();
    let (mut agreed, mut file, mut window) = (BTreeMap::new(), Vec::new(), 1);
    let mut block = 512;
    let (mut since, mut asked) = (0, 0);
    loop {
        let mut buffer = [0; 2_000];
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else {
            // As with firmware: while the address conflict check is running, there is no answer.
            asked += 1;
            assert!(asked < 10 && file.is_empty(), "{name}: no answer");
            socket.send_to(&request, "127.0.0.1:69").unwrap();
            continue;
        };
        let packet = &buffer[..length];
        match packet[1] {
            6 => {
                let words: Vec<&str> = std::str::from_utf8(&packet[2..])
                    .unwrap()
                    .split_terminator('\0')
                    .collect();
                agreed = words
                    .chunks(2)
                    .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
                    .collect();
                block = agreed
                    .get("blksize")
                    .map_or(512, |size| size.parse().unwrap());
                window = agreed
                    .get("windowsize")
                    .map_or(1, |size| size.parse().unwrap());
                if only_size {
                    socket.send_to(b"\0\x05\0\x08enough\0", peer).unwrap();
                    return Ok((agreed, String::new()));
                }
                socket.send_to(&[0, 4, 0, 0], peer).unwrap();
            }
            3 => {
                file.extend(&packet[4..]);
                since += 1;
                let last = packet.len() - 4 < block;
                if last || since == window {
                    since = 0;
                    socket.send_to(&[0, 4, packet[2], packet[3]], peer).unwrap();
                }
                if last {
                    return Ok((agreed, String::from_utf8(file).unwrap()));
                }
            }
            5 => return Err(packet[3]),
            other => panic!("{name}: packet {other}"),
        }
    }
}

/// Fetches a file like the firmware: first its size, then with large blocks, four at a time.
fn loaded(name: &str) -> String {
    let (agreed, _) =
        tftp(name, &[("tsize", "0")], true).unwrap_or_else(|code| panic!("{name}: error {code}"));
    let (_, file) = tftp(
        name,
        &[("tsize", "0"), ("blksize", "1468"), ("windowsize", "4")],
        false,
    )
    .unwrap();
    assert_eq!(agreed["tsize"], file.len().to_string(), "{name}");
    file
}

/// The status and length of the answer to `HEAD`.
fn head(path: &str) -> (u16, Option<u64>) {
    let mut stream = TcpStream::connect("127.0.0.1:80").unwrap();
    write!(
        stream,
        "HEAD {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("\r\n\r\n"), "a body after HEAD: {text}");
    let mut lengths = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case("content-length")
            .then(|| value.parse().unwrap())
    });
    (text[9..12].parse().unwrap(), lengths.next())
}

/// The value of a key of a boot.cfg.
fn value<'a>(boot_cfg: &'a str, key: &str) -> &'a str {
    let mut lines = boot_cfg.lines().filter_map(|line| line.split_once('='));
    lines
        .find(|(known, _)| *known == key)
        .unwrap_or_else(|| panic!("no `{key}`: {boot_cfg}"))
        .1
}

fn named(boot_cfg: &str) -> Vec<&str> {
    let modules = value(boot_cfg, "modules").split(" --- ");
    [value(boot_cfg, "kernel")]
        .into_iter()
        .chain(modules)
        .collect()
}

/// The document that a boot.cfg passes to the installer.
fn ks(boot_cfg: &str) -> &str {
    let words = value(boot_cfg, "kernelopt").split(' ');
    let url = words
        .filter_map(|word| word.strip_prefix("ks=http://127.0.0.1"))
        .next();
    url.unwrap_or_else(|| panic!("no ks: {boot_cfg}"))
}

/// The installer runs to its end, with the boot.cfg of this MAC address, and in one attempt.
fn installs(server: &mut ServerProgram, number: usize, boot_cfg: &str) {
    assert_eq!(named(boot_cfg), NAMED);
    let options = value(boot_cfg, "kernelopt");
    for word in [
        "runweasel".to_owned(),
        format!("BOOTIF=01-52-54-00-00-00-{number:02x}"),
        format!("ip=192.0.2.{}", 10 + number),
        format!("netdevice=52:54:00:00:00:{number:02x}"),
    ] {
        assert!(
            options.split(' ').any(|known| known == word),
            "{word}: {options}"
        );
    }
    let document = ks(boot_cfg).to_owned();
    let text = server.machines.get(&document).good();
    assert!(
        text.contains(&format!("--ip=192.0.2.{} ", 10 + number)),
        "{text}"
    );
    let token = document[3..35].to_owned();
    for stage in ["installing", "installed"] {
        server
            .machines
            .get(&format!("/t/{token}/stage/{stage}"))
            .good();
    }
    let log = log(&mut server.operators, number);
    let events = events(&log);
    let count = |name: &str| events.iter().filter(|event| **event == name).count();
    assert_eq!(
        (count("attempt"), count("document"), count("stage")),
        (1, 1, 2),
        "{log:#?}"
    );
    assert_eq!(node(&mut server.operators, number)["state"], "installed");
}

#[test]
fn mboot_gets_its_files_in_every_way_it_is_started() {
    in_network_namespace(test_name!(), every_way);
}

fn every_way() {
    let host = Host::behind("near");
    let mut server = ServerProgram::prepared(6, "dhcp = \"reserve\"", esxi);
    over_tftp(&host, &mut server);
    over_http(&host, &mut server);
    without_its_boot_cfg(&host, &mut server);
    by_ipxe(&mut server);
    by_pxelinux(&host, &mut server);
}

/// Case A: UEFI's PXE.
fn over_tftp(host: &Host, server: &mut ServerProgram) {
    let offered = "offer 192.0.2.11 mboot/esxi/mboot.efi";
    host.expect_reply("discover 1 boot", offered);
    assert_eq!(
        loaded("mboot/esxi/mboot.efi"),
        content("efi/boot/bootx64.efi")
    );
    let boot_cfg = loaded("mboot/esxi/01-52-54-00-00-00-01/boot.cfg");
    assert_eq!(value(&boot_cfg, "prefix"), "/repo/esxi");
    let path = |name: &str| format!("{}/{name}", value(&boot_cfg, "prefix"));
    for name in named(&boot_cfg) {
        let (agreed, _) = tftp(&path(name), &[("tsize", "0")], true).unwrap();
        assert_eq!(agreed["tsize"], content(name).len().to_string(), "{name}");
    }
    assert_eq!(
        loaded("mboot/esxi/crypto64.efi"),
        content("efi/boot/crypto64.efi")
    );
    for name in named(&boot_cfg) {
        assert_eq!(loaded(&path(name)), content(name), "{name}");
    }
    installs(server, 1, &boot_cfg);
    // After its installation it boots from its disk, because this loader could not start that. The installed system
    // gets its address.
    assert_eq!(server.ignores(host, "discover 1 boot"), [""; 0]);
    host.expect_reply("discover 1 phone", "offer 192.0.2.11");
    let disk = loaded("mboot/esxi/01-52-54-00-00-00-01/boot.cfg");
    assert_eq!(
        (value(&disk, "skip"), value(&disk, "title")),
        ("1", "Bootwright: booting the disk")
    );
}

/// Case G: UEFI's HTTP boot.
fn over_http(host: &Host, server: &mut ServerProgram) {
    host.expect_reply(
        "discover 2 http",
        "offer 192.0.2.12 http://192.0.2.1/mboot/esxi/mboot.efi",
    );
    let loader = content("efi/boot/bootx64.efi");
    assert_eq!(
        head("/mboot/esxi/mboot.efi"),
        (200, Some(loader.len() as u64))
    );
    assert_eq!(server.machines.get("/mboot/esxi/mboot.efi").good(), loader);
    let own = "/mboot/esxi/01-52-54-00-00-00-02/boot.cfg";
    // A `HEAD` request boots nothing.
    assert_eq!(head(own).0, 404);
    let boot_cfg = server.machines.get(own).good();
    assert_eq!(server.machines.get(own).good(), boot_cfg);
    assert_eq!(head(own), (200, Some(boot_cfg.len() as u64)));
    http_files(&mut server.machines, &boot_cfg, "/mboot/esxi");
    installs(server, 2, &boot_cfg);
}

/// The sizes of all files that a boot.cfg names, the loader's second part beside it, then the files.
fn http_files(machines: &mut Client, boot_cfg: &str, beside: &str) {
    let prefix = value(boot_cfg, "prefix")
        .strip_prefix("http://127.0.0.1")
        .unwrap();
    assert_eq!(prefix, "/repo/esxi");
    for name in named(boot_cfg) {
        assert_eq!(
            head(&format!("{prefix}/{name}")),
            (200, Some(content(name).len() as u64)),
            "{name}"
        );
    }
    let crypto = machines.get(&format!("{beside}/crypto64.efi")).good();
    assert_eq!(crypto, content("efi/boot/crypto64.efi"));
    for name in named(boot_cfg) {
        assert_eq!(
            machines.get(&format!("{prefix}/{name}")).good(),
            content(name),
            "{name}"
        );
    }
}

/// Case B: a loader that has found nothing under its MAC address, and requests files from its own directory.
fn without_its_boot_cfg(host: &Host, server: &mut ServerProgram) {
    host.expect_reply("discover 3 boot", "offer 192.0.2.13 mboot/esxi/mboot.efi");
    // The MAC address of a request from this host is unknown.
    assert_eq!(tftp("mboot/esxi/boot.cfg", &[], false), Err(1));
    assert_eq!(server.machines.get("/mboot/esxi/boot.cfg").status, 404);
    for name in NAMED {
        assert_eq!(loaded(&format!("mboot/esxi/{name}")), content(name));
        assert_eq!(
            server.machines.get(&format!("/mboot/esxi/{name}")).good(),
            content(name)
        );
    }
    for lost in [
        "mboot/esxi/nothing",
        "mboot/other/mboot.efi",
        "mboot/esxi/efi",
    ] {
        assert_eq!(tftp(lost, &[], false), Err(1), "{lost}");
        assert_eq!(
            server.machines.get(&format!("/{lost}")).status,
            404,
            "{lost}"
        );
    }
    assert_eq!(tftp("mboot/esxi/../../etc/shadow", &[], false), Err(2));
    assert!(!events(&log(&mut server.operators, 3)).contains(&"attempt"));
    let boot_cfg = loaded("mboot/esxi/01-52-54-00-00-00-03/boot.cfg");
    installs(server, 3, &boot_cfg);
}

/// Cases C to F: iPXE starts the loader, with `-c`, with a boot.cfg of its own, or with nothing.
fn by_ipxe(server: &mut ServerProgram) {
    let machines = &mut server.machines;
    let script = machines.get(&boot_path(4)).good();
    let token = token(&script);
    let beside = format!("/t/{token}");
    assert!(
        script.contains(&format!("chain http://127.0.0.1{beside}/mboot.efi")),
        "{script}"
    );
    let loader = content("efi/boot/bootx64.efi");
    assert_eq!(
        head(&format!("{beside}/mboot.efi")),
        (200, Some(loader.len() as u64))
    );
    assert_eq!(machines.get(&format!("{beside}/mboot.efi")).good(), loader);
    // C and D: `-c URL`. E: iPXE has the boot.cfg, and the loader first searches its own directory. F: twice, and
    // nothing else.
    let boot_cfg = machines.get(&format!("{beside}/boot.cfg")).good();
    for name in [
        "01-52-54-00-00-00-04/boot.cfg",
        "01-52-54-00-00-00-04/boot.cfg",
        "boot.cfg",
    ] {
        assert_eq!(
            machines.get(&format!("{beside}/{name}")).good(),
            boot_cfg,
            "{name}"
        );
    }
    http_files(machines, &boot_cfg, &beside);
    // It gets the same answer again until it reads its document.
    assert_eq!(find_token(&server.machines.boot(4)), Some(token));
    installs(server, 4, &boot_cfg);
}

/// A BIOS, with SYSLINUX 3.86's PXELINUX.
fn by_pxelinux(host: &Host, server: &mut ServerProgram) {
    host.expect_reply("discover 5 bios", "offer 192.0.2.15 pxelinux.0");
    assert_eq!(loaded("pxelinux.0"), "SYSLINUX 3.86");
    let by_uuid = "pxelinux.cfg/00000000-0000-0000-0000-000000000005";
    assert_eq!(tftp(by_uuid, &[], false), Err(1));
    let own = "pxelinux.cfg/01-52-54-00-00-00-05";
    let config = loaded(own);
    let word = |key: &str| {
        let mut lines = config
            .lines()
            .filter_map(|line| line.trim().split_once(' '));
        lines
            .find(|(known, _)| *known == key)
            .unwrap_or_else(|| panic!("no `{key}`: {config}"))
            .1
    };
    assert_eq!(loaded(word("KERNEL")), content("mboot.c32"));
    let boot_cfg = loaded(word("APPEND").strip_prefix("-c ").unwrap());
    assert_eq!(value(&boot_cfg, "prefix"), "/repo/esxi");
    for name in named(&boot_cfg) {
        assert_eq!(loaded(&format!("/repo/esxi/{name}")), content(name));
    }
    installs(server, 5, &boot_cfg);
    let config = loaded(own);
    assert!(
        config.contains("LOCALBOOT 0") && !config.contains("KERNEL"),
        "{config}"
    );
    // UEFI gets another loader.
    host.expect_reply("discover 6 boot", "offer 192.0.2.16 snponly.efi");
}
