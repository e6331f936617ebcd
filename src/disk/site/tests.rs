//! Tests of reading a site's files.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    sync::Arc,
};

use super::*;

fn put(root: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn names(files: &SiteFiles) -> Vec<&str> {
    files.content.keys().map(|name| &**name).collect()
}

fn unreadable(files: &SiteFiles) -> Vec<(&str, &str)> {
    let pairs = files.unreadable.iter();
    pairs.map(|(name, why)| (&**name, why.as_str())).collect()
}

#[test]
fn only_files_of_the_site_are_read() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        &[
            ("bootwright.toml", ""),
            ("README.md", ""),
            ("policies.d/b.toml", "b"),
            ("policies.d/rack/a.kdl", "a"),
            ("policies.d/b.toml~", ""),
            ("policies.d/.#b.toml", ""),
            ("policies.d/.b.toml.swp", ""),
            ("policies.d/b.swp", ""),
            ("policies.d/4913", ""),
            ("policies.d/.git/config", ""),
            ("scripts/join.sh", ""),
            ("templates/tasks/esxi/ks.cfg.j2", ""),
            (".git/index", ""),
            ("repos/esxi/boot.cfg", ""),
        ],
    );
    let files = read(dir.path()).unwrap();
    let expected = [
        "bootwright.toml",
        "policies.d/b.toml",
        "policies.d/rack/a.kdl",
        "templates/tasks/esxi/ks.cfg.j2",
    ];
    assert_eq!(names(&files), expected);
    assert_eq!(&*files.content["policies.d/b.toml"], b"b");
    assert_eq!(files.unreadable.len(), 0);
}

#[test]
fn a_file_that_is_too_large_is_reported_and_not_read() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        &[("policies.d/a.toml", ""), ("policies.d/b.toml", "b")],
    );
    put(dir.path(), &[("policies.d/disk.img", "")]);
    for name in ["policies.d/a.toml", "policies.d/disk.img"] {
        let file = fs::File::options()
            .write(true)
            .open(dir.path().join(name))
            .unwrap();
        file.set_len(100_000_000).unwrap();
    }
    let files = read(dir.path()).unwrap();
    assert_eq!(names(&files), ["policies.d/b.toml"]);
    let why = "it is too large: 100.0 MB, and it may have 8MiB";
    assert_eq!(unreadable(&files), [("policies.d/a.toml", why)]);
}

#[test]
fn files_beyond_the_sum_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("templates")).unwrap();
    for number in 0..33 {
        let file = fs::File::create(dir.path().join(format!("templates/{number:02}"))).unwrap();
        file.set_len(MAX_FILE).unwrap();
    }
    let files = read(dir.path()).unwrap();
    assert_eq!(files.content.len(), 32);
    let why = "the files of a site may have 256MiB together";
    assert_eq!(unreadable(&files), [("templates/32", why)]);
}

#[test]
fn links_are_followed_and_circles_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        &[
            ("policies.d/a.toml", "a"),
            ("shared/shared.toml", "shared"),
            ("policies.d/..data/b.toml", "b"),
        ],
    );
    let at = |name: &str| dir.path().join("policies.d").join(name);
    symlink("../shared", at("shared")).unwrap();
    symlink(dir.path().join("shared/shared.toml"), at("absolute.toml")).unwrap();
    symlink("..data/b.toml", at("b.toml")).unwrap();
    symlink("..", at("up")).unwrap();
    symlink("gone.toml", at("gone.d.toml")).unwrap();
    symlink("self.toml", at("self.toml")).unwrap();
    let expected = [
        "policies.d/a.toml",
        "policies.d/absolute.toml",
        "policies.d/b.toml",
        "policies.d/shared/shared.toml",
    ];
    let reasons = [
        (
            "policies.d/gone.d.toml",
            "it is a symbolic link that leads nowhere",
        ),
        ("policies.d/self.toml", "too many levels of symbolic links"),
        ("policies.d/up", "it leads back to a directory above it"),
    ];
    let beside = tempfile::tempdir().unwrap();
    let link = beside.path().join("link");
    symlink(dir.path(), &link).unwrap();
    for root in [dir.path(), &link] {
        let files = read(root).unwrap();
        assert_eq!(names(&files), expected);
        assert_eq!(unreadable(&files), reasons);
    }
}

