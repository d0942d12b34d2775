//! The engines of a run: one in this process, or several processes of the same program.

use crate::engine;
use crate::error::{Error, Result};
use crate::job::{Job, News, Order};
use serde::Serialize;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// The hidden argument with which the program does a part of another one's run.
pub(crate) const ENGINE_ARGUMENT: &str = "--engine-process";

/// Descriptors that are not connections: standard streams, poller, a file or two.
const DESCRIPTORS_OTHER: u64 = 128;

pub(crate) struct Crew {
    members: Vec<Sender<Order>>,
    children: Vec<Child>,
    news: Receiver<(usize, News)>,
}

/// How many processes so many connections need, at least.
pub(crate) fn processes(connections: usize, descriptors: u64) -> usize {
    let each = descriptors.saturating_sub(DESCRIPTORS_OTHER).max(1);
    connections.div_ceil(usize::try_from(each).unwrap_or(usize::MAX)).max(1)
}

/// Shares a run among so many processes.
pub(crate) fn share(job: &Job, processes: usize) -> Vec<Job> {
    let split = |whole: usize, number: usize| whole * number / processes;
    let part = |number: usize| {
        let first = split(job.total, number);
        let count = split(job.total, number + 1) - first;
        let sample = split(job.sample, number + 1) - split(job.sample, number);
        Job { first, count, sample, ..job.clone() }
    };
    (0..processes).map(part).filter(|job| job.count > 0).collect()
}

impl Crew {
    /// Starts an engine for each job: a thread where there is one, otherwise processes.
    ///
    /// # Errors
    /// A thread or a process that cannot be started.
    pub(crate) fn start(mut jobs: Vec<Job>) -> Result<Crew> {
        let (all_news, news) = mpsc::channel();
        let mut crew = Crew { members: Vec::new(), children: Vec::new(), news };
        if jobs.len() == 1 {
            let job = jobs.remove(0);
            let (orders, ordered) = mpsc::channel();
            let (own_news, told) = mpsc::channel();
            thread("engine", move || engine::run(job, &ordered, &own_news))?;
            forward(0, told.into_iter(), all_news)?;
            crew.members.push(orders);
            return Ok(crew);
        }
        for (number, job) in jobs.iter().enumerate() {
            crew.start_process(number, job, all_news.clone())?;
        }
        Ok(crew)
    }

    fn start_process(
        &mut self,
        number: usize,
        job: &Job,
        all_news: Sender<(usize, News)>,
    ) -> Result<()> {
        let program = std::env::current_exe().map_err(Error::io("this program"))?;
        let mut child = Command::new(program)
            .arg(ENGINE_ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::io("process"))?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Process("a process without pipes".into()));
        };
        self.children.push(child);
        write_line(&mut stdin, job).map_err(Error::io("process"))?;
        let (orders, ordered) = mpsc::channel::<Order>();
        thread("orders", move || {
            for order in ordered {
                if write_line(&mut stdin, &order).is_err() {
                    return;
                }
            }
        })?;
        let lines = BufReader::new(stdout).lines().map_while(std::result::Result::ok);
        let told = lines.map(|line| {
            serde_json::from_str(&line).unwrap_or_else(|error| News::Failed(error.to_string()))
        });
        forward(number, told, all_news)?;
        self.members.push(orders);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Tells everybody.
    pub(crate) fn order(&self, order: &Order) {
        for member in &self.members {
            // Who is gone has said why, or is missed when its report does not come.
            let _ = member.send(order.clone());
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

impl Drop for Crew {
    fn drop(&mut self) {
        // The ends of their lines tell them to stop.
        self.members.clear();
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let builder = std::thread::Builder::new().name(name.into());
    builder.spawn(work).map(drop).map_err(Error::io("thread"))
}

/// Passes on what an engine tells, and that it ended where it did not say so itself.
fn forward(
    number: usize,
    told: impl Iterator<Item = News> + Send + 'static,
    to: Sender<(usize, News)>,
) -> Result<()> {
    thread("news", move || {
        let mut is_final = false;
        for news in told {
            is_final |= matches!(news, News::Final(_) | News::Failed(_));
            // The coordinator may have gone because of another engine.
            let _ = to.send((number, news));
        }
        if !is_final {
            let words = "an engine ended without a report".to_owned();
            let _ = to.send((number, News::Failed(words)));
        }
    })
}

fn write_line(to: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Does a part of another process's run: a job and orders come in by lines, news go out.
///
/// # Errors
/// What is no job.
pub(crate) fn serve() -> Result<()> {
    // A lock of its own could not be handed to a thread.
    let mut lines = BufReader::new(std::io::stdin()).lines();
    let bad = |error: String| Error::Process(format!("{ENGINE_ARGUMENT}: {error}"));
    let line = lines.next().ok_or_else(|| bad("no job".into()))?;
    let line = line.map_err(Error::io("standard input"))?;
    let job: Job = serde_json::from_str(&line).map_err(|error| bad(error.to_string()))?;
    let (orders, ordered) = mpsc::channel();
    thread("orders", move || {
        for line in lines.map_while(std::result::Result::ok) {
            let Ok(order) = serde_json::from_str(&line) else { return };
            if orders.send(order).is_err() {
                return;
            }
        }
    })?;
    let (news, told) = mpsc::channel();
    let engine = std::thread::spawn(move || engine::run(job, &ordered, &news));
    let mut stdout = std::io::stdout().lock();
    for news in told {
        write_line(&mut stdout, &news).map_err(Error::io("standard output"))?;
    }
    engine.join().map_err(|_| bad("the engine panicked".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_tell_how_many_processes_are_needed() {
        assert_eq!(processes(1, 1_024), 1);
        assert_eq!(processes(19_872, 20_000), 1);
        assert_eq!(processes(19_873, 20_000), 2);
        assert_eq!(processes(100_000, 20_000), 6);
        assert_eq!(processes(3, 0), 3);
    }
}
