//! What is asked for: the flags of `cargo xtask capacity`.

use anyhow::{Context, Result, bail, ensure};

/// How clients take their messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Protobuf,
}

/// A market, its clients, and the hosts that one has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wish {
    pub(super) instruments: f64,
    /// Ticker updates a second of each instrument.
    pub(super) rate: f64,
    pub(super) clients: f64,
    /// Of each client.
    pub(super) subscriptions: f64,
    /// The clients' own limit, updates a second and instrument.
    pub(super) max_rate: Option<f64>,
    pub(super) encoding: Encoding,
    pub(super) flush_ms: f64,
    pub(super) cores: f64,
    pub(super) gbit: f64,
    /// The share of a host that may be used in everyday.
    pub(super) load: f64,
    pub(super) gateway_clients: f64,
    /// 1: everything is in one place; else leaf nodes in each.
    pub(super) regions: f64,
}

pub(super) const USAGE: &str = "\
usage: cargo xtask capacity --instruments N --rate R --clients N --subscriptions N [FLAGS]

  --instruments N       instruments, 1 to 1000000
  --rate R              ticker updates a second of each instrument, 0.001 to 100000
  --clients N           connected clients, 1 to 100000000
  --subscriptions N     subscriptions of each client, 1 to 20000
  --max-rate R          clients take at most R updates a second and instrument [real time]
  --encoding E          json or protobuf [json]
  --flush-interval MS   the gateways' --flush-interval in milliseconds, 0 to 1000 [0]
  --cores N             cores of each host, 1 to 1024 [8]
  --network G           network of each host in Gbit/s, 0.01 to 1000 [10]
  --load L              share of a host that everyday may use, 0.05 to 1 [0.5]
  --gateway-clients N   clients on one gateway at most, 1 to 1000000 [50000]
  --regions N           regions with leaf nodes of their own, 1 to 100 [1]";

impl Wish {
    /// Reads the flags.
    ///
    /// # Errors
    /// A flag that is not known, missing, or has a value out of its range; it is named.
    pub(super) fn read(args: &[String]) -> Result<Wish> {
        let mut wish = Wish {
            instruments: 0.0,
            rate: 0.0,
            clients: 0.0,
            subscriptions: 0.0,
            max_rate: None,
            encoding: Encoding::Json,
            flush_ms: 0.0,
            cores: 8.0,
            gbit: 10.0,
            load: 0.5,
            gateway_clients: 50_000.0,
            regions: 1.0,
        };
        let mut args = args.iter();
        let mut said = Vec::new();
        while let Some(arg) = args.next() {
            let (flag, value) = match arg.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (arg.as_str(), None),
            };
            ensure!(!said.contains(&flag.to_owned()), "{flag}: is said twice");
            said.push(flag.to_owned());
            let mut value = || {
                let value = value.clone().or_else(|| args.next().cloned());
                value.with_context(|| format!("{flag}: there is no value"))
            };
            match flag {
                "--instruments" => wish.instruments = whole(flag, &value()?, 1e6)?,
                "--rate" => wish.rate = within(flag, &value()?, 0.001, 1e5)?,
                "--clients" => wish.clients = whole(flag, &value()?, 1e8)?,
                "--subscriptions" => wish.subscriptions = whole(flag, &value()?, 20_000.0)?,
                "--max-rate" => wish.max_rate = Some(within(flag, &value()?, 0.001, 1e5)?),
                "--flush-interval" => wish.flush_ms = within(flag, &value()?, 0.0, 1_000.0)?,
                "--cores" => wish.cores = whole(flag, &value()?, 1_024.0)?,
                "--network" => wish.gbit = within(flag, &value()?, 0.01, 1_000.0)?,
                "--load" => wish.load = within(flag, &value()?, 0.05, 1.0)?,
                "--gateway-clients" => wish.gateway_clients = whole(flag, &value()?, 1e6)?,
                "--regions" => wish.regions = whole(flag, &value()?, 100.0)?,
                "--encoding" => wish.encoding = encoding(&value()?)?,
                _ => {
                    bail!("{flag}: there is no such flag; `cargo xtask capacity --help` lists them")
                }
            }
        }
        for (flag, value) in [
            ("--instruments", wish.instruments),
            ("--rate", wish.rate),
            ("--clients", wish.clients),
            ("--subscriptions", wish.subscriptions),
        ] {
            ensure!(value > 0.0, "{flag}: is missing; `cargo xtask capacity --help` explains it");
        }
        ensure!(
            wish.subscriptions <= wish.instruments,
            "--subscriptions: {} is more than the {} instruments",
            wish.subscriptions,
            wish.instruments
        );
        Ok(wish)
    }
}

fn encoding(value: &str) -> Result<Encoding> {
    match value {
        "json" => Ok(Encoding::Json),
        "protobuf" => Ok(Encoding::Protobuf),
        _ => bail!("--encoding: {value:?} is neither json nor protobuf"),
    }
}

fn within(flag: &str, value: &str, least: f64, most: f64) -> Result<f64> {
    let number = value.parse().ok().filter(|number: &f64| number.is_finite());
    let number = number.with_context(|| format!("{flag}: {value:?} is not a number"))?;
    ensure!((least..=most).contains(&number), "{flag}: {value:?} is not from {least} to {most}");
    Ok(number)
}

fn whole(flag: &str, value: &str, most: f64) -> Result<f64> {
    let number = within(flag, value, 1.0, most)?;
    ensure!(number.fract() == 0.0, "{flag}: {value:?} is not a whole number");
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Wish> {
        Wish::read(&text.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    const LEAST: [&str; 4] =
        ["--instruments=500", "--rate 2.5", "--clients=1000", "--subscriptions 20"];

    #[test]
    fn flags_are_read_in_both_manners() {
        let wish =
            read(&format!("{} --encoding protobuf --max-rate=1 --regions 3", LEAST.join(" ")))
                .unwrap();
        assert_eq!((wish.instruments, wish.rate, wish.clients), (500.0, 2.5, 1_000.0));
        assert_eq!(
            (wish.encoding, wish.max_rate, wish.regions),
            (Encoding::Protobuf, Some(1.0), 3.0)
        );
        assert_eq!((wish.cores, wish.load), (8.0, 0.5));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value() {
        for (more, expect) in [
            ("--clients many", "--clients: \"many\" is not a number"),
            ("--clients 1.5", "--clients: \"1.5\" is not a whole number"),
            ("--clients 0", "--clients: \"0\" is not from 1 to 100000000"),
            ("--clients NaN", "--clients: \"NaN\" is not a number"),
            ("--load 1.1", "--load: \"1.1\" is not from 0.05 to 1"),
            ("--encoding xml", "--encoding: \"xml\" is neither json nor protobuf"),
            ("--rate", "--rate: there is no value"),
            ("--load 0.4 --load=0.5", "--load: is said twice"),
            ("--colour red", "--colour: there is no such flag"),
            ("--subscriptions 501", "--subscriptions: 501 is more than the 500 instruments"),
        ] {
            let flag = more.split(' ').next().expect("a flag");
            let mut all = LEAST.to_vec();
            all.retain(|one| !one.starts_with(flag));
            all.push(more);
            let error = read(&all.join(" ")).unwrap_err().to_string();
            assert!(error.starts_with(expect), "{more}: {error}");
        }
        let error = read("--rate 1").unwrap_err().to_string();
        assert!(error.starts_with("--instruments: is missing"), "{error}");
    }
}
