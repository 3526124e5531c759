//! What one call holds, and the interfaces that the host gives to its guest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{
    FsPerms, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
};
use windlass_model::limits::PluginLimits;
use windlass_model::plugin::account::HostCalls;

use crate::bindings::{images, log, source, types};
use crate::globs::Globs;
use crate::granted::Effects;
use crate::images::{ImageConfig, ImageError, ImageLookup, LOOKUP_MAX, LOOKUPS_MAX};
use crate::limits::Meter;
use crate::log::{CallLog, Finished, LogLevel};
use crate::source::{NotDone, Source};
use crate::streams::LogStream;
use crate::times::Times;
use crate::versions::{OFFERED, Served};

/// The moment that every pure call sees: 2000-01-01T00:00:00Z.
const FIXED_WALL: Duration = Duration::from_secs(946_684_800);
/// The monotonic clock of every pure call, in nanoseconds.
const FIXED_MONOTONIC_NS: u64 = 1_000_000_000;
/// The seed of every pure call.
const SEED: &[u8] = b"windlass: the same in every call";
/// Random bytes that a guest may ask for at once.
const RANDOM_BYTES_MAX: u64 = 1 << 20;
/// Paths that were not granted, of which a call remembers so many.
const NOT_GRANTED_KEPT: usize = 100;
/// A longer path is counted and not remembered.
const NOT_GRANTED_BYTES_MAX: usize = 1024;

/// The store's data for one call.
pub(crate) struct CallState {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) meter: Meter,
    pub(crate) log: CallLog,
    source: Option<Source>,
    globs: Arc<Globs>,
    limits: Arc<PluginLimits>,
    images: Arc<dyn ImageLookup>,
    /// What the host does for a custom stage; nobody for a pure call.
    pub(crate) effects: Option<Arc<dyn Effects>>,
    /// Whether an image was looked up: such an answer is not the arguments' alone.
    pub(crate) looked_outside: bool,
    /// How many were.
    looked_up: usize,
    /// What it used of its time.
    pub(crate) times: Times,
    /// What it asked of the host.
    pub(crate) asked: HostCalls,
    /// Paths that it wanted to read outside of what was granted of the source, the first ones.
    pub(crate) not_granted: Vec<String>,
    /// When the call has lasted as long as it may, but for what was spent outside.
    until: Instant,
}

/// Ends a call in the middle of a host call, where its time is not looked at otherwise.
#[derive(Debug, thiserror::Error)]
#[error("the time is used up")]
pub(crate) struct WallUsedUp;

/// Ends a call that has computed for as long as it may.
#[derive(Debug, thiserror::Error)]
#[error("the CPU time is used up")]
pub(crate) struct CpuUsedUp;

impl CallState {
    pub(crate) fn new(
        source: Option<Source>,
        globs: Arc<Globs>,
        limits: Arc<PluginLimits>,
        images: Arc<dyn ImageLookup>,
        effects: Option<Arc<dyn Effects>>,
    ) -> Result<Self, String> {
        let log = CallLog::new(limits.log_bytes_max);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources_max as usize);
        let wasi = wasi(source.as_ref(), &log, effects.is_none())?;
        let meter = Meter::new(&limits);
        let looked_outside = false;
        let until = Instant::now() + Duration::from_millis(limits.wall_ms);
        Ok(Self {
            wasi,
            table,
            meter,
            log,
            source,
            globs,
            limits,
            images,
            effects,
            looked_outside,
            looked_up: 0,
            times: Times::default(),
            asked: HostCalls::default(),
            not_granted: Vec::new(),
            until,
        })
    }

    /// Ends the call where it is, when it has used up its time.
    fn time_left(&self) -> wasmtime::Result<()> {
        if self.times.cpu() >= Duration::from_millis(self.limits.cpu_ms) {
            return Err(CpuUsedUp.into());
        }
        if Instant::now() >= self.until + self.times.outside() {
            return Err(WallUsedUp.into());
        }
        Ok(())
    }

    /// Counts what was wanted outside of what was granted of the source, and remembers which files.
    fn note_not_granted(&mut self, paths: Vec<String>) {
        for path in paths {
            self.asked.denied += 1;
            let has_room = self.not_granted.len() < NOT_GRANTED_KEPT;
            if !has_room || path.len() > NOT_GRANTED_BYTES_MAX {
                continue;
            }
            if self.not_granted.is_empty() {
                let why =
                    format!("{path} is denied: it is outside of what was granted of the source");
                self.log.write(LogLevel::Info, &why);
            }
            self.not_granted.push(path);
        }
    }

    /// The handles that the guest holds.
    pub(crate) fn handles(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Ends the streams, so that a last line without an end is in the log too.
    pub(crate) fn into_log(self) -> Finished {
        let log = self.log.clone();
        drop(self);
        log.finish()
    }
}

