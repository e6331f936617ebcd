//! `microkernel build` with a distribution's kernel, as `tests/run tools` fetches it.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use assert_cmd::Command;

use crate::support::{
    needs::{kernel_package, needs},
    site::TestSite,
};

fn kernel(package: &Path) -> PathBuf {
    let boot = fs::read_dir(package.join("boot")).unwrap();
    let files = boot.map(|entry| entry.unwrap().path());
    let is_kernel = |path: &PathBuf| path.to_string_lossy().contains("/vmlinuz-");
    files.into_iter().find(is_kernel).unwrap()
}

fn build(site: &TestSite, arguments: &[&Path]) -> (bool, String) {
    let output = Command::cargo_bin("bootwright")
        .unwrap()
        .arg("--site")
        .arg(site.path())
        .args(["microkernel", "build"])
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// The files of an initial file system.
fn unpacked(initrd: &Path) -> BTreeMap<String, Vec<u8>> {
    let compressed = fs::read(initrd).unwrap();
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&compressed[..])
        .read_to_end(&mut plain)
        .unwrap();
    let (mut files, mut rest) = (BTreeMap::new(), &plain[..]);
    loop {
        let mut reader = cpio::newc::Reader::new(rest).unwrap();
        if reader.entry().is_trailer() {
            return files;
        }
        let name = reader.entry().name().to_owned();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        files.insert(name, bytes);
        rest = reader.finish().unwrap();
    }
}

#[test]
fn a_build_of_the_same_kernel_is_reproducible() {
    needs!("kernel");
    let package = kernel_package();
    let site = TestSite::new(0);
    site.write("policies.d/site.toml", "");
    let config = format!("[paths]\nstate = {:?}\n", site.state());
    site.write("bootwright.toml", &config);
    let kernel = kernel(&package);
    let dash = |name: &'static str| Path::new(name);
    let arguments = [dash("--kernel"), &kernel, dash("--modules"), &package];
    let (good, output) = build(&site, &arguments);
    assert!(good, "{output}");
    assert!(output.contains(" modules, "), "{output}");
    let dir = site.state().join("microkernel");
    assert_eq!(
        fs::read(dir.join("vmlinuz")).unwrap(),
        fs::read(&kernel).unwrap()
    );
    let first = fs::read(dir.join("initrd")).unwrap();

    let files = unpacked(&dir.join("initrd"));
    for name in [
        "init",
        "modules.json",
        "modules/virtio_net.ko",
        "modules/e1000e.ko",
        "modules/nvme.ko",
        "modules/ahci.ko",
        "modules/net_failover.ko",
        "dev/console",
    ] {
        assert!(files.contains_key(name), "{name} is missing");
    }
    let programs = files
        .keys()
        .filter(|name| name.contains("bin/") || name.contains("lib/ld"));
    assert_eq!(programs.count(), 0, "there is no other program");
    // Each module exists with all of its dependencies, as listed in the table.
    let table: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&files["modules.json"]).unwrap();
    let needs = |module: &serde_json::Value| -> Vec<String> {
        let needs = module["needs"].as_array().into_iter().flatten();
        needs
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    assert!(needs(&table["virtio_net"]).contains(&"net_failover".to_owned()));
    assert!(
        table
            .keys()
            .all(|name| files.contains_key(&format!("modules/{name}.ko")))
    );

    let again = tempfile::tempdir().unwrap();
    let mut arguments = arguments.to_vec();
    arguments.extend([dash("--output"), again.path()]);
    let (good, output) = build(&site, &arguments);
    assert!(good, "{output}");
    assert!(
        fs::read(again.path().join("initrd")).unwrap() == first,
        "the same files make other bytes"
    );
}

#[test]
fn what_is_missing_is_named() {
    needs!("kernel");
    let site = TestSite::new(0);
    site.write("policies.d/site.toml", "");
    let config = format!("[paths]\nstate = {:?}\n", site.state());
    site.write("bootwright.toml", &config);
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("vmlinuz-1");
    fs::write(&image, "no kernel").unwrap();
    let (good, output) = build(&site, &[Path::new("--kernel"), &image]);
    assert!(
        !good && output.contains("is not a Linux kernel"),
        "{output}"
    );
    let package = kernel_package();
    let (good, output) = build(
        &site,
        &[
            Path::new("--kernel"),
            &kernel(&package),
            Path::new("--modules"),
            dir.path(),
        ],
    );
    assert!(
        !good && output.contains("has no modules for the kernel's release, 6."),
        "{output}"
    );
    if !Path::new("/lib/modules").is_dir() {
        let (good, output) = build(&site, &[]);
        assert!(!good && output.contains("linux-image-amd64"), "{output}");
    }
    assert!(!site.state().join("microkernel").exists());
}
