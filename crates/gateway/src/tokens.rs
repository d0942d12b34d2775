//! Tokens: what a client shows to say on whose behalf it comes (JWT, RFC 7519; verified as RFC 8725
//! advises).
//!
//! Pure but for the files of keys: text and time in, an [`Identity`] or a reason out.

use crate::entitlement::{EntitlementError, Entitlements};
use crate::file_watch::FileWatch;
use crate::identity::{Identity, Rates};
use crate::token_crypto;
use crate::token_keys::{KeyError, KeyFiles, Keys};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{EncodingKey, Header, Validation, decode, decode_header, encode};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use tickcast_market::Nanos;
use tickcast_wire::TOKEN_BYTES_MAX;

/// By how much the clock of whoever made a token may be ahead of ours; of its end there is no such
/// allowance.
const AHEAD_MAX: Nanos = Nanos::from_secs(60);

/// The longest subject, in bytes.
const SUB_BYTES_MAX: usize = 128;

/// A token as it was shown; it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Keeps it from being printed.
    pub fn new(token: impl Into<Box<str>>) -> Secret {
        Secret(token.into())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What makes a token good.
#[derive(Clone, Debug, Default)]
pub struct TokenRules {
    /// The keys.
    pub files: KeyFiles,
    /// What `iss` has to be.
    pub issuer: Option<String>,
    /// What `aud` has to be, or to contain.
    pub audience: Option<String>,
}

/// Why a token is not taken. Says nothing that is in the token but its own claims' names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token, or longer than one may be.
    #[error("the token cannot be read")]
    Malformed,
    /// It has to be understood in a way that is not understood here (RFC 7515, section 4.1.11).
    #[error("the token has critical headers")]
    Critical,
    /// No key here could have signed it.
    #[error("the token names a key or an algorithm that is not accepted")]
    Key,
    /// It was changed, or signed by somebody else.
    #[error("the token's signature does not fit")]
    Signature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// A claim is missing, or not what it has to be.
    #[error("the token's {0}")]
    Claim(&'static str),
    /// An entitlement cannot be read.
    #[error("the token's {0}")]
    Entitlement(#[from] EntitlementError),
}

/// Verifies tokens; its keys can be replaced.
pub struct Tokens {
    rules: TokenRules,
    keys: RwLock<Arc<Keys>>,
    files: FileWatch,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// A token of these claims, signed with a secret (HS256).
///
/// *Panics* if the claims cannot be written as JSON: a fault of the caller's.
pub fn sign_token(secret: &[u8], claims: &impl Serialize) -> String {
    token_crypto::install();
    let key = EncodingKey::from_secret(secret);
    encode(&Header::default(), claims, &key).expect("a secret signs everything that is JSON")
}

/// What is read of a token's claims.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<Audience>,
    #[serde(default)]
    tickcast: Rights,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// The claim `tickcast`. One that is not known is a spelling mistake that would grant too much, or
/// too little.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rights {
    entitlements: Vec<String>,
    max_subscriptions: Option<usize>,
    max_connections: Option<usize>,
    tiers: Option<Vec<Rate>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rate {
    PerSecond(f64),
    Named(String),
}

impl Tokens {
    /// Reads the keys.
    ///
    /// *Errors* name the file.
    pub fn load(rules: TokenRules) -> Result<Tokens, KeyError> {
        token_crypto::install();
        let files = FileWatch::new(rules.files.all());
        let keys = RwLock::new(Arc::new(Keys::read(&rules.files)?));
        Ok(Tokens { rules, keys, files })
    }

    /// Reads the keys again; tokens are verified with the new ones from now on.
    ///
    /// *Errors* name the file; then nothing has changed.
    pub fn reload(&self) -> Result<(), KeyError> {
        self.files.note();
        let keys = Arc::new(Keys::read(&self.rules.files)?);
        *self.keys.write() = keys;
        Ok(())
    }

    /// The files of keys, to be watched.
    pub(crate) fn files(&self) -> &FileWatch {
        &self.files
    }

    /// Whom a token names at that time, and what it allows.
    ///
    /// *Errors:* why it is not taken.
    ///
    /// *Cost:* a signature's verification, some microseconds (HS256) to some ten (the others), for
    /// each key that it may be of.
    pub fn verify(&self, token: &str, now: Nanos) -> Result<Identity, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let header = decode_header(token).map_err(|error| match error.kind() {
            ErrorKind::Json(_) => TokenError::Key, // `alg` is `none`, or unheard of.
            _ => TokenError::Malformed,
        })?;
        if header.crit.is_some() || header.extras.inner().contains_key("b64") {
            return Err(TokenError::Critical);
        }
        let keys = self.keys.read().clone();
        let mut result = Err(TokenError::Key);
        for key in keys.candidates(header.kid.as_deref(), header.alg) {
            let mut validation = Validation::new(key.algorithm);
            // Times, issuer and audience are looked at below, by a clock that is given.
            validation.required_spec_claims.clear();
            (validation.validate_exp, validation.validate_nbf) = (false, false);
            validation.validate_aud = false;
            // A claim that is there twice is refused by serde.
            result = match decode::<Claims>(token, &key.key, &validation) {
                Ok(data) => return self.judge(data.claims, now),
                Err(error) => Err(match error.kind() {
                    ErrorKind::InvalidSignature => TokenError::Signature,
                    ErrorKind::InvalidAlgorithm => TokenError::Key,
                    ErrorKind::Json(_) => TokenError::Claim("claims are not of the right types"),
                    _ => TokenError::Malformed,
                }),
            };
        }
        result
    }

    /// What the claims of a token come to whose signature is right.
    fn judge(&self, claims: Claims, now: Nanos) -> Result<Identity, TokenError> {
        let expires_at = moment(claims.exp.ok_or(TokenError::Claim("exp is missing"))?);
        if expires_at <= now {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|nbf| moment(nbf) > now.plus(AHEAD_MAX)) {
            return Err(TokenError::Claim("nbf has not come yet"));
        }
        if self.rules.issuer.is_some() && claims.iss != self.rules.issuer {
            return Err(TokenError::Claim("iss is not the one that is asked for"));
        }
        self.check_audience(claims.aud.as_ref())?;
        let sub = claims.sub.ok_or(TokenError::Claim("sub is missing"))?;
        if sub.is_empty() || sub.len() > SUB_BYTES_MAX || sub.contains(char::is_control) {
            return Err(TokenError::Claim("sub is not 1 to 128 bytes of text"));
        }
        let rights = claims.tickcast;
        let rates = rights.tiers.map(read_rates).transpose()?;
        Ok(Identity {
            sub: sub.into(),
            expires_at,
            entitlements: Entitlements::parse(&rights.entitlements)?,
            subscriptions_max: rights.max_subscriptions,
            connections_max: rights.max_connections,
            rates,
        })
    }

    /// A token for somebody in particular is not for us unless it says so (RFC 7519, section 4.1.3).
    fn check_audience(&self, audience: Option<&Audience>) -> Result<(), TokenError> {
        let is_right = match (&self.rules.audience, audience) {
            (None, None) => true,
            (Some(ours), Some(Audience::One(one))) => one == ours,
            (Some(ours), Some(Audience::Several(several))) => several.contains(ours),
            (Some(_), None) => return Err(TokenError::Claim("aud is missing")),
            (None, Some(_)) => false,
        };
        is_right.then_some(()).ok_or(TokenError::Claim("aud does not name this service"))
    }
}

/// Seconds since 1970, perhaps with a fraction, perhaps from beyond the end of time.
fn moment(seconds: f64) -> Nanos {
    // Saturates, and takes what is no number for the beginning of time.
    Nanos((seconds * 1e9) as i64)
}

fn read_rates(rates: Vec<Rate>) -> Result<Rates, TokenError> {
    let wrong = TokenError::Claim("tickcast.tiers is not a list of rates above 0 or \"realtime\"");
    let rate = |rate| match rate {
        Rate::PerSecond(rate) => Ok(rate),
        Rate::Named(name) if name == "realtime" => Ok(f64::INFINITY),
        Rate::Named(_) => Err(wrong.clone()),
    };
    let rates = rates.into_iter().map(rate).collect::<Result<_, _>>()?;
    Rates::new(rates).map_err(|_| wrong.clone())
}
