//! One call: a fresh instance, every limit armed before the first instruction, a report in any case.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::component::{Instance, ResourceTableError};
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};
use windlass_model::limits::PluginLimits;
use windlass_model::plan::Refusal;
use windlass_model::plugin::account::HostCalls;
use windlass_model::plugin::{CallOutcome, CallReport, Stage};

use crate::answers::{Answer, Key};
use crate::bindings::types::PluginError;
use crate::convert;
use crate::exports::WrongType;
use crate::fault::{Limit, LoadError, PluginFault};
use crate::granted::Effects;
use crate::images::ImageLookup;
use crate::log::{Finished, LogEntry};
use crate::plugin::{Plugin, Ready};
use crate::sandbox::{Inner, Sandbox};
use crate::source::Source;
use crate::state::{CallState, CpuUsedUp, WallUsedUp};
use crate::text::{cut, plain_line};
use crate::times::Times;

/// A call that ended, one way or another.
#[derive(Debug)]
pub struct Call<T> {
    /// The answer, or why there is none.
    pub result: Result<T, PluginFault>,
    /// What it amounted to.
    pub report: CallReport,
    /// What the plugin said, in order.
    pub log: Vec<LogEntry>,
}

/// A function of a stage, with its arguments.
pub(crate) trait Ask: Sync {
    /// The answer as the rest of Windlass knows it.
    type Answer: Serialize + DeserializeOwned + Send;
    /// The answer as the contract knows it.
    type Raw: Send;
    /// The stage.
    const STAGE: Stage;
    /// The function's name in reports and keys.
    const FUNCTION: &'static str;

    /// What the host does for it; a pure call has none.
    fn effects(&self) -> Option<Arc<dyn Effects>> {
        None
    }

    /// Its own limits, where they are not everyone's.
    fn limits(&self) -> Option<Arc<PluginLimits>> {
        None
    }

    /// All that the answer may depend on beside component and source; `None` if keeping the answer
    /// is not worth it.
    fn arguments(&self) -> Option<impl Serialize>;

    /// Calls the guest.
    fn ask(
        &self,
        store: &mut Store<CallState>,
        ready: &Ready,
        instance: &Instance,
    ) -> impl Future<Output = wasmtime::Result<Result<Self::Raw, PluginError>>> + Send;

    /// Checks and translates the answer; the error says what the contract does not allow.
    fn accept(&self, raw: Self::Raw) -> Result<Self::Answer, String>;

    /// Why the host cannot use what the answer passes on from the application.
    fn unusable(&self, _answer: &Self::Answer) -> Option<Refusal> {
        None
    }
}

/// What was seen of a call beside its answer.
#[derive(Default)]
pub(crate) struct Seen {
    log: Finished,
    memory_peak_bytes: u64,
    cpu_ms: u64,
    asked: HostCalls,
    looked_outside: bool,
}

/// Is told of every call that ends. A call whose future is dropped has no end.
pub trait Observer: Send + Sync {
    /// A call ended. It must not wait for anything: the call's caller does.
    fn ended(&self, plugin: &Plugin, report: &CallReport);
}

impl Sandbox {
    /// Makes a call, or replays what it once answered.
    pub(crate) async fn call<A: Ask>(
        &self,
        plugin: &Plugin,
        source: Option<&Source>,
        ask: A,
    ) -> Call<A::Answer> {
        let call = self.answered(plugin, source, ask).await;
        if let Some(observer) = self.observer() {
            observer.ended(plugin, &call.report);
        }
        call
    }

    async fn answered<A: Ask>(
        &self,
        plugin: &Plugin,
        source: Option<&Source>,
        ask: A,
    ) -> Call<A::Answer> {
        let started = Instant::now();
        let inner = self.inner();
        let key = ask.arguments().map(|arguments| {
            let component = &plugin.info().digest;
            let tree = source.map(Source::tree_digest);
            let version = plugin.version_of(A::STAGE);
            Key { component, version, tree, function: A::FUNCTION, arguments }.digest()
        });
        if let Some(kept) = key.as_ref().and_then(|key| inner.answers.get(key)) {
            return replay::<A>(plugin, kept, started);
        }
        let (mut result, seen) = if plugin.fills(A::STAGE) {
            inner.make(plugin, source, self.images(), &ask).await
        } else {
            failed(format!("{} does not export {:?}", plugin.name(), A::STAGE))
        };
        let mut report = report::<A>(plugin, &result, started);
        report.memory_peak_bytes = seen.memory_peak_bytes;
        report.cpu_ms = seen.cpu_ms;
        report.host_calls = seen.asked;
        report.log_bytes = seen.log.bytes;
        report.log_bytes_dropped = seen.log.dropped;
        let mut log = seen.log.entries;
        if let Some(key) = key.filter(|_| !seen.looked_outside) {
            (result, log) = keep(inner, &key, result, log, &report);
        }
        Call { result, report, log }
    }
}

