//! Signatures of plugins: who stands for a component, and whether that is somebody the service trusts. Pure.
//!
//! What is signed is the digest of the component together with the name and version that it gives itself, under a heading of our own: a signature
//! made for something else, or for another version, is never taken for one of this. Keys and signatures are Ed25519, written in hexadecimal.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::format::hex;
use crate::plugin::Plugin;

/// What a signed message begins with. Its zero byte, and those after name and version, are in none of them.
const HEADING: &[u8] = b"millstream plugin signature, version 1\0";

/// What somebody signs: exactly this component, under this name and version.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The name that the component gives itself.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: &'a str,
}

impl<'a> Subject<'a> {
    /// What is signed of an admitted component.
    pub fn of(plugin: &'a Plugin) -> Self {
        Self {
            name: plugin.name(),
            version: plugin.version(),
            digest: plugin.digest(),
        }
    }

    fn message(&self) -> Vec<u8> {
        [
            HEADING,
            self.name.as_bytes(),
            b"\0",
            self.version.as_bytes(),
            b"\0",
            self.digest.as_bytes(),
        ]
        .concat()
    }
}

/// The secret half of a key. It is never shown.
pub struct Secret(SigningKey);

impl Secret {
    /// A new one. The generator is seeded by the operating system and fit for secrets.
    pub fn generate() -> Self {
        Self(SigningKey::from_bytes(&rand::random()))
    }

    /// Reads one as [`to_text`](Self::to_text) writes it.
    pub fn from_text(text: &str) -> Option<Self> {
        Some(Self(SigningKey::from_bytes(&bytes(text)?)))
    }

    /// As a key file has it: 64 hexadecimal digits.
    pub fn to_text(&self) -> String {
        hex(&self.0.to_bytes())
    }

    /// The other half, by which signatures are verified.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs.
    pub fn sign(&self, subject: Subject<'_>) -> Signature {
        Signature(self.0.sign(&subject.message()).to_bytes())
    }
}

/// The public half of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads 64 hexadecimal digits, if they are a key.
    pub fn from_text(text: &str) -> Option<Self> {
        let key = VerifyingKey::from_bytes(&bytes(text)?).ok()?;
        // Under such a key one signature fits many messages.
        (!key.is_weak()).then_some(Self(key))
    }

    /// In 64 hexadecimal digits.
    pub fn to_text(&self) -> String {
        hex(self.0.as_bytes())
    }
}

/// A signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Reads 128 hexadecimal digits. Whether they sign anything is for [`Trust::judge`] to say.
    pub fn from_text(text: &str) -> Option<Self> {
        bytes(text).map(Self)
    }

    /// In 128 hexadecimal digits.
    pub fn to_text(&self) -> String {
        hex(&self.0)
    }
}

/// Whose signatures count, and whether there must be one.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Keys, each with the name that people know it by.
    pub keys: Vec<(String, PublicKey)>,
    /// Whether a plugin without a signature is refused.
    pub required: bool,
}

/// Why a plugin is refused for its signature.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotTrusted {
    /// There must be a signature, and there is none.
    #[error(
        "{who} is not signed, and this service takes signed plugins only (`plugins.require_signature`): sign it with `millstream plugin sign` \
         and push it with --signature"
    )]
    Unsigned {
        /// `name@version`.
        who: String,
    },
    /// No trusted key has made the signature.
    #[error(
        "the signature of {who} (sha256 {digest}) is of none of the keys that this service trusts ({known}), or for another component, \
         name or version: sign this very file with one of them"
    )]
    Nobodys {
        /// `name@version`.
        who: String,
        /// SHA-256 of the component.
        digest: String,
        /// The names of the keys.
        known: String,
    },
}

