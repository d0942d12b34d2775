//! The keys that tokens are verified with, read from files: a secret, public keys in PEM, a set of
//! keys in JSON (JWKS, RFC 7517).
//!
//! *Invariant:* a key fixes its algorithm; what a token says of its own only chooses among keys.

use crate::token_crypto::algorithm_of;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::jwk::{KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use std::path::{Path, PathBuf};

/// The shortest secret for HS256: as long as its hash (RFC 7518, section 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

/// How many keys there may be; each one of a kind may have to be tried.
const KEYS_MAX: usize = 64;

/// The shortest RSA modulus (RFC 7518, section 3.3), in bytes.
const MODULUS_BYTES_MIN: usize = 256;

/// How large a file of keys may be.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where keys are read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFiles {
    /// A secret for HS256; white space at its end does not count.
    pub secret: Option<PathBuf>,
    /// PEM files with one public key each, for RS256, ES256 or EdDSA.
    pub public: Vec<PathBuf>,
    /// A set of public keys.
    pub jwks: Option<PathBuf>,
}

/// Why a file's keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct KeyError {
    /// Which file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// One key.
pub(crate) struct Key {
    pub(crate) kid: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

/// All of them.
pub(crate) struct Keys {
    keys: Vec<Key>,
    has_kids: bool,
}

impl KeyFiles {
    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.secret.is_none() && self.public.is_empty() && self.jwks.is_none()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<PathBuf> {
        self.secret.iter().chain(&self.public).chain(&self.jwks).cloned().collect()
    }
}

impl Keys {
    /// Reads every file. *Errors* name the file.
    pub(crate) fn read(files: &KeyFiles) -> Result<Keys, KeyError> {
        let mut keys = Vec::new();
        if let Some(file) = &files.secret {
            let secret = read_secret(file)?;
            keys.push(Key::of(DecodingKey::from_secret(&secret), None));
        }
        for file in &files.public {
            let key = read_public(&read(file)?).map_err(|why| refused(file, why))?;
            keys.push(Key::of(key, None));
        }
        if let Some(file) = &files.jwks {
            let set = read_set(&read(file)?).map_err(|why| refused(file, why))?;
            keys.extend(set);
        }
        if keys.len() > KEYS_MAX {
            let file = files.all().pop().unwrap_or_default();
            return Err(refused(&file, format!("{} keys are more than {KEYS_MAX}", keys.len())));
        }
        let has_kids = keys.iter().any(|key| key.kid.is_some());
        Ok(Keys { keys, has_kids })
    }

    /// The keys that may have signed a token which names this key and algorithm.
    ///
    /// Where keys have names a token that gives one means the key of that name; where none has, as
    /// with a secret, the name says nothing.
    pub(crate) fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Key> {
        let fits = move |key: &&Key| match kid {
            Some(kid) if self.has_kids => key.kid.as_deref() == Some(kid),
            _ => true,
        };
        self.keys.iter().filter(fits).filter(move |key| key.algorithm == algorithm)
    }
}

impl Key {
    fn of(key: DecodingKey, kid: Option<String>) -> Key {
        Key { kid, algorithm: algorithm_of(key.family()), key }
    }
}

fn refused(file: &Path, why: impl Into<String>) -> KeyError {
    KeyError { file: file.into(), why: why.into() }
}

fn read(file: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |error: std::io::Error| refused(file, error.to_string());
    let length = std::fs::metadata(file).map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        return Err(refused(file, format!("{length} bytes are more than {FILE_BYTES_MAX}")));
    }
    std::fs::read(file).map_err(failed)
}

/// The secret in a file, white space at its end taken off.
///
/// *Errors:* it cannot be read, is a key or a certificate in PEM, or is shorter than
/// [`SECRET_BYTES_MIN`].
pub fn read_secret(file: &Path) -> Result<Vec<u8>, KeyError> {
    let mut secret = read(file)?;
    secret.truncate(secret.trim_ascii_end().len());
    if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
        // Whoever has a public key or a certificate could sign with it.
        let why = "is PEM; a secret is random bytes, and public keys go to auth.key".to_owned();
        return Err(refused(file, why));
    }
    if secret.len() < SECRET_BYTES_MIN {
        let why = format!("a secret of {} bytes; {SECRET_BYTES_MIN} are the least", secret.len());
        return Err(refused(file, why));
    }
    Ok(secret)
}

fn read_public(pem: &[u8]) -> Result<DecodingKey, String> {
    if pem.windows(11).any(|text| text == b"PRIVATE KEY") {
        return Err("is a private key; the public one of the pair belongs here".into());
    }
    let read = [DecodingKey::from_rsa_pem, DecodingKey::from_ec_pem, DecodingKey::from_ed_pem];
    let key = read.iter().find_map(|read| read(pem).ok());
    let key = key.ok_or("no public key in PEM, of RSA, P-256 or Ed25519")?;
    check(&key)?;
    Ok(key)
}

fn read_set(json: &[u8]) -> Result<Vec<Key>, String> {
    let set: JwkSet = serde_json::from_slice(json).map_err(|error| format!("no JWKS: {error}"))?;
    let mut keys: Vec<Key> = Vec::new();
    for (at, jwk) in set.keys.iter().enumerate() {
        let kid = jwk.common.key_id.clone();
        if kid.is_some() && keys.iter().any(|key| key.kid == kid) {
            return Err(format!("keys[{at}]: another key has its kid {kid:?}, too"));
        }
        if is_for_signatures(jwk) {
            let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string());
            let key = key.and_then(|key| check(&key).map(|()| key));
            keys.push(Key::of(key.map_err(|why| format!("keys[{at}]: {why}"))?, kid));
        }
    }
    if keys.is_empty() {
        return Err("no key in it is for RS256, ES256 or EdDSA signatures".into());
    }
    Ok(keys)
}

/// Whether a key of a set is one of ours; others are nobody's mistake.
fn is_for_signatures(jwk: &Jwk) -> bool {
    let common = &jwk.common;
    let verifies = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
    let is_allowed = common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(verifies);
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => KeyAlgorithm::RS256,
        AlgorithmParameters::EllipticCurve(of) if of.curve == EllipticCurve::P256 => {
            KeyAlgorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(of) if of.curve == EllipticCurve::Ed25519 => {
            KeyAlgorithm::EdDSA
        }
        // A secret has no place in a file of public keys.
        _ => return false,
    };
    is_allowed && common.key_algorithm.is_none_or(|of| of == algorithm)
}

/// Finds a key that could never verify anything now rather than at every client.
fn check(key: &DecodingKey) -> Result<(), String> {
    let (algorithm, kind) = (algorithm_of(key.family()), key.kind());
    match (algorithm, kind) {
        (_, DecodingKeyKind::RsaModulusExponent { n, .. }) if n.len() < MODULUS_BYTES_MIN => {
            Err(format!("an RSA key of {} bits; 2048 are the least", n.len() * 8))
        }
        // With its head and its exponent the key is a little longer than its modulus.
        (Algorithm::RS256, DecodingKeyKind::SecretOrDer(der)) if der.len() < MODULUS_BYTES_MIN => {
            Err("an RSA key of less than 2048 bits".into())
        }
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) if point.len() != 65 => {
            Err("an elliptic curve other than P-256".into())
        }
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) if point.len() != 32 => {
            Err("an Edwards curve other than Ed25519".into())
        }
        _ => Ok(()),
    }
}
