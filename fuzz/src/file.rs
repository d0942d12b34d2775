//! A file without a name, for what is read by path only: nothing is left behind, however a run
//! ends.

use std::fs::{File, OpenOptions};
use std::io::Result;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// Such a file.
pub(crate) struct Nameless(File);

impl Nameless {
    /// An empty one in the folder for temporary files.
    pub(crate) fn new() -> Nameless {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: the number only has to differ from the others.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tickcast-fuzz-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let make = || -> Result<File> {
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        };
        Nameless(make().expect("the folder for temporary files can be written to"))
    }

    /// Replaces what is in it.
    pub(crate) fn fill(&self, bytes: &[u8]) {
        let write = self.0.set_len(0).and_then(|()| self.0.write_all_at(bytes, 0));
        write.expect("a temporary file can be written to");
    }

    /// A path at which this process can open it.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}
