//! What a call took, and whether that was within its limits, on a machine that may be busy.
//!
//! CPU time is the kernel's, of the threads that polled the call, so what else runs does not come into it. Wall clock
//! is held against a sleep that was begun with the call on a thread of its own: as late as that one was woken, the call
//! may have been too.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use windlass_model::limits::PluginLimits;
use windlass_sandbox::PluginFault;

/// An epoch, at whose end the CPU time of a guest is looked at.
const TICK: Duration = Duration::from_millis(5);
/// What a call may need at its end to be taken apart.
const GRAIN: Duration = Duration::from_millis(50);
/// The grain of the kernel's limit of a process's CPU time, and of what it says of children.
const CHILD_GRAIN: Duration = Duration::from_secs(1);

/// Set for the process of a test that is played [`alone`].
const ALONE: &str = "WINDLASS_TEST_ALONE";

/// What a call took.
#[derive(Debug)]
pub(crate) struct Took {
    wall: Duration,
    cpu: Duration,
    /// How late a sleep as long as the limit of the wall clock was woken; nothing where the call ended before.
    late: Duration,
}

/// Waits for a call of these limits, whose plugin was compiled before.
pub(crate) async fn timed<T>(
    mut call: Pin<Box<impl Future<Output = T>>>,
    limits: &PluginLimits,
) -> (T, Took) {
    let sleep = Sleep::begin(Duration::from_millis(limits.wall_ms));
    let mut cpu = Duration::ZERO;
    let began = Instant::now();
    let ended = poll_fn(|context| {
        let before = thread_cpu();
        let polled = call.as_mut().poll(context);
        cpu += thread_cpu().saturating_sub(before);
        polled
    })
    .await;
    let wall = began.elapsed();
    (ended, Took { wall, cpu, late: sleep.late(wall) })
}

impl Took {
    /// It ended within its limits and a tenth; and who is blamed for time has used it.
    pub(crate) fn assert_within(
        &self,
        name: &str,
        fault: Option<&PluginFault>,
        limits: &PluginLimits,
    ) {
        let cpu_max = Duration::from_millis(limits.cpu_ms);
        let wall_max = Duration::from_millis(limits.wall_ms);
        assert!(self.cpu <= cpu_max * 11 / 10 + TICK, "{name}: {self:?} with {cpu_max:?} of CPU");
        let wall_end = wall_max * 11 / 10 + self.late + GRAIN;
        assert!(self.wall <= wall_end, "{name}: {self:?} with {wall_max:?}");
        match fault {
            Some(PluginFault::CpuTimedOut { limit_ms }) => {
                assert_eq!(*limit_ms, limits.cpu_ms, "{name}");
                assert!(self.cpu >= cpu_max, "{name}: {self:?} with {cpu_max:?} of CPU");
            }
            Some(PluginFault::WallTimedOut { limit_ms }) => {
                assert_eq!(*limit_ms, limits.wall_ms, "{name}");
                assert!(self.wall >= wall_max, "{name}: {self:?} with {wall_max:?}");
            }
            _ => {}
        }
    }
}

/// A thread that sleeps as long as a call may last.
struct Sleep {
    lasts: Duration,
    thread: JoinHandle<Duration>,
    /// It is woken early when this goes.
    _goes_on: Sender<()>,
}

impl Sleep {
    fn begin(lasts: Duration) -> Self {
        let (goes_on, gone) = channel();
        let thread = std::thread::spawn(move || {
            let began = Instant::now();
            match gone.recv_timeout(lasts) {
                Err(RecvTimeoutError::Timeout) => began.elapsed().saturating_sub(lasts),
                Ok(()) | Err(RecvTimeoutError::Disconnected) => Duration::ZERO,
            }
        });
        Self { lasts, thread, _goes_on: goes_on }
    }

    /// How late it was woken, if it was while the call lasted.
    fn late(self, lasted: Duration) -> Duration {
        if lasted < self.lasts { Duration::ZERO } else { self.thread.join().unwrap() }
    }
}

/// CPU time of this thread since it began.
fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

/// CPU time of the processes that this one has waited for; see [`alone`].
pub(crate) struct Children(Duration);

impl Children {
    pub(crate) fn look() -> Self {
        Self(children_cpu())
    }

    /// Those that compiled since then ended within their limit and a tenth.
    pub(crate) fn assert_computed_within(&self, cpu_max: Duration, name: &str) {
        let computed = children_cpu().saturating_sub(self.0);
        let end = cpu_max * 11 / 10 + CHILD_GRAIN;
        assert!(computed <= end, "{name}: compiled for {computed:?} with {cpu_max:?}");
    }
}

/// Plays a test in a process that plays nothing else, whatever runs the tests: memory and CPU time of the process are
/// then those of this test. `name` is its own, with its module.
pub(crate) fn alone(name: &str, test: impl Future<Output = ()>) {
    if std::env::var_os(ALONE).is_some() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(test);
    }
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args([name, "--exact", "--nocapture"]).env(ALONE, "1").stderr(Stdio::inherit());
    let ended = process.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{name}: {}\n{said}", ended.status);
    assert!(said.contains("test result: ok. 1 passed"), "{name} was not played: {said}");
}

fn children_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, which may hold anything: the fields from the third on.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |field: usize| fields[field - 3].parse::<u64>().unwrap();
    let (user, system) = (ticks(16), ticks(17));
    Duration::from_millis((user + system) * 1_000 / rustix::param::clock_ticks_per_second())
}
