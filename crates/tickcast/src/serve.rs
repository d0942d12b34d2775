//! `tickcast serve`: everything in one process; what is started, in which order, and stopped.

use crate::clock;
use crate::feeds::{Feeds, Lists};
use crate::settings::Resolved;
use anyhow::{Context, Result};
use prometheus::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use tickcast_market::{Directory, SourceIndex};
use tickcast_publisher::{Config, Hub, Inbox, Partition, Publisher, Resync};

/// Batches of events that wait for a partition before feeds stop reading.
const INBOX_BATCHES_MAX: usize = 256;
