//! A look at a server's metrics while it runs.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server that does not answer within this time has other things to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// The text at `/metrics`; `None` if it does not come.
pub(crate) fn fetch(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some(body.to_owned())
}

/// The sum of a metric's samples whose labels contain `label`; `None` if there is none.
pub(crate) fn sum(text: &str, name: &str, label: &str) -> Option<f64> {
    let sample = |line: &str| -> Option<f64> {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.contains(label).then(|| rest.rsplit(' ').next()?.parse().ok())?
    };
    text.lines().filter_map(sample).reduce(|sum, sample| sum + sample)
}

/// Messages and sends so far.
pub(crate) fn sends(text: &str) -> Option<(f64, f64)> {
    let messages = sum(text, "tickcast_gateway_messages_sent_total", "")?;
    Some((messages, sum(text, "tickcast_gateway_sends_total", "")?))
}

/// Messages in each send over the second half of these looks, when all clients are there.
pub(crate) fn frames_per_send(looks: &[(f64, f64)]) -> Option<f64> {
    let (first, last) = (looks.get(looks.len() / 2)?, looks.last()?);
    let (messages, sends) = (last.0 - first.0, last.1 - first.1);
    (sends > 0.0).then(|| messages / sends)
}

/// A histogram's upper bounds with how many samples do not exceed each, over all labels.
pub(crate) fn buckets(text: &str, name: &str) -> Vec<(f64, f64)> {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix("_bucket{"))
        else {
            continue;
        };
        let bound = rest.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
        let bound = bound.and_then(|bound| bound.replace("+Inf", "inf").parse().ok());
        let count = rest.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok());
        let (Some(bound), Some(count)) = (bound, count) else { continue };
        match buckets.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, sum)) => *sum += count,
            None => buckets.push((bound, count)),
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets
}

/// A quantile of such a histogram, as if samples lay evenly within a bucket.
pub(crate) fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let rank = buckets.last()?.1 * share;
    let at = buckets.iter().position(|(_, count)| *count >= rank && *count > 0.0)?;
    let (low, below) = at.checked_sub(1).map_or((0.0, 0.0), |before| buckets[before]);
    let (high, count) = buckets[at];
    if high.is_infinite() {
        return Some(low);
    }
    Some(low + (high - low) * (rank - below) / (count - below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_metric_are_summed_and_its_name_is_whole() {
        let text = "# HELP a b\na{mode=\"send\"} 3\na{mode=\"uring\"} 4\na_total 9\nb 1.5e3\n";
        assert_eq!(sum(text, "a", ""), Some(7.0));
        assert_eq!(sum(text, "a", "uring"), Some(4.0));
        assert_eq!((sum(text, "b", ""), sum(text, "c", "")), (Some(1500.0), None));
    }

    #[test]
    fn quantiles_of_a_histogram_lie_between_its_bounds() {
        let text = "h_bucket{venue=\"a\",le=\"0.001\"} 50\nh_bucket{venue=\"a\",le=\"0.002\"} 90\n\
                    h_bucket{venue=\"a\",le=\"+Inf\"} 100\nh_count{venue=\"a\"} 100\n";
        let buckets = buckets(text, "h");
        assert_eq!(buckets.len(), 3);
        assert_eq!(quantile(&buckets, 0.25), Some(0.000_5));
        assert!((quantile(&buckets, 0.7).unwrap() - 0.001_5).abs() < 1e-9);
        assert_eq!(quantile(&buckets, 0.99), Some(0.002), "above the last bound it is that");
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn frames_per_send_are_of_the_second_half() {
        let looks = [(0.0, 0.0), (50.0, 50.0), (100.0, 60.0), (200.0, 65.0), (300.0, 70.0)];
        assert_eq!(frames_per_send(&looks), Some(20.0));
        assert_eq!(frames_per_send(&looks[..1]), None);
        assert_eq!(frames_per_send(&[]), None);
    }
}
