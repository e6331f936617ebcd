//! Rules for the listener of operators.

use std::net::{IpAddr, SocketAddr};

use super::SiteCheck;
use crate::{model::OperatorConfig, site::Diagnostic};

impl SiteCheck<'_> {
    pub(super) fn operator(&mut self) {
        let operator = &self.site.config.operator;
        match (&operator.tls_cert, &operator.tls_key) {
            (Some(cert), None) => self.report(
                Diagnostic::error("`tls-cert` needs `tls-key`", cert.span)
                    .help("name the file with the private key of the certificate"),
            ),
            (None, Some(key)) => self.report(
                Diagnostic::error("`tls-key` needs `tls-cert`", key.span)
                    .help("name the file with the certificate of the key"),
            ),
            _ => {}
        }
        if let (Some(ca), None) = (&operator.tls_ca, &operator.tls_cert) {
            self.report(Diagnostic::warning(
                "`tls-ca` has no effect without `tls-cert`",
                ca.span,
            ));
        }
        if let Some(warning) = unencrypted_operators(operator) {
            self.report(warning);
        }
    }
}

/// Returns a warning if other hosts can reach the listener without TLS.
pub(crate) fn unencrypted_operators(operator: &OperatorConfig) -> Option<Diagnostic> {
    let listen = operator.listen.as_ref()?;
    if is_loopback(&listen.value) || operator.tls_cert.is_some() {
        return None;
    }
    let message = "the operators' listener is not encrypted, and its address is not loopback: a host on the way can read the \
        operator token";
    let help =
        "set `tls-cert` and `tls-key`, or listen on loopback behind a reverse proxy that uses TLS";
    Some(Diagnostic::warning(message, listen.span).help(help))
}

/// Whether this is an address that other hosts cannot reach. An invalid one is reported when the server starts.
fn is_loopback(listen: &str) -> bool {
    let address = listen.parse::<SocketAddr>().map(|address| address.ip());
    let address: Result<IpAddr, _> = address.or_else(|_| listen.parse());
    address.is_ok_and(|ip| ip.to_canonical().is_loopback())
}
