//! HTTPS for the commands: which certificate of the operators' listener they trust.
//!
//! Without `tls-ca` that is exactly the certificate in `tls-cert`, whatever names it has: it may be self-signed, and the commands
//! connect to an address. With `tls-ca` it has to be signed by a certificate in that file and to name the address.

use std::{
    fmt,
    io::{Read, Write},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use crate::{model::ServerConfig, net::http::tls};

/// In bytes.
const BUFFER: usize = 16 << 10;

/// Returns how connections to the listener of the site at `site` are secured; `None` without `tls-cert`.
pub(super) fn connector(
    site: &Path,
    config: &ServerConfig,
) -> anyhow::Result<Option<TlsConnector>> {
    let Some(cert) = &config.operator.tls_cert else {
        return Ok(None);
    };
    let provider = tls::provider();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("TLS cannot be used")?;
    let client = match &config.operator.tls_ca {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            let path = site.join(&ca.value);
            roots.add_parsable_certificates(tls::certificates(&path).context("`tls-ca`")?);
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => {
            let chain = tls::certificates(&site.join(&cert.value)).context("`tls-cert`")?;
            let pinned = chain.into_iter().next().context("`tls-cert` is empty")?;
            let verifier = PinnedCertificate { pinned, provider };
            let builder = builder.dangerous();
            builder
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth()
        }
    };
    Ok(Some(TlsConnector(Arc::new(client))))
}

/// Wraps connections in TLS.
#[derive(Clone)]
pub(super) struct TlsConnector(Arc<ClientConfig>);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = TlsTransport;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<TlsTransport>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ureq::Error::BadUri(host.to_owned()))?;
        let connection = ClientConnection::new(self.0.clone(), name).map_err(other)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        let mut stream = StreamOwned::new(connection, socket);
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(Some(TlsTransport {
            buffers: LazyBuffers::new(BUFFER, BUFFER),
            stream,
        }))
    }
}

/// Why a connection was refused because of TLS; `None` for another error.
pub(super) fn refusal(error: &ureq::Error) -> Option<String> {
    let cause = match error {
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<Error>()?,
        ureq::Error::Other(error) => error.downcast_ref::<Error>()?,
        _ => return None,
    };
    Some(match cause {
        Error::InvalidMessage(_) => {
            "it does not use TLS: restart it after a change of `tls-cert`".into()
        }
        Error::General(reason) => reason.clone(),
        cause => cause.to_string(),
    })
}

fn other(error: Error) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}

/// A connection with TLS.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Accepts one certificate, whose key the server has to prove.
#[derive(Debug)]
struct PinnedCertificate {
    pinned: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *end_entity == self.pinned {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::General(
                "the server has another certificate than `tls-cert`".into(),
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}
