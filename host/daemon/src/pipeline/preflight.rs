//! preflight: settings, variables, services, disk, memory: refuse early, and name the fix.
//!
//! Undo: nothing. After a crash: again.

use async_trait::async_trait;
use windlass_model::Failure;

use super::{Done, Run, Work, has_artifact, inherit, needs_no_source, promote};
use crate::failpoint;

pub(crate) struct Preflight;

#[async_trait]
impl Work for Preflight {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        let limits = &run.host.config.limits;
        disk(&run.host.config.data_dir, limits.disk_free_bytes_min)?;
        memory(available_memory(), limits.memory_free_bytes_min)?;
        failpoint::reached("during:preflight");
        if has_artifact(&run.deployment).is_some() {
            inherit::verify(run).await?;
        }
        if needs_no_source(&run.deployment).is_some() {
            return Ok(Done::new("the retained artifact is complete"));
        }
        let source = run.host.source_dir(&run.deployment.id);
        let settings = crate::source::read_settings(&source, &run.deployment.environment)?;
        let app = source.join(&settings.build.app_dir);
        if !app.is_dir() {
            return Err(Failure::app(
                "preflight.app-dir-missing",
                format!("there is no folder {:?} in the source", settings.build.app_dir),
                "`build.app_dir` in windlass.toml names it as the application's folder",
                "correct `build.app_dir`, or push the folder",
            ));
        }
        if let Some(name) = settings.name.as_ref().filter(|name| **name != run.deployment.project) {
            run.warn(
                "preflight.other-project",
                format!(
                    "windlass.toml says that this is the project {name}, and it is deployed as {}",
                    run.deployment.project
                ),
            );
        }
        promote::compare(run, &settings)?;
        run.deployment.outputs.settings = Some(settings);
        Ok(Done::new("settings, disk and memory are in order"))
    }
}

fn disk(data_dir: &std::path::Path, floor_bytes: u64) -> Result<(), Failure> {
    let stat = rustix::fs::statvfs(data_dir).map_err(|e| {
        Failure::host(
            "preflight.disk-unknown",
            "the free disk space could not be read",
            e.to_string(),
            "check that the data directory is there and readable",
        )
    })?;
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free_bytes >= floor_bytes {
        return Ok(());
    }
    Err(Failure::host(
        "preflight.disk-floor",
        format!("only {} MiB are free under {}", free_bytes >> 20, data_dir.display()),
        format!("no deployment starts below {} MiB, so that what runs is safe", floor_bytes >> 20),
        "free disk space, or lower `disk_free_bytes_min` in the limits file",
    ))
}

fn memory(available_bytes: Option<u64>, floor_bytes: u64) -> Result<(), Failure> {
    match available_bytes {
        Some(available) if available < floor_bytes => Err(Failure::host(
            "preflight.memory-floor",
            format!("only {} MiB of memory are available", available >> 20),
            format!(
                "no deployment starts below {} MiB, so that what runs is safe",
                floor_bytes >> 20
            ),
            "stop something, add memory, or lower `memory_free_bytes_min` in the limits file",
        )),
        _ => Ok(()),
    }
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_disk_is_refused_with_the_limit_to_change() {
        let failure = disk(std::path::Path::new("/"), u64::MAX).unwrap_err();
        assert_eq!(failure.code, "preflight.disk-floor");
        assert!(failure.fix.contains("disk_free_bytes_min"));
        disk(std::path::Path::new("/"), 1).unwrap();
    }

    #[test]
    fn too_little_memory_is_refused() {
        assert_eq!(memory(Some(1), 2).unwrap_err().code, "preflight.memory-floor");
        memory(Some(2), 2).unwrap();
        memory(None, 2).unwrap();
        assert!(available_memory().unwrap() > 0);
    }
}
