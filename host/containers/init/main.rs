//! The first process of an instance's container: `init -- COMMAND [ARGUMENT]...`
//!
//! The kernel hands process 1 of a container no signal that it has no handler for, and leaves it every orphan to
//! reap. Few applications are written for that: without a handler of SIGTERM they run on until they are killed.
//! So this program is process 1, and the application is its child: signals are passed on, orphans are reaped, and
//! it ends as the application ends, with its status, or 128 and the signal that ended it.
//!
//! `build.rs` compiles this file alone into a static program: an image need not have a C library. It declares the
//! few functions of the C library that it calls.

use std::ffi::c_int;
use std::io::ErrorKind;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, exit};

/// A set of signals as the C libraries of Linux lay it out: 1024 bits.
#[repr(C, align(8))]
struct SignalSet([u64; 16]);

unsafe extern "C" {
    fn sigfillset(set: *mut SignalSet) -> c_int;
    fn sigprocmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    fn sigwait(set: *const SignalSet, signal: *mut c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
}

const SIG_BLOCK: c_int = 0;
const SIG_SETMASK: c_int = 2;
const SIGCHLD: c_int = 17;
const WNOHANG: c_int = 1;
/// What a shell answers for a command that is not there, and for one that cannot be run.
const NOT_FOUND: i32 = 127;
const NOT_RUN: i32 = 126;

fn main() {
    let mut words = std::env::args_os().skip(1).skip_while(|word| word == "--");
    let Some(program) = words.next() else {
        eprintln!("usage: init -- COMMAND [ARGUMENT]...");
        exit(NOT_RUN);
    };
    let mut all = SignalSet([0; 16]);
    // SAFETY: `all` is as large as the C library's set, and both calls only read and write it.
    unsafe {
        sigfillset(&raw mut all);
        sigprocmask(SIG_BLOCK, &raw const all, std::ptr::null_mut());
    }
    let mut command = Command::new(&program);
    command.args(words);
    // SAFETY: between fork and exec it calls one function that is safe there, with a value of its own.
    unsafe {
        command.pre_exec(|| {
            let none = SignalSet([0; 16]);
            sigprocmask(SIG_SETMASK, &raw const none, std::ptr::null_mut());
            Ok(())
        });
    }
    let child = match command.spawn() {
        Ok(child) => child.id().cast_signed(),
        Err(error) => {
            // In the words of the container runtime, which people and rules know.
            let name = program.to_string_lossy();
            let (status, why) = match error.kind() {
                ErrorKind::NotFound if name.contains('/') => {
                    (NOT_FOUND, "no such file or directory")
                }
                ErrorKind::NotFound => (NOT_FOUND, "executable file not found in $PATH"),
                ErrorKind::PermissionDenied => (NOT_RUN, "permission denied"),
                _ if error.raw_os_error() == Some(8) => (NOT_RUN, "exec format error"),
                _ => (NOT_RUN, "it cannot be run"),
            };
            eprintln!("exec: {name:?}: {why}");
            exit(status);
        }
    };
    loop {
        let mut signal = 0;
        // SAFETY: both point to values of this function.
        if unsafe { sigwait(&raw const all, &raw mut signal) } != 0 {
            continue;
        }
        if signal != SIGCHLD {
            // SAFETY: `child` is not reaped yet, so the number is still its own.
            unsafe { kill(child, signal) };
            continue;
        }
        loop {
            let mut status = 0;
            // SAFETY: `status` is a value of this function.
            let ended = unsafe { waitpid(-1, &raw mut status, WNOHANG) };
            if ended <= 0 {
                break;
            }
            if ended == child {
                let status = std::process::ExitStatus::from_raw(status);
                exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()));
            }
        }
    }
}
