//! The names and selectors in an expression that Prometheus itself has accepted and formatted.
//!
//! Prometheus' parser says whether an expression is one; of its canonical text only the words have
//! to be told apart: functions are followed by a parenthesis, labels stand in braces or after
//! `by`, `on` and their like, durations in brackets.

use std::iter::Peekable;
use std::str::CharIndices;

/// A metric as an expression asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    /// Its name; several where a matcher of the name gives alternatives.
    pub(crate) names: Vec<String>,
    /// Name and matchers, without a window.
    pub(crate) text: String,
}

/// Words that are no metrics. Those in [`LISTING`] have a list of labels behind them.
const WORDS: [&str; 7] = ["and", "or", "unless", "bool", "offset", "inf", "nan"];
const LISTING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Every selector of an expression.
pub(crate) fn selectors(expression: &str) -> Vec<Selector> {
    let mut found: Vec<Selector> = Vec::new();
    let mut chars = expression.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => skip_string(&mut chars),
            '[' => skip_until(&mut chars, ']'),
            '{' => {
                skip_braces(&mut chars);
                let end = chars.peek().map_or(expression.len(), |(end, _)| *end);
                let braces = &expression[at..end];
                match found.last_mut() {
                    Some(last) if expression[..at].ends_with(&last.text) => last.text += braces,
                    _ => found
                        .push(Selector { names: alternatives(braces), text: braces.to_owned() }),
                }
            }
            c if c.is_ascii_digit() => while next_word_char(&mut chars) {},
            c if c.is_ascii_alphabetic() || c == '_' || c == ':' => {
                while next_word_char(&mut chars) {}
                let end = chars.peek().map_or(expression.len(), |(end, _)| *end);
                let word = &expression[at..end];
                let behind = expression[end..].trim_start();
                let follows = behind.chars().next();
                let is_aggregation = ["by (", "without ("].iter().any(|by| behind.starts_with(by));
                let lower = word.to_ascii_lowercase();
                if LISTING.contains(&lower.as_str()) && follows == Some('(') {
                    skip_until(&mut chars, ')');
                } else if follows != Some('(')
                    && !is_aggregation
                    && !WORDS.contains(&lower.as_str())
                {
                    found.push(Selector { names: vec![word.to_owned()], text: word.to_owned() });
                }
            }
            _ => {}
        }
    }
    found
}

/// The names that a matcher of `__name__` gives.
fn alternatives(braces: &str) -> Vec<String> {
    let names = braces.split_once("__name__=~\"").or_else(|| braces.split_once("__name__=\""));
    let names = names.and_then(|(_, rest)| rest.split_once('"')).map(|(names, _)| names);
    names.map_or(Vec::new(), |names| names.split('|').map(str::to_owned).collect())
}

fn next_word_char(chars: &mut Peekable<CharIndices<'_>>) -> bool {
    let is_one = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '.';
    chars.next_if(|(_, c)| is_one(*c)).is_some()
}

fn skip_until(chars: &mut Peekable<CharIndices<'_>>, end: char) {
    let _ = chars.find(|(_, c)| *c == end);
}

/// Behind the opening quote.
fn skip_string(chars: &mut Peekable<CharIndices<'_>>) {
    while let Some((_, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '"' => return,
            _ => {}
        }
    }
}

/// Behind the opening brace, up to behind the closing one.
fn skip_braces(chars: &mut Peekable<CharIndices<'_>>) {
    while let Some((_, c)) = chars.next() {
        match c {
            '"' => skip_string(chars),
            '}' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, expect: &[&str]) {
        let found: Vec<String> = selectors(expression).into_iter().map(|s| s.text).collect();
        assert_eq!(found, expect, "{expression}");
    }

    #[test]
    fn functions_labels_numbers_and_windows_are_no_metrics() {
        check("up == 0", &["up"]);
        check("14.4 * (1 - scalar(a:b:ratio))", &["a:b:ratio"]);
        check(
            "sum by (venue, le) (rate(a_bucket{le=\"0.25\",x=~\"}|\\\"\"}[5m])) > 1e3",
            &["a_bucket{le=\"0.25\",x=~\"}|\\\"\"}"],
        );
        check("a / on (instance) group_left () b unless on (x) c == 1", &["a", "b", "c"]);
        check("count by (x) (a offset 5m) or vector(0)", &["a"]);
    }

    #[test]
    fn a_matcher_of_the_name_gives_names() {
        let [one] = &selectors("{__name__=~\"a_total|b\",x=\"y\"}")[..] else { panic!("one") };
        assert_eq!(one.names, ["a_total", "b"]);
    }
}
