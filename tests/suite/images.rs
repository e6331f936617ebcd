//! ISO images of common programs, read in place: they have the files and bytes that were written.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::{FileExt, symlink},
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use bootwright::{
    disk::repo::{ImageFile, ImageRegistry, ImageVerification, RepoError, RepoSource},
    iso::Namespace,
};

use crate::support::{
    client::until,
    needs::needs,
    server::Server,
    site::{TestSite, declaration, name, node_file},
    sources::root,
};

/// Runs a program that must succeed.
fn run(program: &str, arguments: &[&str], directory: &Path) {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(directory).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Writes files below `folder`; returns their contents by path.
fn fill(folder: &Path, files: &[(&str, usize)]) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for (path, size) in files {
        let content: Vec<u8> = (0..*size).map(|at| (at * 31 + size) as u8).collect();
        let file = folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, &content).unwrap();
        contents.insert((*path).to_owned(), content);
    }
    contents
}

fn source(path: &Path) -> RepoSource {
    RepoSource::Image(ImageRegistry::default().at(path))
}

fn bytes(source: &RepoSource, path: &str) -> Result<Vec<u8>, RepoError> {
    let opened = source.open(path)?;
    let mut bytes = vec![0; opened.blob.size() as usize];
    opened.blob.read_exact_at(&mut bytes, 0).unwrap();
    Ok(bytes)
}

/// Every file of an image, by its path.
fn all(source: &RepoSource, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for listed in source.list(folder).unwrap() {
        let path = match folder {
            "" => listed.name.clone(),
            folder => format!("{folder}/{}", listed.name),
        };
        if listed.size.is_some() {
            let content = bytes(source, &path).unwrap();
            assert_eq!(listed.size, Some(content.len() as u64), "{path}");
            found.insert(path, content);
        } else if listed.link.is_none() {
            found.extend(all(source, &path));
        }
    }
    found
}

fn namespace(path: &Path) -> Namespace {
    ImageFile::new(path, None)
        .with_index(|index| index.namespace)
        .unwrap()
}

#[test]
fn every_namespace_of_an_image_has_the_files_that_were_written() {
    needs!("genisoimage", "xorriso");
    let dir = tempfile::tempdir().unwrap();
    let esxi = [
        ("BOOT.CFG", 700),
        ("B.B00", 2_048),
        ("EFI/BOOT/BOOTX64.EFI", 5_000),
        ("WEASELIN.V00", 1),
        ("EMPTY", 0),
    ];
    let unix = [
        ("a/b/c/d/e/f/g/h/i/j/k/Deep File.txt", 3_000),
        (".treeinfo", 10),
        ("Both", 1),
        ("both", 2),
        ("x.tar.gz", 4_097),
        (
            "a-name-that-is-quite-a-lot-longer-than-what-an-old-disc-could-hold-in-its-directories",
            5,
        ),
    ];
    let unicode = [
        (
            "Übergrösse mit sehr langem Namen, der nicht mehr aufhört.txt",
            33,
        ),
        ("日本語/読んで.txt", 6),
        ("Ärger/ö", 1),
    ];
    type Case<'a> = (
        &'a str,
        &'a [(&'a str, usize)],
        &'a str,
        &'a [&'a str],
        Namespace,
    );
    let cases: [Case<'_>; 6] = [
        (
            "plain",
            &esxi,
            "genisoimage",
            &["-V", "ESXI"],
            Namespace::Plain,
        ),
        ("rock", &unix, "genisoimage", &["-R"], Namespace::RockRidge),
        (
            "rock-flat",
            &unix,
            "genisoimage",
            &["-R", "-D"],
            Namespace::RockRidge,
        ),
        (
            "rock-xorriso",
            &unix,
            "xorriso",
            &["-as", "mkisofs", "-R"],
            Namespace::RockRidge,
        ),
        (
            "joliet",
            &unicode,
            "genisoimage",
            &["-J", "-joliet-long", "-input-charset", "utf-8"],
            Namespace::Joliet,
        ),
        (
            // The program always writes Rock Ridge as well.
            "joliet-xorriso",
            &unicode,
            "xorriso",
            &["-as", "mkisofs", "-J", "-joliet-long"],
            Namespace::RockRidge,
        ),
    ];
    for (name, files, program, arguments, expected) in cases {
        let tree = dir.path().join(name);
        let mut contents = fill(&tree, files);
        let image = format!("{name}.iso");
        let mut arguments = arguments.to_vec();
        arguments.extend(["-quiet", "-o", &image, name]);
        run(program, &arguments, dir.path());
        let image = dir.path().join(&image);
        if expected == Namespace::Plain {
            contents = contents
                .into_iter()
                .map(|(path, content)| (path.to_lowercase(), content))
                .collect();
        }
        let source = source(&image);
        assert_eq!(source.trouble(), None, "{name}");
        let found = all(&source, "");
        let paths: Vec<_> = found.keys().collect();
        assert_eq!(paths, contents.keys().collect::<Vec<_>>(), "{name}");
        assert!(found == contents, "{name}: the bytes are others");
        assert_eq!(namespace(&image), expected, "{name}");
        for (path, content) in &contents {
            // Two names that differ only in case are distinguished by case.
            if !path.eq_ignore_ascii_case("both") {
                let capitals = path.to_uppercase();
                assert!(bytes(&source, &capitals).unwrap() == *content, "{capitals}");
            }
        }
    }
}

