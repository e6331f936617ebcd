//! Files in images over HTTP, sent by the kernel and copied: whole, in parts, and while the image changes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
};

use bootwright::{
    disk::repo::{ImageRegistry, RepoSource},
    net::http::Limits,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    http::{Fake, Running, body, header, rest, status},
    needs::needs,
};

/// An image at `x.iso` in `directory` with one file of this many letters, and a server of that file.
fn image(directory: &Path, letters: usize) -> (Running, String) {
    let text: String = (0..letters)
        .map(|at| char::from(b'a' + (at * 7 % 23) as u8))
        .collect();
    let tree = directory.join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("payload"), &text).unwrap();
    let made = Command::new("xorriso")
        .args(["-as", "mkisofs", "-quiet", "-R", "-o", "x.iso", "tree"])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(made.status.success());
    let image = RepoSource::Image(ImageRegistry::default().at(&directory.join("x.iso")));
    let mut fake = Fake::with_file(tempfile::tempfile().unwrap());
    let served = fake.file.as_mut().unwrap();
    served.blob = image.open("payload").unwrap().blob;
    assert!(served.blob.is_of_image());
    (Running::machines(fake, Limits::default()), text)
}

#[tokio::test]
async fn a_file_in_an_image_is_sent_whole_and_in_ranges() {
    needs!("xorriso");
    let dir = tempfile::tempdir().unwrap();
    let (server, text) = image(dir.path(), 7_000_003);
    for (range, from, to) in [
        (None, 0, text.len()),
        // By the kernel and copied; only by the kernel, but too long; only copied.
        (Some("bytes=1000001-"), 1_000_001, text.len()),
        (Some("bytes=3-2200000"), 3, 2_200_001),
        (Some("bytes=500-1049075"), 500, 1_049_076),
        (Some("bytes=-9"), text.len() - 9, text.len()),
    ] {
        let headers = range.map_or(String::new(), |range| format!("Range: {range}\r\n"));
        let answer = server.ask("GET", "/repo/esxi/payload", &headers).await;
        let length = header(&answer, "content-length").unwrap();
        assert_eq!(length, (to - from).to_string(), "{range:?}");
        assert!(body(&answer) == &text[from..to], "{range:?} differs");
    }
}

#[tokio::test]
async fn files_on_one_connection_are_separate_responses() {
    needs!("xorriso");
    let dir = tempfile::tempdir().unwrap();
    let (server, text) = image(dir.path(), 2_000_000);
    let mut stream = server.connect().await;
    let ask = |range: &str, close: &str| {
        format!(
            "GET /repo/esxi/payload HTTP/1.1\r\nHost: localhost\r\nRange: {range}\r\n{close}\r\n"
        )
    };
    let all = [
        ask("bytes=0-1899999", ""),
        ask("bytes=5-9", ""),
        ask("bytes=1-1900000", "Connection: close\r\n"),
    ];
    stream.write_all(all.concat().as_bytes()).await.unwrap();
    let mut answers = rest(&mut stream).await;
    for (from, to) in [(0, 1_900_000), (5, 10), (1, 1_900_001)] {
        let head = answers.find("\r\n\r\n").unwrap() + 4;
        assert_eq!(status(&answers), 206);
        assert!(
            answers[head..][..to - from] == text[from..to],
            "{from}-{to}"
        );
        answers.drain(..head + to - from);
    }
    assert_eq!(answers, "");
}

#[tokio::test]
async fn no_whole_file_is_sent_of_an_image_that_is_being_written() {
    needs!("xorriso");
    let dir = tempfile::tempdir().unwrap();
    let (server, text) = image(dir.path(), 40_000_000);
    let mut stream = server.connect().await;
    let ask = "GET /repo/esxi/payload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut begin = vec![0; 100_000];
    stream.read_exact(&mut begin).await.unwrap();
    let path = dir.path().join("x.iso");
    let image = File::options().write(true).open(&path).unwrap();
    image.write_all_at(b"Z", 39_000_000).unwrap();
    let mut left = Vec::new();
    // A part of it, then the connection ends, regularly or not.
    let ended = stream.read_to_end(&mut left).await;
    assert!(
        begin.len() + left.len() < text.len(),
        "{} bytes, {ended:?}",
        left.len()
    );
}
