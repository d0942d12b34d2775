//! Messages of the service, decoded for clients.
//!
//! Text is borrowed from the message. What is not known (a channel, a field, a method) is passed
//! over, so that an older client lives with a newer service. In the order in which the service
//! writes, `channel` before `data`, everything is looked at once.

use crate::answer::{Authenticated, Goaway, Granted, Stats, Welcome};
use crate::channel::Channel;
use crate::items::{BarsItem, BookItem, StatusItem, TickerItem, TradesItem};
use crate::object::Text;
use crate::protobuf::ProtobufFault;
use crate::request::ReqId;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use tickcast_market::Nanos;

/// Why a message could not be decoded.
#[derive(Debug, thiserror::Error)]
#[error("message: {0}")]
pub enum DecodeError {
    /// It is no JSON, or lacks something that its kind always has.
    Json(#[from] serde_json::Error),
    /// It is no protobuf of the schema, or not of this connection.
    Protobuf(#[from] ProtobufFault),
}

/// Items of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push<T> {
    /// Whether each replaces what is held.
    pub is_snapshot: bool,
    /// Usually one.
    pub items: Vec<T>,
}

/// What a request was answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// To `subscribe`.
    Subscribed(Granted),
    /// To `unsubscribe`.
    Unsubscribed(Granted),
    /// To `auth`.
    Authenticated(Authenticated),
    /// To `ping`.
    Pong {
        /// When it was written.
        ts_publish: Nanos,
    },
    /// To `stats`.
    Stats(Stats),
    /// The request was refused.
    Refused {
        /// As [`crate::ErrorCode`]'s number.
        code: u16,
        /// In words.
        error: String,
    },
    /// A success of a method that is not known here.
    Unknown,
}

