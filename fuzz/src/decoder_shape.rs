//! Makes a WebSocket client's bytes out of a fuzzer's: frames that are mostly right, so that a
//! mutation changes what is said rather than breaking the next head.
//!
//! ```text
//! input  = 0 frame…      the rest is a list of frames
//!        | other byte…   the rest is what goes over the line
//! frame  = control length byte…
//! ```
//!
//! The low four bits of `control` are the opcode; `0x80` ends the message; `0x40` leaves a fault in
//! the head, which one is the length's business. A length of 240 or more stands for a long payload,
//! which is repeated from what follows.

/// The longest payload that a frame is given: some more than the limit that is tried.
const PAYLOAD_BYTES_MAX: usize = 1200;

/// How many bytes there may be of it all.
const LINE_BYTES_MAX: usize = 64 << 10;

/// What goes over the line.
pub(crate) fn line_of(data: &[u8]) -> Vec<u8> {
    match data.split_first() {
        Some((0, shaped)) => frames_of(shaped),
        Some((_, raw)) => raw.to_vec(),
        None => Vec::new(),
    }
}

fn frames_of(mut rest: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    while let [control, length, after @ ..] = rest {
        if line.len() > LINE_BYTES_MAX {
            break;
        }
        let repeats = usize::from(length.saturating_sub(239));
        let own = match repeats {
            0 => usize::from(*length).min(after.len()),
            _ => after.len().min(16),
        };
        let (payload, after) = after.split_at(own);
        rest = after;
        if repeats == 0 || payload.is_empty() {
            push_frame(&mut line, *control, *length, payload);
        } else {
            let long = payload.iter().copied().cycle().take(repeats * PAYLOAD_BYTES_MAX / 16);
            push_frame(&mut line, *control, *length, &long.collect::<Vec<_>>());
        }
    }
    line
}

fn push_frame(line: &mut Vec<u8>, control: u8, length: u8, payload: &[u8]) {
    // The fault that the head is to have; 0 for none.
    let fault = if control & 0x40 == 0 { 0 } else { 1 + length % 8 };
    let mut first = (control & 0x80) | (control & 0x0F);
    match fault {
        1 => first |= 0x40,
        2 => first |= 0x20,
        3 => first |= 0x10,
        _ => {}
    }
    line.push(first);
    let masked = if fault == 4 { 0 } else { 0x80 };
    match payload.len() {
        short @ 0..=125 if fault != 5 && fault != 6 => line.push(masked | short as u8),
        wide @ 0..=0xFFFF if fault != 6 => {
            line.push(masked | 126);
            line.extend((wide as u16).to_be_bytes());
        }
        wider => {
            line.push(masked | 127);
            line.extend((wider as u64).to_be_bytes());
        }
    }
    if fault == 7 {
        // A declared length that nothing will come of.
        let at = line.len() - 1;
        line[at] |= 0x7F;
        line.extend([0x7F; 8]);
    }
    let mask = [control, length, 0x5A, 0xC3];
    if masked != 0 {
        line.extend(mask);
        line.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    } else {
        line.extend(payload);
    }
}