/// Keeps an answer that the same arguments will always get.
fn keep<T: Serialize>(
    inner: &Inner,
    key: &windlass_model::Digest,
    result: Result<T, PluginFault>,
    log: Vec<LogEntry>,
    report: &CallReport,
) -> (Result<T, PluginFault>, Vec<LogEntry>) {
    let result = match result {
        Ok(answer) => Ok(answer),
        Err(PluginFault::Refused(refusal)) if !refusal.retryable => Err(refusal),
        other => return (other, log),
    };
    let answer = Answer {
        result,
        log,
        log_bytes_dropped: report.log_bytes_dropped,
        memory_peak_bytes: report.memory_peak_bytes,
    };
    inner.answers.put(key, &answer);
    (answer.result.map_err(PluginFault::Refused), answer.log)
}

fn replay<A: Ask>(plugin: &Plugin, kept: Answer<A::Answer>, started: Instant) -> Call<A::Answer> {
    let result = kept.result.map_err(PluginFault::Refused);
    let mut report = report::<A>(plugin, &result, started);
    report.cached = true;
    report.memory_peak_bytes = kept.memory_peak_bytes;
    report.log_bytes = kept.log.iter().map(|(_, text)| text.len() as u64).sum();
    report.log_bytes_dropped = kept.log_bytes_dropped;
    Call { result, report, log: kept.log }
}

fn report<A: Ask>(
    plugin: &Plugin,
    result: &Result<A::Answer, PluginFault>,
    started: Instant,
) -> CallReport {
    CallReport {
        plugin: plugin.name().to_owned(),
        stage: A::STAGE,
        function: A::FUNCTION.to_owned(),
        outcome: result.as_ref().map_or_else(PluginFault::outcome, |_| CallOutcome::Answered),
        cached: false,
        took_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        cpu_ms: 0,
        memory_peak_bytes: 0,
        log_bytes: 0,
        log_bytes_dropped: 0,
        host_calls: HostCalls::default(),
    }
}

/// A call that the host could not make.
fn failed<T>(why: String) -> (Result<T, PluginFault>, Seen) {
    (Err(PluginFault::HostFailed(why)), Seen::default())
}

impl Inner {
    /// Compiles the plugin if that is needed, begins an instance and asks it.
    pub(crate) async fn make<A: Ask>(
        &self,
        plugin: &Plugin,
        source: Option<&Source>,
        images: Arc<dyn ImageLookup>,
        ask: &A,
    ) -> (Result<A::Answer, PluginFault>, Seen) {
        let ready = match self.ready(plugin).await {
            Ok(ready) => ready,
            Err(error) => return (Err(PluginFault::Load(error)), Seen::default()),
        };
        let Ok(_running) = self.calls.acquire().await else {
            return failed("shutting down".to_owned());
        };
        let limits = ask.limits().unwrap_or_else(|| Arc::clone(&self.limits));
        let mut store = match self.store(plugin, source, images, &limits, ask.effects()) {
            Ok(store) => store,
            Err(why) => return failed(why),
        };
        let raw = self.run(&mut store, ready, ask, &limits).await;
        let result = raw.and_then(|raw| match raw {
            Ok(raw) => {
                let accepted = ask.accept(raw);
                let answer = accepted.map_err(|why| PluginFault::InvalidAnswer(cut(why)))?;
                match ask.unusable(&answer) {
                    None => Ok(answer),
                    Some(refusal) => Err(PluginFault::Unusable(refusal)),
                }
            }
            Err(error) => Err(match refused(error) {
                PluginFault::Refused(refusal) => {
                    let denied = &store.data().not_granted;
                    PluginFault::Refused(of_the_grant(refusal, plugin, denied))
                }
                invalid => invalid,
            }),
        });
        let state = store.into_data();
        let seen = Seen {
            memory_peak_bytes: state.meter.memory_peak_bytes(),
            cpu_ms: u64::try_from(state.times.cpu().as_millis()).unwrap_or(u64::MAX),
            asked: state.asked,
            looked_outside: state.looked_outside,
            log: state.into_log(),
        };
        (result.map_err(|fault| fault.with_last_words(seen.log.last_words())), seen)
    }

    /// A store with every limit armed. Guests compute only within epochs, at whose end their CPU time is
    /// looked at; between two of them other tasks get the thread, so the wall clock is looked at too.
    fn store(
        &self,
        plugin: &Plugin,
        source: Option<&Source>,
        images: Arc<dyn ImageLookup>,
        limits: &Arc<PluginLimits>,
        effects: Option<Arc<dyn Effects>>,
    ) -> Result<Store<CallState>, String> {
        // What others ask for is not kept: it holds memory of the host between their calls.
        let globs = if plugin.info().bundled { Arc::clone(&self.globs) } else { Arc::default() };
        let state = CallState::new(source.cloned(), globs, Arc::clone(limits), images, effects)?;
        let mut store = Store::new(&self.running.engine, state);
        store.limiter(|state| &mut state.meter);
        let fuel = usize::try_from(limits.hostcall_bytes_max).unwrap_or(usize::MAX);
        store.set_hostcall_fuel(fuel);
        let cpu_max = Duration::from_millis(limits.cpu_ms);
        store.epoch_deadline_callback(move |store| {
            let is_used_up = store.data().times.cpu() >= cpu_max;
            if is_used_up { Err(CpuUsedUp.into()) } else { Ok(UpdateDeadline::Yield(1)) }
        });
        store.set_epoch_deadline(1);
        Ok(store)
    }