/// A message of the service.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<'a> {
    /// States.
    Status(Push<StatusItem<'a>>),
    /// Tickers.
    Ticker(Push<TickerItem<'a>>),
    /// Trades.
    Trades(Push<TradesItem<'a>>),
    /// Books.
    Book(Push<BookItem<'a>>),
    /// Bars.
    Bars(Push<BarsItem<'a>>),
    /// Proof of life in silence.
    Heartbeat {
        /// When it was written.
        ts_publish: Nanos,
    },
    /// The first message of a connection.
    Welcome(Welcome),
    /// The connection will be closed.
    Goaway(Goaway),
    /// An answer.
    Answer {
        /// What the request was called.
        req_id: Option<ReqId>,
        /// What came of it.
        outcome: Outcome,
    },
    /// An update in protobuf of a stream that was not opened on this connection: of an epoch that
    /// had ended before, or the opening is missing. Ask again for what is subscribed to there.
    Unopened {
        /// The stream's channel; more is not known of it.
        channel: Channel,
    },
    /// Something that is not known here and is to be ignored.
    Unknown,
}

impl<'a> Message<'a> {
    /// Decodes a JSON message. A protobuf one is read by a [`crate::ProtobufReader`] before.
    ///
    /// *Errors:* what is not JSON, or lacks a field that its kind always has. *Cost:* linear; one
    /// allocation for the list of items and one for each list in them.
    pub fn decode(message: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let envelope: Envelope<'a> = serde_json::from_slice(message)?;
        Ok(envelope.open()?)
    }
}

/// Items of some channel, or what could not be told yet because `channel` comes later.
enum Data<'a> {
    Status(Vec<StatusItem<'a>>),
    Ticker(Vec<TickerItem<'a>>),
    Trades(Vec<TradesItem<'a>>),
    Book(Vec<BookItem<'a>>),
    Bars(Vec<BarsItem<'a>>),
    Raw(&'a RawValue),
    Unknown,
}

struct DataOf<'c>(&'c str);

impl<'de> DeserializeSeed<'de> for DataOf<'_> {
    type Value = Data<'de>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Data<'de>, D::Error> {
        Ok(match Channel::from_name(self.0) {
            Some(Channel::Status) => Data::Status(Deserialize::deserialize(d)?),
            Some(Channel::Ticker) => Data::Ticker(Deserialize::deserialize(d)?),
            Some(Channel::Trades) => Data::Trades(Deserialize::deserialize(d)?),
            Some(Channel::Book) => Data::Book(Deserialize::deserialize(d)?),
            Some(Channel::Bars) => Data::Bars(Deserialize::deserialize(d)?),
            None if self.0 == "system" => Data::Raw(Deserialize::deserialize(d)?),
            None => {
                IgnoredAny::deserialize(d)?;
                Data::Unknown
            }
        })
    }
}

/// All that a message may have at its top.
#[derive(Default)]
struct Envelope<'a> {
    channel: Option<Cow<'a, str>>,
    kind: Option<Cow<'a, str>>,
    data: Option<Data<'a>>,
    method: Option<Cow<'a, str>>,
    req_id: Option<ReqId>,
    success: Option<bool>,
    result: Option<&'a RawValue>,
    code: Option<u16>,
    error: Option<Cow<'a, str>>,
    ts_publish: Option<i64>,
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut envelope = Envelope::default();
                while let Some(Text(key)) = map.next_key()? {
                    envelope.take(&key, &mut map)?;
                }
                Ok(envelope)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl<'de> Envelope<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let text = |map: &mut A| map.next_value().map(|Text(text)| Some(text));
        match key {
            "channel" => self.channel = text(map)?,
            "type" => self.kind = text(map)?,
            "data" => {
                self.data = Some(match &self.channel {
                    Some(channel) => map.next_value_seed(DataOf(channel))?,
                    None => Data::Raw(map.next_value()?),
                });
            }
            "method" => self.method = text(map)?,
            "req_id" => self.req_id = ReqId::from_raw(map.next_value()?).ok(),
            "success" => self.success = map.next_value()?,
            "result" => self.result = Some(map.next_value()?),
            "code" => self.code = map.next_value()?,
            "error" => self.error = text(map)?,
            "ts_publish" => self.ts_publish = map.next_value()?,
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn open(self) -> Result<Message<'de>, serde_json::Error> {
        let missing = <serde_json::Error as serde::de::Error>::missing_field;
        let ts_publish = self.ts_publish.map(Nanos::from_micros);
        let Some(channel) = &self.channel else {
            return Ok(match self.outcome()? {
                Some(outcome) => Message::Answer { req_id: self.req_id, outcome },
                None => Message::Unknown,
            });
        };
        let kind = self.kind.as_deref();
        match &**channel {
            "heartbeat" => {
                let ts_publish = ts_publish.ok_or_else(|| missing("ts_publish"))?;
                return Ok(Message::Heartbeat { ts_publish });
            }
            "system" => return system(kind, self.data.as_ref()),
            _ => {}
        }
        let is_snapshot = match kind {
            Some("snapshot") => true,
            Some("update") => false,
            Some("unopened") => {
                let channel = Channel::from_name(channel);
                return Ok(
                    channel.map_or(Message::Unknown, |channel| Message::Unopened { channel })
                );
            }
            _ => return Ok(Message::Unknown),
        };
        let data = match self.data.ok_or_else(|| missing("data"))? {
            Data::Raw(raw) => {
                DataOf(channel).deserialize(&mut serde_json::Deserializer::from_str(raw.get()))?
            }
            data => data,
        };
        Ok(match data {
            Data::Status(items) => Message::Status(Push { is_snapshot, items }),
            Data::Ticker(items) => Message::Ticker(Push { is_snapshot, items }),
            Data::Trades(items) => Message::Trades(Push { is_snapshot, items }),
            Data::Book(items) => Message::Book(Push { is_snapshot, items }),
            Data::Bars(items) => Message::Bars(Push { is_snapshot, items }),
            Data::Raw(_) | Data::Unknown => Message::Unknown,
        })
    }

    /// What an answer says; `None` when it is no answer.
    fn outcome(&self) -> Result<Option<Outcome>, serde_json::Error> {
        let missing = <serde_json::Error as serde::de::Error>::missing_field;
        if self.success == Some(false) {
            let code = self.code.ok_or_else(|| missing("code"))?;
            let error = self.error.as_deref().unwrap_or_default().to_owned();
            return Ok(Some(Outcome::Refused { code, error }));
        }
        let Some(method) = self.method.as_deref() else { return Ok(None) };
        if method == "pong" {
            let micros = self.ts_publish.ok_or_else(|| missing("ts_publish"))?;
            return Ok(Some(Outcome::Pong { ts_publish: Nanos::from_micros(micros) }));
        }
        let result = || self.result.map(RawValue::get).ok_or_else(|| missing("result"));
        Ok(Some(match method {
            "subscribe" => Outcome::Subscribed(serde_json::from_str(result()?)?),
            "unsubscribe" => Outcome::Unsubscribed(serde_json::from_str(result()?)?),
            "auth" => Outcome::Authenticated(serde_json::from_str(result()?)?),
            "stats" => Outcome::Stats(serde_json::from_str(result()?)?),
            _ => Outcome::Unknown,
        }))
    }
}

fn system<'a>(
    kind: Option<&str>,
    data: Option<&Data<'_>>,
) -> Result<Message<'a>, serde_json::Error> {
    let missing = <serde_json::Error as serde::de::Error>::missing_field;
    let Some(Data::Raw(raw)) = data else { return Err(missing("data")) };
    fn only<'r, T: Deserialize<'r>>(raw: &'r RawValue) -> Result<T, serde_json::Error> {
        let (item,) = serde_json::from_str(raw.get())?;
        Ok(item)
    }
    Ok(match kind {
        Some("welcome") => Message::Welcome(only(raw)?),
        Some("goaway") => Message::Goaway(only(raw)?),
        _ => Message::Unknown,
    })
}
