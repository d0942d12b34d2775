//! Why something was not measured, in words for the person who runs the comparison.

/// One sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Makes an error say what was being done.
pub(crate) fn while_doing<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Failure {
    move |error| Failure(format!("{what}: {error}"))
}
