//! What goes wrong in the simulated world, and is put right again.

use crate::market::INSTRUMENTS;
use crate::publisher::Process;
use crate::world::World;
use tickcast_market::Nanos;

impl World {
    pub(crate) fn connect_gateway(&mut self, number: usize) {
        let gateway = &mut self.gateways[number];
        if !std::mem::replace(&mut gateway.is_connected, true) {
            gateway.losses += 1;
            gateway.line_since = self.now;
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
            70..=73 => {
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
            111 => (0..self.gateways.len()).for_each(|number| self.disconnect_gateway(number)),
            _ => {}
        }
    }
}
