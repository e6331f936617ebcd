//! TLS of the operators' listener, with certificates of openssl and with curl as another client.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use bootwright::{
    net::http::tls::{CertificateValidity, Tls, TlsFiles},
    site::{LoadCache, SiteFiles, load},
};
use tempfile::TempDir;

use crate::support::{client::until, needs::needs, server::Server, site::TestSite};

/// Makes a key and a self-signed certificate with these arguments, in this directory.
fn certificate(directory: &Path, more: &[&str]) -> TlsFiles {
    let files = TlsFiles {
        cert: directory.join("cert.pem"),
        key: directory.join("key.pem"),
    };
    let made = Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x"
                .split(' '),
        )
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&files.key)
        .arg("-out")
        .arg(&files.cert)
        .args(more)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    files
}

/// A site whose operators' listener uses a certificate in the directory beside it.
fn site() -> TestSite {
    let site = TestSite::new(1);
    let at = |name: &str| site.beside(name).display().to_string();
    site.write(
        "bootwright.toml",
        &format!(
            "[operator]\nlisten = \"127.0.0.1:1\"\ntls-cert = {:?}\ntls-key = {:?}\n[paths]\nstate = {:?}\n",
            at("cert.pem"),
            at("key.pem"),
            site.state()
        ),
    );
    site
}

/// Names the address that the server got in its settings, and runs a command of the site.
fn command(site: &TestSite, server: &Server, arguments: &[&str]) -> Output {
    let config = site.path().join("bootwright.toml");
    let text = fs::read_to_string(&config).unwrap();
    let address = server.operators.address().to_string();
    fs::write(
        &config,
        text.replace("127.0.0.1:1\"", &format!("{address}\"")),
    )
    .unwrap();
    Command::new(env!("CARGO_BIN_EXE_bootwright"))
        .arg("--site")
        .arg(site.path())
        .args(arguments)
        .output()
        .unwrap()
}

