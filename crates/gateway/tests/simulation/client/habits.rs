//! What comes to a client's mind, by its role.

use super::{Client, Role};
use crate::market::Market;
use crate::message::Kind;
use crate::request::{Request, Subscribe, WRONG};
use crate::session::NEVER;
use crate::websocket::write_masked;
use fastrand::Rng;
use tickcast_market::Nanos;

impl Client {
    pub(super) fn subscribe(&mut self, now: Nanos, market: &Market) {
        let kind = match self.random.u8(..20) {
            0..8 => Kind::Ticker,
            8..12 => Kind::Trades,
            12..17 => Kind::Book,
            _ => Kind::Bars(self.random.u8(..4)),
        };
        let count = if self.role == Role::Greedy { 1 } else { self.random.usize(1..5) };
        let mut symbols: Vec<String> = (0..count).map(|_| self.symbol(market)).collect();
        symbols.sort();
        symbols.dedup();
        let mut subscribe = Subscribe::random(kind, symbols, &mut self.random);
        if self.random.u8(..3) == 0 {
            self.session.claim(&mut subscribe, market);
            subscribe.lies = self.random.u8(..4) == 0;
            if subscribe.lies {
                let ahead = self.random.bool();
                subscribe.since.values_mut().for_each(|(epoch, seq)| {
                    if ahead { *seq += 1 << 40 } else { *epoch += 1 << 20 }
                });
            }
        }
        self.ask(Request::Subscribe(subscribe), now, market);
    }

    fn symbol(&mut self, market: &Market) -> String {
        let globs = ["*", "sim:*", "kraken:*", "*:S1*", "*-USD", "kraken:S*2-USD"];
        let known = |random: &mut Rng| {
            let instruments = &market.instruments;
            instruments[random.usize(..instruments.len())].name.clone()
        };
        match self.random.u8(..40) {
            _ if self.role == Role::Greedy => globs[self.random.usize(..3)].to_owned(),
            0 => NEVER.to_owned(),
            1..4 => market.next_name().unwrap_or_else(|| NEVER.to_owned()),
            4..7 => known(&mut self.random).split(':').nth(1).unwrap_or_default().to_owned(),
            7..11 => globs[self.random.usize(..globs.len())].to_owned(),
            _ => known(&mut self.random),
        }
    }

    /// Asks for names that nobody knows: the answers are long, and it does not read them.
    fn ask_for_much(&mut self, now: Nanos, market: &Market) {
        for _ in 0..self.random.u8(1..4) {
            let symbols = (0..400).map(|at| format!("sim:UNKNOWN{at}-USD")).collect();
            let subscribe = Subscribe::random(Kind::Trades, symbols, &mut self.random);
            self.ask(Request::Subscribe(subscribe), now, market);
        }
        self.ask(Request::Ping, now, market);
    }

    fn unsubscribe(&mut self, now: Nanos, market: &Market) {
        let all = self.session.wishes.all();
        if let Some((kind, pattern, _)) = all.get(self.random.usize(..all.len().max(1))) {
            let symbols = vec![pattern.clone()];
            self.ask(Request::Unsubscribe { kind: *kind, symbols }, now, market);
        }
    }

    /// Asks again for one thing that it has.
    fn ask_again(&mut self, now: Nanos, market: &Market) {
        let all = self.session.wishes.all();
        if let Some((kind, pattern, options)) = all.get(self.random.usize(..all.len().max(1))) {
            let mut subscribe = Subscribe::again(*kind, pattern.clone(), *options);
            self.session.claim(&mut subscribe, market);
            self.ask(Request::Subscribe(subscribe), now, market);
        }
    }

    pub(super) fn act_once(&mut self, now: Nanos, market: &Market, complete: bool) {
        let chance = self.random.u8(..100);
        match self.role {
            Role::Dead if chance < 40 => {
                self.story.did(now, "dies");
                self.is_dead = true;
            }
            Role::Stalling => {
                if complete && chance.is_multiple_of(4) {
                    self.ask_for_much(now, market);
                }
                let ms = if chance < 10 { 16_000 } else { self.random.i64(500..9_000) };
                self.read_at = now.plus(Nanos::from_millis(ms));
                self.act_at = self.read_at.plus(Nanos::from_millis(self.random.i64(1..4_000)));
                self.story.did(now, format!("does not read for {ms} ms"));
            }
            Role::Returning if chance < 30 => self.lose_line(now),
            Role::Rude => self.be_rude(now, chance),
            Role::Mute | Role::Dead => {}
            Role::Fickle => match chance {
                0..40 => self.subscribe(now, market),
                40..65 => self.unsubscribe(now, market),
                65..90 => self.ask_again(now, market),
                _ => self.ping(),
            },
            _ => match chance {
                0..4 => self.subscribe(now, market),
                4..8 => self.unsubscribe(now, market),
                8..12 => self.ask_again(now, market),
                12..15 => self.ask(Request::Ping, now, market),
                15..18 => self.ping(),
                18..20 => self.say_close(now),
                _ => {}
            },
        }
    }

    fn be_rude(&mut self, now: Nanos, chance: u8) {
        if chance < 80 {
            let wrong = WRONG[self.random.usize(..WRONG.len())];
            let text = self.session.ask_wrongly(wrong);
            return self.send_text(&text, now);
        }
        let text = b"{\"method\":\"ping\"}";
        let code = match chance % 7 {
            0 => {
                self.out.extend_from_slice(&[0x81, text.len() as u8]);
                self.out.extend_from_slice(text);
                1002
            }
            1 => {
                write_masked(&mut self.out, 0x82, text, [9; 4]);
                1003
            }
            2 => {
                write_masked(&mut self.out, 0x81, b"{\"method\":\"\xFF\"}", [9; 4]);
                1007
            }
            3 => {
                write_masked(&mut self.out, 0x81, &vec![b' '; 70_000], [9; 4]);
                1009
            }
            4 => {
                write_masked(&mut self.out, 0x83, text, [9; 4]);
                1002
            }
            5 => {
                // Begun and never finished.
                write_masked(&mut self.out, 0x01, text, [9; 4]);
                1008
            }
            _ => {
                (0..2_500).for_each(|_| write_masked(&mut self.out, 0x81, text, [9; 4]));
                self.session.floods = true;
                4529
            }
        };
        self.story.did(now, format!("does what is answered by {code}"));
        self.fatal = Some(code);
    }
}
