//! Malicious clients, and clients with equivalent bugs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{io::Write, net::SocketAddr, time::Duration};

use bootwright::net::http::{Limits, allow_open_files};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::support::http::{
    AUTHORIZATION, BackendRequest, Fake, Running, TOKEN, assert_whole, body, header, rest, soon,
    status,
};

fn hasty() -> Limits {
    Limits {
        head_time: Duration::from_millis(300),
        body_time: Duration::from_millis(300),
        stall_time: Duration::from_millis(300),
        ..Limits::default()
    }
}

fn machines() -> Running {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"in the repo\n").unwrap();
    Running::machines(Fake::with_file(file), Limits::default())
}

#[tokio::test]
async fn no_path_leads_out_of_a_repo_or_an_attempt() {
    let server = machines();
    let climbs = [
        "../../etc/passwd",
        "a/../../../etc/passwd",
        "..%2f..%2fetc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        ".%2e/etc/passwd",
        "..\\..\\etc\\passwd",
        "..%5c..%5cetc%5cpasswd",
        "b.b00%00.cfg",
        "%00",
        "b%0d%0aSet-Cookie:x",
        "%1b[31m",
        "%ff%fe",
    ];
    for climb in climbs {
        for root in [
            "/repo/esxi/".into(),
            format!("/t/{TOKEN}/"),
            "/repo/".into(),
        ] {
            let answer = server.ask("GET", &format!("{root}{climb}"), "").await;
            assert!(
                [400, 404].contains(&status(&answer)),
                "{root}{climb}: {answer}"
            );
            assert_whole(&answer);
        }
    }
    assert_eq!(server.fake.requests(), []);
    let double = server.ask("GET", "//repo//esxi//b.b00", "").await;
    assert_eq!(body(&double), "in the repo\n");
}