fn curl(site: &TestSite, server: &Server, path: &str) -> Output {
    let token = fs::read_to_string(site.state().join("operator-token")).unwrap();
    Command::new("curl")
        .args(["-sS", "--max-time", "20", "-i", "--cacert"])
        .arg(site.beside("cert.pem"))
        .args(["-H", &format!("Authorization: Bearer {}", token.trim())])
        .arg(format!("https://{}{path}", server.operators.address()))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn commands_and_curl_use_https() {
    needs!("openssl", "curl");
    let site = site();
    certificate(&site.beside(""), &[]);
    let server = Server::start(&site);
    assert!(
        server.banner.operators.starts_with("https://127.0.0.1:"),
        "{}",
        server.banner.operators
    );
    let nodes = command(&site, &server, &["nodes"]);
    assert!(text(&nodes.stdout).contains("n01"), "{nodes:?}");
    assert_eq!(text(&nodes.stderr), "");
    let page = command(&site, &server, &["page"]);
    let link = text(&page.stdout);
    let path = link.trim().strip_prefix(&server.banner.operators).unwrap();
    let opened = text(&curl(&site, &server, path).stdout);
    assert!(opened.starts_with("HTTP/1.1 303"), "{opened}");
    assert!(
        opened.contains("set-cookie: __Host-bootwright-"),
        "{opened}"
    );
    assert!(
        opened.contains("; Secure; HttpOnly; SameSite=Strict"),
        "{opened}"
    );
    let shown = text(&curl(&site, &server, "/").stdout);
    assert!(shown.contains("<td>n01</td>"), "{shown}");
    // A client without TLS gets no answer.
    let plain = format!("http://{}/", server.operators.address());
    let plain = Command::new("curl")
        .args(["-sS", "--max-time", "20", &plain])
        .output()
        .unwrap();
    assert!(!plain.status.success(), "{plain:?}");
    server.stop();
}

#[test]
fn another_certificate_is_refused_unless_its_issuer_is_trusted() {
    needs!("openssl");
    let site = site();
    let is_no_issuer = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let files = certificate(&site.beside(""), &is_no_issuer);
    let server = Server::start(&site);
    fs::copy(&files.cert, site.beside("ca.pem")).unwrap();
    let other = TempDir::new().unwrap();
    fs::copy(certificate(other.path(), &[]).cert, &files.cert).unwrap();
    let refused = command(&site, &server, &["nodes"]);
    assert_eq!(refused.status.code(), Some(3));
    let error = text(&refused.stderr);
    assert!(
        error.contains("the server has another certificate than `tls-cert`"),
        "{error}"
    );
    let trust = |name: &str| {
        let config = site.path().join("bootwright.toml");
        let before = fs::read_to_string(&config).unwrap();
        let ca = format!("[operator]\ntls-ca = {:?}\n", site.beside(name));
        fs::write(&config, before.replace("[operator]\n", &ca)).unwrap();
        let ran = command(&site, &server, &["nodes"]);
        fs::write(&config, before).unwrap();
        ran
    };
    let trusted = trust("ca.pem");
    assert!(text(&trusted.stdout).contains("n01"), "{trusted:?}");
    assert_eq!(trust("cert.pem").status.code(), Some(3));
    server.stop();
}

#[test]
fn a_changed_certificate_is_used_without_a_restart() {
    needs!("openssl");
    let directory = TempDir::new().unwrap();
    let files = certificate(directory.path(), &[]);
    let tls = Tls::open(files.clone()).unwrap();
    assert_eq!(tls.validity(), CertificateValidity::Valid);
    assert!(!tls.refresh().unwrap());
    fs::write(&files.cert, "nothing").unwrap();
    let error = tls.refresh().unwrap_err().to_string();
    assert!(
        error.ends_with("contains no certificate in PEM format"),
        "{error}"
    );
    assert_eq!(tls.validity(), CertificateValidity::Valid);
    certificate(directory.path(), &["-days", "5"]);
    until("the new files differ", || {
        tls.refresh().unwrap().then_some(())
    });
    assert_eq!(tls.validity(), CertificateValidity::ExpiresSoon);
}

#[test]
fn each_mistake_in_the_files_is_named() {
    needs!("openssl");
    let directory = TempDir::new().unwrap();
    let files = certificate(directory.path(), &[]);
    let other = TempDir::new().unwrap();
    let foreign = certificate(other.path(), &[]);
    let error = |cert: &Path, key: &Path| {
        let files = TlsFiles {
            cert: cert.into(),
            key: key.into(),
        };
        let error = files.check().unwrap_err().to_string();
        error.replace(&directory.path().display().to_string(), "DIR")
    };
    let missing = directory.path().join("none");
    assert_eq!(
        error(&missing, &files.key),
        "`DIR/none` cannot be read: no such file or directory"
    );
    assert_eq!(
        error(&files.cert, &missing),
        "`DIR/none` cannot be read: no such file or directory"
    );
    let mismatch = error(&files.cert, &foreign.key);
    assert!(
        mismatch.ends_with("does not belong to the certificate in `DIR/cert.pem`"),
        "{mismatch}"
    );
    assert_eq!(
        error(&files.key, &files.key),
        "`DIR/key.pem` contains no certificate in PEM format"
    );
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(error(&files.cert, &files.key).contains("others than its owner may read it"));
    fs::set_permissions(&files.cert, fs::Permissions::from_mode(0o600)).unwrap();
    let swapped = error(&files.cert, &files.cert);
    assert!(
        swapped.starts_with("`DIR/cert.pem` contains no private key"),
        "{swapped}"
    );
    for (dates, expected) in [
        (
            ["20200101000000Z", "20200201000000Z"],
            CertificateValidity::Expired,
        ),
        (
            ["20900101000000Z", "20910101000000Z"],
            CertificateValidity::NotYetValid,
        ),
    ] {
        let at = TempDir::new().unwrap();
        let dated = dated(at.path(), dates);
        assert_eq!(dated.check().unwrap(), expected);
    }
}

/// A certificate with these dates, which `openssl ca` can set in every version.
fn dated(directory: &Path, dates: [&str; 2]) -> TlsFiles {
    let files = certificate(directory, &[]);
    let config = "[ca]\ndefault_ca = a\n[a]\ndatabase = index\nnew_certs_dir = .\nserial = serial\ndefault_md = sha256\n\
                  policy = p\nx509_extensions = v3\n[p]\ncommonName = supplied\n[v3]\nsubjectAltName = IP:127.0.0.1\n";
    for (name, text) in [("config", config), ("index", ""), ("serial", "01\n")] {
        fs::write(directory.join(name), text).unwrap();
    }
    let script = format!(
        "openssl req -new -key key.pem -subj /CN=x -out request.pem && openssl ca -batch -notext -config config \
         -startdate {} -enddate {} -selfsign -keyfile key.pem -in request.pem -out cert.pem",
        dates[0], dates[1]
    );
    let made = Command::new("sh")
        .args(["-c", &script])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    files
}

#[test]
fn a_listener_that_other_hosts_reach_needs_tls() {
    let unencrypted = "the operators' listener is not encrypted, and its address is not loopback: a host on the way can read the \
        operator token";
    for (settings, expected) in [
        ("", vec![]),
        ("listen = \"127.0.0.1:1\"", vec![]),
        ("listen = \"[::1]:1\"", vec![]),
        ("listen = \"0.0.0.0:1\"", vec![unencrypted]),
        ("listen = \"192.0.2.1\"", vec![unencrypted]),
        (
            "listen = \"[::]:1\"\ntls-cert = \"a\"\ntls-key = \"b\"",
            vec![],
        ),
        ("tls-cert = \"a\"", vec!["`tls-cert` needs `tls-key`"]),
        ("tls-key = \"a\"", vec!["`tls-key` needs `tls-cert`"]),
        (
            "tls-ca = \"a\"",
            vec!["`tls-ca` has no effect without `tls-cert`"],
        ),
    ] {
        let mut files = SiteFiles::default();
        let text = format!("[operator]\n{settings}\n");
        files
            .content
            .insert("bootwright.toml".into(), text.into_bytes().into());
        let (_, diagnostics) = load(&files, &mut LoadCache::default());
        let found: Vec<&str> = diagnostics.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(found, expected, "{settings}");
    }
}

#[test]
fn a_server_with_wrong_files_does_not_start_and_check_warns() {
    needs!("openssl");
    let site = site();
    let files = certificate(&site.beside(""), &[]);
    fs::copy(
        certificate(TempDir::new().unwrap().path(), &[]).key,
        &files.key,
    )
    .unwrap();
    let started = Server::try_start(&site.path(), &site.state())
        .err()
        .unwrap();
    let reason = "does not belong to the certificate in";
    assert!(format!("{started:#}").contains(reason), "{started:#}");
    let checked = Command::new(env!("CARGO_BIN_EXE_bootwright"))
        .arg("--site")
        .arg(site.path())
        .arg("check")
        .output()
        .unwrap();
    let printed = text(&checked.stdout) + &text(&checked.stderr);
    assert_eq!(checked.status.code(), Some(0), "{printed}");
    assert!(
        printed.contains("the operators' listener cannot use TLS"),
        "{printed}"
    );
}