impl Trust {
    /// Whether a plugin may be taken, and by whose signature. A signature that comes must be right, even where none needs to come.
    ///
    /// # Errors
    /// See [`NotTrusted`].
    pub fn judge(
        &self,
        subject: Subject<'_>,
        signature: Option<&Signature>,
    ) -> Result<Option<&str>, NotTrusted> {
        let who = || format!("{}@{}", subject.name, subject.version);
        let Some(signature) = signature else {
            return match self.required {
                true => Err(NotTrusted::Unsigned { who: who() }),
                false => Ok(None),
            };
        };
        let (message, signature) = (
            subject.message(),
            ed25519_dalek::Signature::from_bytes(&signature.0),
        );
        let signer = self
            .keys
            .iter()
            .find(|(_, key)| key.0.verify_strict(&message, &signature).is_ok());
        match signer {
            Some((name, _)) => Ok(Some(name)),
            None => {
                let names: Vec<&str> = self.keys.iter().map(|(name, _)| name.as_str()).collect();
                Err(NotTrusted::Nobodys {
                    who: who(),
                    digest: subject.digest.to_owned(),
                    known: match names.is_empty() {
                        true => "it has no `[[plugins.key]]`".to_owned(),
                        false => names.join(", "),
                    },
                })
            }
        }
    }

    /// Whether a plugin may be run that somebody else has taken in, by all that is said to sign it: where there must be a signature, one of
    /// them has to be right.
    ///
    /// # Errors
    /// See [`NotTrusted`].
    pub fn judge_taken(
        &self,
        subject: Subject<'_>,
        signatures: &[Signature],
    ) -> Result<(), NotTrusted> {
        if !self.required {
            return Ok(());
        }
        let mut judged = self.judge(subject, None);
        for signature in signatures {
            judged = self.judge(subject, Some(signature));
            if judged.is_ok() {
                break;
            }
        }
        judged.map(drop)
    }
}

/// The bytes that twice as many hexadecimal digits stand for.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).map(u8::try_from);
        *byte = digit(0)?.ok()? << 4 | digit(1)?.ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    const SUBJECT: Subject<'static> = Subject {
        name: "bot-filter",
        version: "1.0.0",
        digest: "00ff",
    };

    fn secret(byte: u8) -> Secret {
        Secret(SigningKey::from_bytes(&[byte; 32]))
    }

    fn trust(required: bool) -> Trust {
        Trust {
            keys: vec![
                ("old".to_owned(), secret(1).public()),
                ("ci".to_owned(), secret(2).public()),
            ],
            required,
        }
    }

    #[test]
    fn a_signature_counts_for_this_component_name_and_version_only() {
        let signature = secret(2).sign(SUBJECT);
        let trust = trust(true);
        assert_eq!(trust.judge(SUBJECT, Some(&signature)), Ok(Some("ci")));
        let others = [
            Subject {
                name: "bot-filte",
                version: "r1.0.0",
                ..SUBJECT
            },
            Subject {
                version: "1.0.1",
                ..SUBJECT
            },
            Subject {
                digest: "00fe",
                ..SUBJECT
            },
        ];
        for other in others {
            let why = trust.judge(other, Some(&signature)).unwrap_err();
            assert!(why.to_string().contains("old, ci"), "{why}");
        }
        for byte in 0..64 {
            let mut changed = signature;
            changed.0[byte] ^= 1;
            assert!(trust.judge(SUBJECT, Some(&changed)).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn a_stranger_is_refused_even_where_nobody_needs_to_sign() {
        let signature = secret(3).sign(SUBJECT);
        assert!(trust(false).judge(SUBJECT, Some(&signature)).is_err());
        let nobody = Trust::default();
        let why = nobody.judge(SUBJECT, Some(&signature)).unwrap_err();
        assert!(why.to_string().contains("plugins.key"), "{why}");
        assert_eq!(trust(false).judge(SUBJECT, None), Ok(None));
        let why = trust(true).judge(SUBJECT, None).unwrap_err().to_string();
        assert!(why.contains("bot-filter@1.0.0 is not signed"), "{why}");
    }

    #[test]
    fn keys_and_signatures_are_read_as_they_are_written() {
        let key = Secret::generate();
        let again = Secret::from_text(&key.to_text()).unwrap();
        assert_eq!(again.public(), key.public());
        let public = key.public();
        assert_eq!(PublicKey::from_text(&public.to_text()), Some(public));
        let signature = key.sign(SUBJECT);
        assert_eq!(Signature::from_text(&signature.to_text()), Some(signature));
        for wrong in ["", "00", &"+1".repeat(64), &"é".repeat(64)] {
            assert_eq!(Signature::from_text(wrong), None, "{wrong}");
        }
        assert_eq!(PublicKey::from_text(&"00".repeat(32)), None, "a weak key");
    }
}
