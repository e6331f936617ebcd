//! Access control of the operators' listener, and the refusal of web browsers by the machines' listener.
//!
//! Every request of an operator needs the token, or the cookie of a session. Requests that a web page of another site causes are
//! refused: such a page cannot send JSON without a preflight, or hide its origin. A browser adds a cookie by itself, so a command
//! with one has to prove that a page of this server caused it.

use std::{io, sync::Arc};

use hyper::{
    HeaderMap, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderName, ORIGIN},
    http::request::Parts,
};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::sessions::{LINK_TIME, SESSION_TIME, Sessions, digest};
use crate::{
    api::{ApiError, PageLink},
    model::SecretText,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

#[derive(Debug, Clone)]
pub struct Guard {
    /// The digest of the token. Digests are compared, so that the comparison's duration reveals nothing.
    token: [u8; 32],
    pub(super) sessions: Arc<Sessions>,
    /// The cookie's name. Browsers send a cookie to every port of a host: servers need different names.
    cookie: String,
    /// Whether the listener uses TLS.
    is_encrypted: bool,
}

/// What a request proved its access with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Token,
    Session,
}

impl Guard {
    /// Requires `token`.
    pub fn new(token: &SecretText) -> Guard {
        let token = digest(token.expose());
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(token));
        Guard {
            token,
            sessions: Arc::default(),
            cookie: format!("bootwright-{a:02x}{b:02x}{c:02x}{d:02x}"),
            is_encrypted: false,
        }
    }

    /// The same for a listener with TLS. Browsers send its cookie over TLS only, and accept it from no other host.
    pub fn with_tls(self) -> Guard {
        Guard {
            cookie: format!("__Host-{}", self.cookie),
            is_encrypted: true,
            ..self
        }
    }

    pub(super) fn check(&self, request: &Parts, now: Instant) -> Result<Access, ApiError> {
        let headers = &request.headers;
        let access = self.access(headers, now).ok_or_else(|| {
            ApiError::new(401, "the operator token is missing or wrong").help(
                "send `Authorization: Bearer` and the content of `operator-token` in the server's state directory, or of its \
                 `token-file`",
            )
        })?;
        self.check_origin(headers)?;
        let is_read = request.method == Method::GET || request.method == Method::HEAD;
        if access == Access::Session && !is_read && !self.is_same_origin(headers) {
            return Err(ApiError::new(
                403,
                "with a cookie, only a page of this server may send commands",
            ));
        }
        if request.method == Method::POST && !is_json(headers) {
            return Err(ApiError::new(415, "the Content-Type is not JSON")
                .help("send `Content-Type: application/json`"));
        }
        Ok(access)
    }

    fn access(&self, headers: &HeaderMap, now: Instant) -> Option<Access> {
        if headers.contains_key(AUTHORIZATION) {
            return self.has_token(headers).then_some(Access::Token);
        }
        let session =
            cookies(headers).find_map(|(name, value)| (name == self.cookie).then_some(value))?;
        self.sessions
            .contains(session, now)
            .then_some(Access::Session)
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let given = text(headers, &AUTHORIZATION).and_then(|value| value.split_once(' '));
        given.is_some_and(|(scheme, given)| {
            scheme.eq_ignore_ascii_case("bearer")
                && constant_time_eq(&digest(given.trim()), &self.token)
        })
    }

    /// Creates a link to the page, which can be opened once.
    pub fn page_link(&self) -> io::Result<PageLink> {
        let key = self.sessions.create_link(Instant::now())?;
        Ok(PageLink {
            path: format!("{}{key}", PageLink::PREFIX),
            seconds: LINK_TIME.as_secs(),
        })
    }

    /// Whether the request contains a token or a session's cookie, right or wrong.
    pub(super) fn has_credentials(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(AUTHORIZATION) || cookies(headers).any(|(name, _)| name == self.cookie)
    }

    /// The value of `Set-Cookie` for a session. Scripts cannot read it, and other sites cannot cause it to be sent.
    pub(super) fn cookie(&self, session: &str) -> String {
        let (name, seconds) = (&self.cookie, SESSION_TIME.as_secs());
        let secure = if self.is_encrypted { "; Secure" } else { "" };
        format!("{name}={session}; Path=/; Max-Age={seconds}{secure}; HttpOnly; SameSite=Strict")
    }

    /// Requires that a link is opened by a user: another site must not begin a session, and a prefetch must not use up the link.
    pub(super) fn check_navigation(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        if headers.contains_key(SEC_PURPOSE) {
            return Err("the link is not opened by a prefetch\n");
        }
        self.check_origin(headers)
            .map_err(|_| "open the link by pasting it into the address bar\n")
    }

    /// Requires that a request does not come from a web page of another site.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let own = !headers.contains_key(ORIGIN) || self.has_own_origin(headers);
        let site = text(headers, &SEC_FETCH_SITE);
        if own && site.is_none_or(|site| site == "same-origin" || site == "none") {
            return Ok(());
        }
        Err(ApiError::new(403, "cross-site requests are not allowed"))
    }

    /// Whether the browser states that a page of this server causes the request.
    fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        self.has_own_origin(headers) || text(headers, &SEC_FETCH_SITE) == Some("same-origin")
    }

    fn has_own_origin(&self, headers: &HeaderMap) -> bool {
        let scheme: &[u8] = if self.is_encrypted {
            b"https://"
        } else {
            b"http://"
        };
        let origin = headers.get(ORIGIN).map(|origin| origin.as_bytes());
        let host = headers.get(HOST).map(|host| host.as_bytes());
        host.is_some() && origin.and_then(|origin| origin.strip_prefix(scheme)) == host
    }
}