/// An image of one file, `name`, with this content.
fn image_of(directory: &Path, image: &str, name: &str, content: &[u8]) {
    let tree = directory.join("tree");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join(name), content).unwrap();
    let arguments = ["-as", "mkisofs", "-R", "-quiet", "-o", image, "tree"];
    run("xorriso", &arguments, directory);
    fs::remove_dir_all(tree).unwrap();
}

#[test]
fn links_are_resolved_inside_the_image_only() {
    needs!("xorriso");
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fill(&tree, &[("dists/bookworm/Release", 9), ("pool/a.deb", 4)]);
    for (target, link) in [
        ("bookworm", "dists/stable"),
        (".", "debian"),
        ("../pool", "dists/pool"),
        ("../../etc", "out"),
        ("/etc", "root"),
        ("circle", "circle"),
    ] {
        symlink(target, tree.join(link)).unwrap();
    }
    let arguments = ["-as", "mkisofs", "-R", "-quiet", "-o", "x.iso", "tree"];
    run("xorriso", &arguments, dir.path());
    let source = source(&dir.path().join("x.iso"));
    for (path, expected) in [
        ("dists/stable/Release", Ok("dists/bookworm/Release")),
        ("debian/dists/stable/release", Ok("dists/bookworm/Release")),
        ("dists/pool/a.deb", Ok("pool/a.deb")),
        (
            "out/passwd",
            Err("`out/passwd` is a link that leads out of the repo"),
        ),
        (
            "root/passwd",
            Err("`root/passwd` is a link that leads out of the repo"),
        ),
        (
            "circle",
            Err("`circle` is a link that leads out of the repo"),
        ),
        ("dists", Err("`dists` is not a file")),
        ("none", Err("the repo has no file `none`")),
        ("../x.iso", Err("`../x.iso` is not a path within a repo")),
    ] {
        let found = source.details(path).map(|found| found.path);
        let found = found.map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{path}");
    }
}

