//! What the C library keeps of memory that was freed.
//!
//! Left alone, glibc gives each thread that is busy a heap of its own, and keeps what is freed in all of them: a
//! control plane that has once shown a long history would hold that memory for good. Two heaps are enough for
//! it, and what is free in them goes back to the system.

/// Between two times that free memory goes back; each takes about a millisecond.
#[cfg(target_env = "gnu")]
const GIVE_BACK_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// From now on, this process keeps little.
#[cfg(target_env = "gnu")]
pub(crate) fn keep_little() {
    const HEAPS_MAX: libc::c_int = 2;
    // SAFETY: it takes plain numbers, and is called before any other thread is started.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, HEAPS_MAX) };
    let give_back = || {
        loop {
            std::thread::sleep(GIVE_BACK_EVERY);
            // SAFETY: it takes a plain number, and locks the heaps itself.
            unsafe { libc::malloc_trim(0) };
        }
    };
    // Without the thread all works as well, with more memory.
    drop(std::thread::Builder::new().name("give-back".to_owned()).spawn(give_back));
}

/// Other C libraries keep little by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn keep_little() {}
