//! What things cost: the coefficients of the cost model, as `cargo xtask bench --bus` found them.
//!
//! They stand here, in benches/RESULTS.md and in docs/capacity.md; a test holds the three together.

/// A coefficient: its name in the tables, its value, its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) unit: &'static str,
}

macro_rules! costs {
    ($($name:ident: $value:literal $unit:literal,)*) => {
        $(pub(super) const $name: Cost = Cost {
            name: stringify!($name),
            value: $value,
            unit: $unit,
        };)*
        /// All of them, in the order of the tables.
        #[cfg(test)]
        pub(super) const ALL: &[Cost] = &[$($name),*];
    };
}

costs! {
    PUBLISHER_IDLE: 0.0049 "cores",
    WAKES_MAX: 1000.0000 "/s",
    PUBLISHER_WAKE: 0.0 "µs",
    PUBLISHER_EVENT: 27.2202 "µs",
    PUBLISHER_PUBLISHED: 21.4880 "µs",
    GATEWAY_IDLE: 0.0076 "cores",
    GATEWAY_WAKE: 0.0 "µs",
    GATEWAY_RECEIVED: 27.1799 "µs",
    GATEWAY_SEND: 5.1441 "µs",
    GATEWAY_DELIVERY: 0.0000 "µs",
    NATS_IDLE: 0.0076 "cores",
    NATS_WAKE: 0.0 "µs",
    NATS_MESSAGE: 0.0 "µs",
    GATEWAY_MEMORY: 19.7428 "MB",
    CONNECTION_MEMORY: 229.1958 "bytes",
    SUBSCRIPTION_MEMORY: 46.2793 "bytes",
    INSTRUMENT_MEMORY: 3677.6416 "bytes",
    PUBLISHER_MEMORY: 23.1937 "MB",
    PUBLISHER_INSTRUMENT_MEMORY: 6476.2266 "bytes",
}

impl Cost {
    /// In cores, seconds or bytes.
    pub(super) fn get(self) -> f64 {
        match self.unit {
            "µs" => self.value / 1e6,
            "MB" => self.value * 1e6,
            _ => self.value,
        }
    }
}

/// Bytes of one ticker update with its WebSocket header.
pub(super) const JSON_BYTES: f64 = 206.0;
pub(super) const PROTOBUF_BYTES: f64 = 29.0;

/// Bytes of one update on the bus: payload, and NATS's own line with the subject around it.
pub(super) const BUS_BYTES: f64 = 46.5;
pub(super) const BUS_LINE_BYTES: f64 = 60.0;

/// Ethernet, IP and TCP around each send.
pub(super) const SEND_BYTES: f64 = 66.0;
