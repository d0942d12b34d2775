//! What a client offers in `Sec-WebSocket-Extensions` (RFC 6455, section 9.1), and which offer of
//! `permessage-deflate` (RFC 7692, section 7.1) is taken.
//!
//! Several offers are tried in the client's order. One that asks for what is not done here, or that
//! is not put as the RFC says, is passed over; a header that is no list of extensions at all is
//! an error.

/// An offer of `permessage-deflate` that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// It limits our window to what we use anyway, which the answer has to confirm.
    pub(crate) names_window: bool,
}

/// The header is no list of extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The first offer in one header's value that can be taken.
pub(crate) fn choose_offer(value: &str) -> Result<Option<Offer>, Malformed> {
    let mut chosen = None;
    let mut reader = Reader { rest: value };
    loop {
        // A list may have empty members (RFC 9110, section 5.6.1).
        while reader.skip(',') {}
        if reader.rest.is_empty() {
            return Ok(chosen);
        }
        let is_deflate = reader.token()?.eq_ignore_ascii_case("permessage-deflate");
        let mut params = Params::default();
        while reader.skip(';') {
            let name = reader.token()?;
            let value = if reader.skip('=') { Some(reader.value()?) } else { None };
            if is_deflate {
                params.take(name, value);
            }
        }
        if !reader.rest.is_empty() && !reader.skip(',') {
            return Err(Malformed);
        }
        if is_deflate && params.are_acceptable && chosen.is_none() {
            chosen = Some(Offer { names_window: params.server_window });
        }
    }
}

/// The parameters of one offer.
#[derive(Debug)]
struct Params {
    are_acceptable: bool,
    server_takeover: bool,
    client_takeover: bool,
    server_window: bool,
    client_window: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            are_acceptable: true,
            server_takeover: false,
            client_takeover: false,
            server_window: false,
            client_window: false,
        }
    }
}

impl Params {
    /// Takes one in; unknown ones, those without the value that they need or with one that they must
    /// not have, and those that were there before make the offer one that is passed over.
    fn take(&mut self, name: &str, value: Option<&str>) {
        let (seen, is_right) = match name {
            "server_no_context_takeover" => (&mut self.server_takeover, value.is_none()),
            "client_no_context_takeover" => (&mut self.client_takeover, value.is_none()),
            // Frames are shared, and so is the window that they were made with.
            "server_max_window_bits" => (&mut self.server_window, value == Some("15")),
            // The client may use less than it could; our inflater takes any.
            "client_max_window_bits" => (&mut self.client_window, value.is_none_or(is_window_bits)),
            _ => (&mut false, false),
        };
        self.are_acceptable &= is_right && !std::mem::replace(seen, true);
    }
}

/// 8 to 15 without leading zeros (RFC 7692, section 7.1.2).
fn is_window_bits(value: &str) -> bool {
    matches!(value, "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")
}

/// What of the header has not been read.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Goes over white space and, if it comes next, this character (and white space again).
    fn skip(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest.trim_start_matches([' ', '\t']);
                true
            }
            None => false,
        }
    }

    fn token(&mut self) -> Result<&'a str, Malformed> {
        let length = self.rest.bytes().take_while(|byte| is_token_byte(*byte)).count();
        if length == 0 {
            return Err(Malformed);
        }
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(token)
    }

    /// A token, quoted or not. What is quoted must be a token too (RFC 6455, section 9.1), so that
    /// there is nothing to be unescaped in it.
    fn value(&mut self) -> Result<&'a str, Malformed> {
        if !self.rest.starts_with('"') {
            return self.token();
        }
        self.rest = &self.rest[1..];
        let token = self.token()?;
        self.rest = self.rest.strip_prefix('"').ok_or(Malformed)?;
        Ok(token)
    }
}

/// RFC 9110, section 5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: Result<Option<Offer>, Malformed> = Ok(Some(Offer { names_window: false }));
    const WINDOW: Result<Option<Offer>, Malformed> = Ok(Some(Offer { names_window: true }));
    const NONE: Result<Option<Offer>, Malformed> = Ok(None);
    const WRONG: Result<Option<Offer>, Malformed> = Err(Malformed);

    #[test]
    fn the_first_offer_that_can_be_kept_is_taken() {
        for (value, expected) in [
            ("permessage-deflate", TAKEN),
            ("PerMessage-Deflate", TAKEN),
            ("permessage-deflate; client_max_window_bits", TAKEN), // Chromium, Python, npm
            ("permessage-deflate;client_max_window_bits=8", TAKEN),
            ("permessage-deflate ;\tclient_max_window_bits = \"15\"", TAKEN),
            ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", TAKEN),
            ("permessage-deflate; server_max_window_bits=15", WINDOW),
            ("permessage-deflate; server_max_window_bits=\"15\"", WINDOW),
            ("permessage-deflate; server_max_window_bits=10", NONE),
            ("permessage-deflate; server_max_window_bits=10, permessage-deflate", TAKEN),
            ("permessage-deflate, permessage-deflate; server_max_window_bits=15", TAKEN),
            ("permessage-deflate; server_max_window_bits", NONE),
            ("permessage-deflate; server_max_window_bits=015", NONE),
            ("permessage-deflate; client_max_window_bits=7", NONE),
            ("permessage-deflate; client_max_window_bits=16", NONE),
            ("permessage-deflate; client_max_window_bits=08", NONE),
            ("permessage-deflate; client_max_window_bits=+9", NONE),
            ("permessage-deflate; client_max_window_bits; client_max_window_bits", NONE),
            ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", NONE),
            ("permessage-deflate; server_no_context_takeover=1", NONE),
            ("permessage-deflate; client_no_context_takeover=true", NONE),
            ("permessage-deflate; level=9", NONE),
            ("permessage-deflate; level=9, permessage-deflate", TAKEN),
            ("permessage-bzip2; a=\"b\", x-webkit-deflate-frame", NONE),
            ("x-webkit-deflate-frame, permessage-deflate", TAKEN),
            ("permessage-deflates", NONE),
            ("", NONE),
            (" , ,, ", NONE),
            (", permessage-deflate ,", TAKEN),
            ("permessage-deflate;", WRONG),
            (";permessage-deflate", WRONG),
            ("permessage-deflate; a=", WRONG),
            ("permessage-deflate; =a", WRONG),
            ("permessage-deflate; a=\"b", WRONG),
            ("permessage-deflate; a=\"\"", WRONG),
            ("permessage-deflate; a=\"b c\"", WRONG),
            ("permessage-deflate; a=\"b\\c\"", WRONG),
            ("permessage-deflate permessage-deflate", WRONG),
            ("permessage-deflate; a b", WRONG),
            ("permessage/deflate", WRONG),
            ("permessage-deflate, \u{e4}", WRONG),
        ] {
            assert_eq!(choose_offer(value), expected, "{value:?}");
        }
    }
}
