//! Messages of a connection as JSON text, whatever the encoding on the line.

use tickcast_wire::Encoding;

/// Turns the messages of one connection, in their order, into the text of the JSON encoding.
#[derive(Debug)]
pub(crate) struct Texts {
    encoding: Encoding,
}

impl Texts {
    pub(crate) const fn new(encoding: Encoding) -> Texts {
        Texts { encoding }
    }

    /// The text of a message. *Errors:* the message is of another encoding.
    pub(crate) fn text<'a>(
        &'a mut self,
        opcode: u8,
        message: &'a [u8],
    ) -> Result<&'a [u8], String> {
        if opcode != self.encoding.opcode() {
            return Err(format!("a message of opcode {opcode} in {}", self.encoding.name()));
        }
        Ok(message)
    }
}
