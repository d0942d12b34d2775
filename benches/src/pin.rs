//! Keeping a thread, and whatever it starts, on one core.

// The affinity of a thread can only be set by a system call that the standard library lacks.
#![allow(unsafe_code)]

use std::io;

/// The cores that the calling thread may run on.
///
/// # Errors
/// What the kernel says.
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    let mut set = empty_set();
    // SAFETY: the kernel writes at most the size of the set into it.
    let answer = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: asks for a bit below the set's size.
    let is_in = |core: &usize| unsafe { libc::CPU_ISSET(*core, &set) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(is_in).collect())
}

/// Keeps the calling thread on these cores. Threads and processes that it starts inherit that.
///
/// # Errors
/// None of these cores is there, or the kernel forbids it.
pub fn keep_on(cores: &[usize]) -> io::Result<()> {
    let mut set = empty_set();
    for core in cores {
        if *core >= libc::CPU_SETSIZE as usize {
            return Err(io::Error::other(format!("there is no core {core}")));
        }
        // SAFETY: the bit has just been compared with the set's size.
        unsafe { libc::CPU_SET(*core, &mut set) };
    }
    // SAFETY: the kernel reads the set, which lives until the call returns.
    let answer = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn empty_set() -> libc::cpu_set_t {
    // SAFETY: a set of bits for which all zeros is the empty set.
    unsafe { std::mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_on_the_core_that_it_was_given() {
        let cores = allowed_cores().unwrap();
        let last = *cores.last().unwrap();
        let inside = std::thread::spawn(move || {
            keep_on(&[last]).unwrap();
            std::thread::spawn(|| allowed_cores().unwrap()).join().unwrap()
        });
        assert_eq!(inside.join().unwrap(), [last], "a thread that it starts stays there too");
        assert_eq!(allowed_cores().unwrap(), cores, "nobody else is moved");
        assert!(keep_on(&[1 << 20]).is_err());
    }
}