#[test]
fn links_that_leave_the_site_are_reported_and_not_read() {
    let around = tempfile::tempdir().unwrap();
    let root = around.path().join("site");
    put(
        around.path(),
        &[
            ("secret", "root:x"),
            ("other/a.toml", "secret"),
            ("site-2/a.toml", "its path begins like that of the site"),
            ("site/policies.d/own.toml", ""),
        ],
    );
    let links = [
        ("absolute.toml", "/etc/passwd"),
        ("chain.toml", "relative.toml"),
        ("directory", "../../other"),
        ("back.toml", "../../site-2/a.toml"),
        ("relative.toml", "../../secret"),
    ];
    for (name, target) in links {
        symlink(target, root.join("policies.d").join(name)).unwrap();
    }
    symlink("../other", root.join("templates")).unwrap();
    symlink("../other/a.toml", root.join("bootwright.toml")).unwrap();
    let files = read(&root).unwrap();
    assert_eq!(names(&files), ["policies.d/own.toml"]);
    let mut reported = unreadable(&files);
    reported.retain(|(_, why)| *why == "it is a symbolic link that leaves the site");
    assert_eq!(
        reported.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        [
            "bootwright.toml",
            "policies.d/absolute.toml",
            "policies.d/back.toml",
            "policies.d/chain.toml",
            "policies.d/directory",
            "policies.d/relative.toml",
            "templates",
        ]
    );
}

#[test]
fn special_files_are_ignored_and_an_invalid_name_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), &[("policies.d/a.toml", "a")]);
    let fifo = dir.path().join("policies.d/fifo.toml");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let invalid = std::ffi::OsStr::from_bytes(b"policies.d/\xff.toml");
    fs::write(dir.path().join(invalid), "").unwrap();
    let files = read(dir.path()).unwrap();
    assert_eq!(names(&files), ["policies.d/a.toml"]);
    let expected = [("policies.d/\u{fffd}.toml", "its name is not UTF-8")];
    assert_eq!(unreadable(&files), expected);
}

#[test]
fn a_missing_site_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let missing = read(&dir.path().join("site")).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    put(dir.path(), &[("site", "")]);
    assert!(read(&dir.path().join("site")).is_err());
}

#[test]
fn unchanged_files_share_their_content() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        &[("policies.d/a.toml", "a"), ("policies.d/b.toml", "b")],
    );
    let mut reader = SiteReader::new(dir.path());
    let first = reader.read().unwrap();
    // The size and nearly the time are the same: only the content differs.
    put(dir.path(), &[("policies.d/b.toml", "c")]);
    let second = reader.read().unwrap();
    let same = |name: &str| Arc::ptr_eq(&first.content[name], &second.content[name]);
    assert_eq!(
        (same("policies.d/a.toml"), same("policies.d/b.toml")),
        (true, false)
    );
    assert_eq!(&*second.content["policies.d/b.toml"], b"c");
    fs::remove_file(dir.path().join("policies.d/a.toml")).unwrap();
    assert_eq!(names(&reader.read().unwrap()), ["policies.d/b.toml"]);
}

#[test]
fn directories_that_vanish_during_the_walk_are_not_reported() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), &[("policies.d/a.toml", "a")]);
    let churned = dir.path().join("policies.d/churned");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                fs::create_dir(&churned).unwrap();
                fs::write(churned.join("b.toml"), "b").unwrap();
                fs::remove_dir_all(&churned).unwrap();
            }
        });
        let mut reader = SiteReader::new(dir.path());
        let readings: Vec<_> = (0..300).map(|_| reader.read().unwrap()).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for files in readings {
            assert_eq!(&*files.content["policies.d/a.toml"], b"a");
            assert_eq!(unreadable(&files), []);
        }
    });
}
