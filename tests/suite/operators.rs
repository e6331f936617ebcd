//! The operators' listener: wrong tokens, the page for web browsers, and what the process may do.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::support::{
    child::in_network_namespace,
    client::until,
    http::{AUTHORIZATION, BackendRequest, Running, body, header, rest, soon, status},
    program::ServerProgram,
    test_name,
};

/// What a link to the page consists of, and the cookie that it gives.
async fn session(server: &Running) -> (String, String) {
    let headers = format!("{AUTHORIZATION}Content-Type: application/json\r\n");
    let answer = server.ask("POST", "/api/v1/page-link", &headers).await;
    let link: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    let path = link["path"].as_str().unwrap().to_owned();
    let opened = server.ask("GET", &path, "").await;
    assert_eq!(
        (status(&opened), header(&opened, "location")),
        (303, Some("/"))
    );
    let cookie = header(&opened, "set-cookie").unwrap();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    (path, cookie)
}

#[tokio::test]
async fn the_page_is_opened_by_a_link_once() {
    let server = Running::operators();
    let none = server.ask("GET", "/", "").await;
    assert_eq!(status(&none), 401);
    assert_eq!(
        header(&none, "content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(body(&none).contains("    bootwright page\n"), "{none}");
    let (path, cookie) = session(&server).await;
    let again = server.ask("GET", &path, "").await;
    assert_eq!((status(&again), header(&again, "set-cookie")), (403, None));
    for headers in [cookie.as_str(), AUTHORIZATION] {
        let page = server.ask("GET", "/", headers).await;
        assert_eq!(status(&page), 200, "{page}");
        assert_eq!(
            header(&page, "content-type"),
            Some("text/html; charset=utf-8")
        );
        let policy = header(&page, "content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self';"),
            "{policy}"
        );
        assert_eq!(header(&page, "cache-control"), Some("no-store"));
        assert!(body(&page).contains("<th>Node</th>"), "{page}");
        assert!(!body(&page).contains("<script"), "{page}");
        let style = server.ask("GET", "/page.css", headers).await;
        assert_eq!(
            header(&style, "content-type"),
            Some("text/css; charset=utf-8")
        );
    }
}

#[tokio::test]
async fn a_link_is_used_up_only_by_the_user() {
    let server = Running::operators();
    let headers = format!("{AUTHORIZATION}Content-Type: application/json\r\n");
    let answer = server.ask("POST", "/api/v1/page-link", &headers).await;
    let link: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(link["seconds"], 600);
    let path = link["path"].as_str().unwrap();
    for (method, headers, expected) in [
        ("HEAD", "", 405),
        ("POST", "", 405),
        ("GET", "Sec-Fetch-Site: cross-site\r\n", 403),
        ("GET", "Sec-Purpose: prefetch\r\n", 403),
        ("GET", "Sec-Fetch-Site: none\r\n", 303),
        ("GET", "Sec-Fetch-Site: none\r\n", 403),
    ] {
        let answer = server.ask(method, path, headers).await;
        assert_eq!(status(&answer), expected, "{method} {headers}");
    }
}

#[tokio::test]
async fn a_session_may_read_and_only_its_pages_may_command() {
    let server = Running::operators();
    let (_, cookie) = session(&server).await;
    let nodes = server.ask("GET", "/api/v1/nodes", &cookie).await;
    assert_eq!((status(&nodes), body(&nodes)), (200, "[]"));
    let json = format!("{cookie}Content-Type: application/json\r\n");
    let own = format!("{json}Origin: http://{}\r\n", server.address);
    let other = format!("{json}Origin: http://localhost:1\r\n");
    for (headers, expected) in [(&json, 403), (&other, 403), (&own, 200)] {
        let answer = server.ask("POST", "/api/v1/pause", headers).await;
        assert_eq!(status(&answer), expected, "{headers}");
    }
    assert_eq!(server.fake.requests().len(), 1);
    let link = server.ask("POST", "/api/v1/page-link", &own).await;
    assert_eq!(status(&link), 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_are_slowed_and_right_ones_are_not() {
    let server = Running::operators();
    let address = server.address;
    let mut guessing = JoinSet::new();
    for guess in 0..200 {
        guessing.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let credentials = match guess % 2 {
                0 => format!("Authorization: Bearer {guess:032x}"),
                _ => format!("Cookie: {guess:032x}=x"),
            };
            let path = if guess % 2 == 0 {
                "/api/v1/status".into()
            } else {
                format!("/open/{guess:032x}")
            };
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{credentials}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            rest(&mut stream).await
        });
    }
    for _ in 0..10 {
        let answer = soon(guessing.join_next()).await.unwrap().unwrap();
        assert!([401, 403].contains(&status(&answer)), "{answer}");
    }
    let began = Instant::now();
    let answer = server.ask("GET", "/api/v1/nodes", AUTHORIZATION).await;
    assert_eq!(status(&answer), 200);
    let took = began.elapsed();
    assert!(!guessing.is_empty(), "no guess had to wait");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn the_token_is_checked_before_the_body_is_read() {
    let server = Running::operators();
    let mut stream = server.connect().await;
    let head = "POST /api/v1/pause HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
        Authorization: Bearer wrong\r\nContent-Length: 10000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    // The rest of the body would be waited for during five seconds.
    let answer = timeout(Duration::from_secs(4), rest(&mut stream))
        .await
        .unwrap();
    assert_eq!(
        (status(&answer), header(&answer, "connection")),
        (401, Some("close"))
    );
    assert_eq!(server.fake.requests(), Vec::<BackendRequest>::new());
}

/// The values of a field of `/proc/<pid>/task/<tid>/status`, of all threads.
fn of_threads(pid: u32, field: &str) -> Vec<String> {
    let mut values = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        // A thread may end meanwhile.
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else {
            continue;
        };
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        values.push(line.unwrap().trim().to_owned());
    }
    values
}

#[test]
fn a_server_of_root_keeps_three_capabilities() {
    in_network_namespace(test_name!(), three_capabilities);
}

fn three_capabilities() {
    let mut server = ServerProgram::prepared(1, "", |site| {
        let program =
            "#!/bin/sh\ngrep -e Cap -e NoNew /proc/self/status > /proc/$PPID/cwd/hook-status\n";
        let program = program.replace("/proc/$PPID/cwd/", &format!("{}/", site.state().display()));
        site.write("hook.sh", &program);
        let path = site.path().join("hook.sh");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        site.write(
            "policies.d/hook.toml",
            "[hook.look]\non = \"held\"\nrun = [\"./hook.sh\"]\n",
        );
    });
    let pid = server.process.0.id();
    // CAP_NET_BIND_SERVICE (10), CAP_NET_RAW (13) and CAP_DAC_READ_SEARCH (2).
    let expected = format!("{:016x}", 1 << 10 | 1 << 13 | 1 << 2);
    for field in ["CapEff:", "CapPrm:", "CapBnd:"] {
        let values = of_threads(pid, field);
        assert!(values.len() > 2, "{values:?}");
        assert!(
            values.iter().all(|value| *value == expected),
            "{field} {values:?}"
        );
    }
    assert!(
        of_threads(pid, "NoNewPrivs:")
            .iter()
            .all(|value| value == "1")
    );
    let kept = "runs as root with CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_DAC_READ_SEARCH and no other capability";
    server.wait_for_log(kept);
    server.operators.post("/api/v1/nodes/n01/hold", "{}").good();
    let state = server.state();
    // A program of a hook can get nothing more, although it runs as root.
    let hook = until("the hook has run", || {
        let text = fs::read_to_string(state.join("hook-status")).ok()?;
        text.contains("NoNewPrivs:\t1").then_some(text)
    });
    assert!(hook.contains(&format!("CapEff:\t{expected}")), "{hook}");
    let token = fs::read_to_string(state.join("operator-token")).unwrap();
    assert!(!server.log().contains(token.trim()));
    assert!(!server.log().contains("/open/"));
}
