//! The binary encoding, `tickcast.v1.protobuf`, as `proto/tickcast/v1.proto` defines it.
//!
//! Data is written by code that allocates nothing, since it stands where JSON's stands in the
//! publisher. Requests are read into the very text that JSON clients send, and read as that: what
//! is checked, and what errors say, cannot differ. A client reads messages the same way round.

mod answer;
mod data;
mod field;
mod reader;
mod reader_answer;
mod request;
mod request_read;
mod words;

pub(crate) use answer::write_answer;
pub(crate) use data::write_message;
pub use field::ProtobufFault;
pub use reader::ProtobufReader;
pub(crate) use request::write_request;
pub(crate) use request_read::write_json_request;
pub use words::{state_number, state_numbered};
