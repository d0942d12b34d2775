//! One thread of another process, made to stand still and go on again.
//!
//! A shard cannot be stopped alone by a signal, which stops the whole process; a tracer can, without
//! the process's doing. `unsafe` is needed because `ptrace` has no safe call.

#![allow(unsafe_code)]

use std::fs;

/// A thread that stands still until this is dropped, by the thread that made it.
pub(crate) struct Halted {
    thread: libc::pid_t,
    /// Only the tracing thread may let it go.
    _here: std::marker::PhantomData<*const ()>,
}

impl Halted {
    /// Stops the thread of that name. `None` where the system lets nobody trace.
    pub(crate) fn thread_of(pid: u32, name: &str) -> Option<Halted> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
        let named = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let task = tasks.flatten().find(named).expect("it has such a thread");
        let thread: libc::pid_t = task.file_name().to_str()?.parse().ok()?;
        if !trace(libc::PTRACE_SEIZE, thread) {
            let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            let error = std::io::Error::last_os_error();
            assert!(!in_ci, "no thread can be traced: {error}");
            println!("SKIPPED: no thread can be traced here: {error}");
            return None;
        }
        assert!(trace(libc::PTRACE_INTERRUPT, thread), "{}", std::io::Error::last_os_error());
        let mut status = 0;
        // SAFETY: `status` lives as long as the call.
        let stopped = unsafe { libc::waitpid(thread, &mut status, libc::__WALL) };
        assert_eq!(stopped, thread, "{}", std::io::Error::last_os_error());
        Some(Halted { thread, _here: std::marker::PhantomData })
    }
}

impl Drop for Halted {
    fn drop(&mut self) {
        trace(libc::PTRACE_DETACH, self.thread);
    }
}

/// Whether the request could be made.
fn trace(request: libc::c_uint, thread: libc::pid_t) -> bool {
    // SAFETY: these requests take no memory, only numbers.
    unsafe {
        libc::ptrace(request, thread, std::ptr::null_mut::<u8>(), std::ptr::null_mut::<u8>()) >= 0
    }
}