#[test]
fn an_image_that_cannot_be_served_is_refused_with_the_reason() {
    needs!("xorriso");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    image_of(dir.path(), "good.iso", "big.bin", &[7; 3_000_000]);
    let good = fs::read(path("good.iso")).unwrap();
    fs::write(path("short.iso"), &good[..2_000_000]).unwrap();
    fs::write(path("stub.iso"), &good[..33_000]).unwrap();
    fs::write(path("luks.iso"), b"LUKS\xba\xbe and more").unwrap();
    fs::write(path("page.iso"), "<!DOCTYPE html>").unwrap();
    fs::write(path("xz.iso"), b"\xfd7zXZ\0...").unwrap();
    fs::write(path("empty.iso"), "").unwrap();
    let mut udf = vec![0; 40_000];
    for (at, id) in [(32_769, b"BEA01"), (34_817, b"NSR03"), (36_865, b"TEA01")] {
        udf[at..at + 5].copy_from_slice(id);
    }
    fs::write(path("udf.iso"), &udf).unwrap();
    let tree = path("tree");
    fill(&tree, &[("a/large", 100_000), ("small", 10)]);
    let squeeze = "-outdev zisofs.iso -map tree / -set_filter_r --zisofs / -- -end";
    let squeeze: Vec<_> = squeeze.split(' ').collect();
    run("xorriso", &squeeze, dir.path());
    let cases = [
        ("good.iso", None),
        ("none.iso", Some("no such file or directory")),
        ("short.iso", Some("it is truncated: `big.bin` ends at byte")),
        ("stub.iso", Some("it is damaged")),
        ("luks.iso", Some("it is an encrypted (LUKS) volume")),
        ("page.iso", Some("it is a web page or XML")),
        ("xz.iso", Some("it is compressed by xz")),
        ("empty.iso", Some("it is not an ISO 9660 image")),
        ("udf.iso", Some("it is an image with only UDF")),
        (
            "zisofs.iso",
            Some("compressed with zisofs, first `a/large`"),
        ),
        (".", Some("not a regular file")),
    ];
    for (name, expected) in cases {
        let trouble = source(&path(name)).trouble();
        match (&trouble, expected) {
            (None, None) => {}
            (Some(trouble), Some(expected)) => {
                assert!(trouble.contains(expected), "{name}: {trouble}");
                assert!(trouble.contains(name), "{trouble}");
            }
            _ => panic!("{name}: {trouble:?}"),
        }
    }
}

#[test]
fn a_transfer_never_mixes_an_image_and_its_replacement() {
    needs!("xorriso");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.iso");
    image_of(dir.path(), "x.iso", "one", &[1; 10_000]);
    let source = source(&path);
    let before = source.open("one").unwrap();
    let read = |opened: &bootwright::disk::repo::OpenedRepoFile| {
        let mut bytes = vec![0; 5_000];
        let read = opened.blob.read_exact_at(&mut bytes, 4_000);
        read.map(|()| bytes).map_err(|error| error.to_string())
    };
    // Replaced by another file: a transfer that has begun continues with the old one.
    image_of(dir.path(), "new.iso", "one", &[2; 10_000]);
    fs::rename(dir.path().join("new.iso"), &path).unwrap();
    let after = source.open("one").unwrap();
    assert_eq!(read(&before), Ok(vec![1; 5_000]));
    assert_eq!(read(&after), Ok(vec![2; 5_000]));
    assert_ne!(before.etag, after.etag);
    // Overwritten in place: a transfer that has begun ends, and returns no byte of the new one.
    image_of(dir.path(), "third.iso", "other", &[3; 10_000]);
    let third = fs::read(dir.path().join("third.iso")).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&third, 0).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(5))
        .unwrap();
    assert_eq!(
        read(&after),
        Err("the image was changed while it was read".into())
    );
    assert!(matches!(source.open("one"), Err(RepoError::Missing(_))));
    let other = source.open("other").unwrap();
    assert_eq!(read(&other), Ok(vec![3; 5_000]));
}

