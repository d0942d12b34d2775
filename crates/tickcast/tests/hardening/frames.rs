//! Row 12 (malformed frames) and row 9 (fragments): the right code in a close frame, then an
//! orderly end, however the bytes come.

use crate::frame_corpus::{Sequence, sequences};
use crate::hostile::{quiet, unharmed};
use crate::raw::{End, Outcome, PATIENCE, Raw, connect, frame, text};
use crate::service::{Service, Stream, tls};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How a sequence is sent.
#[derive(Clone, Copy, Debug)]
enum Way {
    OneWrite,
    ByteByByte,
    /// With much behind it, so that unread bytes are there when the server closes.
    WithMoreBehind,
    /// With the handshake, before that has been answered.
    WithTheHandshake,
}

const WAYS: [Way; 4] = [Way::OneWrite, Way::ByteByByte, Way::WithMoreBehind, Way::WithTheHandshake];

#[test]
fn row_12_malformed_frames_are_answered_with_their_code_and_an_orderly_end() {
    let service = quiet();
    let corpus = sequences();
    assert!(corpus.len() >= 60, "{} sequences", corpus.len());
    let mut witness = Raw::open(&service);
    let mut wrong = Vec::new();
    for sequence in &corpus {
        for way in WAYS {
            let stream = Stream::Plain(connect(service.public));
            if let Err(why) = judge(&play(stream, sequence, way), sequence.code) {
                wrong.push(format!("{} {way:?}: {why}", sequence.name));
            }
        }
        witness.is_served();
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), 4 * corpus.len(), wrong.join("\n"));
    let mut codes = BTreeMap::<u16, usize>::new();
    for sequence in &corpus {
        *codes.entry(sequence.code).or_default() += 1;
    }
    println!("row 12: {} sequences, each in 4 ways, all answered rightly: {codes:?}", corpus.len());
    unharmed(&service);
}

#[test]
fn row_12_the_same_through_tls() {
    let files = tls::Files::new();
    let service = Service::start_tls(&files, &["--sim-instruments", "3", "--sim-rate", "0"]);
    let corpus = sequences();
    let mut wrong = Vec::new();
    for sequence in &corpus {
        if let Err(why) = judge(&play(service.stream(), sequence, Way::OneWrite), sequence.code) {
            wrong.push(format!("{}: {why}", sequence.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), corpus.len(), wrong.join("\n"));
    println!("row 12: {} sequences through TLS, all answered rightly", corpus.len());
    unharmed(&service);
}

fn play(stream: Stream, sequence: &Sequence, way: Way) -> Outcome {
    let ahead = if matches!(way, Way::WithTheHandshake) { &sequence.bytes[..] } else { b"" };
    let mut raw = Raw::shake(stream, ahead);
    match way {
        Way::OneWrite => raw.send(&sequence.bytes),
        Way::ByteByByte => {
            // The server may have judged, and left, by the first of them.
            let _ = sequence.bytes.iter().all(|byte| raw.try_send(&[*byte]));
        }
        Way::WithMoreBehind => {
            raw.try_send(&[&sequence.bytes[..], &[0xFF; 100_000]].concat());
        }
        Way::WithTheHandshake => {}
    }
    raw.read_to_end(PATIENCE)
}

fn judge(outcome: &Outcome, code: u16) -> Result<(), String> {
    let (got, end) = (outcome.close_code(), outcome.end);
    if got != Some(code) || end != End::Orderly || outcome.frames_after_close() > 0 {
        let opcodes: Vec<u8> = outcome.frames.iter().map(|frame| frame.opcode).collect();
        return Err(format!("{got:?}, {end:?} instead of {code}; frames {opcodes:?}"));
    }
    Ok(())
}

#[test]
fn row_09_messages_at_the_limits_pass_and_beyond_them_do_not() {
    let service = quiet();
    let mut raw = Raw::open(&service);
    let ping = br#"{"method":"ping","req_id":"whole"}"#;
    let mut longest = ping.to_vec();
    longest.resize(65_536, b' ');
    let in_sixteen: Vec<u8> = (0..16)
        .flat_map(|piece| {
            let (from, to) = (piece * ping.len() / 16, (piece + 1) * ping.len() / 16);
            let first = u8::from(piece == 0) | if piece == 15 { 0x80 } else { 0 };
            [frame(first, &ping[from..to]), frame(0x89, b"between")].concat()
        })
        .collect();
    for bytes in [frame(0x81, ping), frame(0x81, &longest), in_sixteen] {
        raw.send(&bytes);
        raw.until("the answer", |frame| {
            frame.opcode == 1 && frame.payload.ends_with(b"}") && contains(&frame.payload, b"whole")
        });
    }
    println!("row 9: 65,536 bytes and 16 fragments pass; 65,537 and 17 are in row 12's corpus");
    unharmed(&service);
}

#[test]
fn row_09_a_message_must_be_complete_within_ten_seconds() {
    let service = quiet();
    let begun = Instant::now();
    // A head alone, half a head, half a payload, a first fragment, and one that drips on.
    let beginnings = [
        frame(0x81, &[b' '; 100])[..6].to_vec(),
        frame(0x81, &[b' '; 100])[..1].to_vec(),
        frame(0x81, &[b' '; 100])[..50].to_vec(),
        frame(0x01, b"{"),
        frame(0x89, b"abc")[..3].to_vec(),
    ];
    let mut raws: Vec<Raw> = beginnings.iter().map(|_| Raw::open(&service)).collect();
    for (raw, bytes) in raws.iter_mut().zip(&beginnings) {
        raw.send(bytes);
    }
    let mut dripping = Raw::open(&service);
    dripping.send(&frame(0x01, b"{"));
    let drip = std::thread::spawn(move || {
        let mut drops = 0;
        // Each second a byte of the frame, or a ping: life, but no message.
        let bytes = frame(0x80, &[b' '; 60]);
        dripping.stream.set_read_timeout(Duration::from_millis(500));
        loop {
            match dripping.next() {
                crate::raw::Next::Frame(frame) if frame.opcode == 8 => return frame,
                crate::raw::Next::End(End::Open) => {
                    dripping.try_send(&[bytes[drops.min(60)]]);
                    drops += 1;
                }
                crate::raw::Next::Frame(_) => {}
                crate::raw::Next::End(end) => panic!("no close frame: {end:?}"),
            }
        }
    });
    for (raw, bytes) in raws.iter_mut().zip(&beginnings) {
        let outcome = raw.read_to_end(PATIENCE);
        assert_eq!((outcome.close_code(), outcome.end), (Some(1008), End::Orderly), "{bytes:?}");
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(40), "{took:?}");
    }
    let took = begun.elapsed();
    let close = drip.join().expect("a close frame");
    assert_eq!(close.payload[..2], 1008u16.to_be_bytes());
    println!(
        "row 9: {} unfinished messages closed with 1008 after {took:.1?}",
        beginnings.len() + 1
    );
    let mut other = Raw::open(&service);
    other.send(&text(r#"{"method":"ping"}"#));
    other.until("a pong", |frame| contains(&frame.payload, b"pong"));
    unharmed(&service);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
