//! TLS as librdkafka has it: the same library under it, so that the same settings mean the same.

use std::fs;
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    SslConnector, SslConnectorBuilder, SslFiletype, SslMethod, SslStream, SslVerifyMode,
};
use openssl::x509::X509;
use openssl::x509::store::{X509Lookup, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;

use super::settings::Tls;

/// Greets a broker, on a socket that waits.
///
/// # Errors
/// If a file can't be used, or one of the two does not trust the other.
pub(super) fn greet(tls: &Tls, host: &str, socket: TcpStream) -> Result<SslStream<TcpStream>> {
    let connector = connector(tls)?;
    let mut greeting = connector.configure()?;
    greeting.set_verify_hostname(tls.verifies && tls.verifies_host);
    let greeted = greeting.connect(host, socket);
    greeted.map_err(|error| anyhow!("TLS: {error}"))
}

fn connector(tls: &Tls) -> Result<SslConnector> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    // Whoever the crate would trust is not, unless the settings say so.
    builder.set_cert_store(X509StoreBuilder::new()?.build());
    builder.set_verify(match tls.verifies {
        true => SslVerifyMode::PEER,
        false => SslVerifyMode::NONE,
    });
    trust(tls, &mut builder)?;
    present(tls, &mut builder)?;
    if let Some(ciphers) = &tls.ciphers {
        builder
            .set_cipher_list(ciphers)
            .context("ssl.cipher.suites")?;
    }
    if let Some(curves) = &tls.curves {
        builder.set_groups_list(curves).context("ssl.curves.list")?;
    }
    if let Some(signatures) = &tls.signatures {
        builder
            .set_sigalgs_list(signatures)
            .context("ssl.sigalgs.list")?;
    }
    Ok(builder.build())
}

/// Whom the broker's certificate may be from.
fn trust(tls: &Tls, builder: &mut SslConnectorBuilder) -> Result<()> {
    let mut named = false;
    if let Some(pem) = &tls.authorities_pem {
        named = true;
        let authorities = X509::stack_from_pem(pem.as_bytes()).context("ssl.ca.pem")?;
        for authority in authorities {
            builder.cert_store_mut().add_cert(authority)?;
        }
    }
    // As librdkafka has it, a place that is called so is one that is looked for.
    if let Some(place) = tls
        .authorities
        .as_deref()
        .filter(|place| *place != Path::new("probe"))
    {
        named = true;
        let what = || format!("ssl.ca.location, {}", place.display());
        match place.is_dir() {
            true => builder
                .cert_store_mut()
                .add_lookup(X509Lookup::hash_dir())?
                .add_dir(&place.to_string_lossy(), SslFiletype::PEM)
                .with_context(what)?,
            false => builder.set_ca_file(place).with_context(what)?,
        }
    }
    if !named {
        // The library is linked into this program and knows only of the folders where it was built.
        let found = openssl_probe::probe();
        if found.cert_file.is_some() || !found.cert_dir.is_empty() {
            let folder = found.cert_dir.first().map(AsRef::as_ref);
            builder.load_verify_locations(found.cert_file.as_deref(), folder)?;
        } else {
            builder.set_default_verify_paths()?;
        }
    }
    if let Some(list) = &tls.revoked {
        let store = builder.cert_store_mut();
        store
            .add_lookup(X509Lookup::file())?
            .load_crl_file(list, SslFiletype::PEM)
            .with_context(|| format!("ssl.crl.location, {}", list.display()))?;
        store.set_flags(X509VerifyFlags::CRL_CHECK)?;
    }
    Ok(())
}

/// Who this client is.
fn present(tls: &Tls, builder: &mut SslConnectorBuilder) -> Result<()> {
    if let Some(store) = &tls.keystore {
        let what = || format!("ssl.keystore.location, {}", store.display());
        let packed = Pkcs12::from_der(&fs::read(store).with_context(what)?).with_context(what)?;
        let parsed = packed
            .parse2(tls.keystore_password.as_deref().unwrap_or_default())
            .with_context(what)?;
        if let Some(certificate) = &parsed.cert {
            builder.set_certificate(certificate)?;
        }
        if let Some(key) = &parsed.pkey {
            builder.set_private_key(key)?;
        }
        for authority in parsed.ca.into_iter().flatten() {
            builder.add_extra_chain_cert(authority)?;
        }
    }
    if let Some(pem) = &tls.certificate_pem {
        let mut chain = X509::stack_from_pem(pem.as_bytes())
            .context("ssl.certificate.pem")?
            .into_iter();
        let own = chain
            .next()
            .context("ssl.certificate.pem has no certificate")?;
        builder.set_certificate(&own)?;
        for authority in chain {
            builder.add_extra_chain_cert(authority)?;
        }
    }
    if let Some(chain) = &tls.certificate {
        builder
            .set_certificate_chain_file(chain)
            .with_context(|| format!("ssl.certificate.location, {}", chain.display()))?;
    }
    if let Some(pem) = &tls.key_pem {
        let key = key_of(pem.as_bytes(), tls).context("ssl.key.pem")?;
        builder.set_private_key(&key)?;
    }
    if let Some(path) = &tls.key {
        let what = || format!("ssl.key.location, {}", path.display());
        let pem = fs::read(path).with_context(what)?;
        let key = key_of(&pem, tls).with_context(what)?;
        builder.set_private_key(&key)?;
    }
    Ok(())
}