#[test]
fn the_cached_index_is_used_for_its_own_image_only() {
    needs!("xorriso");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.iso");
    image_of(dir.path(), "x.iso", "one", b"first");
    let kept = dir.path().join("state/images");
    let paths = |images: &ImageRegistry| {
        let image = images.at(&path);
        let with_index = image.with_index(|index| {
            let entries = index.entries().iter();
            entries
                .map(|entry| entry.path.to_string())
                .collect::<Vec<_>>()
        });
        with_index.unwrap()
    };
    assert_eq!(paths(&ImageRegistry::with_cache(kept.clone())), ["one"]);
    let files = || {
        fs::read_dir(&kept)
            .unwrap()
            .map(|file| file.unwrap().path())
    };
    let file = files().next().unwrap();
    assert_eq!(files().count(), 1);
    // The index comes from the cache: the image's directories are not needed.
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let image = File::options().write(true).open(&path).unwrap();
    let size = image.metadata().unwrap().len();
    image.write_all_at(&vec![0; size as usize], 0).unwrap();
    image.set_modified(modified).unwrap();
    assert_eq!(paths(&ImageRegistry::with_cache(kept.clone())), ["one"]);
    // A truncated cache file is ignored, and so is one for another image.
    image_of(dir.path(), "x.iso", "two", b"second");
    assert_eq!(paths(&ImageRegistry::with_cache(kept.clone())), ["two"]);
    fs::write(&file, "{").unwrap();
    assert_eq!(paths(&ImageRegistry::with_cache(kept.clone())), ["two"]);
    assert_eq!(paths(&ImageRegistry::with_cache(kept.clone())), ["two"]);
}

#[test]
fn an_image_is_verified_once() {
    needs!("xorriso");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.iso");
    image_of(dir.path(), "x.iso", "one", &[1; 3_000_000]);
    let printed = Command::new("sha256sum").arg(&path).output().unwrap();
    let hex = String::from_utf8(printed.stdout).unwrap();
    let mut expected = [0; 32];
    for (at, byte) in expected.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    }
    let kept = dir.path().join("images");
    let image = ImageRegistry::with_cache(kept.clone()).at(&path);
    assert_eq!(
        image.verification(&expected),
        ImageVerification::Unverified(0)
    );
    assert_eq!(image.compute_digest().unwrap(), expected);
    assert_eq!(image.verification(&expected), ImageVerification::Verified);
    assert_eq!(
        image.verification(&[7; 32]),
        ImageVerification::Mismatch(expected)
    );
    // A later run takes the digest from the cache, but not for another image.
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[9; 100], 0).unwrap();
    file.set_modified(modified).unwrap();
    let again = ImageRegistry::with_cache(kept).at(&path);
    assert_eq!(again.compute_digest().unwrap(), expected);
    file.set_modified(modified + Duration::from_secs(1))
        .unwrap();
    assert!(matches!(
        again.verification(&expected),
        ImageVerification::Unverified(_)
    ));
    assert_ne!(again.compute_digest().unwrap(), expected);
    assert!(matches!(
        again.verification(&expected),
        ImageVerification::Mismatch(_)
    ));
}

/// `explain` is about the images as they are now, also if no machine has booted since they were read.
#[test]
fn an_explanation_reports_an_image_that_is_not_the_declared_one() {
    needs!("xorriso");
    let site = TestSite::new(1);
    let image = site.beside("rocky.iso");
    let rocky = root().join("examples/quickstart/stand-ins/rocky");
    let [image_text, rocky] = [&image, &rocky].map(|path| path.display().to_string());
    let arguments = ["-as", "mkisofs", "-R", "-quiet", "-o", &image_text, &rocky];
    run("xorriso", &arguments, &site.path());
    let repo = format!(
        "[repo.image]\niso = \"{image_text}\"\nsha256 = \"{}\"\ntask = \"redhat\"\n",
        "0".repeat(64)
    );
    site.write("policies.d/image.toml", &repo);
    let declared = declaration(1, "").replace("\"rocky\"", "\"image\"");
    site.write(&node_file(1), &declared);
    let mut server = Server::start(&site);
    let reason = "the image of repo image does not have the SHA-256 that its `sha256` names";
    let path = format!("/api/v1/nodes/{}/explain", name(1));
    until("the explanation names the image", || {
        let next = server.operators.get(&path).json()["next"].clone();
        let next = next.as_str().unwrap();
        assert_ne!(next, "installer (installs wanted 1, done 0)");
        next.ends_with(reason).then_some(())
    });
    server.stop();
}
