//! What a service that keeps its word never does. A witness counts these; a client asks again.

/// A promise of the protocol that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// A number that is none, does not fit, or is finer than the epoch's scale.
    #[error("a number cannot be read at the epoch's scale")]
    Number,
    /// After an item the book's top ten have another CRC-32 than the item says.
    #[error("the book's checksum differs")]
    Checksum,
    /// More levels a side than the view's depth.
    #[error("the book has more levels than its depth")]
    Depth,
    /// Trades of an item whose seqs are not consecutive up to the item's own.
    #[error("the trades' seqs are not dense")]
    Density,
    /// A snapshot without `state`, or a status without one.
    #[error("the state is missing")]
    State,
    /// An update without `prev`, or with `prev` above `seq`.
    #[error("the update's prev is missing or above its seq")]
    Prev,
    /// Data of an instrument whose status was not told before on this connection.
    #[error("data came before the instrument's status")]
    DataBeforeStatus,
}
