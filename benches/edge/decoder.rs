//! Masked frames decoded a second, beside tungstenite's reader on the same bytes.

use std::io::{Cursor, Read, Write};
use std::ops::ControlFlow;
use tickcast_benches::{Contender, ratio};
use tickcast_gateway::{Decoder, Event, MessageLimits};
use tungstenite::WebSocket;
use tungstenite::protocol::Role;

/// Bytes of payload of each case.
const SIZES: [usize; 4] = [20, 200, 4 << 10, 64 << 10];

/// What is decoded in one round, about.
const ROUND_BYTES: usize = 4 << 20;

/// What a shard reads at once.
const READ_BYTES: usize = 64 << 10;

/// Frames one after the other, each with another mask.
fn frames(size: usize, count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..count {
        out.push(0x81);
        match size {
            0..=125 => out.push(0x80 | size as u8),
            126..=0xFFFF => {
                out.push(0x80 | 126);
                out.extend((size as u16).to_be_bytes());
            }
            _ => {
                out.push(0x80 | 127);
                out.extend((size as u64).to_be_bytes());
            }
        }
        let mask = (number as u32).wrapping_mul(2_654_435_761).to_le_bytes();
        out.extend(mask);
        out.extend((0..size).map(|at| payload(number, at) ^ mask[at % 4]));
    }
    out
}

fn payload(number: usize, at: usize) -> u8 {
    b'a' + ((number + at) % 26) as u8
}

/// A sum that tells wrong bytes and a wrong order.
fn add(sum: u64, text: &[u8]) -> u64 {
    let ends = [text.first(), text.last()].map(|byte| u64::from(*byte.expect("not empty")));
    sum.wrapping_mul(31).wrapping_add(ends[0] * 7 + ends[1]).wrapping_add(text.len() as u64)
}

fn ours(bytes: &[u8], buffer: &mut [u8]) -> u64 {
    let limits = MessageLimits { bytes_max: 1 << 20, ..MessageLimits::DEFAULT };
    let (mut decoder, mut sum) = (Decoder::new(), 0);
    for part in bytes.chunks(buffer.len()) {
        let part = {
            // As a socket would: the decoder changes what it is given.
            buffer[..part.len()].copy_from_slice(part);
            &mut buffer[..part.len()]
        };
        let fed = decoder.feed(part, &limits, None, &mut |event| {
            if let Event::Text(text) = event {
                sum = add(sum, text.as_bytes());
            }
            ControlFlow::Continue(())
        });
        fed.expect("the frames are good");
    }
    sum
}

/// Bytes to be read, and nowhere to write.
struct Line<'a>(Cursor<&'a [u8]>);

impl Read for Line<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn theirs(bytes: &[u8]) -> u64 {
    let mut socket = WebSocket::from_raw_socket(Line(Cursor::new(bytes)), Role::Server, None);
    let mut sum = 0;
    // The bytes end without a close frame, which is an error and the end.
    while let Ok(message) = socket.read() {
        sum = add(sum, &message.into_data());
    }
    sum
}

pub(crate) fn measure() {
    for size in SIZES {
        let count = ROUND_BYTES / size;
        let bytes = frames(size, count);
        let mut buffer = vec![0; READ_BYTES];
        let expect = (0..count).fold(0, |sum, number| {
            let text: Vec<u8> = (0..size).map(|at| payload(number, at)).collect();
            add(sum, &text)
        });
        assert_eq!(ours(&bytes, &mut buffer), expect);
        assert_eq!(theirs(&bytes), expect);
        let ours = || {
            divan::black_box(ours(&bytes, &mut buffer));
        };
        ratio(
            &format!("frames of {size} bytes"),
            count,
            &mut [
                Contender { name: "tickcast", run: Box::new(ours) },
                Contender {
                    name: "tungstenite",
                    run: Box::new(|| {
                        divan::black_box(theirs(&bytes));
                    }),
                },
            ],
        );
    }
}
