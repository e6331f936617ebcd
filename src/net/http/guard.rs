//! Who may talk to the operators' listener.
//!
//! Without a token only this machine may, and not through a web page that somebody else wrote: such a page
//! cannot name our host, send JSON, or hide where it came from.

use std::net::{IpAddr, SocketAddr};

use hyper::{
    HeaderMap, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN},
    http::{request::Parts, uri::Authority},
};
use sha2::{Digest, Sha256};

use super::ApiError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Admits requests to the operators' listener.
#[derive(Debug, Clone)]
pub struct Guard {
    /// The digest of the token: digests are compared, so that the time it takes tells nothing.
    token: Option<[u8; 32]>,
}

/// Why a listener cannot be guarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Others can reach it, and there is no token.
    #[error("operators' address {0} can be reached from elsewhere: it needs a `token-file`")]
    NeedsToken(SocketAddr),
    /// The token is empty.
    #[error("the operators' token is empty")]
    EmptyToken,
}

impl Guard {
    /// Guards a listener on `address`, which needs `token` when others can reach it. Blanks around the token
    /// do not count.
    pub fn new(address: SocketAddr, token: Option<&str>) -> Result<Guard, GuardError> {
        let token = token.map(str::trim);
        match token {
            Some("") => Err(GuardError::EmptyToken),
            None if !address.ip().to_canonical().is_loopback() => {
                Err(GuardError::NeedsToken(address))
            }
            token => Ok(Guard {
                token: token.map(digest),
            }),
        }
    }

    /// Lets a request pass, or says why not.
    pub(super) fn admit(&self, request: &Parts) -> Result<(), ApiError> {
        match &self.token {
            Some(token) => has_token(&request.headers, token)?,
            None => is_for_this_machine(request)?,
        }
        is_of_this_site(request)?;
        if request.method == Method::POST && !is_json(&request.headers) {
            return Err(ApiError::new(415, "the body is not announced as JSON")
                .help("send `Content-Type: application/json`"));
        }
        Ok(())
    }
}

fn has_token(headers: &HeaderMap, token: &[u8; 32]) -> Result<(), ApiError> {
    let given = text(headers, &AUTHORIZATION).and_then(|value| value.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match given {
        Some((_, given)) if is_same(&digest(given.trim()), token) => Ok(()),
        _ => Err(
            ApiError::new(401, "the operators' token is missing or wrong")
                .help("send `Authorization: Bearer` and the content of the server's `token-file`"),
        ),
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Compares without stopping at the first difference.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differences = one.iter().zip(other).map(|(one, other)| one ^ other);
    differences.fold(0, |all, difference| all | difference) == 0
}

/// Tells whether a request was meant for this machine. A name that somebody else's DNS leads here is in the
/// header `Host`, whatever it resolves to.
fn is_for_this_machine(request: &Parts) -> Result<(), ApiError> {
    let hosts = hosts(request);
    if !hosts.is_empty()
        && hosts
            .iter()
            .all(|host| host.as_deref().is_some_and(is_local))
    {
        return Ok(());
    }
    Err(
        ApiError::new(403, "this listener is for this machine alone").help(
            "call it `localhost`, `127.0.0.1` or `[::1]`; for other names, set a `token-file`",
        ),
    )
}

/// Returns every host that a request names, none in the place of what is not one.
fn hosts(request: &Parts) -> Vec<Option<String>> {
    let named = request.headers.get_all(HOST).iter();
    let named = named.map(|host| Authority::try_from(host.as_bytes()).ok());
    let of_uri = request.uri.authority().cloned().map(Some);
    let hosts = named.chain(of_uri);
    hosts
        .map(|authority| {
            let plain = authority.filter(|authority| !authority.as_str().contains('@'));
            plain.map(|authority| authority.host().to_ascii_lowercase())
        })
        .collect()
}

fn is_local(host: &str) -> bool {
    let unbracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let literal = unbracketed.unwrap_or(host).parse::<IpAddr>();
    host == "localhost" || literal.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Tells whether a request comes from no web page, or from one of our own.
fn is_of_this_site(request: &Parts) -> Result<(), ApiError> {
    let origin = request.headers.get(ORIGIN).map(|origin| origin.as_bytes());
    let host = request.headers.get(HOST).map(|host| host.as_bytes());
    let own = origin.is_none_or(|origin| host.is_some() && origin.strip_prefix(b"http://") == host);
    let site = text(&request.headers, &SEC_FETCH_SITE);
    if own && site.is_none_or(|site| site == "same-origin" || site == "none") {
        return Ok(());
    }
    Err(ApiError::new(
        403,
        "a web page of another site may not ask this",
    ))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = text(headers, &CONTENT_TYPE).and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    // A header that is no text is as good as none.
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(guard: &Guard, method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = hyper::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        guard
            .admit(&parts)
            .map_or_else(|refusal| refusal.status, |()| 200)
    }

    #[test]
    fn without_a_token_only_this_machine_may_ask() {
        let guard = Guard::new("127.0.0.1:8067".parse().unwrap(), None).unwrap();
        let cases: &[(&[&str], u16)] = &[
            (&["localhost:8067"], 200),
            (&["LocalHost"], 200),
            (&["127.0.0.1:8067"], 200),
            (&["127.3.2.1"], 200),
            (&["[::1]:8067"], 200),
            (&["[::ffff:127.0.0.1]"], 200),
            (&[], 403),
            (&[""], 403),
            (&["evil.example"], 403),
            (&["localhost.evil.example:8067"], 403),
            (&["127.0.0.1.evil.example"], 403),
            (&["localhost@evil.example"], 403),
            (&["192.0.2.1"], 403),
            (&["[2001:db8::1]"], 403),
            (&["0.0.0.0"], 403),
            (&["localhost", "evil.example"], 403),
        ];
        for (hosts, expected) in cases {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert_eq!(
                status(&guard, "GET", "/api/v1/nodes", &headers),
                *expected,
                "{hosts:?}"
            );
        }
        let absolute = status(
            &guard,
            "GET",
            "http://evil.example/",
            &[("host", "localhost")],
        );
        assert_eq!(absolute, 403);
    }

    #[test]
    fn a_web_page_of_another_site_may_not_ask() {
        let guard = Guard::new("[::1]:8067".parse().unwrap(), None).unwrap();
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
        for (headers, expected) in cases {
            let headers = [&[("host", "localhost:8067")], *headers].concat();
            assert_eq!(
                status(&guard, "POST", "/api/v1/pause", &headers),
                *expected,
                "{headers:?}"
            );
        }
    }

    #[test]
    fn who_can_be_reached_from_elsewhere_needs_a_token() {
        let address = "192.0.2.1:8067".parse().unwrap();
        assert_eq!(
            Guard::new(address, None).unwrap_err(),
            GuardError::NeedsToken(address)
        );
        assert_eq!(
            Guard::new(address, Some("\n")).unwrap_err(),
            GuardError::EmptyToken
        );
        let guard = Guard::new(address, Some("sesame\n")).unwrap();
        for (authorization, expected) in [
            ("Bearer sesame", 200),
            ("bearer  sesame", 200),
            ("Bearer Sesame", 401),
            ("Bearer ", 401),
            ("Bearer", 401),
            ("Basic sesame", 401),
            ("sesame", 401),
        ] {
            let headers = [
                ("host", "bootwright.example"),
                ("authorization", authorization),
            ];
            assert_eq!(
                status(&guard, "GET", "/", &headers),
                expected,
                "{authorization}"
            );
        }
        assert_eq!(status(&guard, "GET", "/", &[]), 401);
    }
}
