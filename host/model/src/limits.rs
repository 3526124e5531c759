//! Every limit of Windlass, in one place, each with its unit in its name.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The limits in force. `Default` gives the values that the documentation states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest time of each step, in seconds, before it fails with `<step>.deadline`.
    pub fetch_s: u64,
    /// See [`Limits::fetch_s`].
    pub preflight_s: u64,
    /// See [`Limits::fetch_s`].
    pub detect_s: u64,
    /// See [`Limits::fetch_s`].
    pub plan_s: u64,
    /// See [`Limits::fetch_s`].
    pub provision_s: u64,
    /// See [`Limits::fetch_s`].
    pub build_s: u64,
    /// See [`Limits::fetch_s`].
    pub validate_s: u64,
    /// See [`Limits::fetch_s`].
    pub migrate_s: u64,
    /// See [`Limits::fetch_s`].
    pub start_s: u64,
    /// See [`Limits::fetch_s`]; the health policy's own budget is shorter.
    pub check_s: u64,
    /// See [`Limits::fetch_s`].
    pub switch_s: u64,
    /// See [`Limits::fetch_s`].
    pub finish_s: u64,
    /// Deployments that run at the same time on one host.
    pub deployments_running_max: usize,
    /// Deployments that may wait, over all projects.
    pub deployments_queued_max: usize,
    /// Deployments of one project that may wait.
    pub deployments_queued_per_project_max: usize,
    /// How long an idempotency key is remembered, in seconds.
    pub idempotency_keep_s: u64,
    /// Idempotency keys remembered for one project; more are refused until the oldest are forgotten.
    pub idempotency_keys_max: usize,
    /// Pinned deployments of one environment.
    pub pins_max: usize,
    /// Grace between SIGTERM and SIGKILL of an instance, in seconds.
    pub stop_grace_s: u64,
    /// Free bytes under the data directory below which no deployment starts.
    pub disk_free_bytes_min: u64,
    /// Free inodes below which no deployment starts, where the file system has a fixed number of them.
    pub disk_free_inodes_min: u64,
    /// Available memory below which no deployment starts, in bytes.
    pub memory_free_bytes_min: u64,
    /// Time between two backups that are made by themselves, in seconds; at least 60.
    pub backup_every_s: u64,
    /// Backups that are kept; older ones are deleted.
    pub backups_kept_max: usize,
    /// Whether backups that are made by themselves hold the volumes.
    pub backup_volumes: bool,
    /// File whose first line is the passphrase that encrypts the key in backups that are made by
    /// themselves; without one the key is in them as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_passphrase_file: Option<PathBuf>,
    /// Body of an uploaded source archive, in bytes.
    pub upload_bytes_max: u64,
    /// Body of any other request, in bytes.
    pub request_body_bytes_max: u64,
    /// Unpacked size of a source tree, in bytes.
    pub source_bytes_max: u64,
    /// Files in a source tree.
    pub source_files_max: u64,
    /// A variable's value, in bytes.
    pub variable_value_bytes_max: usize,
    /// Variables in one environment.
    pub variables_max: usize,
    /// One line of a log, in bytes; longer ones are split.
    pub log_line_bytes_max: usize,
    /// Log of one step, in bytes; what is over is counted and dropped.
    pub step_log_bytes_max: u64,
    /// One log file of an instance before it is rotated, in bytes.
    pub instance_log_file_bytes_max: u64,
    /// Rotated log files kept of one instance.
    pub instance_log_files_max: u32,
    /// Lines of an instance's output a second; more are counted and dropped.
    pub instance_log_lines_per_s_max: u32,
    /// Sessions (`exec`, `run`) that are open, and one-off commands in the background, at the same time.
    pub sessions_max: usize,
    /// Longest time of a session or a one-off command, in seconds.
    pub session_s: u64,
    /// Lines shown with a failure.
    pub failure_log_lines_max: usize,
    /// Deployments kept in an environment's history.
    pub keep_deployments: usize,
    /// Retained artifacts of an environment, the live one not counted.
    pub keep_artifacts: usize,
    /// Body of a webhook's delivery, in bytes.
    pub webhook_body_bytes_max: u64,
    /// Genuine deliveries kept of one webhook: a replay is known so long.
    pub webhook_deliveries_max: usize,
    /// Deliveries kept of one webhook that were not genuine.
    pub webhook_refusals_max: usize,
    /// Age at which a delivery is forgotten, in days.
    pub webhook_delivery_days_max: u32,
    /// How far the clock of a signed delivery may be off, in seconds.
    pub webhook_clock_skew_s_max: u64,
    /// Webhooks of one project.
    pub webhooks_max: usize,
    /// Instances of one process.
    pub replicas_max: u32,
    /// First pause before an instance that ended is started again, in milliseconds; it doubles.
    pub restart_pause_ms: u64,
    /// Longest pause before an instance that ended is started again, in milliseconds.
    pub restart_pause_ms_max: u64,
    /// How long an instance must have been healthy for its next pause to be the first again, in seconds.
    pub restart_reset_s: u64,
    /// Exits of an instance within `crash_loop_s` that make a crash loop.
    pub crash_loop_exits: usize,
    /// See [`Limits::crash_loop_exits`], in seconds.
    pub crash_loop_s: u64,
    /// Between two probes of an instance that is live, in milliseconds.
    pub liveness_every_ms: u64,
    /// Probes in a row that must fail for a live instance to be started again.
    pub liveness_failures: u32,
    /// How long an instance that nothing probes must run to count as started, in milliseconds.
    pub settle_ms: u64,
    /// How long requests are held while a version is replaced with `strategy = "recreate"`, in
    /// milliseconds.
    pub recreate_hold_ms: u64,
    /// Events kept of one environment.
    pub environment_events_max: usize,
    /// One call of a plugin.
    pub plugin: PluginLimits,
    /// Builds and their steps.
    pub build: BuildLimits,
    /// One instance, where the settings say nothing.
    pub instance: InstanceLimits,
    /// API tokens and the audit log.
    pub access: AccessLimits,
    /// What caches may take of the disk.
    pub disk: DiskLimits,
    /// Custom stages, and what the host does for them.
    pub stages: StageLimits,
    /// Runs of schedules.
    pub cron: CronLimits,
}

