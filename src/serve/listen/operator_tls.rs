//! TLS of the operators' listener, according to the site's settings.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use crate::{
    model::{OperatorConfig, ServerConfig},
    net::http::tls::{Tls, TlsFiles},
    site::Diagnostic,
};

/// The interval between checks whether the files have changed.
const INTERVAL: Duration = Duration::from_secs(10);

/// Returns the files that the settings name; `None` without TLS.
fn files(root: &Path, config: &OperatorConfig) -> Option<TlsFiles> {
    let (cert, key) = config.tls_cert.as_ref().zip(config.tls_key.as_ref())?;
    Some(TlsFiles {
        cert: root.join(&cert.value),
        key: root.join(&key.value),
    })
}

/// Reads the certificate and the key.
pub(crate) fn open(root: &Path, config: &ServerConfig) -> anyhow::Result<Option<Tls>> {
    let files = files(root, &config.operator);
    Ok(files.map(Tls::open).transpose()?)
}

/// The URL of the listener.
pub(crate) fn url(address: SocketAddr, tls: Option<&Tls>) -> String {
    let scheme = if tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{address}")
}

/// Returns warnings about the certificate and the key. They are no errors: the files may be on another host than the site, and the
/// listener of operators must not keep a change from machines.
pub(crate) fn check(root: &Path, config: &OperatorConfig) -> Option<Diagnostic> {
    let files = files(root, config)?;
    let span = config.tls_cert.as_ref().map(|cert| cert.span);
    match files.check() {
        Ok(validity) => {
            let warning = validity.warning(&files.cert)?;
            Some(Diagnostic::warning(warning, span))
        }
        Err(error) => Some(
            Diagnostic::warning(format!("the operators' listener cannot use TLS: {error}"), span)
                .help("the server does not start with these files; a running server keeps its certificate"),
        ),
    }
}

/// Reads the files again whenever they change.
pub(crate) async fn follow(tls: Arc<Tls>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        refresh(&tls);
    }
}

/// Reads the files again if they have changed.
pub(crate) fn refresh(tls: &Tls) {
    let path = &tls.files().cert;
    match tls.refresh() {
        Ok(false) => {}
        Ok(true) => match tls.validity().warning(path) {
            Some(warning) => tracing::warn!("TLS: {warning}"),
            None => tracing::info!("TLS: the certificate in `{}` is in use", path.display()),
        },
        Err(error) => {
            tracing::error!("TLS: {error}; the certificate in use stays");
        }
    }
}
