//! The two listeners over a loopback interface: how requests are parsed, and what they are answered with.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;

use bootwright::{
    api::{Command, NodeCommand},
    control::Callback,
    journal::Stage,
    net::http::{DownloadEnd, Limits},
};

use crate::support::http::{
    AUTHORIZATION, BackendRequest, Fake, Running, TOKEN, assert_whole, body, eventually, header,
    rest, soon, status,
};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn fake_with(content: &[u8]) -> Fake {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Fake::with_file(file)
}

fn machines(fake: Fake) -> Running {
    Running::machines(fake, Limits::default())
}

#[tokio::test]
async fn a_boot_request_is_parsed_with_its_addresses() {
    let server = machines(Fake::default());
    let answer = server
        .ask("GET", "/boot?mac=00-50-56-aa-bb-01&serial-hex=4142", "")
        .await;
    assert_whole(&answer);
    assert_eq!(body(&answer), "#!ipxe\nexit\n");
    let requests = server.fake.requests();
    let [BackendRequest::Boot(ask)] = requests.as_slice() else {
        panic!("one boot");
    };
    assert_eq!(ask.report.serial.as_deref(), Some("AB"));
    assert_eq!(*ask.base, *format!("http://{}", server.address));
    assert_eq!(ask.peer.local, server.address);

    let twice = server.ask("GET", "/boot?uuid=a&uuid=b", "").await;
    assert_eq!(
        (status(&twice), body(&twice)),
        (400, "`uuid` is given twice\n")
    );
    let head = server.ask("HEAD", "/boot?mac=00-50-56-aa-bb-01", "").await;
    assert_eq!((status(&head), header(&head, "allow")), (405, Some("GET")));
    assert_eq!(server.fake.requests().len(), 1);
}

#[tokio::test]
async fn machines_do_not_send_what_browsers_send() {
    let server = machines(Fake::default());
    for header in [
        "Origin: http://evil.example\r\n",
        "origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: none\r\n",
    ] {
        for path in [
            "/boot?mac=00-50-56-aa-bb-01",
            "/boot.ipxe",
            &format!("/t/{TOKEN}/stage/failed"),
            "/healthz",
            "/nothing",
        ] {
            let answer = server.ask("GET", path, header).await;
            assert_whole(&answer);
            assert_eq!(
                (status(&answer), body(&answer)),
                (403, "this port is for machines, not for web browsers\n"),
                "{path} {header}"
            );
        }
    }
    assert_eq!(server.fake.requests(), []);
}

#[tokio::test]
async fn the_entry_script_has_the_address_of_the_request() {
    let server = machines(Fake::default());
    let script = format!("#!ipxe\nchain http://{}/boot\n", server.address);
    for path in ["/boot.ipxe", "/autoexec.ipxe", "//boot.ipxe"] {
        let answer = server.ask("GET", path, "").await;
        assert_eq!(
            (status(&answer), body(&answer)),
            (200, script.as_str()),
            "{path}"
        );
        let head = server.ask("HEAD", path, "").await;
        assert_eq!(
            header(&head, "content-length"),
            Some(script.len().to_string().as_str())
        );
        assert_eq!(body(&head), "");
    }
    // A program on this host forwarded the request, and its sender uses another address for the server.
    for (path, expected) in [
        ("/boot.ipxe", "#!ipxe\nchain http://10.0.2.2:8080/boot\n"),
        ("/boot?mac=00-50-56-aa-bb-01", "#!ipxe\nexit\n"),
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 10.0.2.2:8080\r\nConnection: close\r\n\r\n");
        assert_eq!(body(&server.raw(request).await), expected, "{path}");
    }
    let requests = server.fake.requests();
    let Some(BackendRequest::Boot(ask)) = requests.last() else {
        panic!("a boot");
    };
    assert_eq!(*ask.base, *"http://10.0.2.2:8080");
    let health = server.ask("GET", "/healthz", "").await;
    assert_eq!(
        (status(&health), body(&health)),
        (200, "degraded: the site has 1 error\n")
    );
}