/// Limits of the runs of schedules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CronLimits {
    /// Runs that go on at the same time on one host; further ones wait.
    pub running_max: usize,
    /// Longest time of a run, in seconds: of one whose schedule sets none, and where that sets more.
    pub run_s: u64,
    /// How late a run may begin whose time came while the host did not run, in seconds; what is later is missed.
    pub late_s_max: u64,
    /// Runs kept of one schedule, with their logs.
    pub runs_kept_max: usize,
}

/// Limits of custom stages, and of what the host does for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StageLimits {
    /// Longest time of all stages of a deployment at one hook, in seconds.
    pub hook_s: u64,
    /// Stages that deployments wait for and that run at the same time on one host; further ones wait.
    pub running_max: usize,
    /// Longest time of one try of a stage in the background, in seconds.
    pub background_s: u64,
    /// Stages in the background that run at the same time on one host; further ones wait.
    pub background_running_max: usize,
    /// Tries of a stage in the background.
    pub tries_max: u32,
    /// First pause before a stage in the background is tried again, in milliseconds; it doubles.
    pub pause_ms: u64,
    /// Longest pause before a stage in the background is tried again, in milliseconds.
    pub pause_ms_max: u64,
    /// Longest time of one command of a stage, in milliseconds.
    pub exec_wall_ms: u64,
    /// Commands of one call of a stage that run at the same time; one more is refused.
    pub exec_at_once_max: u32,
    /// Commands that one call of a stage may begin; one more is refused.
    pub exec_commands_max: u32,
    /// End of a command's output that a stage can ask for, in bytes of each stream.
    pub exec_tail_bytes_max: u32,
    /// Lines of a command that wait to be taken by its stage; more are dropped and counted.
    pub exec_lines_max: usize,
    /// Longest time of one request of a stage with all its redirects, in milliseconds.
    pub http_timeout_ms: u32,
    /// Requests that one call of a stage may send, each with its redirects; one more is refused.
    pub http_requests_max: u32,
    /// Body of the answer to one request of a stage, in bytes.
    pub http_response_bytes_max: u64,
    /// Changes that one call of a stage may make to its files, its notes and its cache; one more is refused.
    pub writes_max: u32,
    /// What these changes may write together, in bytes.
    pub write_bytes_max: u64,
}

/// What caches may take of the disk. What an artifact needs does not count: artifacts follow
/// [`Limits::keep_artifacts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskLimits {
    /// Cached steps, in bytes.
    pub cache_bytes_max: u64,
    /// Cached steps, in hundredths of their file system; the smaller of both holds.
    pub cache_percent_max: u8,
    /// Bases, in bytes.
    pub bases_bytes_max: u64,
    /// Bases, in hundredths of their file system; the smaller of both holds.
    pub bases_percent_max: u8,
    /// Age since its last use at which a cached step or a base goes, in days.
    pub unused_days_max: u32,
    /// Free bytes below which caches go before their budgets are used up.
    pub reclaim_below_bytes: u64,
}

