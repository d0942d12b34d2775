//! Files that are read again when they have changed.

use parking_lot::Mutex;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// How often the files are looked at. They are taken when they have not changed between two looks:
/// two files cannot be replaced at once, and half a pair should not be complained about.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells one state of a file from another.
type Stamp = Option<(u64, u64, i64, i64)>;

/// Some files that belong together, and how they were when they were last read.
#[derive(Debug)]
pub(crate) struct FileWatch {
    files: Vec<PathBuf>,
    read_as: Mutex<Vec<Stamp>>,
}

impl FileWatch {
    /// Of files that are about to be read.
    pub(crate) fn new(files: Vec<PathBuf>) -> FileWatch {
        let watch = FileWatch { files, read_as: Mutex::default() };
        watch.note();
        watch
    }

    /// They are about to be read.
    pub(crate) fn note(&self) {
        *self.read_as.lock() = self.stamps();
    }

    /// Calls `reload` whenever they have changed since they were last read, for ever.
    pub(crate) async fn watch(&self, mut reload: impl FnMut()) {
        let mut seen = self.read_as.lock().clone();
        let mut every = tokio::time::interval(LOOK_EVERY);
        loop {
            every.tick().await;
            let now = self.stamps();
            let was_read = now == *self.read_as.lock();
            if !was_read && now == seen {
                reload();
            }
            seen = now;
        }
    }

    fn stamps(&self) -> Vec<Stamp> {
        // A file that is replaced by renaming has another inode, one behind a link, too.
        let of = |file: Metadata| (file.ino(), file.size(), file.mtime(), file.mtime_nsec());
        self.files.iter().map(|file| std::fs::metadata(file).ok().map(of)).collect()
    }
}
