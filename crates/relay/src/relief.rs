//! A publisher that holds the lease and has lost its venues gives it to a standby that has not: it
//! asks on the bus whether there is one. Where nobody has prices it keeps the lease, so that
//! gateways are told what is stale.

use crate::bus::Bus;
use crate::lease::HasPrices;
use crate::refusals::Subscription;
use crate::stream::RELIEF;
use async_nats::Subject;
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Without prices for so long it asks. A venue that ends its connections does so for both, and is
/// back within this.
const ASKED_AFTER: Duration = Duration::from_secs(5);

/// How often it is looked whether there are prices, and asked while there are none.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// An answer takes at most so long.
const ANSWER_DEADLINE: Duration = Duration::from_millis(400);

/// Ends when this publisher has had no prices for some seconds and another one says that it has;
/// gives its name.
pub(crate) async fn relieved(bus: &Bus, has_prices: &HasPrices) -> String {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut without_since = None;
    loop {
        looks.tick().await;
        if has_prices() {
            without_since = None;
            continue;
        }
        let since = *without_since.get_or_insert_with(Instant::now);
        if since.elapsed() < ASKED_AFTER {
            continue;
        }
        let asked = bus.client.request(Subject::from_static(RELIEF), Bytes::new());
        // Nobody has prices, or nobody is there; it is asked again.
        if let Ok(Ok(answer)) = timeout(ANSWER_DEADLINE, asked).await {
            return String::from_utf8_lossy(&answer.payload).into_owned();
        }
    }
}

/// Answers with this publisher's name while it has prices and does not hold the lease. Never ends.
pub(crate) async fn offer(
    bus: &Bus,
    name: &str,
    has_prices: &HasPrices,
    run: watch::Receiver<Option<u64>>,
) {
    if let Ok(mut asked) = Subscription::new(bus, RELIEF.to_owned()).await {
        while let Some(request) = asked.next_message().await {
            let is_standby = run.borrow().is_none();
            if let Some(reply) = request.reply.filter(|_| is_standby && has_prices()) {
                bus.publish(reply, Bytes::copy_from_slice(name.as_bytes())).await;
            }
        }
    }
    // The client has ended; whoever keeps the lease notices that itself.
    std::future::pending::<()>().await;
}
