//! Whether the memory is enough for two versions side by side. A part of the step preflight.

use windlass_model::settings::Strategy;
use windlass_model::{DeploymentStatus, Failure};

use super::Run;

/// Refuses a deployment whose new instances would not fit beside the running ones. How much a version
/// needs is not known before it runs: it is taken to need what the running one uses now.
pub(super) async fn two_versions(run: &Run, available: Option<u64>) -> Result<(), Failure> {
    let deployment = &run.deployment;
    if run.settings()?.strategy() == Strategy::Recreate {
        return Ok(());
    }
    let live = run.host.live(&deployment.project, &deployment.environment)?;
    let Some((live, _)) = live.filter(|(live, _)| live.status == DeploymentStatus::Live) else {
        return Ok(());
    };
    let mut used_bytes = 0;
    for instance in run.host.instances(&live)? {
        // What cannot be asked is not counted: the floor has been checked.
        let usage = run.host.runtime.usage(&instance.id).await.ok().flatten();
        used_bytes += usage.map_or(0, |usage| usage.memory_bytes);
    }
    fits(available, used_bytes, run.host.config.limits.memory_free_bytes_min)
}

fn fits(available: Option<u64>, used_bytes: u64, floor_bytes: u64) -> Result<(), Failure> {
    let Some(available) = available.filter(|available| *available < used_bytes + floor_bytes)
    else {
        return Ok(());
    };
    Err(Failure::host(
        "preflight.memory-two-versions",
        "the memory is too little for two versions side by side",
        format!(
            "{} MiB are available; the running version uses {} MiB, the new one needs about as much, and \
             {} MiB must stay free. The running version was not touched",
            available >> 20,
            used_bytes >> 20,
            floor_bytes >> 20
        ),
        "set strategy = \"recreate\" under [deploy] in windlass.toml: the old version ends before the new \
         one starts, and visitors are held meanwhile; or add memory, or run fewer instances with \
         `windlass scale`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_for_two_versions_is_refused_with_the_numbers_and_the_way_out() {
        let mib = |n: u64| n << 20;
        fits(Some(mib(400)), mib(300), mib(100)).unwrap();
        fits(None, mib(300), mib(100)).unwrap();
        let failure = fits(Some(mib(399)), mib(300), mib(100)).unwrap_err();
        assert_eq!(failure.code, "preflight.memory-two-versions");
        assert!(failure.why.contains("399 MiB") && failure.why.contains("300 MiB"), "{failure:?}");
        assert!(failure.fix.contains("strategy = \"recreate\""), "{failure:?}");
    }
}
