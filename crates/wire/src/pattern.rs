//! What a client may write where a symbol is asked for: a name, or a glob over names.

use std::fmt;

/// The longest name or glob that is accepted, in bytes.
pub const SYMBOL_BYTES_MAX: usize = 128;

/// How many `*` a glob of a request may have: each costs a search in every name.
pub const STARS_MAX: usize = 8;

/// One entry of a request's `symbol`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// A name without `*`: `venue:SYMBOL`, or bare ([`Pattern::is_bare`]).
    Exact(String),
    /// Has at least one `*`.
    Glob(Glob),
}

impl Pattern {
    /// A text with a `*` in it is a glob, any other an exact name.
    pub fn new(text: impl Into<String>) -> Pattern {
        let text = text.into();
        if text.contains('*') { Pattern::Glob(Glob(text)) } else { Pattern::Exact(text) }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Pattern::Exact(name) => name,
            Pattern::Glob(glob) => glob.as_str(),
        }
    }

    /// Whether it is a symbol without its venue (`BTC-USD`), which is accepted where just one
    /// venue has it.
    pub fn is_bare(&self) -> bool {
        matches!(self, Pattern::Exact(name) if !name.contains(':'))
    }

    /// Whether it means the instrument of that full name; a bare symbol means it on any venue.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Glob(glob) => glob.matches(name),
            Pattern::Exact(exact) if exact == name => true,
            Pattern::Exact(exact) => {
                self.is_bare() && name.split_once(':').is_some_and(|(_, symbol)| symbol == exact)
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A pattern over whole names (`venue:SYMBOL`) in which `*` stands for any run of characters, also
/// an empty one; every other character stands for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(String);

impl Glob {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches the whole of `name`.
    ///
    /// *Cost:* linear in the lengths of both: each part between two `*` is looked for once, after
    /// the place where the one before it was found first; no allocation.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let (Some(head), Some(tail)) = (parts.next(), parts.next_back()) else { return false };
        let Some(rest) = name.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail)) else {
            return false;
        };
        let after =
            parts.try_fold(rest, |rest, part| rest.find(part).map(|at| &rest[at + part.len()..]));
        after.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob(text: &str) -> Glob {
        match Pattern::new(text) {
            Pattern::Glob(glob) => glob,
            Pattern::Exact(name) => panic!("{name} is no glob"),
        }
    }

    #[test]
    fn names_bare_symbols_and_globs_are_told_apart() {
        assert_eq!(Pattern::new("kraken:BTC-USD"), Pattern::Exact("kraken:BTC-USD".into()));
        assert!(!Pattern::new("kraken:BTC-USD").is_bare());
        assert!(Pattern::new("BTC-USD").is_bare());
        assert!(!Pattern::new("BTC-*").is_bare());
        assert_eq!(Pattern::new("kraken:*").to_string(), "kraken:*");
        for (pattern, expected) in
            [("kraken:BTC-USD", true), ("BTC-USD", true), ("*USD", true), ("USD", false)]
        {
            assert_eq!(Pattern::new(pattern).matches("kraken:BTC-USD"), expected, "{pattern}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "kraken:BTC-USD", true),
            ("kraken:*", "kraken:BTC-USD", true),
            ("kraken:*", "kraken:", true),
            ("kraken:*", "coinbase:BTC-USD", false),
            ("*:BTC-USD", "kraken:BTC-USD", true),
            ("*:BTC-USD", "kraken:BTC-USDT", false),
            ("*:BTC-*", "binance:BTC-USDT", true),
            ("k*:*-USD", "kraken:ETH-USD", true),
            ("k*:*-USD", "kraken:ETH-EUR", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("ab*ba", "aba", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("**", "anything", true),
            ("a**b", "ab", true),
            ("é*漢", "é🦀漢", true),
            ("a?*", "ab", false),
        ] {
            assert_eq!(glob(pattern).matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_hostile_glob_over_a_long_name_is_answered() {
        // Backtracking would try more ways than there are atoms.
        let pattern = "a*".repeat(60) + "b";
        assert!(!glob(&pattern).matches(&"a".repeat(100_000)));
        assert!(glob(&pattern).matches(&("a".repeat(100_000) + "b")));
    }

    /// The definition, without any cleverness.
    fn matches_by_definition(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|n| matches_by_definition(rest, &name[n..])),
            Some((c, rest)) => name.first() == Some(c) && matches_by_definition(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_follows_the_definition(text in "[ab*]{0,8}", name in "[ab]{0,10}") {
            let pattern: Vec<char> = (text.clone() + "*").chars().collect();
            let chars: Vec<char> = name.chars().collect();
            let expected = matches_by_definition(&pattern, &chars);
            prop_assert_eq!(glob(&(text + "*")).matches(&name), expected);
            let reversed: Vec<char> = pattern.iter().rev().copied().collect();
            let expected = matches_by_definition(&reversed, &chars);
            prop_assert_eq!(glob(&reversed.iter().collect::<String>()).matches(&name), expected);
        }
    }
}
