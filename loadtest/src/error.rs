//! Why a load test could not be run.

/// What went wrong. A service that breaks its promises is no error: it is counted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A flag or a field of a scenario file; the text names it and its value.
    #[error("{0}")]
    Usage(String),
    /// Something that was to be read or reached.
    #[error("{what}: {error}")]
    Io {
        what: String,
        #[source]
        error: std::io::Error,
    },
    /// The service answered with something that cannot be used.
    #[error("{0}")]
    Service(String),
    /// A process of ours ended before its report.
    #[error("{0}")]
    Process(String),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |error| Error::Io { what, error }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Error {
        Error::Usage(text.into())
    }
}

pub(crate) type Result<T> = std::result::Result<T, Error>;