#[tokio::test]
async fn a_document_counts_as_read_when_its_last_byte_is_sent() {
    let server = machines(Fake::default());
    let path = format!("/t/{TOKEN}/ks.cfg");
    let whole = server.ask("GET", &path, "").await;
    assert_eq!(body(&whole), "vmaccepteula\n");
    assert_eq!(
        server.fake.requests()[1..],
        [BackendRequest::DownloadEnd(DownloadEnd::Completed)]
    );

    let part = server.ask("GET", &path, "Range: bytes=0-1\r\n").await;
    assert_eq!((status(&part), body(&part)), (206, "vm"));
    let head = server.ask("HEAD", &path, "").await;
    assert_eq!(
        (header(&head, "content-length"), body(&head)),
        (Some("13"), "")
    );
    let asks: Vec<(bool, bool)> = server
        .fake
        .requests()
        .into_iter()
        .filter_map(|requests| match requests {
            BackendRequest::Document(ask) => Some((ask.head, ask.whole)),
            _ => None,
        })
        .collect();
    assert_eq!(asks, [(false, true), (false, false), (true, false)]);
    assert_eq!(server.fake.requests().len(), 4);
}

#[tokio::test]
async fn an_incomplete_download_is_reported_as_aborted() {
    let large = 64 << 20;
    let server = machines(Fake::with_large(large));
    let request = format!("GET /t/{TOKEN}/large.cfg HTTP/1.0\r\n\r\n");
    let mut stream = server.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 4096];
    soon(stream.read_exact(&mut first)).await.unwrap();
    assert_eq!(server.fake.requests().len(), 1);
    drop(stream);
    eventually(|| server.fake.requests().len() == 2).await;
    assert_eq!(
        server.fake.requests()[1],
        BackendRequest::DownloadEnd(DownloadEnd::Aborted)
    );

    let whole = server.raw(&request).await;
    assert_eq!(body(&whole).len(), large);
    assert_eq!(
        server.fake.requests().last(),
        Some(&BackendRequest::DownloadEnd(DownloadEnd::Completed))
    );
}

#[tokio::test]
async fn each_document_on_a_connection_is_reported() {
    let server = machines(Fake::with_large(1 << 20));
    let one = |name, last| {
        format!("GET /t/{TOKEN}/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: {last}\r\n\r\n")
    };
    let requests = [
        one("large.cfg", "keep-alive"),
        one("ks.cfg", "keep-alive"),
        one("large.cfg", "close"),
    ];
    let answers = server.raw(requests.concat()).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3);
    let requests = server.fake.requests();
    let completed = requests
        .iter()
        .filter(|requests| **requests == BackendRequest::DownloadEnd(DownloadEnd::Completed));
    assert_eq!((requests.len(), completed.count()), (6, 3));
}