/// WASI with nothing behind it but the source, read only, and two streams that end in the log. In a pure call
/// time stands still and chance is always the same.
fn wasi(source: Option<&Source>, log: &CallLog, is_pure: bool) -> Result<WasiCtx, String> {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(LogStream::new(log))
        .stderr(LogStream::new(log))
        .max_random_size(RANDOM_BYTES_MAX)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    if is_pure {
        builder
            .secure_random(Deterministic::new(SEED.to_vec()))
            .insecure_random(Deterministic::new(SEED.to_vec()))
            .insecure_random_seed(0)
            .wall_clock(Fixed)
            .monotonic_clock(Fixed);
    }
    if let Some(source) = source.filter(|source| source.is_whole()) {
        if source.has_special_files() {
            let why =
                "the source holds a pipe, a socket or a device: /src is empty for this plugin";
            log.write(LogLevel::Warn, why);
        } else {
            builder
                .preopened_dir(source.root(), "/src", FsPerms::ReadOnly)
                .map_err(|error| format!("the source cannot be opened: {error}"))?;
        }
    }
    Ok(builder.build())
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Links WASI and our own interfaces that need no grant.
pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    for offer in OFFERED {
        if let Served::Always(link) = offer.served {
            link(linker)?;
        }
    }
    Ok(())
}

impl types::Host for CallState {}

impl log::Host for CallState {
    fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        let mut line = message;
        for (name, value) in fields {
            line.push_str(&format!(" {name}={value}"));
        }
        self.log.write(level, &line);
        Ok(())
    }
}

impl source::Host for CallState {
    fn list_entries(
        &mut self,
        options: source::ListOptions,
    ) -> wasmtime::Result<Result<source::Listing, source::ReadError>> {
        let Some(source) = &self.source else {
            return Ok(Err(source::ReadError::NotFound));
        };
        match source.list(&options, &self.globs, &self.limits, &|| self.time_left()) {
            Ok(listing) => Ok(Ok(listing)),
            Err(NotDone::Refused(error)) => Ok(Err(error)),
            Err(NotDone::Late(error)) => Err(error),
        }
    }

    fn read_many(
        &mut self,
        paths: Vec<String>,
        bytes_each_max: u32,
    ) -> wasmtime::Result<Vec<Result<Vec<u8>, source::ReadError>>> {
        let Some(source) = &self.source else {
            return Ok(paths.iter().map(|_| Err(source::ReadError::NotFound)).collect());
        };
        let answers =
            source.read_many(&paths, bytes_each_max, &self.limits, &|| self.time_left())?;
        let beyond: Vec<String> = paths.into_iter().filter(|path| source.is_beyond(path)).collect();
        self.note_not_granted(beyond);
        Ok(answers)
    }
}

impl images::Host for CallState {
    async fn config(
        &mut self,
        reference: String,
        platform: String,
    ) -> wasmtime::Result<Result<images::ImageConfig, images::ImageError>> {
        self.looked_outside = true;
        self.looked_up += 1;
        if self.looked_up > LOOKUPS_MAX {
            if self.looked_up == LOOKUPS_MAX + 1 {
                let why = format!("a call may look up {LOOKUPS_MAX} images: all others are denied");
                self.log.write(LogLevel::Warn, &why);
            }
            return Ok(Err(images::ImageError::Denied));
        }
        let images = Arc::clone(&self.images);
        let _outside = self.times.begin_outside();
        let asked = tokio::time::timeout(LOOKUP_MAX, images.config(&reference, &platform)).await;
        let found = asked.unwrap_or(Err(ImageError::Unreachable));
        Ok(found.map(image_config).map_err(|error| match error {
            ImageError::NotFound => images::ImageError::NotFound,
            ImageError::Denied => images::ImageError::Denied,
            ImageError::Unreachable => images::ImageError::Unreachable,
            ImageError::UnsupportedPlatform => images::ImageError::UnsupportedPlatform,
        }))
    }
}

fn image_config(config: ImageConfig) -> images::ImageConfig {
    images::ImageConfig {
        digest: config.digest,
        env: config.env,
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        user: config.user,
        cwd: config.cwd,
        shell: config.shell,
        onbuild: config.onbuild,
        exposed: config.exposed,
        volumes: config.volumes,
        labels: config.labels,
        stop_signal: config.stop_signal,
        health: config.health.as_ref().map(crate::convert::health_check_to_guest),
        author: config.author,
    }
}

/// A clock that stands still.
struct Fixed;

impl HostWallClock for Fixed {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        FIXED_WALL
    }
}

impl HostMonotonicClock for Fixed {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        FIXED_MONOTONIC_NS
    }
}