/// Limits of API tokens and of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLimits {
    /// API tokens that are kept, revoked and expired ones counted.
    pub tokens_max: usize,
    /// How long a revoked or expired token is still known by its name, in days.
    pub dead_tokens_keep_days: u32,
    /// Wrong tokens from one address in a minute; after that none of it is looked at until the minute
    /// is over.
    pub failures_per_minute_max: u32,
    /// Refused requests of one token in a minute that are written to the audit log.
    pub refusals_logged_per_minute_max: u32,
    /// One file of the audit log before the next is begun, in bytes.
    pub audit_file_bytes_max: u64,
    /// Files of the audit log that are kept.
    pub audit_files_max: usize,
    /// How long entries of the audit log are kept, in days.
    pub audit_keep_days: u32,
}

/// Limits of one call of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginLimits {
    /// Wall clock of one call, in milliseconds.
    pub wall_ms: u64,
    /// CPU time of one call, in milliseconds.
    pub cpu_ms: u64,
    /// Linear memory of one call, summed over all memories, in bytes.
    pub memory_bytes_max: u64,
    /// Most wall clock of one call that may be granted, in milliseconds.
    pub granted_wall_ms_max: u64,
    /// Most CPU time of one call that may be granted, in milliseconds.
    pub granted_cpu_ms_max: u64,
    /// Most linear memory of one call that may be granted, in bytes; no memory has more than 4 GiB.
    pub granted_memory_bytes_max: u64,
    /// Bytes that a guest may pass to the host in one host call.
    pub hostcall_bytes_max: u64,
    /// Handles in the resource table.
    pub resources_max: u32,
    /// Table elements of one call.
    pub table_elements_max: u32,
    /// Log bytes kept of one call.
    pub log_bytes_max: u64,
    /// The component's file, in bytes.
    pub component_bytes_max: u64,
    /// Wall clock of compiling one component, in milliseconds.
    pub compile_wall_ms: u64,
    /// CPU time of compiling one component, in seconds.
    pub compile_cpu_s: u64,
    /// Address space of the compiling child, in bytes.
    pub compile_memory_bytes_max: u64,
    /// Entries that one listing of the source may return.
    pub list_entries_max: u32,
    /// Bytes that one batch of reads may return.
    pub read_bytes_max: u64,
    /// Faults of one function in a row, in deployments of one project, after which the plugin is switched off there;
    /// 0: never.
    pub faults_in_a_row_max: u32,
}

/// Limits of builds: of one step's container, of a build, and of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuildLimits {
    /// Memory, in bytes.
    pub memory_bytes_max: u64,
    /// CPU, in thousandths of a core; 0 means all cores.
    pub cpu_millis_max: u32,
    /// Processes and threads.
    pub pids_max: u32,
    /// Wall clock of one command, in milliseconds, unless the plan says less.
    pub command_wall_ms: u64,
    /// Steps in one plan.
    pub steps_max: usize,
    /// Builds at the same time on one host; further ones wait.
    pub running_max: usize,
    /// Steps of all builds that are carried out at the same time; further ones wait.
    pub steps_running_max: usize,
    /// Memory of all commands that run at the same time, in bytes: one that would go over it waits. 0 means
    /// three quarters of the machine's.
    pub memory_bytes_all_max: u64,
    /// CPU of all commands that run at the same time, in thousandths of a core; 0 means all cores.
    pub cpu_millis_all_max: u32,
    /// Output of all commands of one build, in bytes; one that writes more is stopped. What is kept of each is
    /// [`Limits::step_log_bytes_max`].
    pub output_bytes_max: u64,
    /// What one build may write to the disk, in bytes: its steps' files and its cache mounts.
    pub disk_bytes_max: u64,
    /// Cache mounts of one project, in bytes; after a build those that were used longest ago go.
    pub cache_bytes_max: u64,
}

/// Limits of one instance where `windlass.toml` says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceLimits {
    /// Memory, in bytes.
    pub memory_bytes_max: u64,
    /// CPU, in thousandths of a core; 0 means no limit.
    pub cpu_millis_max: u32,
    /// Processes and threads.
    pub pids_max: u32,
}

