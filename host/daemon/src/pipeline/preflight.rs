//! preflight: settings, variables, services, disk, memory: refuse early, and name the fix.
//!
//! **Invariant: everything that is missing is named at once**, before any work and before any migration.
//! Undo: nothing. After a crash: again.

use async_trait::async_trait;
use windlass_model::Failure;

use super::{Done, Run, Work, has_artifact, inherit, memory, needs_no_source, only_built, promote};
use crate::disk::space;
use crate::host::Host;
use crate::{diagnose, disk, failpoint};

mod domains;
mod needs;
mod settings;

pub(super) use needs::merge;
pub(super) use settings::in_force as settings_in_force;

pub(crate) struct Preflight;

#[async_trait]
impl Work for Preflight {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        run.deployment.outputs.made_with =
            Some(diagnose::changes::made_with(&run.host, &run.deployment.project, &run.variables));
        let limits = run.host.config.limits.clone();
        let mut missing = Vec::new();
        missing.extend(disk::room(&run.host, Some(&run.log)).await?);
        let available = available_memory();
        missing.extend(free_memory(available, limits.memory_free_bytes_min).err());
        failpoint::reached("during:preflight");
        if has_artifact(&run.deployment).is_some() {
            inherit::verify(run).await?;
        }
        if needs_no_source(&run.deployment).is_none() {
            let settings = settings::read(run)?;
            promote::compare(run, &settings)?;
            run.deployment.outputs.settings = Some(settings);
        } else {
            settings::again(run)?;
        }
        if only_built(&run.deployment).is_none() {
            missing.extend(to_run(run, available).await?);
        }
        match merge(missing) {
            Some(failure) => Err(failure),
            None => Ok(Done::new(numbers(&run.host, available))),
        }
    }
}

/// What is missing for it to run. A build needs none of it.
async fn to_run(run: &mut Run, available: Option<u64>) -> Result<Vec<Failure>, Failure> {
    let mut missing = Vec::new();
    let settings = run.deployment.outputs.settings.clone().unwrap_or_default();
    let wanted = settings.run.memory_bytes.filter(|wanted| available.is_some_and(|a| a < *wanted));
    if let Some(wanted) = wanted {
        let (wanted, available) = (wanted >> 20, available.unwrap_or_default() >> 20);
        run.warn(
            "preflight.memory-tight",
            format!(
                "an instance may use {wanted} MiB (`run.memory`), and {available} MiB are \
                     available on this machine now"
            ),
        );
    }
    missing.extend(memory::two_versions(run, available).await.err());
    missing.extend(needs::variables(run, &settings));
    needs::example_file(run, &settings);
    missing.extend(needs::services(run).await?);
    domains::check(run).await?;
    Ok(missing)
}

fn numbers(host: &Host, memory_bytes: Option<u64>) -> String {
    let places = space::places(&host.config.data_dir, &host.config.limits).unwrap_or_default();
    let mib = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), |b| (b >> 20).to_string());
    let (disk, memory) = (mib(places.first().map(|place| place.free_bytes)), mib(memory_bytes));
    format!("nothing is missing; {disk} MiB of disk and {memory} MiB of memory are free")
}

fn free_memory(available_bytes: Option<u64>, floor_bytes: u64) -> Result<(), Failure> {
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
pub(crate) fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_refused() {
        assert_eq!(free_memory(Some(1), 2).unwrap_err().code, "preflight.memory-floor");
        free_memory(Some(2), 2).unwrap();
        free_memory(None, 2).unwrap();
        assert!(available_memory().unwrap() > 0);
    }
}
