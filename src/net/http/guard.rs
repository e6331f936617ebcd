//! Access control of the operators' listener, and the refusal of web browsers by the machines' listener.
//!
//! Without a token, only requests from this host are allowed. Requests that a web page of another site causes are refused: such
//! a page cannot set `Host`, send JSON without a preflight, or hide its origin.

use std::net::{IpAddr, SocketAddr};

use hyper::{
    HeaderMap, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN},
    http::{request::Parts, uri::Authority},
};
use sha2::{Digest, Sha256};

use crate::api::ApiError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[derive(Debug, Clone)]
pub struct Guard {
    /// The digest of the token. Digests are compared, so that the comparison's duration reveals nothing.
    token: Option<[u8; 32]>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    #[error("operators' address {0} is reachable from other hosts: set a `token-file`")]
    NeedsToken(SocketAddr),
    #[error("the operators' token is empty")]
    EmptyToken,
}

impl Guard {
    /// Guards a listener on `address`. `token` is required unless the address is loopback; white space around it is
    /// ignored.
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

    pub(super) fn check(&self, request: &Parts) -> Result<(), ApiError> {
        match &self.token {
            Some(token) => check_token(&request.headers, token)?,
            None => check_host(request)?,
        }
        check_origin(request)?;
        if request.method == Method::POST && !is_json(&request.headers) {
            return Err(ApiError::new(415, "the Content-Type is not JSON")
                .help("send `Content-Type: application/json`"));
        }
        Ok(())
    }
}

fn check_token(headers: &HeaderMap, token: &[u8; 32]) -> Result<(), ApiError> {
    let given = text(headers, &AUTHORIZATION).and_then(|value| value.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match given {
        Some((_, given)) if constant_time_eq(&digest(given.trim()), token) => Ok(()),
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
fn constant_time_eq(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differences = one.iter().zip(other).map(|(one, other)| one ^ other);
    differences.fold(0, |all, difference| all | difference) == 0
}

/// Requires that every host named by a request is this one. A name that resolves to this host by DNS rebinding is in the
/// header `Host`, so it is rejected.
fn check_host(request: &Parts) -> Result<(), ApiError> {
    let hosts = hosts(request);
    if !hosts.is_empty()
        && hosts
            .iter()
            .all(|host| host.as_deref().is_some_and(is_local))
    {
        return Ok(());
    }
    Err(
        ApiError::new(403, "this listener only accepts requests to localhost").help(
            "use `localhost`, `127.0.0.1` or `[::1]`; for other host names, set a `token-file`",
        ),
    )
}

/// Returns every host that a request names; `None` for one that is invalid.
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

/// Returns whether a web browser sends this request. A page could otherwise make the browser of a user request `/boot`, from an
/// address in the network of the machines.
pub(super) fn is_of_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE)
}

/// Requires that a request does not come from a web page of another site.
fn check_origin(request: &Parts) -> Result<(), ApiError> {
    let origin = request.headers.get(ORIGIN).map(|origin| origin.as_bytes());
    let host = request.headers.get(HOST).map(|host| host.as_bytes());
    let own = origin.is_none_or(|origin| host.is_some() && origin.strip_prefix(b"http://") == host);
    let site = text(&request.headers, &SEC_FETCH_SITE);
    if own && site.is_none_or(|site| site == "same-origin" || site == "none") {
        return Ok(());
    }
    Err(ApiError::new(403, "cross-site requests are not allowed"))
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

    fn status(guard: &Guard, method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = hyper::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        guard
            .check(&parts)
            .map_or_else(|error| error.status, |()| 200)
    }

    #[test]
    fn without_a_token_only_requests_to_localhost_are_allowed() {
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
    fn cross_site_requests_are_rejected() {
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
    fn a_listener_reachable_from_other_hosts_needs_a_token() {
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
