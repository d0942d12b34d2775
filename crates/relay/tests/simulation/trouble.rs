//! What goes wrong in the simulated world, and is put right again.

use crate::gateway::run_of;
use crate::market::INSTRUMENTS;
use crate::oracle::VIEWS;
use crate::publisher::Process;
use crate::world::World;
use tickcast_market::{InstrumentIndex, Nanos};

impl World {
    pub(crate) fn connect_gateway(&mut self, number: usize) {
        let gateway = &mut self.gateways[number];
        if !std::mem::replace(&mut gateway.is_connected, true) {
            gateway.losses += 1;
            gateway.line_since = self.now;
            self.note_floors(number);
        }
    }

    /// Messages may have been lost here: nothing older than this is live before it was asked for.
    fn note_floors(&mut self, number: usize) {
        let floors = &mut self.gateways[number].floors;
        for one in &self.publishers {
            for instrument in 0..one.listed {
                for (at, view) in VIEWS.into_iter().enumerate() {
                    if let Some(now) = one.hub.now(InstrumentIndex(instrument as u32), view) {
                        floors.insert((instrument, at, run_of(now.epoch)), now);
                    }
                }
            }
        }
    }

    /// A line that breaks and is made again at once; of what was held up on its way some comes later.
    pub(crate) fn cut_what_is_due(&mut self) {
        for number in 0..self.gateways.len() {
            let gateway = &mut self.gateways[number];
            if gateway.cut_at.take_if(|at| *at <= self.now).is_none() || !gateway.is_connected {
                continue;
            }
            gateway.losses += 1;
            for line in gateway.lines.values_mut() {
                line.truncate(gateway.random.usize(..=line.len()));
            }
            self.note_floors(number);
        }
    }

    fn disconnect_gateway(&mut self, number: usize) {
        let gateway = &mut self.gateways[number];
        if std::mem::replace(&mut gateway.is_connected, false) {
            gateway.line_since = self.now;
            if gateway.random.bool() {
                gateway.lines.clear();
            }
        }
    }

    pub(crate) fn connect_publisher(&mut self, number: usize) {
        let one = &mut self.publishers[number];
        if !std::mem::replace(&mut one.is_connected, true) {
            one.losses += 1;
            // What had waited is sent late, or never.
            if self.random.bool() {
                one.out.clear();
            }
        }
    }

    /// Where one that was deposed goes on, who holds the lease is stopped: what is heard is not the one
    /// that counts.
    fn silence_the_leader(&mut self, until: Nanos) {
        let Some((leader, run)) = self.bucket.holder() else { return };
        let is_deposed = |one: &Process| one.run.is_some_and(|other| other < run);
        let is_there = |one: &&mut Process| is_deposed(one) && !one.is_frozen(self.now);
        let Some(deposed) = self.publishers.iter_mut().find(is_there) else { return };
        (deposed.deaf_until, deposed.no_bucket_until) = (until, until);
        self.publishers[leader].frozen_until = until;
    }

    pub(crate) fn go_wrong(&mut self) {
        let span = Nanos::from_millis(self.random.i64(50..4_000));
        let until = self.now.plus(span);
        let gateway = self.random.usize(..self.gateways.len());
        let publisher = self.random.usize(..self.publishers.len());
        match self.random.u16(..1_000) {
            0..=7 => self.disconnect_gateway(gateway),
            8..=29 => self.connect_gateway(gateway),
            30..=34 => self.gateways[gateway].frozen_until = until,
            35..=39 => {
                // A slow consumer.
                self.gateways[gateway].lines.clear();
                self.gateways[gateway].losses += 1;
                self.note_floors(gateway);
            }
            40..=42 => {
                let by = Nanos::from_millis(self.random.i64(-20_000..20_000));
                let gateway = &mut self.gateways[gateway];
                gateway.clock_ahead = gateway.clock_ahead.plus(by);
            }
            43..=47 => {
                let notices_at = self.now.plus(Nanos::from_millis(self.random.i64(0..1_000)));
                let one = &mut self.publishers[publisher];
                if std::mem::replace(&mut one.is_connected, false) {
                    one.notices_at = notices_at;
                }
            }
            48..=66 => self.connect_publisher(publisher),
            67..=69 => {
                let one = &mut self.publishers[publisher];
                one.frozen_until = until;
                // When it goes on it does not notice at once what has happened meanwhile.
                one.deaf_until = until.plus(Nanos::from_millis(600));
            }
            70..=73 | 200..=219 => {
                // It loses the lease and goes on.
                let one = &mut self.publishers[publisher];
                (one.deaf_until, one.no_bucket_until) = (until.plus(span), until.plus(span));
            }
            74 => self.publishers[publisher].slow_until = until,
            75..=76 => {
                let one = Process::new(publisher, self.random.fork(), self.now);
                self.oracle.note(&one.hub, one.listed);
                self.publishers[publisher] = one;
            }
            77..=78 if self.publishers[publisher].listed < INSTRUMENTS => {
                let one = &mut self.publishers[publisher];
                one.list_another(self.now);
                self.oracle.note(&one.hub, one.listed);
            }
            79..=80 => self.bucket.is_away = true,
            81..=110 if self.bucket.is_away => {
                self.bucket.is_away = false;
                self.bucket_since = self.now;
            }
            112..=119 => {
                let gateway = &mut self.gateways[gateway];
                let after = Nanos::from_millis(self.random.i64(0..1_500));
                gateway.cut_at = Some(until.min(self.now.plus(Nanos::from_millis(800))));
                gateway.held_until = gateway.cut_at.unwrap_or(until).plus(after);
            }
            120..=199 => self.silence_the_leader(until),
            111 => (0..self.gateways.len()).for_each(|number| self.disconnect_gateway(number)),
            _ => {}
        }
    }
}
