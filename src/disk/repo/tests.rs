//! Tests of opening a repo's files.

use std::{fs, os::unix::fs::symlink};

use super::*;

fn tree() -> (tempfile::TempDir, RepoSource) {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("repo/BOOT.CFG", "kernel=/b.b00\n"),
        ("repo/EFI/BOOT/BOOTX64.EFI", "mboot"),
        ("repo/efi/other", "other"),
        ("repo/images/pxeboot/vmlinuz", "linux"),
        ("repo/.treeinfo", "[general]\n"),
        ("repo/Both", "1"),
        ("repo/both", "2"),
        ("secret", "secret"),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let tree = RepoSource::Directory(RepoDirectory::new(&dir.path().join("repo")));
    (dir, tree)
}

fn text(tree: &RepoSource, path: &str) -> Result<(String, String), String> {
    let details = tree.read(path).map_err(|error| error.to_string())?;
    Ok((details.path, details.text.unwrap().to_string()))
}

#[test]
fn a_path_is_looked_up_exactly_then_ignoring_case() {
    let (_dir, tree) = tree();
    for (requested, path, content) in [
        ("images/pxeboot/vmlinuz", "images/pxeboot/vmlinuz", "linux"),
        ("IMAGES/PXEBoot/VMLINUZ", "images/pxeboot/vmlinuz", "linux"),
        ("boot.cfg", "BOOT.CFG", "kernel=/b.b00\n"),
        (
            "./images//pxeboot/vmlinuz",
            "images/pxeboot/vmlinuz",
            "linux",
        ),
        (".treeinfo", ".treeinfo", "[general]\n"),
        ("Both", "Both", "1"),
        ("both", "both", "2"),
        ("BOTH", "Both", "1"),
        ("EFI/boot/bootx64.efi", "EFI/BOOT/BOOTX64.EFI", "mboot"),
    ] {
        assert_eq!(
            text(&tree, requested),
            Ok((path.into(), content.into())),
            "{requested}"
        );
    }
    let details = tree.details("boot.cfg").unwrap();
    assert_eq!((details.size, details.text), (14, None));
}

#[test]
fn nothing_outside_is_opened() {
    let (dir, tree) = tree();
    symlink("../secret", dir.path().join("repo/out")).unwrap();
    symlink(dir.path().join("secret"), dir.path().join("repo/absolute")).unwrap();
    symlink("..", dir.path().join("repo/up")).unwrap();
    symlink("images/pxeboot/vmlinuz", dir.path().join("repo/linux")).unwrap();
    nix::unistd::mkfifo(&dir.path().join("repo/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let not_within = |path: &str| format!("`{path}` is not a path within a repo");
    let leads_out = |path: &str| format!("`{path}` is a link that leads out of the repo");
    for (path, error) in [
        ("../secret", not_within("../secret")),
        ("images/../../secret", not_within("images/../../secret")),
        ("images/../BOOT.CFG", not_within("images/../BOOT.CFG")),
        ("/etc/passwd", not_within("/etc/passwd")),
        ("", not_within("")),
        ("BOOT.CFG\0x", not_within("BOOT.CFG\\0x")),
        ("a\nb", not_within("a\\nb")),
        ("out", leads_out("out")),
        ("OUT", leads_out("OUT")),
        ("absolute", leads_out("absolute")),
        ("up/secret", leads_out("up/secret")),
        ("Up/secret", leads_out("Up/secret")),
        ("images", "`images` is not a file".into()),
        ("fifo", "`fifo` is not a file".into()),
        ("none", "the repo has no file `none`".into()),
        ("BOOT.CFG/x", "the repo has no file `BOOT.CFG/x`".into()),
        ("..\\secret", "the repo has no file `..\\secret`".into()),
    ] {
        assert_eq!(text(&tree, path), Err(error), "{path}");
    }
    assert_eq!(text(&tree, "linux"), Ok(("linux".into(), "linux".into())));
    let long = "x".repeat(300);
    assert_eq!(
        text(&tree, &long),
        Err(format!("the repo has no file `{long}`"))
    );
}

#[test]
fn a_file_that_appears_is_found_in_any_case() {
    let (dir, tree) = tree();
    assert!(tree.open("IMAGES/new").is_err());
    fs::write(dir.path().join("repo/images/New"), "new").unwrap();
    assert_eq!(tree.open("IMAGES/new").unwrap().path, "images/New");
    fs::remove_file(dir.path().join("repo/images/New")).unwrap();
    assert!(matches!(
        tree.open("IMAGES/new"),
        Err(RepoError::Missing(_))
    ));
}

#[test]
fn another_content_has_another_tag() {
    let (dir, tree) = tree();
    let path = dir.path().join("repo/BOOT.CFG");
    let before = tree.open("BOOT.CFG").unwrap();
    assert_eq!(tree.open("boot.cfg").unwrap().etag, before.etag);
    // The same length and the same time, as after a tree is unpacked again.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "kernel=/c.b00\n").unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(before.modified)
        .unwrap();
    let after = tree.open("BOOT.CFG").unwrap();
    assert_eq!(after.modified, before.modified);
    assert_ne!(after.etag, before.etag);
    let tag = before
        .etag
        .strip_prefix('"')
        .unwrap()
        .strip_suffix('"')
        .unwrap();
    assert!(
        tag.bytes()
            .all(|byte| byte.is_ascii_hexdigit() || b"-.".contains(&byte)),
        "{tag}"
    );
}

#[test]
fn a_missing_repo_reports_its_reason() {
    let (dir, tree) = tree();
    assert_eq!(tree.trouble(), None);
    let missing = RepoSource::Directory(RepoDirectory::new(&dir.path().join("none")));
    assert!(matches!(missing.open("x"), Err(RepoError::Missing(_))));
    assert!(
        missing
            .trouble()
            .unwrap()
            .ends_with("none`: no such file or directory")
    );
    let file = RepoSource::Directory(RepoDirectory::new(&dir.path().join("secret")));
    assert!(file.trouble().unwrap().ends_with("is not a directory"));
    assert!(file.open("x").is_err());
}
