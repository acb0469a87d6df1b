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
use openssl::x509::store::X509Lookup;
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
    // Without the list of ciphers that the crate would set; the library's own is the one that librdkafka has.
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
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
