//! The inbound decoder where compression was agreed on (RFC 7692): a compressed message is the
//! message, however it was cut into frames and reads; what is wrong with it gets the right code.

mod decoder_kit;

use decoder_kit::{
    BINARY, CLOSE, CONTINUATION, FIN, Owned, PING, PONG, TEXT, decode_cut, frame, frame_with,
};
use flate2::{Compression, write::DeflateEncoder};
use proptest::prelude::*;
use std::io::Write;
use std::ops::ControlFlow;
use tickcast_gateway::{Decoder, Inflater, MessageLimits};

/// The bit of a compressed message.
const RSV1: u8 = 0x40;

/// The compressed form of a message (RFC 7692, section 7.2.1).
fn deflate(message: &[u8]) -> Vec<u8> {
    let mut out = DeflateEncoder::new(Vec::new(), Compression::best());
    out.write_all(message).and_then(|()| out.flush()).unwrap();
    let mut whole = out.get_ref().clone();
    whole.truncate(whole.len() - 4);
    whole
}

fn decode(bytes: &[u8]) -> (Vec<Owned>, Option<u16>) {
    let (events, violation, _) = decode_cut(bytes, &[], &MessageLimits::DEFAULT, true);
    (events, violation.map(|violation| violation.code))
}

#[test]
fn compressed_and_plain_messages_may_follow_each_other_and_be_in_fragments() {
    let message = deflate("grüße".as_bytes());
    let (one, two) = message.split_at(3);
    let bytes = [
        frame(FIN | RSV1 | TEXT, &deflate(b"{}")),
        frame(FIN | TEXT, b"plain"),
        frame(RSV1 | TEXT, one),
        frame(FIN | PING, b"between"),
        frame(CONTINUATION, b""),
        frame(FIN | CONTINUATION, two),
        frame(FIN | RSV1 | BINARY, &deflate(&[0xFF; 5_000])),
        frame(FIN | RSV1 | TEXT, &deflate(b"")),
        frame(FIN | CLOSE, b""),
    ]
    .concat();
    let want = vec![
        Owned::Text("{}".into()),
        Owned::Text("plain".into()),
        Owned::Ping(b"between".into()),
        Owned::Text("grüße".into()),
        Owned::Binary(vec![0xFF; 5_000]),
        Owned::Text(String::new()),
        Owned::Close(None),
    ];
    assert_eq!(decode(&bytes), (want, None));
}

#[test]
fn what_is_wrong_gets_the_code_that_the_protocol_names() {
    let text = |payload: &[u8]| frame(FIN | RSV1 | TEXT, payload);
    let good = deflate(b"{\"method\":\"ping\"}");
    let bomb = deflate(&vec![b' '; 10 << 20]);
    let table = [
        ("the bit on a ping", frame(FIN | RSV1 | PING, b""), 1002),
        ("the bit on a pong", frame(FIN | RSV1 | PONG, b""), 1002),
        ("the bit on a close", frame(FIN | RSV1 | CLOSE, b""), 1002),
        ("the bit on a continuation of nothing", frame(FIN | RSV1 | CONTINUATION, b""), 1002),
        (
            "the bit on a continuation of a compressed message",
            [frame(RSV1 | TEXT, &good[..4]), frame(FIN | RSV1 | CONTINUATION, &good[4..])].concat(),
            1002,
        ),
        (
            "the bit on a continuation of a plain message",
            [frame(TEXT, b"a"), frame(FIN | RSV1 | CONTINUATION, &good)].concat(),
            1002,
        ),
        ("the second reserved bit as well", frame(FIN | RSV1 | 0x20 | TEXT, &good), 1002),
        ("the third reserved bit as well", frame(FIN | RSV1 | 0x10 | TEXT, &good), 1002),
        ("a reserved opcode", frame(FIN | RSV1 | 3, &good), 1002),
        ("a reserved control opcode", frame(FIN | RSV1 | 11, b""), 1002),
        (
            "a compressed message inside another",
            [frame(RSV1 | TEXT, &good), text(&good)].concat(),
            1002,
        ),
        ("not DEFLATE", text(b"{\"method\":\"ping\"}"), 1007),
        ("nothing at all", text(b""), 1007),
        ("cut short", text(&good[..good.len() - 3]), 1007),
        (
            "with the end of the flush left in, and more",
            text(&[&good[..], b"\xFF\xFF"].concat()),
            1007,
        ),
        ("not UTF-8", text(&deflate(b"ok\xFF")), 1007),
        ("ends inside a character", text(&deflate(b"\xE2\x82")), 1007),
        ("a bomb", text(&bomb), 1009),
        ("a binary bomb", frame(FIN | RSV1 | BINARY, &bomb), 1009),
        (
            "a bomb in fragments",
            {
                let (one, two) = bomb.split_at(bomb.len() / 2);
                [frame(RSV1 | TEXT, one), frame(FIN | CONTINUATION, two)].concat()
            },
            1009,
        ),
        ("one byte over the limit", text(&deflate(&[b'x'; 65_537])), 1009),
        ("compressed bytes over the limit", text(&vec![0; 65_537]), 1009),
    ];
    for (name, bytes, code) in table {
        assert_eq!(decode(&bytes).1, Some(code), "{name}");
        let every: Vec<usize> = (1..bytes.len().min(300)).collect();
        let (_, violation, _) = decode_cut(&bytes, &every, &MessageLimits::DEFAULT, true);
        assert_eq!(violation.map(|v| v.code), Some(code), "{name}, one byte at a time");
    }
}

