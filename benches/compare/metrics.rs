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
    fn frames_per_send_are_of_the_second_half() {
        let looks = [(0.0, 0.0), (50.0, 50.0), (100.0, 60.0), (200.0, 65.0), (300.0, 70.0)];
        assert_eq!(frames_per_send(&looks), Some(20.0));
        assert_eq!(frames_per_send(&looks[..1]), None);
        assert_eq!(frames_per_send(&[]), None);
    }
}
