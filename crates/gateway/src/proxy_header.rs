//! The PROXY protocol, versions 1 and 2: what a trusted proxy says before a connection's first byte
//! (haproxy's `doc/proxy-protocol.txt`).
//!
//! Pure: bytes in, a [`Found`] out. Nothing of it is understood from anybody else.

use proxy_header::{Error, ParseConfig, Protocol, ProxyHeader};
use std::net::SocketAddr;

/// The longest header of version 1, with its line end.
const V1_BYTES_MAX: usize = 107;
/// The longest header of version 2 that is read: its head, addresses, and what proxies add to them.
const V2_BYTES_MAX: usize = 1024;
const V2_HEAD_BYTES: usize = 16;

/// How much has to be looked at to find a header's end.
pub(crate) const HEADER_BYTES_MAX: usize = V2_BYTES_MAX;

const V1_SIGNATURE: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No header: the client's own bytes.
    Nothing,
    /// Perhaps the beginning of one.
    Part,
    /// A header of so many bytes; the client's address, unless the proxy speaks for itself.
    Whole(usize, Option<SocketAddr>),
    /// A header that breaks the rules.
    Malformed,
}

/// Looks at the first bytes of a connection.
pub fn read_proxy_header(bytes: &[u8]) -> Found {
    let begins = |signature: &[u8]| bytes.iter().zip(signature).all(|(a, b)| a == b);
    let limit = match () {
        () if begins(V1_SIGNATURE) => V1_BYTES_MAX,
        () if begins(V2_SIGNATURE) => V2_BYTES_MAX,
        () => return Found::Nothing,
    };
    let is_v1 = limit == V1_BYTES_MAX;
    let bytes = &bytes[..bytes.len().min(limit)];
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(bytes, config) {
        // Of what may stand behind `UNKNOWN` a line end ends it all, or where it was cut would matter.
        Ok((_, length)) if is_v1 && bytes[..length - 1].contains(&b'\n') => Found::Malformed,
        Ok((header, length)) => match header.proxied_address() {
            None => Found::Whole(length, None),
            Some(address) if address.protocol == Protocol::Stream => {
                Found::Whole(length, Some(address.source))
            }
            Some(_) => Found::Malformed,
        },
        Err(Error::BufferTooShort) if !is_over(bytes, limit) => Found::Part,
        Err(_) => Found::Malformed,
    }
}

/// Whether more bytes cannot make a header of it.
fn is_over(bytes: &[u8], limit: usize) -> bool {
    if limit == V1_BYTES_MAX {
        return bytes.len() >= limit || bytes.contains(&b'\n');
    }
    match bytes.get(V2_HEAD_BYTES - 2..V2_HEAD_BYTES) {
        Some(length) => {
            let whole = V2_HEAD_BYTES + usize::from(u16::from_be_bytes([length[0], length[1]]));
            whole > limit || bytes.len() >= whole
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    const V4: [u8; 12] = [198, 51, 100, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];

    fn headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let v6 = |port: &[u8; 2]| {
            let mut body = vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            body.extend([0; 16]);
            body.extend(port);
            body.extend([0, 80]);
            body
        };
        let with_tlvs = [&V4[..], &[3, 0, 4, 1, 2, 3, 4], &[0xEA, 0, 2, 1, 2]].concat();
        vec![
            (b"PROXY TCP4 198.51.100.1 10.0.0.1 4660 80\r\n".to_vec(), Some("198.51.100.1:4660")),
            (b"PROXY TCP6 2001:db8::1 fd00::1 1 80\r\n".to_vec(), Some("[2001:db8::1]:1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ff:ff::1 ff:ff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &V4), Some("198.51.100.1:4660")),
            (v2(0x21, 0x11, &with_tlvs), Some("198.51.100.1:4660")),
            (v2(0x21, 0x21, &v6(&[0, 9])), Some("[2001:db8::1]:9")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &V4), None),
            (v2(0x21, 0x00, &[0; 40]), None),
            (v2(0x21, 0x31, &[7; 216]), None),
        ]
    }

    #[test]
    fn headers_of_both_versions_are_understood_wherever_they_are_cut() {
        for (header, client) in headers() {
            let client = client.map(|client| client.parse().unwrap());
            for rest in [&b""[..], b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"PROXY TCP4 "] {
                let bytes = [&header, rest].concat();
                let found = read_proxy_header(&bytes);
                assert_eq!(found, Found::Whole(header.len(), client), "{header:?}");
            }
            for cut in 0..header.len() {
                assert_eq!(read_proxy_header(&header[..cut]), Found::Part, "{header:?} {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_the_clients_and_a_wrong_one_is_malformed() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"PUT", b"\x16\x03\x01", b"\r\n\r\nGET", b"\0"] {
            assert_eq!(read_proxy_header(bytes), Found::Nothing, "{bytes:?}");
        }
        let long = format!("PROXY UNKNOWN {}", "x".repeat(200));
        let many = v2(0x21, 0x11, &[&V4[..], &[0; 2000]].concat());
        let table = [
            b"PROXY TCP4 198.51.100.1 10.0.0.1 4660\r\n".to_vec(),
            b"PROXY TCP4 198.51.100.1 10.0.0.1 4660 80\n".to_vec(),
            b"PROXY TCP4 198.51.100.256 10.0.0.1 4660 80\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 fd00::1 1 80\r\n".to_vec(),
            b"PROXY TCP4 198.51.100.1 10.0.0.1 99999 80\r\n".to_vec(),
            b"PROXY UDP4 198.51.100.1 10.0.0.1 4660 80\r\n".to_vec(),
            b"PROXY nonsense of all kinds\r\n".to_vec(),
            b"PROXY UNKNOWN one line\n and another\r\n".to_vec(),
            long.into_bytes(),
            v2(0x31, 0x11, &V4),
            v2(0x22, 0x11, &V4),
            v2(0x21, 0x11, &V4[..11]),
            v2(0x21, 0x21, &V4),
            v2(0x21, 0x12, &V4),
            v2(0x21, 0x41, &V4),
            v2(0x21, 0x31, &V4),
            many[..V2_HEAD_BYTES].to_vec(),
            many,
        ];
        for bytes in table {
            assert_eq!(read_proxy_header(&bytes), Found::Malformed, "{bytes:?}");
        }
    }

    #[test]
    fn no_bytes_whatever_make_it_fail() {
        let mut random = fastrand::Rng::with_seed(7);
        let seeds: Vec<_> = headers().into_iter().map(|(header, _)| header).collect();
        for _ in 0..200_000 {
            let mut bytes = seeds[random.usize(..seeds.len())].clone();
            for _ in 0..random.usize(..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(..=bytes.len()));
            if let Found::Whole(length, _) = read_proxy_header(&bytes) {
                assert!(length <= bytes.len());
            }
        }
    }
}
