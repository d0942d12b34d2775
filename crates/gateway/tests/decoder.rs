//! The inbound decoder against the protocol: what is right comes through however it is cut, what
//! is wrong is named with the right close code.

mod decoder_kit;

use decoder_kit::{
    BINARY, CLOSE, CONTINUATION, FIN, MASK, Owned, PING, PONG, TEXT, decode_cut, frame, frame_with,
};
use proptest::prelude::*;
use std::ops::ControlFlow;
use tickcast_gateway::{Decoder, MessageLimits};

fn decode(bytes: &[u8]) -> (Vec<Owned>, Option<u16>) {
    let (events, violation, _) = decode_cut(bytes, &[], &MessageLimits::DEFAULT, false);
    (events, violation.map(|violation| violation.code))
}

#[test]
fn what_was_encoded_is_decoded_at_the_boundaries_of_every_length_form() {
    let limits = MessageLimits { bytes_max: 1 << 20, fragments_max: 16 };
    for length in [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 100_000] {
        let payload: Vec<u8> = (0..length).map(|i| b'a' + (i % 26) as u8).collect();
        let text = String::from_utf8(payload.clone()).unwrap();
        for (opcode, want) in [(TEXT, Owned::Text(text)), (BINARY, Owned::Binary(payload.clone()))]
        {
            let bytes = frame(FIN | opcode, &payload);
            for cuts in [vec![], vec![1], vec![bytes.len() - 1], vec![2, 3, 5, 6]] {
                let (events, violation, unfinished) = decode_cut(&bytes, &cuts, &limits, false);
                assert_eq!(violation, None, "{length} {cuts:?}");
                assert!(events == [want.clone()], "{length} {cuts:?}");
                assert!(!unfinished, "{length} {cuts:?}");
            }
        }
    }
}

#[test]
fn an_idle_connection_keeps_one_pointer() {
    assert!(size_of::<Decoder>() <= 8);
}

#[test]
fn control_frames_pass_between_the_fragments_of_a_message() {
    let bytes = [
        frame(TEXT, "grü".as_bytes()),
        frame(FIN | PING, b"1"),
        frame(CONTINUATION, b""),
        frame(FIN | PONG, b""),
        frame(FIN | CONTINUATION, "ße".as_bytes()),
        frame(FIN | BINARY, &[0xFF]),
        frame(FIN | CLOSE, b"\x03\xE8bye"),
        frame(FIN | PING, b"after the close"),
    ]
    .concat();
    let want = vec![
        Owned::Ping(b"1".into()),
        Owned::Pong(b"".into()),
        Owned::Text("grüße".into()),
        Owned::Binary(vec![0xFF]),
        Owned::Close(Some((1000, "bye".into()))),
    ];
    assert_eq!(decode(&bytes), (want, None));
}

#[test]
fn a_character_may_be_cut_by_a_fragment_boundary() {
    let euro = "€".as_bytes();
    for cut in 0..=euro.len() {
        let bytes = [frame(TEXT, &euro[..cut]), frame(FIN | CONTINUATION, &euro[cut..])].concat();
        assert_eq!(decode(&bytes), (vec![Owned::Text("€".into())], None), "{cut}");
    }
}

#[test]
fn close_frames_with_codes_that_may_be_sent_are_taken() {
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4999u16] {
        let want = vec![Owned::Close(Some((code, String::new())))];
        assert_eq!(decode(&frame(FIN | CLOSE, &code.to_be_bytes())), (want, None), "{code}");
    }
    assert_eq!(decode(&frame(FIN | CLOSE, b"")), (vec![Owned::Close(None)], None));
}

