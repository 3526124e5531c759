//! Why a key of another platform's file is not taken, and what to do instead.
//!
//! **Invariant: no key is listed without a reason.** A key that no row knows is said to mean nothing here.

use serde_json::Value;

use super::{PACKAGES, RULES, SCHEDULES};

/// Keys by the last part of their path, and what is said of them.
const ROWS: [(&[&str], &str); 30] = [
    (
        &["headers", "customHeaders"],
        "an application sets the headers of its answers itself; the files of a static site are served without \
         them: to set some, serve the files with a server of your own, from a Dockerfile",
    ),
    (
        &["addons", "databases", "setup"],
        "run them beside, and name them with `windlass service add`",
    ),
    (
        &["formation", "numReplicas", "numInstances", "scaling", "count"],
        "the number of instances is run.replicas in windlass.toml",
    ),
    (&["cron", "crons", "cronSchedule"], SCHEDULES),
    (&["healthcheckTimeout"], "the time is health.timeout in windlass.toml"),
    (
        &[
            "buildpacks",
            "buildpack",
            "builder",
            "builders",
            "builds",
            "providers",
            "stack",
            "runtime",
        ],
        "the files of the application decide; build.framework and build.command in windlass.toml say otherwise",
    ),
    (&["mounts", "disk"], "the folders that are kept are run.volumes in windlass.toml"),
    (
        &["aptPkgs", "aptPackages", "buildAptPackages", "nixPkgs", "nixLibs", "nixOverlays"],
        PACKAGES,
    ),
    (&["redirects", "rewrites", "routes"], RULES),
    (
        &["watchPatterns", "ignoreCommand", "ignore", "buildFilter"],
        "every deployment builds, and what did not change is cached; deploy.paths in windlass.toml says which pushes \
         deploy",
    ),
    (
        &["functions", "edge_functions", "middleware", "handlers"],
        "there are no functions: what answers requests is a process, run.command in windlass.toml",
    ),
    (
        &["region", "regions", "primary_region", "multiRegionConfig", "functionFailoverRegions"],
        "it runs where this host is",
    ),
    (&["images"], "pictures are served as they are, or as the application changes them"),
    (
        &["git", "github", "autoDeploy", "autoDeployTrigger", "branch", "repo"],
        "which branches are deployed is said with `windlass environment set`",
    ),
    (&["bunVersion"], "the version is build.toolchain.bun in windlass.toml"),
    (&["nodeVersion"], "the version is build.toolchain.node in windlass.toml"),
    (
        &["context", "environments", "envVarGroups"],
        "settings of one environment are [environments.NAME] in windlass.toml, and variables are set with `windlass env \
         set`",
    ),
    (
        &["plugins", "processing", "preDeploy", "postDeploy", "initialDeployHook"],
        "a command that is to be run belongs into build.command, migrate.command or deploy.before_switch in \
         windlass.toml",
    ),
    (
        &["vm", "size", "plan", "memory", "memoryMB", "cpus", "limitOverride", "limits"],
        "memory and CPU of an instance are run.memory and run.cpu in windlass.toml",
    ),
    (
        &["auto_stop_machines", "auto_start_machines", "min_machines_running", "sleepApplication"],
        "instances are not put to sleep; their number is run.replicas in windlass.toml",
    ),
    (
        &["kill_timeout", "drainingSeconds", "maxShutdownDelaySeconds"],
        "how long requests may go on is deploy.drain in windlass.toml",
    ),
    (
        &["restart", "restartPolicy", "restartPolicyType", "restartPolicyMaxRetries"],
        "what ends is started again",
    ),
    (
        &["strategy", "overlapSeconds", "max_unavailable", "wait_timeout"],
        "how the new version takes over is deploy.strategy in windlass.toml",
    ),
    (&["domains", "alias"], "set them with `windlass domain add`"),
    (
        &["previews", "previewsEnabled", "pullRequestPreviewsEnabled", "previewsExpireAfterDays"],
        "set them with `windlass preview set`",
    ),
    (
        &["proxies", "proxy"],
        "requests are not handed on to other services: let the application ask them",
    ),
    (&["error_page"], "a 404.html is found by itself"),
    (
        &["statics", "files", "staticAssets"],
        "commit the files to the application, and let it serve them",
    ),
    (&["metrics"], "`windlass stats` shows what instances use"),
    (
        &[
            "firestore",
            "database",
            "storage",
            "remoteconfig",
            "dataconnect",
            "apphosting",
            "extensions",
        ],
        "it is a service of that platform",
    ),
];

/// What is said of a key that no row knows.
const UNKNOWN: &str = "nothing here means the same";

/// The key with the reason why it is not taken.
pub(super) fn of(path: &str, value: &Value) -> String {
    let last = path.rsplit('.').next().unwrap_or(path);
    if matches!(last, "env" | "variables" | "envVars" | "environment") {
        let names = value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
        let names = names.map(|names| format!(": {}", names.join(", "))).unwrap_or_default();
        return format!("{path}{names} (set them with `windlass env set`)");
    }
    let row = ROWS.iter().find(|(keys, _)| keys.contains(&last));
    format!("{path} ({})", row.map_or(UNKNOWN, |(_, advice)| advice))
}
