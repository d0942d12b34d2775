//! The engines of a run: one in this process, or several processes of the same program.

use crate::engine;
use crate::error::{Error, Result};
use crate::job::{Job, News, Order};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Somebody who does a part.
struct Member {
    orders: Sender<Order>,
}

pub(crate) struct Crew {
    members: Vec<Member>,
    news: Receiver<(usize, News)>,
}

impl Crew {
    /// Starts an engine for each job.
    ///
    /// # Errors
    /// A thread or a process that cannot be started.
    pub(crate) fn start(jobs: Vec<Job>) -> Result<Crew> {
        let (all_news, news) = mpsc::channel();
        let mut members = Vec::new();
        for (number, job) in jobs.into_iter().enumerate() {
            let (orders, ordered) = mpsc::channel();
            let (own_news, told) = mpsc::channel();
            let forward = all_news.clone();
            std::thread::Builder::new()
                .name("engine".into())
                .spawn(move || engine::run(job, &ordered, &own_news))
                .map_err(Error::io("thread"))?;
            std::thread::Builder::new()
                .name("news".into())
                .spawn(move || {
                    let mut is_final = false;
                    for news in told {
                        is_final |= matches!(news, News::Final(_) | News::Failed(_));
                        // The coordinator may have gone on an error of another engine.
                        let _ = forward.send((number, news));
                    }
                    if !is_final {
                        let words = "an engine ended without a report".to_owned();
                        let _ = forward.send((number, News::Failed(words)));
                    }
                })
                .map_err(Error::io("thread"))?;
            members.push(Member { orders });
        }
        Ok(Crew { members, news })
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Tells everybody.
    pub(crate) fn order(&self, order: &Order) {
        for member in &self.members {
            // Who is gone has said why, or is missed when its report does not come.
            let _ = member.orders.send(order.clone());
        }
    }

    /// What somebody tells within that time.
    ///
    /// # Errors
    /// An engine that could not go on, or has ended without a report.
    pub(crate) fn hear(&self, within: Duration) -> Result<Option<(usize, News)>> {
        match self.news.recv_timeout(within) {
            Ok((_, News::Failed(words))) => Err(Error::Process(words)),
            Ok(news) => Ok(Some(news)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::Process("an engine ended without a report".into()))
            }
        }
    }
}
