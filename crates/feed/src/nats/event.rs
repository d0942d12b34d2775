//! One event as it was written, before anybody has judged it, and why one is refused.

use tickcast_market::{BookSide, Decimal, NumberError, Side, TradingState};

/// A price or size as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// At the instrument's scale.
    Mantissa(i64),
    /// With its own.
    Decimal(Decimal),
}

impl Number {
    /// At the instrument's scale.
    ///
    /// *Errors:* finer than that, or larger than fits.
    pub(crate) fn at(self, scale: u8) -> Result<i64, NumberError> {
        match self {
            Number::Mantissa(mantissa) => Ok(mantissa),
            Number::Decimal(decimal) => decimal.at(scale),
        }
    }

    /// As text, at the instrument's scale where it has none.
    pub(crate) fn shown(self, scale: u8) -> String {
        match self {
            Number::Mantissa(mantissa) => Decimal { mantissa, scale }.to_string(),
            Number::Decimal(decimal) => decimal.to_string(),
        }
    }
}

/// One level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrittenLevel {
    pub(crate) side: BookSide,
    pub(crate) price: Number,
    pub(crate) size: Number,
}

/// One trade; its time is in microseconds, 0 where it has none of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrittenTrade {
    pub(crate) id: u64,
    pub(crate) price: Number,
    pub(crate) size: Number,
    pub(crate) side: Side,
    pub(crate) ts_event: i64,
}

/// What an instrument is declared to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) price_scale: u64,
    pub(crate) size_scale: u64,
    pub(crate) tick_size: Option<Decimal>,
    pub(crate) lot_size: Option<Decimal>,
}

/// What happened; levels and trades are in [`Lists`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Body {
    /// A declaration alone.
    #[default]
    Nothing,
    Trades,
    Quote,
    BookSnapshot,
    BookChanges,
    /// The state itself is beside the body: that a status was said is known before it is understood.
    Status,
    Heartbeat,
    /// Refused before it was known what happened, or more than one thing at once.
    Unclear,
}

impl Body {
    /// Its name in the schema, and as a kind of message in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Body::Nothing => "instrument",
            Body::Trades => "trades",
            Body::Quote => "quote",
            Body::BookSnapshot => "book_snapshot",
            Body::BookChanges => "book_changes",
            Body::Status => "status",
            Body::Heartbeat => "heartbeat",
            Body::Unclear => "event",
        }
    }
}

/// One event; as much of it as could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written<'a> {
    pub(crate) venue: &'a [u8],
    pub(crate) symbol: &'a [u8],
    /// 0: not counted.
    pub(crate) seq: u64,
    /// Microseconds; 0: not known.
    pub(crate) ts_event: i64,
    pub(crate) declared: Option<Declared>,
    pub(crate) body: Body,
    /// Of a status.
    pub(crate) status: TradingState,
}

impl Written<'_> {
    /// Takes the body's kind.
    ///
    /// *Errors:* a second body.
    pub(crate) fn begin(&mut self, body: Body) -> Result<(), Refusal> {
        if self.body != Body::Nothing {
            self.body = Body::Unclear;
            return Err(refused(Reason::Value, body.name(), "a second body of one event"));
        }
        self.body = body;
        Ok(())
    }
}

/// Levels and trades of the event that is read; they grow to the usual size once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lists {
    pub(crate) levels: Vec<WrittenLevel>,
    pub(crate) trades: Vec<WrittenTrade>,
}

impl Lists {
    pub(crate) fn clear(&mut self) {
        self.levels.clear();
        self.trades.clear();
    }

    pub(crate) fn level(
        &mut self,
        level: WrittenLevel,
        field: &'static str,
    ) -> Result<(), Refusal> {
        if self.levels.len() >= super::LEVELS_MAX {
            let most = format!("more than {} levels", super::LEVELS_MAX);
            return Err(refused(Reason::TooMany, field, &most));
        }
        self.levels.push(level);
        Ok(())
    }

    pub(crate) fn trade(&mut self, trade: WrittenTrade) -> Result<(), Refusal> {
        if self.trades.len() >= super::EVENTS_MAX {
            let most = format!("more than {} trades", super::EVENTS_MAX);
            return Err(refused(Reason::TooMany, "trades", &most));
        }
        self.trades.push(trade);
        Ok(())
    }
}

/// Why something is refused; also the `reason` of the counted decode error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Json,
    Protobuf,
    Missing,
    Value,
    Symbol,
    Unknown,
    Scale,
    TickSize,
    Misfit,
    Negative,
    Crossed,
    TooMany,
    TooLarge,
}

/// All of them, in words.
pub(crate) const REASONS: [&str; 13] = [
    Reason::Json.name(),
    Reason::Protobuf.name(),
    Reason::Missing.name(),
    Reason::Value.name(),
    Reason::Symbol.name(),
    Reason::Unknown.name(),
    Reason::Scale.name(),
    Reason::TickSize.name(),
    Reason::Misfit.name(),
    Reason::Negative.name(),
    Reason::Crossed.name(),
    Reason::TooMany.name(),
    Reason::TooLarge.name(),
];

impl Reason {
    /// In words, for the counter and the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Reason::Json => "not json",
            Reason::Protobuf => "not protobuf",
            Reason::Missing => "field missing",
            Reason::Value => "unexpected value",
            Reason::Symbol => "not a symbol",
            Reason::Unknown => "unknown instrument",
            Reason::Scale => "wrong scale",
            Reason::TickSize => "off the tick size",
            Reason::Misfit => crate::roster::MISFIT,
            Reason::Negative => "negative",
            Reason::Crossed => "crossed",
            Reason::TooMany => "too many",
            Reason::TooLarge => "too large",
        }
    }
}

/// What is refused: the field, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) field: &'static str,
    pub(crate) value: String,
}

impl Refusal {
    /// Whether it is the declaration that is refused.
    pub(crate) fn is_of_declaration(&self) -> bool {
        self.field.split('.').next() == Some("instrument")
    }
}

/// A refusal; the value is what stands in the field, or in words what is wrong with it.
#[cold]
pub(crate) fn refused(reason: Reason, field: &'static str, value: &str) -> Refusal {
    Refusal { reason, field, value: value.to_owned() }
}
