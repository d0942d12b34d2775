//! Tokens: as they come, and with claims and headers of the fuzzer's choice under a right
//! signature; what is taken holds what it claims.
//!
//! ```text
//! input = 0 token               the text of a token
//!       | 1 claims              JSON, signed with the usual header
//!       | other header LF claims
//! ```

use crate::file::Nameless;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use std::sync::LazyLock;
use tickcast_gateway::{KeyFiles, TokenError, TokenRules, Tokens};
use tickcast_market::Nanos;
use tickcast_wire::TOKEN_BYTES_MAX;

const SECRET: &[u8] = b"a secret of forty bytes, for this alone!";
const HEADER: &[u8] = br#"{"alg":"HS256","typ":"JWT"}"#;
const NOW: Nanos = Nanos::from_secs(1_800_000_000);

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let file = Nameless::new();
    file.fill(SECRET);
    let files = KeyFiles { secret: Some(file.path()), ..KeyFiles::default() };
    Tokens::load(TokenRules { files, ..TokenRules::default() }).expect("the secret is long enough")
});

/// Tries one input.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let token = match kind {
        0 => match std::str::from_utf8(rest) {
            Ok(text) => text.to_owned(),
            Err(_) => return,
        },
        1 => sign(HEADER, rest),
        _ => {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            sign(&rest[..end], rest.get(end + 1..).unwrap_or_default())
        }
    };
    judge(&token);
}

fn sign(header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn judge(token: &str) {
    let identity = match TOKENS.verify(token, NOW) {
        Ok(identity) => identity,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(token.len() <= TOKEN_BYTES_MAX);
    assert!(identity.expires_at > NOW);
    assert!((1..=128).contains(&identity.sub.len()) && !identity.sub.contains(char::is_control));
    // By another reader: the signature is over what stands before it, by this very secret.
    let (signed, tag) = token.rsplit_once('.').expect("three parts");
    let tag = URL_SAFE_NO_PAD.decode(tag).expect("it was decoded before");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    assert!(hmac::verify(&key, signed.as_bytes(), &tag).is_ok());
    let late = TOKENS.verify(token, identity.expires_at);
    assert_eq!(late.map(|_| ()), Err(TokenError::Expired));
    let other = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 32]));
    assert_eq!(TOKENS.verify(&other, NOW).map(|_| ()), Err(TokenError::Signature));
}
