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
    WAKES_MAX: 1000.0000 "/s",
    PUBLISHER_IDLE: 0.0036 "cores",
    PUBLISHER_WAKE: 96.7821 "µs",
    PUBLISHER_EVENT: 0.8614 "µs",
    PUBLISHER_PUBLISHED: 22.6018 "µs",
    GATEWAY_IDLE: 0.0082 "cores",
    GATEWAY_WAKE: 51.8381 "µs",
    GATEWAY_RECEIVED: 13.1832 "µs",
    GATEWAY_SEND: 5.1862 "µs",
    GATEWAY_DELIVERY: 0.0000 "µs",
    NATS_IDLE: 0.0075 "cores",
    NATS_WAKE: 55.8291 "µs",
    NATS_MESSAGE: 9.7837 "µs",
    GATEWAY_MEMORY: 20.2290 "MB",
    CONNECTION_MEMORY: 315.2731 "bytes",
    SUBSCRIPTION_MEMORY: 50.6910 "bytes",
    INSTRUMENT_MEMORY: 3929.3427 "bytes",
    PUBLISHER_MEMORY: 23.5597 "MB",
    PUBLISHER_INSTRUMENT_MEMORY: 6565.5041 "bytes",
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
