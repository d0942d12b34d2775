//! Files of keys: a secret, a PEM file or a set (JWKS); whatever stands in them is taken or
//! refused with a reason, and a token is verified with what was taken.
//!
//! The input's first byte says which file the rest is (modulo 3).

use crate::file::Nameless;
use std::sync::LazyLock;
use tickcast_gateway::{KeyFiles, SECRET_BYTES_MIN, TokenRules, Tokens};
use tickcast_market::Nanos;

/// Signed by nobody, for each algorithm, with and without a `kid`.
const STRANGERS: [&str; 4] = [
    "eyJhbGciOiJIUzI1NiJ9.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AAAA",
    "eyJhbGciOiJFUzI1NiJ9.e30.\
     AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "eyJhbGciOiJFZERTQSJ9.e30.\
     AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
];

thread_local! {
    static FILE: LazyLock<Nameless> = LazyLock::new(Nameless::new);
}

/// Tries one input.
pub fn run(data: &[u8]) {
    let Some((kind, content)) = data.split_first() else { return };
    let path = FILE.with(|file| {
        file.fill(content);
        file.path()
    });
    let files = match kind % 3 {
        0 => KeyFiles { secret: Some(path), ..KeyFiles::default() },
        1 => KeyFiles { public: vec![path], ..KeyFiles::default() },
        _ => KeyFiles { jwks: Some(path), ..KeyFiles::default() },
    };
    match Tokens::load(TokenRules { files, ..TokenRules::default() }) {
        Ok(tokens) => {
            assert!(kind % 3 != 0 || content.trim_ascii_end().len() >= SECRET_BYTES_MIN);
            for token in STRANGERS {
                assert!(tokens.verify(token, Nanos::from_secs(1)).is_err(), "{token}");
            }
            tokens.reload().expect("nothing has changed");
        }
        Err(error) => assert!(!error.why.is_empty()),
    }
}
