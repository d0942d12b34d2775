//! The shards' sheets as Prometheus wants them: added up when somebody scrapes, never before.
//!
//! A family is a row of one table: its name, what it means, and where in a sheet its figures are.
//! Every series is there from the start, with 0: `increase()` sees the first event.

use crate::figure::{Durations, Figure};
use crate::shard_sheet::{ByVenue, Sheet};
use crate::shard_table::{FAMILIES, REQUESTS};
use parking_lot::Mutex;
use prometheus::IntCounterVec;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, Metric, MetricFamily, MetricType};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tickcast_market::Venue;

/// Is called with the label values of a series and its figure.
type EachFigure<'a> = &'a mut dyn FnMut(&[&str], &Figure);

/// Where a family's figures are in a sheet.
pub(crate) enum Place {
    /// Counts, added up over all shards.
    Counts(fn(&Sheet, EachFigure<'_>)),
    /// Levels, added up over all shards.
    Levels(fn(&Sheet, EachFigure<'_>)),
    /// A count for each shard; the label is its number.
    CountByShard(fn(&Sheet) -> &Figure),
    /// A level for each shard.
    LevelByShard(fn(&Sheet) -> &Figure),
    /// A histogram for each venue, added up over all shards.
    DurationsByVenue(fn(&Sheet) -> &ByVenue),
    /// A histogram for each shard.
    DurationsByShard(fn(&Sheet) -> &Durations),
}

/// A row of the table.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) labels: &'static [&'static str],
    pub(crate) place: Place,
}

/// All sheets of a process, and what the door adds to them.
#[derive(Clone, Debug)]
pub(crate) struct ShardFamilies {
    sheets: Arc<Mutex<Vec<Arc<Sheet>>>>,
    /// Venues that have series before any shard knows an instrument of them.
    expected: Arc<[AtomicBool; Venue::ALL.len()]>,
    /// Requests over HTTP, which are of the same family as those of the protocol.
    http: IntCounterVec,
    descs: Vec<Desc>,
}

impl ShardFamilies {
    /// Without a shard yet: everything is 0.
    ///
    /// *Errors:* a name is none that Prometheus takes.
    pub(crate) fn new(http: IntCounterVec) -> Result<ShardFamilies, prometheus::Error> {
        let desc = |family: &Family| {
            let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(family.name.to_owned(), family.help.to_owned(), labels, HashMap::new())
        };
        let descs = FAMILIES.iter().map(desc).collect::<Result<_, _>>()?;
        Ok(ShardFamilies { sheets: Arc::default(), expected: Arc::default(), http, descs })
    }

    /// The venue has its series from now on.
    pub(crate) fn expect(&self, venue: Venue) {
        // Relaxed: a flag that a scrape may see a moment late.
        self.expected[venue as usize].store(true, Ordering::Relaxed);
    }

    /// Takes in a shard's sheet.
    pub(crate) fn put(&self, sheet: Arc<Sheet>) {
        self.sheets.lock().push(sheet);
    }
}

impl Collector for ShardFamilies {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let sheets = self.sheets.lock().clone();
        let gathered = FAMILIES.iter().map(|family| family.gather(&sheets, &*self.expected));
        let mut families: Vec<_> = gathered.collect();
        for requests in families.iter_mut().filter(|family| family.name() == REQUESTS) {
            let http = self.http.collect();
            requests.mut_metric().extend(http.into_iter().flat_map(|mut http| http.take_metric()));
        }
        families
    }
}

impl Family {
    fn gather(&self, sheets: &[Arc<Sheet>], expected: &[AtomicBool]) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        let (kind, metrics) = match self.place {
            Place::Counts(visit) => (MetricType::COUNTER, self.sums(sheets, visit, counter)),
            Place::Levels(visit) => (MetricType::GAUGE, self.sums(sheets, visit, gauge)),
            Place::CountByShard(of) => (
                MetricType::COUNTER,
                self.by_shard(sheets, |sheet, metric| counter(metric, of(sheet).get())),
            ),
            Place::LevelByShard(of) => (
                MetricType::GAUGE,
                self.by_shard(sheets, |sheet, metric| gauge(metric, of(sheet).get())),
            ),
            Place::DurationsByVenue(of) => {
                (MetricType::HISTOGRAM, self.by_venue(sheets, expected, of))
            }
            Place::DurationsByShard(of) => (
                MetricType::HISTOGRAM,
                self.by_shard(sheets, |sheet, metric| {
                    metric.set_histogram(Durations::sum(std::iter::once(of(sheet))));
                }),
            ),
        };
        family.set_field_type(kind);
        family.set_metric(metrics);
        family
    }

    fn sums(
        &self,
        sheets: &[Arc<Sheet>],
        visit: fn(&Sheet, EachFigure<'_>),
        put: fn(&mut Metric, u64),
    ) -> Vec<Metric> {
        let mut metrics = Vec::new();
        let mut sums: Vec<u64> = Vec::new();
        // What there is before there are shards.
        visit(&Sheet::default(), &mut |values, _| {
            metrics.push(self.series(values));
            sums.push(0);
        });
        for sheet in sheets {
            let mut at = 0;
            visit(sheet, &mut |_, figure| {
                sums[at] = sums[at].wrapping_add(figure.get());
                at += 1;
            });
        }
        metrics.iter_mut().zip(sums).for_each(|(metric, sum)| put(metric, sum));
        metrics
    }

    fn by_shard(&self, sheets: &[Arc<Sheet>], put: impl Fn(&Sheet, &mut Metric)) -> Vec<Metric> {
        let metric = |sheet: &Arc<Sheet>| {
            let mut metric = self.series(&[&sheet.shard.to_string()]);
            put(sheet, &mut metric);
            metric
        };
        sheets.iter().map(metric).collect()
    }

    /// Of the venues that are expected, or that some shard knows instruments of.
    fn by_venue(
        &self,
        sheets: &[Arc<Sheet>],
        expected: &[AtomicBool],
        of: fn(&Sheet) -> &ByVenue,
    ) -> Vec<Metric> {
        let is_known = |venue: &Venue| {
            // Relaxed: see `expect`.
            expected[*venue as usize].load(Ordering::Relaxed)
                || sheets.iter().any(|sheet| sheet.venues[*venue as usize].get() > 0)
        };
        let metric = |venue: Venue| {
            let mut metric = self.series(&[venue.name()]);
            let all = sheets.iter().map(|sheet| &of(sheet)[venue as usize]);
            metric.set_histogram(Durations::sum(all));
            metric
        };
        Venue::ALL.into_iter().filter(is_known).map(metric).collect()
    }

    fn series(&self, values: &[&str]) -> Metric {
        let pair = |(name, value): (&&str, &&str)| {
            let mut label = proto::LabelPair::default();
            label.set_name((*name).to_owned());
            label.set_value((*value).to_owned());
            label
        };
        let mut labels: Vec<_> = self.labels.iter().zip(values).map(pair).collect();
        // As the library does it for its own.
        labels.sort_by(|one, other| one.name().cmp(other.name()));
        let mut metric = Metric::default();
        metric.set_label(labels);
        metric
    }
}

fn counter(metric: &mut Metric, count: u64) {
    let mut counter = proto::Counter::default();
    counter.set_value(count as f64);
    metric.set_counter(counter);
}

fn gauge(metric: &mut Metric, level: u64) {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(level as i64 as f64); // What one shard has lowered another has raised.
    metric.set_gauge(gauge);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard_sheet::Sheet;
    use prometheus::{Opts, Registry, TextEncoder};
    use tickcast_market::Nanos;
    use tickcast_publisher::ShardIndex;

    fn text(families: &ShardFamilies) -> String {
        let registry = Registry::new();
        registry.register(Box::new(families.clone())).unwrap();
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    fn families() -> ShardFamilies {
        let http = IntCounterVec::new(Opts::new(REQUESTS, "Requests"), &["method", "code"]);
        ShardFamilies::new(http.unwrap()).unwrap()
    }

    #[test]
    fn every_series_is_there_before_anything_has_happened() {
        let text = text(&families());
        for line in [
            "tickcast_gateway_connections{transport=\"sse\"} 0",
            "tickcast_gateway_connections_closed_total{code=\"4508\"} 0",
            "tickcast_gateway_messages_sent_total{channel=\"book\",encoding=\"protobuf\"} 0",
            "tickcast_gateway_requests_total{code=\"ok\",method=\"subscribe\"} 0",
            "tickcast_gateway_lagging_total 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn shards_are_added_up_or_told_by_their_number() {
        let families = families();
        families.http.with_label_values(&["GET", "200"]).inc();
        for shard in [0, 1] {
            let sheet = Arc::new(Sheet::new(ShardIndex(shard)));
            families.put(sheet.clone());
            sheet.merged.add(2);
            sheet.overruns.add(u64::from(shard));
            sheet.venues[Venue::Kraken as usize].set(1);
            sheet.age_at_write[Venue::Kraken as usize].observe(Nanos::from_millis(2), 10);
            sheet.lagging.shift(if shard == 0 { 3 } else { -1 });
        }
        let text = text(&families);
        for line in [
            "tickcast_gateway_merged_updates_total 4",
            "tickcast_gateway_lagging_connections 2",
            "tickcast_gateway_shard_overruns_total{shard=\"1\"} 1",
            "tickcast_gateway_requests_total{code=\"200\",method=\"GET\"} 1",
            "tickcast_age_at_write_seconds_bucket{venue=\"kraken\",le=\"0.001\"} 0",
            "tickcast_age_at_write_seconds_bucket{venue=\"kraken\",le=\"0.0025\"} 20",
            "tickcast_age_at_write_seconds_count{venue=\"kraken\"} 20",
            "tickcast_publish_to_write_seconds_count{venue=\"kraken\"} 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
        assert!(!text.contains("binance"), "nobody knows an instrument of it");
    }
}