/// A key, with the password where it has one. Nobody is asked for one at a terminal.
fn key_of(pem: &[u8], tls: &Tls) -> Result<PKey<Private>> {
    let password = tls.key_password.as_deref().unwrap_or_default();
    Ok(PKey::private_key_from_pem_passphrase(
        pem,
        password.as_bytes(),
    )?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use std::io::{Read, Write};
    use std::net::TcpListener;

    use openssl::ssl::SslAcceptor;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
        DnType, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, date_time_ymd,
    };

    use super::*;

    /// Of every certificate here.
    const SERIAL: u64 = 7;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// Serves whoever comes, with a certificate for a host. Returns its port.
    fn serve(authority: &Authority, host: &str) -> u16 {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.serial_number = Some(SERIAL.into());
        let certificate = params.signed_by(&key, authority).unwrap().pem();
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        let key = PKey::private_key_from_pem(key.serialize_pem().as_bytes()).unwrap();
        acceptor.set_private_key(&key).unwrap();
        let certificate = X509::from_pem(certificate.as_bytes()).unwrap();
        acceptor.set_certificate(&certificate).unwrap();
        let acceptor = acceptor.build();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                if let Ok(mut stream) = acceptor.accept(socket.unwrap()) {
                    let _ = stream.write_all(b"welcome");
                }
            }
        });
        port
    }

    /// What the server says, or why it was not greeted.
    fn greeted(port: u16, tls: &Tls) -> Result<String, String> {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let stream = greet(tls, "localhost", socket);
        let mut said = String::new();
        let mut stream = stream.map_err(|error| format!("{error:#}"))?;
        stream.read_to_string(&mut said).unwrap();
        Ok(said)
    }

    fn trusting(authority: &Authority) -> Tls {
        Tls {
            authorities_pem: Some(authority.pem()),
            verifies: true,
            verifies_host: true,
            ..Tls::default()
        }
    }

    #[test]
    fn who_is_not_named_is_not_trusted() {
        let (known, stranger) = (authority(), authority());
        let port = serve(&known, "localhost");
        assert_eq!(greeted(port, &trusting(&known)).unwrap(), "welcome");
        let nobody = Tls {
            authorities_pem: None,
            ..trusting(&known)
        };
        for wary in [trusting(&stranger), nobody] {
            let why = greeted(port, &wary).unwrap_err();
            assert!(why.contains("TLS") && why.contains("certificate"), "{why}");
        }
        let careless = Tls {
            verifies: false,
            ..trusting(&stranger)
        };
        assert_eq!(greeted(port, &careless).unwrap(), "welcome");
    }

    #[test]
    fn a_certificate_is_for_the_host_that_was_asked_for_unless_that_is_no_matter() {
        let known = authority();
        let port = serve(&known, "elsewhere");
        let why = greeted(port, &trusting(&known)).unwrap_err();
        assert!(why.contains("mismatch"), "{why}");
        let lenient = Tls {
            verifies_host: false,
            ..trusting(&known)
        };
        assert_eq!(greeted(port, &lenient).unwrap(), "welcome");
    }

    #[test]
    fn a_certificate_that_was_called_back_is_no_longer_good() {
        let known = authority();
        let port = serve(&known, "localhost");
        let folder = tempfile::tempdir().unwrap();
        let called_back = |serial: u64| {
            let list = CertificateRevocationListParams {
                this_update: date_time_ymd(2020, 1, 1),
                next_update: date_time_ymd(4000, 1, 1),
                crl_number: 1.into(),
                issuing_distribution_point: None,
                revoked_certs: vec![RevokedCertParams {
                    serial_number: serial.into(),
                    revocation_time: date_time_ymd(2020, 1, 1),
                    reason_code: None,
                    invalidity_date: None,
                }],
                key_identifier_method: KeyIdMethod::Sha256,
            };
            let path = folder.path().join(format!("{serial}.pem"));
            std::fs::write(&path, list.signed_by(&known).unwrap().pem().unwrap()).unwrap();
            let tls = Tls {
                revoked: Some(path),
                ..trusting(&known)
            };
            greeted(port, &tls)
        };
        assert_eq!(called_back(SERIAL + 1).unwrap(), "welcome");
        let why = called_back(SERIAL).unwrap_err();
        assert!(why.contains("revoked"), "{why}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let known = authority();
        let port = serve(&known, "localhost");
        let missing = || Some("nowhere/at-all.pem".into());
        for (tls, setting) in [
            (
                Tls {
                    authorities: missing(),
                    ..Tls::default()
                },
                "ssl.ca.location",
            ),
            (
                Tls {
                    certificate: missing(),
                    ..Tls::default()
                },
                "ssl.certificate.location",
            ),
            (
                Tls {
                    key: missing(),
                    ..Tls::default()
                },
                "ssl.key.location",
            ),
            (
                Tls {
                    keystore: missing(),
                    ..Tls::default()
                },
                "ssl.keystore.location",
            ),
            (
                Tls {
                    revoked: missing(),
                    ..Tls::default()
                },
                "ssl.crl.location",
            ),
        ] {
            let why = greeted(port, &tls).unwrap_err();
            assert!(why.contains(setting) && why.contains("at-all.pem"), "{why}");
        }
    }
}
