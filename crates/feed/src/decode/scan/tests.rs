//! What the cursor reads, beside what another parser makes of it, and what it refuses.

use super::*;
use serde_json::Value;

/// Reads a value into what another parser would make of it; numbers stay text.
fn read(scan: &mut Scan<'_>) -> Result<Value, Fault> {
    let text = |bytes: &[u8]| Value::String(String::from_utf8_lossy(bytes).into_owned());
    Ok(match scan.peek() {
        Some(b'{') => {
            let mut map = serde_json::Map::new();
            scan.object()?;
            while let Some(key) = scan.key()? {
                let key = String::from_utf8_lossy(key).into_owned();
                map.insert(key, read(scan)?);
            }
            Value::Object(map)
        }
        Some(b'[') => {
            let mut list = Vec::new();
            scan.array()?;
            while scan.item()? {
                list.push(read(scan)?);
            }
            Value::Array(list)
        }
        _ => text(scan.token()?),
    })
}

fn whole(bytes: &[u8]) -> Result<Value, Fault> {
    let mut scan = Scan::new(bytes);
    let value = read(&mut scan)?;
    scan.end().map(|()| value)
}

fn as_text(value: Value) -> Value {
    match value {
        Value::Array(list) => Value::Array(list.into_iter().map(as_text).collect()),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, value)| (key, as_text(value))).collect())
        }
        Value::String(_) => value,
        other => Value::String(other.to_string()),
    }
}

const SAMPLE: &str = r#" { "a" : [ 1 , -2.5 , "x y" , true , null , [ ] , { } ] ,
    "long key of more than eight": "a value of more than sixteen bytes", "":"", "n":{"m":[{"k":"v"},[[]]]}}"#;

#[test]
fn what_is_read_equals_what_another_parser_reads() {
    for text in [SAMPLE, "[]", "{}", "[[],[[]]]", r#"{"a":{}}"#, "7", r#""text""#] {
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(whole(text.as_bytes()), Ok(as_text(expected)), "{text}");
    }
}

#[test]
fn every_cut_and_every_broken_structure_is_refused() {
    for len in 0..SAMPLE.len() {
        assert!(whole(&SAMPLE.as_bytes()[..len]).is_err(), "cut at {len}");
    }
    for text in [
        "{,}",
        "[,]",
        "[1,]",
        "[1 2]",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{"a":1 "b":2}"#,
        "[1]]",
        "{}{}",
        "[}",
        "{]",
        "{1:2}",
        r#"["a]"#,
        r#"["a\"]"#,
    ] {
        assert!(whole(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn anything_is_passed_over_to_its_end() {
    for value in
        [SAMPLE, "1e-8", "null", r#""a\"b\\""#, r#"[{"}":"]\""},"["]"#, "[[[[]]]]", r#""\\\"""#]
    {
        let text = format!("[{value},7]");
        let mut scan = Scan::new(text.as_bytes());
        scan.array().unwrap();
        assert!(scan.item().unwrap());
        scan.skip().unwrap_or_else(|fault| panic!("{value}: {fault:?}"));
        assert!(scan.item().unwrap());
        assert_eq!(scan.integer(), Ok(7), "{value}");
        assert!(!scan.item().unwrap());
        assert_eq!(scan.end(), Ok(()));
    }
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let skip = |text: &str| Scan::new(text.as_bytes()).skip();
    assert_eq!(skip(&deep(64)), Ok(()));
    assert_eq!(skip(&deep(65)), Err(Fault::Syntax), "nesting has a maximum");
    for broken in ["[}", "{]", "[{]}", "[[]", "\"", "", "]"] {
        assert!(skip(broken).is_err(), "{broken}");
    }
}

#[test]
fn strings_end_at_their_own_quote_wherever_it_stands() {
    for len in 0..40 {
        for escape in 0..len {
            let mut text = vec![b'x'; len];
            text[escape] = b'\\';
            let quoted = [b"\"", text.as_slice(), b"\" \"\\"].concat();
            let expected = if escape + 1 == len { len + 2 } else { len };
            let ends = string_end(&quoted, 1);
            assert_eq!(ends, Ok((expected + 1, true)), "{}", String::from_utf8_lossy(&quoted));
        }
        let plain = [b"\"".as_slice(), &vec![0xff; len], b"\""].concat();
        assert_eq!(string_end(&plain, 1), Ok((len + 1, false)));
        assert_eq!(string_end(&plain[..len + 1], 1), Err(Fault::Syntax));
    }
}

#[test]
fn text_with_escapes_is_refused_rather_than_misread() {
    assert_eq!(Scan::new(br#""BTC\u002dUSD""#).text(), Err(Fault::Value));
    assert_eq!(Scan::new(br#""BTC-USD""#).text(), Ok(b"BTC-USD".as_slice()));
    let mut scan = Scan::new(br#" "BTC-USD""#);
    assert_eq!(scan.text_span().unwrap().of(br#" "BTC-USD""#), b"BTC-USD");
    assert_eq!(Span { start: 3, end: 99 }.of(b"short"), b"");
}

#[test]
fn numbers_that_are_not_plain_are_left_where_they_stand() {
    for (text, expected) in [
        ("65083.66,\"a\":1", Some((6_508_366, 2))),
        ("\"65083.66\",      ", Some((6_508_366, 2))),
        ("0.00000000}      ", Some((0, 8))),
        ("7]              ", Some((7, 0))),
        ("65083.66\",       ", None),
        ("\"65083.66,       ", None),
        ("1e-8,            ", None),
        ("\"1.5E3\",         ", None),
        ("-1.5,            ", None),
        ("1.5 ,            ", None),
        (" 1.5,            ", None),
        ("1.123456789,     ", None),
        ("null,            ", None),
        ("1.5", None),
        ("", None),
    ] {
        let mut scan = Scan::new(text.as_bytes());
        let number = scan.decimal().map(|number| (number.mantissa, number.scale));
        assert_eq!(number, expected, "{text}");
        assert_eq!(scan.at > 0, expected.is_some(), "{text}");
    }
    let mut scan = Scan::new(b"{\"a\":");
    assert_eq!(scan.literal(b"{\"b"), None);
    assert_eq!(scan.literal(b"{\"a\":"), Some(()));
    assert_eq!(scan.literal(b"x"), None);
}

#[test]
fn whole_numbers_are_read_up_to_the_largest() {
    for (text, expected) in [
        ("0", Ok(0)),
        ("18446744073709551615", Ok(u64::MAX)),
        ("\"1068572090\"", Ok(1_068_572_090)),
        ("18446744073709551616", Err(Fault::Value)),
        ("-1", Err(Fault::Value)),
        ("1.0", Err(Fault::Value)),
        ("\"\"", Err(Fault::Value)),
        ("{", Err(Fault::Value)),
        ("", Err(Fault::Syntax)),
    ] {
        assert_eq!(Scan::new(text.as_bytes()).integer(), expected, "{text}");
    }
}
