//! The engine, and the one thread that lets its epochs pass.

use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};
use windlass_model::limits::PluginLimits;

use crate::limits::PER_CALL;

/// Calls that run at the same time; more wait.
pub(crate) const CALLS_RUNNING_MAX: u32 = 16;
/// Length of an epoch, in milliseconds: how often the CPU time of a computing guest is looked at, and how often
/// it lets others have its thread.
const TICK_MS: u64 = 5;
/// Memory of a slot of the pool that stays with the process between calls, in bytes.
const KEEP_RESIDENT_BYTES: usize = 256 * 1024;

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
    let ticker = Ticker::start(engine.clone());
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
        .parallel_compilation(true);
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
        .max_memory_size(usize::try_from(limits.memory_bytes_max).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(64 * 1024)
        .table_elements(limits.table_elements_max as usize);
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Advances the epoch while calls run; sleeps without waking while none does.
pub(crate) struct Ticker(Arc<Shared>);

#[derive(Default)]
struct Shared {
    running: Mutex<usize>,
    changed: Condvar,
}

/// A call that runs.
pub(crate) struct Ticking<'a>(&'a Shared);

impl Ticker {
    fn start(engine: Engine) -> Self {
        let shared = Arc::new(Shared::default());
        let weak = Arc::downgrade(&shared);
        let spawned = std::thread::Builder::new()
            .name("windlass-epochs".to_owned())
            .spawn(move || tick(&weak, &engine));
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for plugin time limits; only wall clock limits hold");
        }
        Self(shared)
    }

    pub(crate) fn enter(&self) -> Ticking<'_> {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        self.0.changed.notify_one();
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
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

/// How long the thread waits before it looks whether its sandbox is still there.
const IDLE: Duration = Duration::from_secs(60);

fn tick(shared: &Weak<Shared>, engine: &Engine) {
    while let Some(shared) = shared.upgrade() {
        let running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *running > 0 {
            drop(running);
            drop(shared);
            std::thread::sleep(Duration::from_millis(TICK_MS));
            engine.increment_epoch();
        } else {
            // Woken by the next call, and at long intervals.
            let waited = shared.changed.wait_timeout(running, IDLE);
            drop(waited);
        }
    }
}
