//! The right to receive: patterns over instruments and channels, as a token carries them.

use std::fmt;
use tickcast_wire::{Channel, Pattern, SYMBOL_BYTES_MAX};

/// How many entitlements a token may carry; one of 4 KiB has room for no more.
const ENTITLEMENTS_MAX: usize = 256;

/// What somebody may receive: nothing unless an entitlement says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entitlements {
    granted: Vec<Entitlement>,
}

/// One of them: `coinbase:*/ticker`, or `coinbase:*` for every channel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entitlement {
    instruments: Pattern,
    /// `None`: all.
    channel: Option<Channel>,
}

/// An entitlement that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct EntitlementError(String);

impl fmt::Display for EntitlementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Entitlements {
    /// Reads them: a full name or a glob over full names, then `/` and a channel, or `/*` or
    /// nothing for all channels.
    ///
    /// *Errors* name the entitlement.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Entitlements, EntitlementError> {
        if texts.len() > ENTITLEMENTS_MAX {
            let error = format!("{} entitlements are more than {ENTITLEMENTS_MAX}", texts.len());
            return Err(EntitlementError(error));
        }
        let granted = texts.iter().map(|text| Entitlement::parse(text.as_ref()));
        Ok(Entitlements { granted: granted.collect::<Result<_, _>>()? })
    }

    /// Whether a channel of the instrument of that full name may be received. Who receives anything
    /// of an instrument receives its status, too.
    ///
    /// *Cost:* grows with their number; allocates nothing.
    pub fn allow(&self, name: &str, channel: Channel) -> bool {
        let opens = |of: Option<Channel>| {
            channel == Channel::Status || of.is_none_or(|allowed| allowed == channel)
        };
        self.granted.iter().any(|one| opens(one.channel) && one.instruments.matches(name))
    }
}

impl Entitlement {
    fn parse(text: &str) -> Result<Entitlement, EntitlementError> {
        let refused = |why: &str| {
            let shown: String = text.chars().take(100).collect();
            EntitlementError(format!("entitlement {shown:?}: {why}"))
        };
        let (instruments, channel) = text.rsplit_once('/').unwrap_or((text, "*"));
        let channel = match channel {
            "*" => None,
            name => match Channel::from_name(name) {
                Some(channel) => Some(channel),
                None => return Err(refused("its channel is not known")),
            },
        };
        if instruments.is_empty() || instruments.len() > SYMBOL_BYTES_MAX {
            return Err(refused("not a name of 1 to 128 bytes"));
        }
        let instruments = Pattern::new(instruments);
        if instruments.is_bare() {
            // A bare symbol would open it on venues that nobody has thought of.
            return Err(refused("its venue is missing"));
        }
        Ok(Entitlement { instruments, channel })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_granted_is_allowed() {
        let granted = ["coinbase:*/ticker", "kraken:BTC-USD", "*:ETH-USD/book", "sim:S1-*/*"];
        let entitlements = Entitlements::parse(&granted).unwrap();
        for (name, channel, allowed) in [
            ("coinbase:BTC-USD", Channel::Ticker, true),
            ("coinbase:BTC-USD", Channel::Status, true),
            ("coinbase:BTC-USD", Channel::Trades, false),
            ("coinbase2:BTC-USD", Channel::Ticker, false),
            ("kraken:BTC-USD", Channel::Bars, true),
            ("kraken:BTC-USDT", Channel::Bars, false),
            ("kraken:ETH-USD", Channel::Book, true),
            ("kraken:ETH-USD", Channel::Ticker, false),
            ("sim:S1-USD", Channel::Trades, true),
            ("sim:S2-USD", Channel::Status, false),
        ] {
            assert_eq!(entitlements.allow(name, channel), allowed, "{name} {}", channel.name());
        }
        assert!(!Entitlements::default().allow("sim:S1-USD", Channel::Ticker));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, why) in [
            ("coinbase:*/tikcer", "\"coinbase:*/tikcer\": its channel is not known"),
            ("BTC-USD", "its venue is missing"),
            ("/ticker", "not a name"),
            ("", "not a name"),
        ] {
            let error = Entitlements::parse(&[text]).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(Entitlements::parse(&vec!["*"; 257]).is_err());
    }
}