#[tokio::test]
async fn a_callback_is_answered_for_the_smallest_client() {
    let server = machines(Fake::default());
    let stage = |reason: Option<&str>| Callback::Stage {
        stage: Stage::Failed,
        reason: reason.map(Into::into),
    };
    let path = format!("/t/{TOKEN}/stage/failed");
    for (request, callback) in [
        (format!("GET {path} HTTP/1.0\r\n\r\n"), stage(None)),
        (
            format!("GET {path}?reason=no%20disk HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            stage(Some("no disk")),
        ),
        (
            format!("POST {path} HTTP/1.1\r\nContent-Length: 8\r\n\r\nno disk\n"),
            stage(Some("no disk")),
        ),
        (
            format!("POST {path} HTTP/1.0\r\nContent-Length: 16\r\n\r\nreason=no%20disk"),
            stage(Some("no disk")),
        ),
        (
            format!("POST {path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
            stage(None),
        ),
    ] {
        let answer = server.raw(&request).await;
        assert_eq!((status(&answer), body(&answer)), (200, "ok\n"), "{request}");
        assert_eq!(header(&answer, "content-length"), Some("3"));
        assert_eq!(header(&answer, "connection"), Some("close"));
        let Some(BackendRequest::Callback(ask)) = server.fake.requests().pop() else {
            panic!("a callback");
        };
        assert_eq!(ask.callback, callback, "{request}");
    }
    let before = server.fake.requests();
    let head = server.ask("HEAD", &path, "").await;
    assert_eq!((status(&head), body(&head)), (200, ""));
    assert_eq!(server.fake.requests(), before);
}

#[tokio::test]
async fn a_client_that_closes_its_side_is_still_answered() {
    let server = machines(Fake::default());
    let mut stream = server.connect().await;
    let request = format!("GET /t/{TOKEN}/stage/installed HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(body(&rest(&mut stream).await), "ok\n");
}

#[tokio::test]
async fn a_file_is_served_whole_in_ranges_and_conditionally() {
    let content: Vec<u8> = (0..700_000u32)
        .map(|number| b'a' + (number % 23) as u8)
        .collect();
    let text = String::from_utf8(content.clone()).unwrap();
    let server = machines(fake_with(&content));
    for path in ["/repo/esxi/b.b00".into(), format!("/t/{TOKEN}/mboot.efi")] {
        let whole = server.ask("GET", &path, "").await;
        assert_eq!(
            (status(&whole), header(&whole, "etag")),
            (200, Some("\"v1\""))
        );
        assert!(body(&whole) == text, "the content differs");
        let head = server.ask("HEAD", &path, "").await;
        assert_eq!(
            (header(&head, "content-length"), body(&head)),
            (Some("700000"), "")
        );
    }
    for (headers, expected, range, content) in [
        (
            "Range: bytes=300000-300009",
            206,
            Some("bytes 300000-300009/700000"),
            &text[300_000..300_010],
        ),
        (
            "Range: bytes=-3",
            206,
            Some("bytes 699997-699999/700000"),
            &text[699_997..],
        ),
        (
            "Range: bytes=700000-",
            416,
            Some("bytes */700000"),
            "the file has only 700000 bytes\n",
        ),
        (
            "Range: Bytes=699990-",
            206,
            Some("bytes 699990-699999/700000"),
            &text[699_990..],
        ),
        ("Range: bytes=0-1,5-6", 200, None, &text),
        ("Range: bytes=0-1\r\nRange: bytes=5-6", 200, None, &text),
        ("If-None-Match: \"v1\"", 304, None, ""),
        ("If-Match: \"v0\"", 412, None, "the file has changed\n"),
        (
            "Range: bytes=0-0\r\nIf-Range: \"v1\"",
            206,
            Some("bytes 0-0/700000"),
            &text[..1],
        ),
        ("Range: bytes=0-0\r\nIf-Range: \"v0\"", 200, None, &text),
        ("Range: bytes=0-0\r\nIf-Range: W/\"v1\"", 200, None, &text),
    ] {
        let answer = server
            .ask("GET", "/repo/esxi/b.b00", &format!("{headers}\r\n"))
            .await;
        assert_eq!(
            (status(&answer), header(&answer, "content-range")),
            (expected, range),
            "{headers}"
        );
        assert!(body(&answer) == content, "{headers}");
    }
}

#[tokio::test]
async fn a_file_with_the_text_of_a_response_is_sent_unchanged() {
    // Sixteen bytes, so that every chunk of the file begins with them.
    let content = "HTTP/1.1 400 No\n".repeat(100_000);
    let server = machines(fake_with(content.as_bytes()));
    let answer = server.ask("GET", "/repo/esxi/b.b00", "").await;
    assert!(body(&answer) == content, "the content differs");
}

#[tokio::test]
async fn a_file_that_is_not_in_the_page_cache_is_sent() {
    let content: Vec<u8> = (0..3_000_000u32)
        .map(|number| b'a' + (number % 23) as u8)
        .collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&content).unwrap();
    file.as_file().sync_all().unwrap();
    let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    posix_fadvise(file.as_file(), 0, 0, advice).unwrap();
    let server = machines(Fake::with_file(file.reopen().unwrap()));
    let answer = server.ask("GET", "/repo/esxi/b.b00", "").await;
    assert!(body(&answer).as_bytes() == content, "the content differs");
}

#[tokio::test]
async fn an_empty_file_is_a_response_without_a_body() {
    let server = machines(fake_with(b""));
    for method in ["GET", "HEAD"] {
        let answer = server.ask(method, "/repo/esxi/empty", "").await;
        assert_eq!(
            (status(&answer), header(&answer, "content-length")),
            (200, Some("0"))
        );
    }
}

#[tokio::test]
async fn a_file_that_shrinks_ends_the_connection() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'x'; 100_000]).unwrap();
    let fake = Fake::with_file(file.try_clone().unwrap());
    file.set_len(50_000).unwrap();
    let server = machines(fake);
    let answer = server.ask("GET", "/repo/esxi/b.b00", "").await;
    assert!(body(&answer).len() < 100_000, "cut short");
    assert!(answer.is_empty() || header(&answer, "content-length") == Some("100000"));
}

