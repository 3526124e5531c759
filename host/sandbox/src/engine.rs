//! The engine, and the one thread that lets its epochs pass.

use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};
use windlass_model::limits::PluginLimits;

use crate::limits::PER_CALL;

/// Calls that run at the same time; more wait.
pub(crate) const CALLS_RUNNING_MAX: u32 = 16;
/// Length of an epoch, in milliseconds: how often the CPU time of a computing guest is looked at, and how often
/// it lets others have its thread.
const TICK_MS: u64 = 5;
/// Memory of a slot of the pool that stays with the process between calls, in bytes.
const KEEP_RESIDENT_BYTES: usize = 256 * 1024;
/// What a memory of 32 bits can address, in bytes. The pool is refused when its memories may be larger.
const ADDRESSABLE_BYTES: u64 = 1 << 32;

/// An engine that the guests run in.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
}

/// The engine with a pool of prepared memories. Where the address space for one is not to be had
/// (`ulimit -v`, small machines), the engine without: slower to instantiate, otherwise the same.
pub(crate) fn start(limits: &PluginLimits) -> wasmtime::Result<Running> {
    let engine = Engine::new(&with_pool(limits)).or_else(|error| {
        tracing::info!(%error, "no pool for plugin instances; they are allocated one by one");
        Engine::new(&base())
    })?;
    let ticker = Ticker::start(engine.clone())?;
    Ok(Running { engine, ticker })
}

/// The engine of the compiling child. It makes the same code, and runs none.
pub(crate) fn for_compiling() -> wasmtime::Result<Engine> {
    Engine::new(&base())
}

/// What has to be equal for compiled code to be usable: part of its file's name.
pub(crate) fn compatibility(engine: &Engine) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn base() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .wasm_memory64(false)
        .memory_init_cow(true)
        .parallel_compilation(true)
        // A fault is told by its cause. Where in a plugin it happened is not, and would make the file of its code larger.
        .generate_address_map(false)
        .native_unwind_info(false)
        .wasm_backtrace_max_frames(None);
    config
}

fn with_pool(limits: &PluginLimits) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(CALLS_RUNNING_MAX)
        .total_core_instances(CALLS_RUNNING_MAX * PER_CALL.instances)
        .total_memories(CALLS_RUNNING_MAX * PER_CALL.memories)
        .total_tables(CALLS_RUNNING_MAX * PER_CALL.tables)
        .total_stacks(CALLS_RUNNING_MAX)
        .max_core_instances_per_component(PER_CALL.instances)
        .max_memories_per_component(PER_CALL.memories)
        .max_tables_per_component(PER_CALL.tables)
        .max_memory_size(slot_bytes(limits))
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(64 * 1024)
        .pagemap_scan(Enabled::Auto)
        .table_elements(limits.table_elements_max as usize);
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Bytes that one memory of the pool can grow to: what anyone may be granted. It costs nothing: a slot takes the whole
/// 4 GiB that a memory can address, and a guard, whatever of it may be used, so the pool's 64 slots take 258 GiB of 128
/// TiB. What a call did not touch has no pages, and what it did goes back to the system when it ends, but for
/// [`KEEP_RESIDENT_BYTES`].
fn slot_bytes(limits: &PluginLimits) -> usize {
    let most = limits.memory_bytes_max.max(limits.granted_memory_bytes_max);
    usize::try_from(most.min(ADDRESSABLE_BYTES)).unwrap_or(usize::MAX)
}

/// Advances the epoch while calls run; sleeps without waking while none does.
pub(crate) struct Ticker(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Calls that run.
    running: usize,
    /// Whether the thread waits to be woken: waking one that does not costs each call a system call.
    is_waiting: bool,
}

/// A call that runs.
pub(crate) struct Ticking<'a>(&'a Shared);

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticker {
    /// Without its thread nothing would end a plugin that computes: there is no sandbox then.
    fn start(engine: Engine) -> wasmtime::Result<Self> {
        let shared = Arc::new(Shared::default());
        let weak = Arc::downgrade(&shared);
        let spawned = std::thread::Builder::new()
            .name("windlass-epochs".to_owned())
            .spawn(move || tick(&weak, &engine));
        spawned.map_err(wasmtime::Error::new)?;
        Ok(Self(shared))
    }

    pub(crate) fn enter(&self) -> Ticking<'_> {
        let mut state = self.0.state();
        state.running += 1;
        if std::mem::take(&mut state.is_waiting) {
            self.0.changed.notify_one();
        }
        Ticking(&self.0)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.changed.notify_all();
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.state().running -= 1;
    }
}

/// How long the thread waits before it looks whether its sandbox is still there.
const IDLE: Duration = Duration::from_secs(60);

fn tick(shared: &Weak<Shared>, engine: &Engine) {
    while let Some(shared) = shared.upgrade() {
        let mut state = shared.state();
        if state.running > 0 {
            drop(state);
            drop(shared);
            std::thread::sleep(Duration::from_millis(TICK_MS));
            engine.increment_epoch();
        } else {
            // Woken by the next call, and at long intervals.
            state.is_waiting = true;
            let waited = shared.changed.wait_timeout(state, IDLE);
            drop(waited);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_beyond_what_a_memory_addresses_does_not_cost_the_pool() {
        let limits = PluginLimits { granted_memory_bytes_max: u64::MAX, ..PluginLimits::default() };
        assert_eq!(slot_bytes(&limits) as u64, ADDRESSABLE_BYTES);
        Engine::new(&with_pool(&limits)).unwrap();
        let low = PluginLimits { granted_memory_bytes_max: 1, ..limits };
        assert_eq!(slot_bytes(&low) as u64, low.memory_bytes_max, "what everyone has");
    }
}