impl BuildLimits {
    /// CPU of one command, in thousandths of a core: no more than all have together. 0 means that it has no
    /// limit of its own.
    pub fn command_cpu_millis(&self) -> u32 {
        match self.cpu_millis_all_max {
            0 => self.cpu_millis_max,
            all => self.cpu_millis_max.min(all),
        }
    }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl Default for Limits {
    fn default() -> Self {
        Self {
            fetch_s: 600,
            preflight_s: 60,
            detect_s: 120,
            plan_s: 120,
            provision_s: 600,
            build_s: 3600,
            validate_s: 300,
            migrate_s: 1800,
            start_s: 120,
            check_s: 900,
            switch_s: 60,
            finish_s: 60,
            deployments_running_max: 2,
            deployments_queued_max: 2000,
            deployments_queued_per_project_max: 200,
            idempotency_keep_s: 24 * 3600,
            idempotency_keys_max: 10_000,
            pins_max: 100,
            stop_grace_s: 30,
            disk_free_bytes_min: 2 * GIB,
            disk_free_inodes_min: 20_000,
            memory_free_bytes_min: 128 * MIB,
            backup_every_s: 6 * 3600,
            backups_kept_max: 8,
            backup_volumes: false,
            backup_passphrase_file: None,
            upload_bytes_max: 512 * MIB,
            request_body_bytes_max: MIB,
            source_bytes_max: 4 * GIB,
            source_files_max: 500_000,
            variable_value_bytes_max: 32 * 1024,
            variables_max: 500,
            log_line_bytes_max: 16 * 1024,
            step_log_bytes_max: 32 * MIB,
            instance_log_file_bytes_max: 16 * MIB,
            instance_log_files_max: 4,
            instance_log_lines_per_s_max: 10_000,
            sessions_max: 32,
            session_s: 12 * 3600,
            failure_log_lines_max: 20,
            keep_deployments: 10,
            keep_artifacts: 3,
            webhook_body_bytes_max: 5 * MIB,
            webhook_deliveries_max: 1000,
            webhook_refusals_max: 100,
            webhook_delivery_days_max: 30,
            webhook_clock_skew_s_max: 300,
            webhooks_max: 20,
            replicas_max: 50,
            restart_pause_ms: 1000,
            restart_pause_ms_max: 60_000,
            restart_reset_s: 300,
            crash_loop_exits: 5,
            crash_loop_s: 600,
            liveness_every_ms: 10_000,
            liveness_failures: 3,
            settle_ms: 2000,
            recreate_hold_ms: 60_000,
            environment_events_max: 500,
            plugin: PluginLimits::default(),
            build: BuildLimits::default(),
            instance: InstanceLimits::default(),
            access: AccessLimits::default(),
            disk: DiskLimits::default(),
            stages: StageLimits::default(),
            cron: CronLimits::default(),
        }
    }
}

impl Default for CronLimits {
    fn default() -> Self {
        Self { running_max: 8, run_s: 12 * 3600, late_s_max: 3600, runs_kept_max: 50 }
    }
}

impl Default for StageLimits {
    fn default() -> Self {
        Self {
            hook_s: 1800,
            running_max: 8,
            background_s: 1800,
            background_running_max: 4,
            tries_max: 6,
            pause_ms: 10_000,
            pause_ms_max: 600_000,
            exec_wall_ms: 600_000,
            exec_at_once_max: 4,
            exec_commands_max: 100,
            exec_tail_bytes_max: 2 << 20,
            exec_lines_max: 10_000,
            http_timeout_ms: 30_000,
            http_requests_max: 3_000,
            http_response_bytes_max: 8 * MIB,
            writes_max: 4_000,
            write_bytes_max: GIB,
        }
    }
}

impl Default for DiskLimits {
    fn default() -> Self {
        Self {
            cache_bytes_max: 20 * GIB,
            cache_percent_max: 20,
            bases_bytes_max: 20 * GIB,
            bases_percent_max: 20,
            unused_days_max: 14,
            reclaim_below_bytes: 4 * GIB,
        }
    }
}

impl Default for AccessLimits {
    fn default() -> Self {
        Self {
            tokens_max: 1000,
            dead_tokens_keep_days: 90,
            failures_per_minute_max: 20,
            refusals_logged_per_minute_max: 60,
            audit_file_bytes_max: 8 * MIB,
            audit_files_max: 16,
            audit_keep_days: 400,
        }
    }
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            wall_ms: 10_000,
            cpu_ms: 5_000,
            memory_bytes_max: 256 * MIB,
            granted_wall_ms_max: 1_800_000,
            granted_cpu_ms_max: 600_000,
            granted_memory_bytes_max: GIB,
            hostcall_bytes_max: 4 * MIB,
            resources_max: 10_000,
            table_elements_max: 100_000,
            log_bytes_max: 64 * 1024,
            component_bytes_max: 32 * MIB,
            compile_wall_ms: 60_000,
            compile_cpu_s: 60,
            compile_memory_bytes_max: 4 * GIB,
            list_entries_max: 50_000,
            read_bytes_max: 16 * MIB,
            faults_in_a_row_max: 5,
        }
    }
}

impl Default for BuildLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 4 * GIB,
            cpu_millis_max: 0,
            pids_max: 4096,
            command_wall_ms: 30 * 60 * 1000,
            steps_max: 200,
            running_max: 4,
            steps_running_max: 4,
            memory_bytes_all_max: 0,
            cpu_millis_all_max: 0,
            output_bytes_max: 256 * MIB,
            disk_bytes_max: 20 * GIB,
            cache_bytes_max: 10 * GIB,
        }
    }
}

impl Default for InstanceLimits {
    fn default() -> Self {
        Self { memory_bytes_max: 512 * MIB, cpu_millis_max: 0, pids_max: 1024 }
    }
}