#[tokio::test]
async fn stopping_waits_for_running_responses_and_closes_idle_connections() {
    let server = machines(Fake::with_large(32 << 20));
    let mut idle = server.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut some = [0; 16];
    soon(idle.read_exact(&mut some)).await.unwrap();
    let mut busy = server.connect().await;
    let request = format!("GET /t/{TOKEN}/large.cfg HTTP/1.1\r\nHost: localhost\r\n\r\n");
    busy.write_all(request.as_bytes()).await.unwrap();
    soon(busy.read_exact(&mut some)).await.unwrap();
    let reading = tokio::spawn(async move { rest(&mut busy).await.len() });
    server.stop().await;
    assert!(reading.await.unwrap() > 32 << 20);
    rest(&mut idle).await;
}

#[tokio::test]
async fn operators_receive_json() {
    let server = Running::operators();
    let nodes = server.ask("GET", "/api/v1/nodes", AUTHORIZATION).await;
    assert_eq!((status(&nodes), body(&nodes)), (200, "[]"));
    let lines = server
        .ask("GET", "/api/v1/nodes/esx01/log", AUTHORIZATION)
        .await;
    assert_eq!(header(&lines, "content-type"), Some("application/x-ndjson"));
    let unknown = server.ask("GET", "/api/v1/nodes/x", AUTHORIZATION).await;
    assert_eq!(status(&unknown), 404);
    assert_eq!(
        body(&unknown),
        "{\"error\":\"no node `x`\",\"help\":\"see `bootwright nodes`\"}\n"
    );
    let request = format!(
        "POST /api/v1/nodes/esx01/hold HTTP/1.0\r\nHost: localhost\r\n{AUTHORIZATION}\
         Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{{\"reason\":\"r\"}}"
    );
    assert_eq!(status(&server.raw(request).await), 200);
    let reason = Some("r".into());
    let command = Command::node("esx01", NodeCommand::Hold { reason });
    assert_eq!(server.fake.requests(), [BackendRequest::Command(command)]);
    let method = server
        .ask("GET", "/api/v1/nodes/esx01/hold", AUTHORIZATION)
        .await;
    assert_eq!(status(&method), 405);
    assert_eq!(header(&method, "allow"), Some("POST"));
}

#[tokio::test]
async fn a_log_is_followed_line_by_line() {
    let server = Running::operators();
    let answer = server
        .ask(
            "GET",
            "/api/v1/nodes/esx01/log?follow=true&after=7",
            AUTHORIZATION,
        )
        .await;
    for line in [
        "{\"after\":Some(\"7\"),\"line\":1}\n",
        "{\"after\":Some(\"7\"),\"line\":2}\n",
    ] {
        assert!(answer.contains(line), "{answer}");
    }
    assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_machine_in_the_microkernel_checks_in() {
    let server = machines(fake_with(b"kernel"));
    let kernel = server.ask("GET", "/microkernel/vmlinuz", "").await;
    assert_eq!((status(&kernel), body(&kernel)), (200, "kernel"));
    let command = server.ask("GET", &format!("/c/{TOKEN}/order"), "").await;
    let kind = header(&command, "content-type");
    assert_eq!(
        (status(&command), kind, body(&command)),
        (200, Some("application/json"), "{}")
    );
    let report = |token: &str, length: usize| {
        let body = "7".repeat(length.min(10));
        format!(
            "POST /c/{token}/report HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let answer = server.raw(&report(TOKEN, 2)).await;
    assert_eq!((status(&answer), body(&answer)), (200, "77"));
    // A body of 100 MB is rejected before it is sent.
    let answer = server.raw(&report(TOKEN, 100 << 20)).await;
    assert_eq!(
        (status(&answer), header(&answer, "connection")),
        (413, Some("close"))
    );
    let often = server.raw(&report("often", 2)).await;
    assert_eq!(
        (status(&often), header(&often, "retry-after")),
        (429, Some("1"))
    );
    let unknown = server.raw(&report("nobody", 2)).await;
    assert_eq!((status(&unknown), body(&unknown)), (404, "not found\n"));
    for (method, path) in [("POST", "order"), ("GET", "report"), ("HEAD", "order")] {
        let answer = server.ask(method, &format!("/c/{TOKEN}/{path}"), "").await;
        assert_eq!(status(&answer), 405, "{method} {path}");
    }
}
