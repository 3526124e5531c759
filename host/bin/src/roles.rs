//! What this machine can be asked to do itself: the roles behind the command line.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;
use windlass_cli::Roles;
use windlass_cli::roles::{
    Authoring, Check, DetectOutput, DoctorOptions, LocalOptions, LogFormat, PlanOutput,
    PluginFolders, ProxyOptions, RecoverOptions, RestoreOptions, ServeOptions, TeardownOptions,
};
use windlass_containers::{Config as EngineConfig, doctor};
use windlass_daemon::ServeConfig;
use windlass_devtools as devtools;
use windlass_model::id::HostId;
use windlass_model::plugin::Manifest;
use windlass_model::recovery::{BackupView, RecoverReport, RestoreReport};
use windlass_model::{Failure, Limits};
use windlass_proxy::{Listen, ProxyConfig, ProxyLimits};

use crate::authoring::Workshop;
use crate::{COMPILE, convert, memory};

/// The roles, in this process.
pub(crate) struct Here;

impl Roles for Here {
    fn serve(&self, options: ServeOptions) -> Result<(), Failure> {
        memory::keep_little();
        log_to_stderr(options.log_format);
        let exe = this_binary()?;
        let config = ServeConfig {
            data_dir: options.data_dir,
            api_listen: options.api_listen,
            containerd: options.containerd,
            proxy_listen: options.proxy_listen,
            trusted_proxies: options.trusted_proxies,
            bundled_plugins: plugins_dir(options.plugins_dir)?,
            base_cache_dir: options.base_cache_dir,
            registry_mirrors: options.registry_mirrors,
            limits: options.limits,
            exe,
        };
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        runtime(cores.clamp(2, 4))?
            .block_on(async { Box::pin(windlass_daemon::serve(config)).await })
    }

    fn proxy(&self, options: ProxyOptions) -> Result<(), Failure> {
        log_to_stderr(options.log_format);
        let listen = match options.listen {
            none if none.is_empty() => Listen::Auto,
            some => Listen::Addresses(some),
        };
        let config = ProxyConfig {
            listen,
            control_socket: options.control_socket,
            table_file: options.table_file,
            limits: ProxyLimits::default(),
            trusted_proxies: options.trusted_proxies,
        };
        runtime(2)?
            .block_on(async { Box::pin(windlass_proxy::run(config)).await })
            .map_err(|error| convert::proxy_failure(&error))
    }

    fn detect(&self, options: &LocalOptions) -> Result<DetectOutput, Failure> {
        let (config, request) = local(options)?;
        Ok(runtime(2)?.block_on(devtools::detect(&config, &request))?.into())
    }

    fn plan(&self, options: &LocalOptions) -> Result<PlanOutput, Failure> {
        let (config, request) = local(options)?;
        runtime(2)?.block_on(devtools::plan(&config, &request))
    }

    fn doctor(&self, options: &DoctorOptions) -> Result<Vec<Check>, Failure> {
        let config = EngineConfig {
            data_dir: options.data_dir.clone(),
            host_id: HostId::generate(),
            containerd: options.containerd.clone(),
            logger_exe: this_binary()?,
            limits: Limits::default(),
        };
        // The socket of our own containerd carries the host's id, which only `serve` knows.
        let known = |check: &doctor::Check| {
            options.containerd.is_some() || check.name != "containerd socket"
        };
        let mut checks: Vec<Check> =
            doctor::inspect(&config).into_iter().filter(known).map(convert::check).collect();
        let bundled = plugins_dir(options.plugins_dir.clone())?;
        checks.push(convert::plugins(&bundled));
        checks.extend(convert::switched_off(&options.data_dir.join("plugins")));
        Ok(checks)
    }

    fn manifests(&self, options: &PluginFolders) -> Result<Vec<Manifest>, Failure> {
        let bundled = plugins_dir(options.plugins_dir.clone())?;
        Ok(convert::manifests(&[bundled, options.data_dir.join("plugins")]))
    }

    fn teardown(&self, options: TeardownOptions) -> Result<(), Failure> {
        log_to_stderr(LogFormat::Plain);
        let host = windlass_daemon::TeardownConfig {
            data_dir: options.data_dir,
            containerd: options.containerd,
            exe: this_binary()?,
        };
        runtime(2)?.block_on(async { Box::pin(windlass_daemon::teardown(host)).await })
    }

    fn recover(&self, options: RecoverOptions) -> Result<RecoverReport, Failure> {
        log_to_stderr(LogFormat::Plain);
        let config = windlass_daemon::RecoverConfig {
            data_dir: options.data_dir,
            containerd: options.containerd,
            exe: this_binary()?,
            host: options.host,
            backup: options.backup,
            without_backup: options.without_backup,
            dry_run: options.dry_run,
        };
        runtime(2)?.block_on(async { Box::pin(windlass_daemon::recover(config)).await })
    }

    fn restore(&self, options: RestoreOptions) -> Result<RestoreReport, Failure> {
        log_to_stderr(LogFormat::Plain);
        let config = windlass_daemon::backup::RestoreConfig {
            data_dir: options.data_dir,
            backup: options.backup,
            passphrase: options.passphrase,
            without_volumes: options.without_volumes,
        };
        runtime(2)?.block_on(async { Box::pin(windlass_daemon::backup::restore(config)).await })
    }

    fn verify_backup(&self, backup: &Path) -> Result<BackupView, Failure> {
        let view = windlass_daemon::backup::view_verified(backup);
        match view.failure.clone() {
            Some(failure) => Err(failure),
            None => Ok(view),
        }
    }

    fn authoring(&self) -> &dyn Authoring {
        &Workshop
    }
}

/// A detection or plan of a folder, with the plugins of this installation.
fn local(options: &LocalOptions) -> Result<(devtools::Config, devtools::Request), Failure> {
    let config = devtools_config(options.plugins_dir.clone(), &options.data_dir)?;
    let request = devtools::Request {
        path: options.path.clone(),
        environment: options.environment.clone(),
        without_settings: options.without_settings,
        app_dir: options.app_dir.clone(),
        framework: options.framework.clone(),
    };
    Ok((config, request))
}

/// How devtools run components here.
pub(crate) fn devtools_config(
    plugins: Option<PathBuf>,
    data_dir: &Path,
) -> Result<devtools::Config, Failure> {
    Ok(devtools::Config {
        bundled_plugins: plugins_dir(plugins)?,
        installed_plugins: data_dir.join("plugins"),
        cache_dir: devtools::default_cache_dir(),
        compiler: this_binary()?,
        compiler_args: vec![COMPILE.to_owned()],
        limits: Limits::default(),
    })
}

fn this_binary() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|e| {
        Failure::host(
            "host.no-binary",
            "the path of this binary is not known",
            e.to_string(),
            "mount /proc, and start windlass from a file that still exists",
        )
    })
}

/// The given folder, else `plugins` beside this binary.
pub(crate) fn plugins_dir(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    match given {
        Some(folder) => Ok(folder),
        None => Ok(this_binary()?.with_file_name("plugins")),
    }
}

pub(crate) fn runtime(workers: usize) -> Result<Runtime, Failure> {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().map_err(|e| {
        Failure::host(
            "host.no-threads",
            "the runtime could not be started",
            e.to_string(),
            "raise the limits on threads and open files (`ulimit -u`, `ulimit -n`)",
        )
    })
}

/// The log goes to standard error; `WINDLASS_LOG` filters it.
fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_env("WINDLASS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Plain => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
}