/// The name and value of each cookie.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    // A header that is not text is ignored.
    let lines = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
}

/// Compares without stopping at the first difference.
fn constant_time_eq(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differences = one.iter().zip(other).map(|(one, other)| one ^ other);
    differences.fold(0, |all, difference| all | difference) == 0
}

/// Returns whether a web browser sends this request. A page could otherwise make the browser of a user request `/boot`, from an
/// address in the network of the machines.
pub(super) fn is_of_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = text(headers, &CONTENT_TYPE).and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    // A header that is not text is ignored.
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(guard: &Guard, method: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = hyper::Request::builder()
            .method(method)
            .uri("/api/v1/pause");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let access = guard.check(&parts, Instant::now());
        access.map_or_else(|error| error.status, |_| 200)
    }

    fn guard() -> Guard {
        Guard::new(&SecretText::new("sesame"))
    }

    #[test]
    fn cross_site_requests_are_rejected() {
        let json = "application/json";
        let cases: &[(&[(&str, &str)], u16)] = &[
            (&[("content-type", json)], 200),
            (&[("content-type", "Application/JSON; charset=utf-8")], 200),
            (
                &[("content-type", json), ("origin", "http://localhost:8067")],
                200,
            ),
            (
                &[("content-type", json), ("sec-fetch-site", "same-origin")],
                200,
            ),
            (&[], 415),
            (&[("content-type", "text/plain")], 415),
            (
                &[("content-type", "application/x-www-form-urlencoded")],
                415,
            ),
            (
                &[("content-type", json), ("origin", "http://evil.example")],
                403,
            ),
            (
                &[("content-type", json), ("origin", "http://localhost:3000")],
                403,
            ),
            (
                &[("content-type", json), ("origin", "https://localhost:8067")],
                403,
            ),
            (&[("content-type", json), ("origin", "null")], 403),
            (
                &[("content-type", json), ("sec-fetch-site", "cross-site")],
                403,
            ),
            (
                &[("content-type", json), ("sec-fetch-site", "same-site")],
                403,
            ),
        ];
        let own = [
            ("host", "localhost:8067"),
            ("authorization", "Bearer sesame"),
        ];
        for (headers, expected) in cases {
            let headers = [&own, *headers].concat();
            assert_eq!(status(&guard(), "POST", &headers), *expected, "{headers:?}");
        }
    }

    #[test]
    fn every_request_needs_the_token() {
        for (authorization, expected) in [
            ("Bearer sesame", 200),
            ("bearer  sesame", 200),
            ("Bearer Sesame", 401),
            ("Bearer ", 401),
            ("Bearer", 401),
            ("Basic sesame", 401),
            ("sesame", 401),
        ] {
            for host in ["bootwright.example", "localhost"] {
                let headers = [("host", host), ("authorization", authorization)];
                assert_eq!(
                    status(&guard(), "GET", &headers),
                    expected,
                    "{authorization}"
                );
            }
        }
        assert_eq!(status(&guard(), "GET", &[("host", "localhost")]), 401);
        assert_eq!(status(&guard(), "GET", &[]), 401);
    }

    #[test]
    fn a_session_commands_only_from_its_own_pages() {
        let (guard, now) = (guard(), Instant::now());
        let link = guard.sessions.create_link(now).unwrap();
        let session = guard.sessions.open(&link, now).unwrap().unwrap();
        let set = guard.cookie(&session);
        assert!(
            set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"),
            "{set}"
        );
        let cookie = format!("a=b; {}", set.split(';').next().unwrap());
        let wrong = cookie.replace(&session, &link);
        let read: &[(&str, &str, u16)] = &[
            ("x", "", 200),
            ("sec-fetch-site", "none", 200),
            ("sec-fetch-site", "same-origin", 200),
            ("sec-fetch-site", "same-site", 403),
            ("authorization", "Bearer wrong", 401),
        ];
        let command: &[(&str, &str, u16)] = &[
            ("x", "", 403),
            ("sec-fetch-site", "none", 403),
            ("sec-fetch-site", "same-origin", 200),
            ("origin", "http://localhost:8067", 200),
            ("origin", "http://localhost:8068", 403),
            ("authorization", "Bearer sesame", 200),
        ];
        for (method, cases) in [("GET", read), ("POST", command)] {
            for (name, value, expected) in cases {
                let headers = |cookie| {
                    [
                        ("host", "localhost:8067"),
                        ("content-type", "application/json"),
                        ("cookie", cookie),
                        (*name, *value),
                    ]
                };
                let found = status(&guard, method, &headers(&cookie));
                assert_eq!(found, *expected, "{method} {name} {value}");
                if *name != "authorization" {
                    assert_eq!(status(&guard, method, &headers(&wrong)), 401);
                }
            }
        }
    }
}
