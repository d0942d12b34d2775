//! The numbers of one Binance message at one scale: read with what is known, and once more with
//! the finest that the message needs.

use crate::decode::fixed_decimal::{at_scale, decimals_needed};
use crate::decode::grid::Wide;
use tickcast_market::{NumberError, Price, Scales, Size, Volume};

/// Why a message could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// For counting.
    pub(crate) reason: &'static str,
    /// In words, with field and value.
    pub(crate) text: String,
}

impl Fault {
    /// A field that is missing or of another type.
    pub(crate) fn shape(field: &'static str) -> Fault {
        Fault { reason: "shape", text: format!("field {field:?} is missing or of another type") }
    }
}

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A number is finer than the present scales.
    Finer,
    /// The message cannot be used.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

/// Turns decimal text into mantissas, or only measures what scale it needs.
#[derive(Debug)]
pub(crate) struct Numbers {
    scales: Scales,
    is_measuring: bool,
}

impl Numbers {
    /// Runs `read` at `scales`; when one of its numbers is finer, raises `scales` to the finest of
    /// all of them and runs it again. `scales` is unchanged when the message cannot be used.
    ///
    /// *Errors:* those of `read`.
    pub(crate) fn read<T>(
        scales: &mut Scales,
        mut read: impl FnMut(&mut Numbers) -> Result<T, Stop>,
    ) -> Result<T, Fault> {
        match read(&mut Numbers { scales: *scales, is_measuring: false }) {
            Ok(value) => return Ok(value),
            Err(Stop::Fault(fault)) => return Err(fault),
            Err(Stop::Finer) => {}
        }
        let mut measure = Numbers { scales: *scales, is_measuring: true };
        let impossible = || Fault { reason: "number", text: "a number has no scale".into() };
        match read(&mut measure) {
            Err(Stop::Fault(fault)) => return Err(fault),
            Err(Stop::Finer) => return Err(impossible()),
            Ok(_) => {}
        }
        let mut raised = measure.scales;
        // A volume is a sum of sizes and needs at least their digits.
        raised.volume = raised.volume.max(raised.size);
        match read(&mut Numbers { scales: raised, is_measuring: false }) {
            Ok(value) => {
                *scales = raised;
                Ok(value)
            }
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Finer) => Err(impossible()),
        }
    }

    pub(crate) fn price(&mut self, field: &'static str, text: &str) -> Result<Price, Stop> {
        let scale = self.scales.price;
        let (mantissa, scale) = self.number(field, text, scale)?;
        self.scales.price = scale;
        Ok(Price(mantissa))
    }

    pub(crate) fn size(&mut self, field: &'static str, text: &str) -> Result<Size, Stop> {
        let scale = self.scales.size;
        let (mantissa, scale) = self.number(field, text, scale)?;
        self.scales.size = scale;
        Ok(Size(mantissa))
    }

    pub(crate) fn volume(&mut self, field: &'static str, text: &str) -> Result<Volume, Stop> {
        let fault = |error| number_fault(field, text, error);
        let wide = Wide::parse(text.as_bytes()).ok_or(NumberError::Syntax).map_err(fault)?;
        let Wide { mantissa, scale } = wide;
        if self.is_measuring {
            self.scales.volume = self.scales.volume.max(scale);
            return Ok(Volume(0));
        }
        match Volume(mantissa).rescaled(scale, self.scales.volume) {
            Ok(volume) => Ok(volume),
            Err(NumberError::Finer) => Err(Stop::Finer),
            Err(error) => Err(fault(error)),
        }
    }

    fn number(&self, field: &'static str, text: &str, scale: u8) -> Result<(i64, u8), Stop> {
        let fault = |error| number_fault(field, text, error);
        if self.is_measuring {
            let needed = decimals_needed(text.as_bytes()).map_err(fault)?;
            return Ok((0, scale.max(needed)));
        }
        match at_scale(text.as_bytes(), scale) {
            Ok(mantissa) => Ok((mantissa, scale)),
            Err(NumberError::Finer) => Err(Stop::Finer),
            Err(error) => Err(fault(error)),
        }
    }
}

fn number_fault(field: &'static str, text: &str, error: NumberError) -> Stop {
    let shown: String = text.chars().take(60).collect();
    Stop::Fault(Fault { reason: "number", text: format!("field {field:?}: {shown:?}: {error}") })
}