    async fn run<A: Ask>(
        &self,
        store: &mut Store<CallState>,
        ready: &Ready,
        ask: &A,
        limits: &PluginLimits,
    ) -> Result<Result<A::Raw, PluginError>, PluginFault> {
        let _ticking = self.running.ticker.enter();
        let limit_ms = limits.wall_ms;
        let times = store.data().times.clone();
        let answer = async {
            let instance = ready.instance.instantiate_async(&mut *store).await?;
            ask.ask(store, ready, &instance).await
        };
        match within(Duration::from_millis(limit_ms), &times, answer).await {
            None => Err(PluginFault::WallTimedOut { limit_ms }),
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(self.fault_of(&error, A::STAGE, store.data(), limits)),
        }
    }

    /// Whose fault an error of the runtime is: the plugin's, unless it is plainly the host's.
    fn fault_of(
        &self,
        error: &wasmtime::Error,
        stage: Stage,
        state: &CallState,
        limits: &PluginLimits,
    ) -> PluginFault {
        if let Some(fault) = state.meter.exceeded() {
            return fault;
        }
        if error.is::<CpuUsedUp>() {
            return PluginFault::CpuTimedOut { limit_ms: limits.cpu_ms };
        }
        if error.is::<WallUsedUp>() {
            return PluginFault::WallTimedOut { limit_ms: limits.wall_ms };
        }
        if let Some(WrongType(reason)) = error.downcast_ref() {
            return PluginFault::Load(Arc::new(LoadError::mismatch(&[stage], reason)));
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return PluginFault::HostFailed(error.to_string());
        }
        let over = |which| PluginFault::OverLimit { which };
        if error.chain().any(<dyn std::error::Error>::is::<ResourceTableError>) {
            return over(Limit::Resources);
        }
        let said = format!("{error:#}");
        // The runtime has no public type for these three.
        if said.contains("fuel allocated for hostcalls has been exhausted") {
            return over(Limit::HostCallBytes);
        }
        if said.contains("resource limit exceeded") {
            return over(Limit::Instances);
        }
        if said.contains("requested len") && said.contains("exceeds limit") {
            return over(Limit::RandomBytes);
        }
        PluginFault::Trapped { reason: reason(error) }
    }
}

/// Waits for this long; the time that the host itself spends on an answer from outside does not count. CPU time
/// is counted meanwhile.
async fn within<T>(limit: Duration, times: &Times, answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    let began = Instant::now();
    loop {
        let left = (limit + times.outside()).saturating_sub(began.elapsed());
        if left.is_zero() {
            return None;
        }
        let polled = poll_fn(|context| {
            let _polled = times.poll();
            answer.as_mut().poll(context)
        });
        if let Ok(answer) = tokio::time::timeout(left, polled).await {
            return Some(answer);
        }
    }
}

/// The innermost cause: the outer ones say which function of the runtime saw it.
fn reason(error: &wasmtime::Error) -> String {
    let root = error.root_cause().to_string();
    plain_line(root.lines().next().unwrap_or("no reason was given"))
}

/// A refusal because of a file that could not be read, where the reason is that it was not granted: the contract
/// tells a plugin no more than `denied`, and the host knows what was granted. `denied` are the paths that were.
fn of_the_grant(refusal: Refusal, plugin: &Plugin, denied: &[String]) -> Refusal {
    // The SDKs' words; a plugin names paths from the application's folder.
    let named = refusal.message.split_once(" cannot be read").map(|(path, _)| path);
    let is_named = |path: &&String| {
        let folder = named.and_then(|named| path.strip_suffix(named));
        folder.is_some_and(|folder| folder.is_empty() || folder.ends_with('/'))
    };
    let path = denied.iter().find(is_named).filter(|_| refusal.code == "source.unreadable");
    let Some(path) = path else { return refusal };
    let (name, granted) = (plugin.name(), plugin.effective().source_paths().join(", "));
    Refusal {
        code: "plugin.not-granted".to_owned(),
        message: cut(plain_line(&format!(
            "{path} cannot be read: it is outside of what {name} was granted of the source, which is {granted}"
        ))),
        hint: Some(format!(
            "if it may read that, grant it more: `windlass plugin grant {name} all`, or JSON with the `paths` of \
             `source` beside what else it may do"
        )),
        retryable: refusal.retryable,
    }
}

fn refused(error: PluginError) -> PluginFault {
    let refusal = convert::refusal(error);
    if convert::is_code(&refusal.code) {
        PluginFault::Refused(refusal)
    } else {
        let code = &refusal.code;
        PluginFault::InvalidAnswer(cut(format!(
            "the code of its error is not dot-separated words of a-z, 0-9 and hyphens: {code:?} \
             (its message: {})",
            refusal.message
        )))
    }
}