#[test]
fn without_an_agreement_a_compressed_message_is_a_breach_of_the_protocol() {
    for first in [FIN | RSV1 | TEXT, RSV1 | TEXT, FIN | RSV1 | BINARY] {
        let bytes = frame(first, &deflate(b"{}"));
        let (events, violation, _) = decode_cut(&bytes, &[1], &MessageLimits::DEFAULT, false);
        assert_eq!((events.len(), violation.map(|violation| violation.code)), (0, Some(1002)));
    }
}

#[test]
fn a_message_may_be_exactly_as_long_as_the_limit_once_inflated() {
    let message = vec![b'x'; 65_536];
    let bytes = frame(FIN | RSV1 | BINARY, &deflate(&message));
    assert_eq!(decode(&bytes), (vec![Owned::Binary(message)], None));
}

#[test]
fn of_an_unfinished_message_its_compressed_bytes_are_kept() {
    let bomb = deflate(&vec![b'x'; 16 << 20]);
    let (mut decoder, mut inflater) = (Decoder::new(), Inflater::new(64 << 10));
    let mut bytes = frame(RSV1 | TEXT, &bomb[..10_000]);
    let limits = MessageLimits::DEFAULT;
    decoder
        .feed(&mut bytes, &limits, Some(&mut inflater), &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert!((10_000..12_000).contains(&decoder.kept_bytes()), "{}", decoder.kept_bytes());
}

/// Frames of which most are compressed messages in fragments, and some anything at all.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let message = prop_oneof![
        "[ -~€ß𝄞]{0,60}".prop_map(|text| deflate(text.as_bytes())),
        (0usize..900).prop_map(|length| deflate(&vec![b'x'; length])),
        proptest::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| deflate(&bytes)),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    let first =
        proptest::sample::select(vec![TEXT, BINARY, TEXT | RSV1, BINARY | RSV1, PING, CLOSE]);
    let cut = any::<proptest::sample::Index>();
    let frames = (first, message, cut, any::<[u8; 4]>(), 0u8..20).prop_map(
        |(first, message, cut, mask, odd)| {
            let (one, two) = message.split_at(cut.index(message.len() + 1));
            let last = if odd == 0 { FIN | RSV1 | CONTINUATION } else { FIN | CONTINUATION };
            match odd {
                _ if first & 8 != 0 => frame_with(FIN | first, b"", mask),
                0..10 => [frame_with(first, one, mask), frame_with(last, two, mask)].concat(),
                _ => frame_with(FIN | first, &message, mask),
            }
        },
    );
    proptest::collection::vec(frames, 1..6).prop_map(|frames| frames.concat())
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
        let whole = decode_cut(bytes, &[], &limits, true);
        prop_assert_eq!(&decode_cut(bytes, &cuts, &limits, true), &whole);
        prop_assert_eq!(&decode_cut(bytes, &every, &limits, true), &whole);
    }

    #[test]
    fn compressed_fragments_come_out_as_the_message_that_went_in(
        text in "[ -~€ß𝄞]{0,400}",
        mask in any::<[u8; 4]>(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..15),
    ) {
        let message = deflate(text.as_bytes());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(message.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(message.len());
        let mut bytes = Vec::new();
        let mut from = 0;
        for (piece, to) in cuts.iter().enumerate() {
            let first = if piece == 0 { RSV1 | TEXT } else { CONTINUATION };
            let fin = if piece + 1 == cuts.len() { FIN } else { 0 };
            bytes.extend(frame_with(fin | first, &message[from..*to], mask));
            from = *to;
        }
        prop_assert_eq!(decode(&bytes), (vec![Owned::Text(text)], None));
    }

    #[test]
    fn compressed_noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let framed = frame(FIN | RSV1 | TEXT, &bytes);
        let _ = decode_cut(&framed, &[], &MessageLimits::DEFAULT, true);
        let _ = decode_cut(&bytes, &[], &MessageLimits::DEFAULT, true);
    }
}
