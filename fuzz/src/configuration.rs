//! Configuration files: what is accepted is within its limits, what is not is refused in words.

use crate::settings::Settings;
use std::time::Duration;
use tickcast_market::Venue;

/// Tries one input: the text of a file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let settings: Settings = match toml::from_str(text) {
        Ok(settings) => settings,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let alone = settings.clone().resolve();
    // A file that nothing is laid over says what it says.
    let under = Settings::default().over(settings.clone()).resolve();
    let over = settings.over(Settings::default()).resolve();
    match alone {
        Ok(resolved) => {
            let text = format!("{resolved:?}");
            for other in [under, over] {
                assert_eq!(format!("{:?}", other.expect("it is the same")), text);
            }
            assert!((1..=64).contains(&resolved.shards));
            assert!((1..=64).contains(&resolved.partitions));
            assert!(resolved.sim.rate.is_finite() && resolved.sim.zipf.is_finite());
            assert!(resolved.drain_window <= Duration::from_secs(86_400));
            assert!(resolved.feeds.len() <= Venue::ALL.len());
        }
        Err(error) => {
            let error = format!("{error:#}");
            assert!(!error.is_empty());
            for other in [under, over] {
                assert_eq!(format!("{:#}", other.expect_err("it is the same")), error);
            }
        }
    }
}
