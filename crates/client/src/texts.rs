//! Messages of a connection as JSON text, whatever the encoding on the line.

use tickcast_wire::{Encoding, ProtobufReader};

/// Turns the messages of one connection, in their order, into the text of the JSON encoding.
#[derive(Debug)]
pub(crate) enum Texts {
    Json,
    Protobuf(Box<ProtobufReader>),
}

impl Texts {
    pub(crate) fn new(encoding: Encoding) -> Texts {
        match encoding {
            Encoding::Json => Texts::Json,
            Encoding::Protobuf => Texts::Protobuf(Box::default()),
        }
    }

    fn encoding(&self) -> Encoding {
        match self {
            Texts::Json => Encoding::Json,
            Texts::Protobuf(_) => Encoding::Protobuf,
        }
    }

    /// The text of a message. *Errors:* the message is of another encoding, or is none.
    pub(crate) fn text<'a>(
        &'a mut self,
        opcode: u8,
        message: &'a [u8],
    ) -> Result<&'a [u8], String> {
        let encoding = self.encoding();
        if opcode != encoding.opcode() {
            return Err(format!("a message of opcode {opcode} in {}", encoding.name()));
        }
        match self {
            Texts::Json => Ok(message),
            Texts::Protobuf(reader) => reader.read(message).map_err(|error| error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_another_encoding_is_refused() {
        let mut json = Texts::new(Encoding::Json);
        assert_eq!(json.text(1, b"{}"), Ok(&b"{}"[..]));
        assert_eq!(json.text(2, b"{}"), Err("a message of opcode 2 in json".into()));
        let mut protobuf = Texts::new(Encoding::Protobuf);
        assert_eq!(protobuf.text(1, b""), Err("a message of opcode 1 in protobuf".into()));
        assert_eq!(protobuf.text(2, b""), Ok(&b"{}"[..]), "of a kind that is not known here");
        assert!(protobuf.text(2, b"\xff").is_err());
    }
}
