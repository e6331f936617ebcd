//! TLS of the operators' listener: its certificate and key, which are read again when their files change.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, InconsistentKeys, RootCertStore, ServerConfig,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

use crate::disk::{
    regular,
    secrets::{self, SecretError},
};

/// A certificate that expires within this time is reported.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 86_400);

/// The files of a certificate chain and of its private key, in PEM format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("`{path}` cannot be read: {why}")]
    Unreadable { path: String, why: String },
    #[error("`{path}` contains no certificate in PEM format")]
    NoCertificate { path: String },
    #[error("`{path}` contains an invalid certificate: {why}")]
    InvalidCertificate { path: String, why: String },
    #[error(transparent)]
    Key(#[from] SecretError),
    #[error("`{path}` contains no private key in PEM format, or an encrypted one")]
    NoKey { path: String },
    #[error("the key in `{path}` cannot be used: {why}")]
    UnsupportedKey { path: String, why: String },
    #[error("the key in `{key}` does not belong to the certificate in `{cert}`")]
    Mismatch { key: String, cert: String },
}

/// Whether a certificate is valid now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateValidity {
    Valid,
    ExpiresSoon,
    Expired,
    NotYetValid,
}

/// The TLS side of a listener. Its certificate can be replaced while it accepts connections.
pub struct Tls {
    files: TlsFiles,
    current: Arc<CurrentCertificate>,
    /// The files' state when they were read.
    stamp: Mutex<TlsStamp>,
    config: Arc<ServerConfig>,
}

/// The identity of the two files' contents: their inode, size and time of change.
type TlsStamp = [Option<(u64, u64, i64, i64)>; 2];

struct CurrentCertificate(ArcSwap<CertifiedKey>);

impl Tls {
    /// Reads the files.
    pub fn open(files: TlsFiles) -> Result<Tls, TlsError> {
        let stamp = Mutex::new(files.stamp());
        let key = ArcSwap::from_pointee(files.load()?);
        let current = Arc::new(CurrentCertificate(key));
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions")
            .with_no_client_auth();
        let mut config = config.with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls {
            files,
            current,
            stamp,
            config: Arc::new(config),
        })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.config.clone().into()
    }

    /// Reads the files again if they have changed. With an error, the certificate in use stays. Returns whether they were read.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let stamp = self.files.stamp();
        let mut known = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == stamp {
            return Ok(false);
        }
        *known = stamp;
        self.current.0.store(Arc::new(self.files.load()?));
        Ok(true)
    }

    pub fn validity(&self) -> CertificateValidity {
        validity(&self.current.0.load(), UnixTime::now())
    }

    pub fn files(&self) -> &TlsFiles {
        &self.files
    }
}

impl TlsFiles {
    /// Checks the files as a server does that uses them.
    pub fn check(&self) -> Result<CertificateValidity, TlsError> {
        Ok(validity(&self.load()?, UnixTime::now()))
    }

    fn load(&self) -> Result<CertifiedKey, TlsError> {
        let chain = certificates(&self.cert)?;
        let text = secrets::private_text(&self.key)?;
        let shown = || self.key.display().to_string();
        let key = PrivateKeyDer::from_pem_slice(text.expose().as_bytes())
            .map_err(|_| TlsError::NoKey { path: shown() })?;
        let key = provider().key_provider.load_private_key(key);
        let key = key.map_err(|error| TlsError::UnsupportedKey {
            path: shown(),
            why: error.to_string(),
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // Whether they belong together cannot be determined for every kind of key.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(certified)
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch {
                key: shown(),
                cert: self.cert.display().to_string(),
            }),
            Err(error) => Err(TlsError::InvalidCertificate {
                path: self.cert.display().to_string(),
                why: error.to_string(),
            }),
        }
    }

    fn stamp(&self) -> TlsStamp {
        [&self.cert, &self.key].map(|path| {
            // A missing file is an error when it is read.
            let file = fs::metadata(path).ok()?;
            Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
        })
    }
}

/// The maximum size of a file with certificates, in bytes: that of all public authorities has about 250 kB.
const MAX_CERTIFICATES: u64 = 4 << 20;

/// Returns the certificates in a PEM file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let shown = || path.display().to_string();
    let text = regular::read(path, MAX_CERTIFICATES).map_err(|error| TlsError::Unreadable {
        path: shown(),
        why: reason(&error),
    })?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| TlsError::InvalidCertificate {
        path: shown(),
        why: error.to_string(),
    })?;
    match chain.is_empty() {
        true => Err(TlsError::NoCertificate { path: shown() }),
        false => Ok(chain),
    }
}

/// The implementation of all ciphers.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn reason(error: &io::Error) -> String {
    crate::disk::site::reason(error)
}

fn validity(key: &CertifiedKey, now: UnixTime) -> CertificateValidity {
    let later = now.as_secs() + EXPIRY_WARNING.as_secs();
    let later = UnixTime::since_unix_epoch(Duration::from_secs(later));
    match (validity_error(key, now), validity_error(key, later)) {
        (Some(now), _) => now,
        (None, Some(CertificateValidity::Expired)) => CertificateValidity::ExpiresSoon,
        (None, _) => CertificateValidity::Valid,
    }
}

/// Returns why a certificate is not valid at a time. The verification checks the times before the issuer, and without issuers every
/// certificate that passes this check fails the next one.
fn validity_error(key: &CertifiedKey, at: UnixTime) -> Option<CertificateValidity> {
    let cert = ParsedCertificate::try_from(key.cert.first()?).ok()?;
    let algorithms = provider().signature_verification_algorithms.all;
    let roots = RootCertStore::empty();
    let verified = verify_server_cert_signed_by_trust_anchor(&cert, &roots, &[], at, algorithms);
    match verified {
        Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Some(CertificateValidity::Expired),
        Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Some(CertificateValidity::NotYetValid),
        Ok(()) | Err(_) => None,
    }
}

impl CertificateValidity {
    /// The warning about it, if it needs one.
    pub fn warning(self, path: &Path) -> Option<String> {
        let path = path.display();
        match self {
            CertificateValidity::Valid => None,
            CertificateValidity::ExpiresSoon => Some(format!(
                "the certificate in `{path}` expires within 14 days"
            )),
            CertificateValidity::Expired => Some(format!(
                "the certificate in `{path}` has expired: browsers refuse it"
            )),
            CertificateValidity::NotYetValid => Some(format!(
                "the certificate in `{path}` is not valid yet: check the clock of this host"
            )),
        }
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl fmt::Debug for CurrentCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurrentCertificate")
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish()
    }
}
