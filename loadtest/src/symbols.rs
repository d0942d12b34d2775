//! Which instruments there are: named by flags, made up for a bare server, or the service's list.

use crate::error::{Error, Result};
use crate::http;
use crate::job::Trust;
use crate::target::Target;
use serde::Deserialize;

#[derive(Deserialize)]
struct Instruments {
    instruments: Vec<Instrument>,
}

#[derive(Deserialize)]
struct Instrument {
    symbol: String,
}

/// How the instruments are told.
pub(crate) enum Source<'a> {
    Named(&'a [String]),
    /// A pattern with `{}` for the number, and how many.
    Generated(&'a str, usize),
    Service,
}

/// The instruments, most active first.
///
/// # Errors
/// A service that does not list them or lists none.
pub(crate) fn load(source: &Source<'_>, target: &Target, trust: &Trust) -> Result<Vec<String>> {
    match source {
        Source::Named(names) => Ok(names.to_vec()),
        Source::Generated(pattern, count) => {
            if !pattern.contains("{}") {
                let words = format!("--symbols-generated: {pattern:?} has no {{}} for the number");
                return Err(Error::usage(words));
            }
            Ok((0..*count).map(|number| pattern.replace("{}", &number.to_string())).collect())
        }
        Source::Service => {
            let (status, body) = http::get(target, trust, "/v1/instruments")?;
            let bad = |words: String| Error::Service(format!("/v1/instruments: {words}"));
            if status != 200 {
                return Err(bad(format!("status {status}")));
            }
            let list: Instruments =
                serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
            if list.instruments.is_empty() {
                return Err(bad("there is no instrument".into()));
            }
            Ok(list.instruments.into_iter().map(|instrument| instrument.symbol).collect())
        }
    }
}
