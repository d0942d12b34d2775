//! What a proxy says before a connection's first byte: a header is found whole or not at all, and
//! what there is of a good one is waited for.

use tickcast_gateway::{FoundProxyHeader, read_proxy_header};

/// The longest header that is understood.
const HEADER_BYTES_MAX: usize = 1024;

/// Tries one input: the first bytes of a connection.
pub fn run(data: &[u8]) {
    match read_proxy_header(data) {
        FoundProxyHeader::Whole(length, client) => {
            assert!(length <= data.len().min(HEADER_BYTES_MAX));
            let found = FoundProxyHeader::Whole(length, client);
            assert_eq!(read_proxy_header(&data[..length]), found, "what follows does not matter");
            for part in 0..length {
                let found = read_proxy_header(&data[..part]);
                assert_eq!(found, FoundProxyHeader::Part, "after {part} bytes");
            }
        }
        FoundProxyHeader::Part => {
            assert!(data.len() < HEADER_BYTES_MAX, "nobody waits for ever");
            for part in 0..data.len() {
                let found = read_proxy_header(&data[..part]);
                assert_eq!(found, FoundProxyHeader::Part, "after {part} bytes");
            }
        }
        FoundProxyHeader::Malformed => {}
        FoundProxyHeader::Nothing => {
            let more = [data, b"more"].concat();
            assert_eq!(read_proxy_header(&more), FoundProxyHeader::Nothing);
        }
    }
}
