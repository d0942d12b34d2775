//! The numbers that say what went wrong, the same in answers and as WebSocket close codes.

use std::fmt;

/// Why a request was refused or a connection closed. 44xx: do not come back unchanged; 45xx: come
/// back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum ErrorCode {
    /// The request cannot be understood; the text names the field and the value.
    BadRequest = 4400,
    /// Not authenticated, or the token has expired.
    NotAuthenticated = 4401,
    /// Authenticated, but without the right to this.
    NotEntitled = 4403,
    /// No such symbol.
    UnknownSymbol = 4404,
    /// More subscriptions or instruments than the limits allow.
    TooManySubscriptions = 4413,
    /// A fault of ours.
    Internal = 4500,
    /// Too much to do at present.
    Overloaded = 4503,
    /// Bytes waited and not one moved.
    NoProgress = 4508,
    /// Too many requests.
    TooManyRequests = 4529,
}

impl ErrorCode {
    /// All codes.
    pub const ALL: [ErrorCode; 9] = [
        ErrorCode::BadRequest,
        ErrorCode::NotAuthenticated,
        ErrorCode::NotEntitled,
        ErrorCode::UnknownSymbol,
        ErrorCode::TooManySubscriptions,
        ErrorCode::Internal,
        ErrorCode::Overloaded,
        ErrorCode::NoProgress,
        ErrorCode::TooManyRequests,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code of that number.
    pub fn from_number(number: u16) -> Option<ErrorCode> {
        ErrorCode::ALL.into_iter().find(|code| code.number() == number)
    }

    /// In words, for a close frame and where nothing more exact is known.
    pub const fn reason(self) -> &'static str {
        match self {
            ErrorCode::BadRequest => "bad request",
            ErrorCode::NotAuthenticated => "not authenticated",
            ErrorCode::NotEntitled => "not entitled",
            ErrorCode::UnknownSymbol => "unknown symbol",
            ErrorCode::TooManySubscriptions => "too many subscriptions",
            ErrorCode::Internal => "internal error",
            ErrorCode::Overloaded => "overloaded",
            ErrorCode::NoProgress => "no progress",
            ErrorCode::TooManyRequests => "too many requests",
        }
    }

    /// Whether the same may succeed later (45xx).
    pub const fn may_come_back(self) -> bool {
        self.number() >= 4500
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.reason())
    }
}