#[tokio::test]
async fn an_invalid_request_is_refused_with_a_body() {
    let server = machines();
    let huge = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
    let long = format!(
        "GET /boot?serial={} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "x".repeat(100_000)
    );
    for (request, expected) in [
        ("GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        ("GET  / HTTP/9.9\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
        ("G\x1bT / HTTP/1.1\r\n\r\n", 400),
        (&huge, 431),
        (&many, 431),
        (&long, 431),
        (
            "TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            404,
        ),
        (
            "DELETE /boot HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            405,
        ),
        (
            "CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            421,
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            421,
        ),
        (
            "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            421,
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            404,
        ),
    ] {
        let answer = server.raw(request).await;
        let shown = &request[..request.len().min(60)];
        // Unread data at the end of a connection causes a reset, which may overtake the answer.
        if answer.is_empty() && request.len() > 50_000 {
            continue;
        }
        assert_eq!(status(&answer), expected, "{shown:?}: {answer}");
        assert_whole(&answer);
    }
}

#[tokio::test]
async fn no_request_is_smuggled_in_another() {
    let server = machines();
    let hidden = "GET /boot?mac=00-50-56-aa-bb-01 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = hidden.len();
    let shapes = [
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n\r\n"),
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n"),
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n".into(),
        "Transfer-Encoding: xchunked\r\n\r\n".into(),
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n".into(),
        "Content-Length: +0\r\n\r\n".into(),
        "Content-Length: 0x0\r\n\r\n".into(),
        "Content-Length: 18446744073709551616\r\n\r\n".into(),
        " Content-Length: 0\r\n\r\n".into(),
    ];
    for shape in shapes {
        let request = format!("POST /healthz HTTP/1.1\r\nHost: localhost\r\n{shape}{hidden}");
        let answer = server.raw(&request).await;
        assert!([400, 411].contains(&status(&answer)), "{shape:?}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{shape:?}: {answer}"
        );
    }
    assert_eq!(server.fake.requests(), []);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let server = machines();
    let mut requests = String::new();
    for number in 0..200 {
        let last = if number == 199 { "close" } else { "keep-alive" };
        requests += &format!(
            "GET /boot?serial={number} HTTP/1.1\r\nHost: localhost\r\nConnection: {last}\r\n\r\n"
        );
    }
    let answers = server.raw(requests).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 200);
    let serials = server
        .fake
        .requests()
        .into_iter()
        .filter_map(|requests| match requests {
            BackendRequest::Boot(ask) => ask.report.serial,
            _ => None,
        });
    let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(serials.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_missing_body_times_out() {
    let server = Running::machines(Fake::default(), hasty());
    let callback = format!(
        "POST /t/{TOKEN}/stage/failed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nno di"
    );
    assert_eq!(body(&server.raw(callback).await), "ok\n");
    let boot = "GET /boot HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n";
    assert_eq!(status(&server.raw(boot).await), 200);
}

#[tokio::test]
async fn a_slow_head_times_out() {
    let server = Running::machines(Fake::default(), hasty());
    let mut stream = server.connect().await;
    soon(async {
        for byte in b"GET /boot HTTP/1.1\r\nX-Slow: ".iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut idle = server.connect().await;
    assert_eq!(rest(&mut idle).await, "");
}

#[tokio::test]
async fn a_client_that_does_not_read_times_out() {
    let large = 64 << 20;
    let server = Running::machines(Fake::with_large(large), hasty());
    let mut stream = server.connect().await;
    let request = format!("GET /t/{TOKEN}/large.cfg HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    crate::support::http::eventually(|| server.fake.requests().len() == 2).await;
    let aborted = BackendRequest::DownloadEnd(bootwright::net::http::DownloadEnd::Aborted);
    assert_eq!(server.fake.requests()[1], aborted);
    assert!(rest(&mut stream).await.len() < large);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_beside_five_thousand_idle_connections() {
    let allowed = allow_open_files(11_000).unwrap();
    let count = 5_000.min(allowed as usize / 2 - 200);
    let server = machines();
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(server.connect().await);
    }
    for _ in 0..50 {
        assert_eq!(status(&server.ask("GET", "/boot", "").await), 200);
    }
    assert_eq!(idle.len(), count);
}

#[tokio::test]
async fn a_connection_above_the_limit_is_answered_with_503() {
    let limits = Limits {
        connections: 3,
        ..hasty()
    };
    let server = Running::machines(Fake::default(), limits);
    let taken = [
        server.connect().await,
        server.connect().await,
        server.connect().await,
    ];
    let answer = server.ask("GET", "/boot", "").await;
    assert_eq!(
        (status(&answer), body(&answer)),
        (503, "too many connections\n")
    );
    assert_whole(&answer);
    drop(taken);
    // The server detects shortly afterwards that they are closed.
    soon(async { while status(&server.ask("GET", "/boot", "").await) != 200 {} }).await;
}

#[tokio::test]
async fn half_of_the_connections_can_have_sent_something() {
    let limits = Limits {
        connections: 4,
        ..Limits::default()
    };
    let server = Running::machines(Fake::default(), limits);
    let mut begun = [server.connect().await, server.connect().await];
    for stream in &mut begun {
        stream.write_all(b"GET /boot HTTP/1.1\r\n").await.unwrap();
    }
    let mut third = server.connect().await;
    let (request, end) = (
        "Host: localhost\r\nConnection: close\r\n\r\n",
        "GET /boot HTTP/1.1\r\n",
    );
    third.write_all(end.as_bytes()).await.unwrap();
    assert_eq!(status(&rest(&mut third).await), 503);
    // The others are answered.
    let [first, _second] = &mut begun;
    first.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(status(&rest(first).await), 200);
}

#[tokio::test]
async fn a_wrong_token_is_refused_before_a_byte_of_its_body_is_stored() {
    let server = machines();
    let unknown = "0".repeat(32);
    for path in ["c/{}/report", "t/{}/stage/failed"] {
        for (token, expected) in [(&*unknown, 404), (TOKEN, 413)] {
            let path = path.replace("{}", token);
            // Larger than any body that is read.
            let length = 64 << 20;
            let request = format!(
                "POST /{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
            );
            let mut stream = server.connect().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            let part = vec![b'x'; 300 << 10];
            // The server may have closed the connection.
            drop(stream.write_all(&part).await);
            let answer = rest(&mut stream).await;
            let expected = if path.contains("stage") && token == TOKEN {
                200
            } else {
                expected
            };
            // Unread data at the end of a connection causes a reset, which may overtake the answer.
            assert!(
                answer.is_empty() || status(&answer) == expected,
                "{path}: {answer}"
            );
        }
    }
    // A client that sends a report of usual size reads the refusal.
    let body = "x".repeat(20_000);
    let request = format!(
        "POST /c/{unknown}/report HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = server.raw(&request).await;
    assert_eq!(
        (status(&answer), header(&answer, "connection")),
        (404, Some("close"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_are_delayed_and_right_ones_are_not() {
    let server = machines();
    let address = server.address;
    let mut guessing = JoinSet::new();
    for guess in 0..1_000 {
        guessing.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET /t/{guess:032x}/ks.cfg HTTP/1.0\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            rest(&mut stream).await
        });
    }
    let check = |answer: String| {
        assert_eq!((status(&answer), body(&answer)), (404, "not found\n"));
    };
    // Ten per second are answered at once.
    for _ in 0..10 {
        check(soon(guessing.join_next()).await.unwrap().unwrap());
    }
    for path in ["ks.cfg", "stage/installed", "no-such-document"] {
        let answer = server.ask("GET", &format!("/t/{TOKEN}/{path}"), "").await;
        assert_whole(&answer);
    }
    // Meanwhile other guesses are still delayed.
    while let Some(answer) = guessing.try_join_next() {
        check(answer.unwrap());
    }
    assert!(!guessing.is_empty(), "no guess had to wait");
}

#[tokio::test]
async fn requests_from_web_pages_are_refused() {
    let server = Running::operators();
    let port = server.address.port();
    let local = format!("{AUTHORIZATION}Host: 127.0.0.1:{port}");
    let json = "Content-Type: application/json";
    for (headers, expected) in [
        // A form needs no permission from the browser, but cannot send JSON.
        (
            format!("{local}\r\nContent-Type: text/plain\r\nOrigin: http://evil.example"),
            403,
        ),
        (format!("{local}\r\nContent-Type: text/plain"), 415),
        (
            format!("{local}\r\nContent-Type: application/x-www-form-urlencoded"),
            415,
        ),
        // A script must send its origin.
        (
            format!("{local}\r\n{json}\r\nOrigin: http://evil.example"),
            403,
        ),
        (format!("{local}\r\n{json}\r\nOrigin: null"), 403),
        (
            format!("{local}\r\n{json}\r\nSec-Fetch-Site: cross-site"),
            403,
        ),
        // A page whose name resolves to this host (DNS rebinding) has no token.
        (
            format!("Host: evil.example:{port}\r\n{json}\r\nOrigin: http://evil.example:{port}"),
            401,
        ),
        (json.into(), 401),
        (
            format!("{local}\r\n{json}\r\nOrigin: http://127.0.0.1:{port}"),
            200,
        ),
    ] {
        let request = format!(
            "POST /api/v1/pause HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n{headers}\r\n\r\n{{}}"
        );
        let answer = server.raw(&request).await;
        assert_eq!(status(&answer), expected, "{headers}: {answer}");
        assert_eq!(header(&answer, "access-control-allow-origin"), None);
        assert_eq!(header(&answer, "content-type"), Some("application/json"));
    }
    let preflight = server
        .ask(
            "OPTIONS",
            "/api/v1/pause",
            "Origin: http://evil.example\r\n",
        )
        .await;
    assert_eq!(status(&preflight), 401);
    assert_eq!(server.fake.requests().len(), 1);
}

#[tokio::test]
async fn requests_without_the_token_are_refused() {
    let server = Running::operators();
    for (headers, expected) in [
        ("", 401),
        ("Authorization: Bearer 0123456789abcdeF\r\n", 401),
        (AUTHORIZATION, 200),
    ] {
        let answer = server.ask("GET", "/api/v1/nodes", headers).await;
        assert_eq!(status(&answer), expected, "{headers}");
    }
}

#[tokio::test]
async fn a_command_with_too_long_or_a_missing_body_is_refused() {
    let server = Running::operators();
    let head = format!(
        "POST /api/v1/pause HTTP/1.1\r\nHost: localhost\r\n{AUTHORIZATION}Content-Type: application/json\r\n"
    );
    let long = server
        .raw(format!("{head}Content-Length: 1000000\r\n\r\n{{}}"))
        .await;
    assert_eq!(status(&long), 413);
    let missing = server
        .raw(format!(
            "{head}Connection: close\r\nContent-Length: 20\r\n\r\n{{}}"
        ))
        .await;
    assert_eq!(status(&missing), 408);
    assert_eq!(server.fake.requests(), []);
}

#[tokio::test]
async fn a_connection_that_is_reset_at_once_does_not_end_the_listener() {
    let server = machines();
    for _ in 0..200 {
        let stream = reset_on_close(server.address).await;
        drop(stream);
    }
    assert_eq!(status(&server.ask("GET", "/boot", "").await), 200);
}

async fn reset_on_close(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let linger = Some(Duration::ZERO);
    socket2::SockRef::from(&socket).set_linger(linger).unwrap();
    soon(socket.connect(address)).await.unwrap()
}