#[test]
fn a_break_ends_the_decoding() {
    let mut bytes = [frame(FIN | TEXT, b"a"), frame(FIN | TEXT, b"b")].concat();
    let mut events: Vec<Owned> = Vec::new();
    Decoder::new()
        .feed(&mut bytes, &MessageLimits::DEFAULT, None, &mut |event| {
            events.push(event.into());
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!(events, [Owned::Text("a".into())]);
}

/// Bytes of a head alone, with a mask where the second byte announces one.
fn head(first: u8, second: u8, wide: &[u8]) -> Vec<u8> {
    [&[first, second][..], wide, &MASK].concat()
}

#[test]
fn malformed_sequences_get_the_code_that_the_protocol_names() {
    let close = |payload: &[u8]| frame(FIN | CLOSE, payload);
    let code = |code: u16| frame(FIN | CLOSE, &code.to_be_bytes());
    let text = |payload: &[u8]| frame(FIN | TEXT, payload);
    let over = vec![b'x'; 65_537];
    let table: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked text", b"\x81\x02hi".to_vec(), 1002),
        ("unmasked empty text", b"\x81\x00".to_vec(), 1002),
        ("unmasked ping", b"\x89\x00".to_vec(), 1002),
        ("unmasked close", b"\x88\x02\x03\xE8".to_vec(), 1002),
        ("unmasked after a good frame", [text(b"a"), b"\x81\x01b".to_vec()].concat(), 1002),
        ("reserved bit 1", frame(FIN | 0x40 | TEXT, b"a"), 1002),
        ("reserved bit 2", frame(FIN | 0x20 | TEXT, b"a"), 1002),
        ("reserved bit 3", frame(FIN | 0x10 | TEXT, b"a"), 1002),
        ("all reserved bits", frame(FIN | 0x70 | BINARY, b""), 1002),
        ("reserved bit on a ping", frame(FIN | 0x40 | PING, b""), 1002),
        (
            "reserved bit on a continuation",
            { [frame(TEXT, b"a"), frame(FIN | 0x40 | CONTINUATION, b"b")].concat() },
            1002,
        ),
        ("opcode 3", frame(FIN | 3, b""), 1002),
        ("opcode 4", frame(FIN | 4, b"x"), 1002),
        ("opcode 5", frame(FIN | 5, b""), 1002),
        ("opcode 6", frame(FIN | 6, b""), 1002),
        ("opcode 7", frame(FIN | 7, b""), 1002),
        ("opcode 11", frame(FIN | 11, b""), 1002),
        ("opcode 12", frame(FIN | 12, b""), 1002),
        ("opcode 13", frame(FIN | 13, b""), 1002),
        ("opcode 14", frame(FIN | 14, b""), 1002),
        ("opcode 15", frame(FIN | 15, b""), 1002),
        ("fragmented ping", frame(PING, b"a"), 1002),
        ("fragmented pong", frame(PONG, b"a"), 1002),
        ("fragmented close", frame(CLOSE, b""), 1002),
        ("ping of 126 bytes", frame(FIN | PING, &[b'p'; 126]), 1002),
        ("pong of 126 bytes", frame(FIN | PONG, &[b'p'; 126]), 1002),
        ("close of 126 bytes", close(&[b'p'; 126]), 1002),
        (
            "ping with a length in eight bytes",
            { head(FIN | PING, 0x80 | 127, &70_000u64.to_be_bytes()) },
            1002,
        ),
        ("16-bit length of 0", head(FIN | TEXT, 0x80 | 126, &[0, 0]), 1002),
        ("16-bit length of 125", head(FIN | TEXT, 0x80 | 126, &[0, 125]), 1002),
        ("64-bit length of 125", head(FIN | TEXT, 0x80 | 127, &125u64.to_be_bytes()), 1002),
        ("64-bit length of 65535", head(FIN | TEXT, 0x80 | 127, &65_535u64.to_be_bytes()), 1002),
        ("64-bit length with its highest bit", head(FIN | TEXT, 0x80 | 127, &[0xFF; 8]), 1002),
        ("text inside a text", [frame(TEXT, b"a"), text(b"b")].concat(), 1002),
        ("binary inside a text", [frame(TEXT, b"a"), frame(FIN | BINARY, b"b")].concat(), 1002),
        ("first fragment inside a message", [frame(TEXT, b""), frame(TEXT, b"")].concat(), 1002),
        ("continuation of nothing", frame(FIN | CONTINUATION, b"a"), 1002),
        ("open continuation of nothing", frame(CONTINUATION, b""), 1002),
        ("continuation of a whole message", [text(b"a"), frame(CONTINUATION, b"")].concat(), 1002),
        (
            "continuation of a finished message",
            {
                let last = || frame(FIN | CONTINUATION, b"b");
                [frame(TEXT, b"a"), last(), last()].concat()
            },
            1002,
        ),
        ("close of one byte", close(b"\x03"), 1002),
        ("close code 0", code(0), 1002),
        ("close code 999", code(999), 1002),
        ("close code 1004", code(1004), 1002),
        ("close code 1005", code(1005), 1002),
        ("close code 1006", code(1006), 1002),
        ("close code 1015", code(1015), 1002),
        ("close code 1016", code(1016), 1002),
        ("close code 2999", code(2999), 1002),
        ("close code 5000", code(5000), 1002),
        ("close code 65535", code(65_535), 1002),
        ("close reason not UTF-8", close(b"\x03\xE8\xFF"), 1007),
        ("close reason cut in a character", close(b"\x03\xE8\xE2\x82"), 1007),
        ("text not UTF-8", text(b"ok\xFF"), 1007),
        ("text that ends inside a character", text("€".as_bytes().split_last().unwrap().1), 1007),
        ("overlong form", text(b"\xC0\xAF"), 1007),
        ("surrogate", text(b"\xED\xA0\x80"), 1007),
        ("above the last code point", text(b"\xF4\x90\x80\x80"), 1007),
        ("first fragment not UTF-8, no more comes", frame(TEXT, b"a\xFF"), 1007),
        (
            "bad second half of a character",
            { [frame(TEXT, b"\xE2\x82"), frame(CONTINUATION, b"a")].concat() },
            1007,
        ),
        (
            "last fragment leaves a character open",
            { [frame(TEXT, b"a"), frame(FIN | CONTINUATION, b"\xE2\x82")].concat() },
            1007,
        ),
        (
            "empty last fragment leaves a character open",
            { [frame(TEXT, b"\xE2"), frame(FIN | CONTINUATION, b"")].concat() },
            1007,
        ),
        (
            "one byte over the limit, declared only",
            { head(FIN | BINARY, 0x80 | 127, &65_537u64.to_be_bytes()) },
            1009,
        ),
        (
            "a declared length of 2^62",
            { head(FIN | BINARY, 0x80 | 127, &(1u64 << 62).to_be_bytes()) },
            1009,
        ),
        ("one byte over the limit", text(&over), 1009),
        (
            "fragments over the limit in sum",
            {
                let half = vec![b'x'; 32_769];
                [frame(TEXT, &half), frame(FIN | CONTINUATION, &half)].concat()
            },
            1009,
        ),
        (
            "seventeen fragments",
            { [vec![frame(TEXT, b"a")], vec![frame(CONTINUATION, b"a"); 16]].concat().concat() },
            1009,
        ),
        (
            "seventeen empty fragments",
            { [vec![frame(BINARY, b"")], vec![frame(CONTINUATION, b""); 16]].concat().concat() },
            1009,
        ),
    ];
    assert!(table.len() >= 40, "{}", table.len());
    for (name, bytes, code) in table {
        assert_eq!(decode(&bytes).1, Some(code), "{name}");
        let every: Vec<usize> = (1..bytes.len().min(300)).collect();
        let (_, violation, _) = decode_cut(&bytes, &every, &MessageLimits::DEFAULT, false);
        assert_eq!(violation.map(|v| v.code), Some(code), "{name}, one byte at a time");
    }
}

#[test]
fn a_message_may_be_exactly_as_long_as_the_limits() {
    let half = vec![b'x'; 32_768];
    let bytes = [frame(BINARY, &half), frame(FIN | CONTINUATION, &half)].concat();
    assert_eq!(decode(&bytes), (vec![Owned::Binary(vec![b'x'; 65_536])], None));
    let mut bytes = frame(TEXT, b"a");
    (0..14).for_each(|_| bytes.extend(frame(CONTINUATION, b"")));
    bytes.extend(frame(FIN | CONTINUATION, b"z"));
    assert_eq!(decode(&bytes), (vec![Owned::Text("az".into())], None));
}

#[test]
fn bad_text_is_refused_before_its_frame_is_whole() {
    let bytes = frame(FIN | TEXT, b"abc\xF4\x90 and much more that never comes");
    let (events, violation, _) = decode_cut(&bytes[..6 + 5], &[], &MessageLimits::DEFAULT, false);
    assert_eq!((events.len(), violation.map(|v| v.code)), (0, Some(1007)));
}

#[test]
fn a_declared_length_is_not_kept_room_for() {
    let mut decoder = Decoder::new();
    let mut bytes = head(FIN | BINARY, 0x80 | 127, &65_536u64.to_be_bytes());
    decoder
        .feed(&mut bytes, &MessageLimits::DEFAULT, None, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert!(decoder.is_unfinished());
    assert!(decoder.kept_bytes() <= 256, "{}", decoder.kept_bytes());
    let mut some = vec![b'x'; 1_000];
    decoder
        .feed(&mut some, &MessageLimits::DEFAULT, None, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert!((1_000..3_000).contains(&decoder.kept_bytes()), "{}", decoder.kept_bytes());
}

/// Frames that are mostly right: fragments in order with control frames between them, sometimes
/// anything at all.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        "[ -~€ß𝄞]{0,40}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..140),
        (0usize..400).prop_map(|length| vec![b'x'; length]),
    ];
    let first = prop_oneof![
        6 => proptest::sample::select(vec![
            FIN | TEXT, FIN | BINARY, FIN | PING, FIN | PONG, TEXT, BINARY, CONTINUATION,
            CONTINUATION, FIN | CONTINUATION,
        ]),
        1 => Just(FIN | CLOSE),
        1 => any::<u8>(),
    ];
    let frames = (first, payload, any::<[u8; 4]>())
        .prop_map(|(first, payload, mask)| frame_with(first, &payload, mask));
    proptest::collection::vec(frames, 1..8).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn any_split_of_the_same_bytes_gives_the_same_events(
        bytes in any_bytes(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        end in any::<proptest::sample::Index>(),
    ) {
        let limits = MessageLimits { bytes_max: 500, fragments_max: 4 };
        let bytes = &bytes[..=end.index(bytes.len())];
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        let every: Vec<usize> = (1..bytes.len()).collect();
        let whole = decode_cut(bytes, &[], &limits, false);
        prop_assert_eq!(&decode_cut(bytes, &cuts, &limits, false), &whole);
        prop_assert_eq!(&decode_cut(bytes, &every, &limits, false), &whole);
    }

    #[test]
    fn fragments_come_out_as_the_message_that_went_in(
        text in "[ -~€ß𝄞]{0,200}",
        mask in any::<[u8; 4]>(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..15),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(text.len());
        let mut bytes = Vec::new();
        let mut from = 0;
        for (piece, to) in cuts.iter().enumerate() {
            let opcode = if piece == 0 { TEXT } else { CONTINUATION };
            let fin = if piece + 1 == cuts.len() { FIN } else { 0 };
            bytes.extend(frame_with(fin | opcode, &text.as_bytes()[from..*to], mask));
            from = *to;
        }
        prop_assert_eq!(decode(&bytes), (vec![Owned::Text(text)], None));
    }

    #[test]
    fn noise_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Decoder::new().feed(&mut bytes, &MessageLimits::DEFAULT, None, &mut |_| {
            ControlFlow::Continue(())
        });
    }
}
