//! A mock venue by hand: plays a recording as the venue would.

use std::process::ExitCode;
use tickcast_feed::mock::{MockConfig, MockVenue, Speed};

const USAGE: &str = "\
usage: mock-venue --recording FILE [--listen 127.0.0.1:0] [--speed N|max] [--fault NAME[=VALUE][@AFTER]]... [--any]
  faults: drop[=COUNT] duplicate reorder silence[=MILLISECONDS] cut garbage refuse refuse-rest crossed
  --any   plays as soon as a client gets any of the recording's books, not only when it gets all
While it runs: GET /control says how far it is, POST /control?fault=cut&after=500 makes trouble.";

fn parse(mut words: impl Iterator<Item = String>) -> Result<MockConfig, String> {
    let mut config = MockConfig::new("");
    while let Some(word) = words.next() {
        if word == "--any" {
            config.wait_for_all = false;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word}: a value is missing"))?;
        let wrong = |why: &dyn std::fmt::Display| format!("{word}: {value:?}: {why}");
        match word.as_str() {
            "--recording" => config.recording = value.into(),
            "--listen" => config.listen = value.parse().map_err(|error| wrong(&error))?,
            "--speed" if value == "max" => config.speed = Speed::Max,
            "--speed" => match value.parse::<f64>() {
                Ok(times) if times > 0.0 => config.speed = Speed::Times(times),
                _ => return Err(wrong(&"not a number above zero and not max")),
            },
            "--fault" => config.faults.push(value.parse().map_err(|error| wrong(&error))?),
            _ => return Err(format!("{word}: no such option")),
        }
    }
    if config.recording.as_os_str().is_empty() {
        return Err("--recording: missing".into());
    }
    Ok(config)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let config = match parse(std::env::args().skip(1)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match MockVenue::start(config).await {
        Ok(venue) => {
            // For whoever started it with port 0.
            println!("{}", venue.address());
            let _ = tokio::signal::ctrl_c().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
