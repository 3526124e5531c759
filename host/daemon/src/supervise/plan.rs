//! What is to be added and what is to leave, by the record and the number that is wanted. A plain
//! function on data.

use windlass_model::Deployment;
use windlass_model::deployment::ArtifactProcess;
use windlass_model::running::{InstanceState, LiveInstance, Running};
use windlass_model::settings::Strategy;

use crate::pipeline::names;

/// Whether two instances of this deployment may run side by side while one replaces the other.
pub(crate) fn in_place(deployment: &Deployment) -> bool {
    let settings = deployment.outputs.settings.as_ref();
    settings.is_some_and(|settings| settings.strategy() == Strategy::Recreate)
}

/// Writes into the record which instances are to be started and which are to leave next; whether
/// anything changed. Fresh ones come first, one at a time, and an old one leaves when one more runs than
/// is wanted; where two cannot run side by side, the old ones leave first.
pub(crate) fn apply(running: &mut Running, deployment: &Deployment) -> bool {
    let Some(artifact) = &deployment.outputs.artifact else {
        return false;
    };
    let mut changed = false;
    for process in &artifact.processes {
        let wanted = running.wanted(deployment, &process.name) as usize;
        changed |= process_of(running, deployment, process, wanted);
    }
    changed
}

fn process_of(
    running: &mut Running,
    deployment: &Deployment,
    process: &ArtifactProcess,
    wanted: usize,
) -> bool {
    let own = |one: &LiveInstance| one.instance.process == process.name;
    let stays = |one: &LiveInstance| own(one) && one.state != InstanceState::Leaving;
    let of = |fits: &dyn Fn(&LiveInstance) -> bool| {
        running.instances.iter().filter(|one| stays(one) && fits(one)).count()
    };
    let runs = |one: &LiveInstance| one.state == InstanceState::Running;
    let outdated = of(&|one| one.outdated);
    let fresh = of(&|one| !one.outdated);
    let fresh_running = of(&|one| !one.outdated && runs(one));
    let leaving = running.instances.iter().any(|one| own(one) && !stays(one));
    let alone = in_place(deployment);
    let (add, leave) = if alone && outdated > 0 {
        (0, outdated)
    } else if outdated > 0 {
        let leave = (fresh_running + outdated).saturating_sub(wanted).min(outdated);
        let may_add = leave == 0 && !leaving && fresh < wanted && fresh == fresh_running;
        (usize::from(may_add), leave)
    } else if alone && leaving {
        (0, fresh.saturating_sub(wanted))
    } else {
        (wanted.saturating_sub(fresh), fresh.saturating_sub(wanted))
    };
    for _ in 0..leave {
        let next = running
            .instances
            .iter_mut()
            .filter(|one| stays(one) && (one.outdated || outdated == 0))
            .max_by_key(|one| (!runs(one), one.instance.ordinal));
        if let Some(one) = next {
            one.enter(InstanceState::Leaving);
        }
    }
    for _ in 0..add {
        let taken: Vec<u32> =
            running.instances.iter().filter(|one| own(one)).map(|o| o.instance.ordinal).collect();
        let ordinal = (0..).find(|n| !taken.contains(n)).unwrap_or_default();
        let id = names::instance(&deployment.id, &process.name, ordinal);
        running.instances.push(LiveInstance::planned(id, process.name.clone(), ordinal));
    }
    add + leave > 0
}

#[cfg(test)]
mod tests {
    use windlass_model::deployment::Artifact;
    use windlass_model::plan::ProcessKind;
    use windlass_model::running::Scale;
    use windlass_model::settings::{Settings, Volume};
    use windlass_model::{Digest, Timestamp};

    use super::*;
    use crate::testing::queued;

    fn deployment() -> Deployment {
        let mut deployment = queued(1);
        let process = |name: &str, kind| ArtifactProcess {
            name: name.parse().unwrap(),
            output: "app".into(),
            kind,
            argv: Vec::new(),
            port: None,
        };
        deployment.outputs.artifact = Some(Artifact {
            digest: Digest::of(b"artifact"),
            outputs: Vec::new(),
            processes: vec![
                process("web", ProcessKind::Web),
                process("worker", ProcessKind::Worker),
            ],
            bases: Vec::new(),
            toolchains: Vec::new(),
            plan: Digest::of(b"plan"),
        });
        deployment.outputs.settings = Some(Settings::default());
        deployment
    }

    fn scaled(running: &mut Running, process: &str, replicas: u32) {
        let scale = Scale { replicas, actor: "test".into(), at: Timestamp::now() };
        running.scales.insert(process.parse().unwrap(), scale);
    }

    /// As the keeper would: what starts runs, what leaves is gone.
    fn settle(running: &mut Running) {
        running.instances.retain(|one| one.state != InstanceState::Leaving);
        for one in &mut running.instances {
            one.enter(InstanceState::Running);
        }
    }

    fn names(running: &Running) -> Vec<String> {
        let stays = running.instances.iter().filter(|one| one.state != InstanceState::Leaving);
        stays.map(LiveInstance::name).collect()
    }

    #[test]
    fn as_many_run_as_are_wanted_and_the_last_ones_leave_first() {
        let deployment = deployment();
        let mut running = Running::of(&deployment);
        assert!(apply(&mut running, &deployment));
        assert_eq!(names(&running), ["web.0", "worker.0"]);
        settle(&mut running);
        assert!(!apply(&mut running, &deployment));
        scaled(&mut running, "web", 3);
        scaled(&mut running, "worker", 0);
        assert!(apply(&mut running, &deployment));
        assert_eq!(names(&running), ["web.0", "web.1", "web.2"]);
        settle(&mut running);
        scaled(&mut running, "web", 1);
        assert!(apply(&mut running, &deployment));
        assert_eq!(names(&running), ["web.0"]);
    }

    #[test]
    fn a_restart_starts_a_fresh_one_before_an_old_one_leaves() {
        let deployment = deployment();
        let mut running = Running::of(&deployment);
        scaled(&mut running, "web", 2);
        scaled(&mut running, "worker", 0);
        apply(&mut running, &deployment);
        settle(&mut running);
        for one in &mut running.instances {
            one.outdated = true;
        }
        let mut seen = Vec::new();
        while running.instances.iter().any(|one| one.outdated) {
            assert!(apply(&mut running, &deployment), "{running:#?}");
            let serving = running.instances.iter().filter(|one| one.answers_or_runs()).count();
            assert!(serving >= 2, "{running:#?}");
            seen.push(names(&running).join(" "));
            settle(&mut running);
        }
        assert_eq!(seen, ["web.0 web.1 web.2", "web.0 web.2", "web.0 web.2 web.1", "web.2 web.1"]);
    }

    #[test]
    fn where_a_volume_is_not_shared_the_old_one_leaves_first() {
        let mut deployment = deployment();
        let volume = Volume { name: "data".parse().unwrap(), path: "/data".into(), shared: false };
        if let Some(settings) = &mut deployment.outputs.settings {
            settings.run.volumes.push(volume);
        }
        let mut running = Running::of(&deployment);
        scaled(&mut running, "worker", 0);
        apply(&mut running, &deployment);
        settle(&mut running);
        running.instances[0].outdated = true;
        assert!(apply(&mut running, &deployment));
        assert_eq!(names(&running), Vec::<String>::new());
        assert!(!apply(&mut running, &deployment), "the old one is not gone yet");
        settle(&mut running);
        assert!(apply(&mut running, &deployment));
        assert_eq!(names(&running), ["web.0"]);
    }

    trait Serves {
        fn answers_or_runs(&self) -> bool;
    }

    impl Serves for LiveInstance {
        fn answers_or_runs(&self) -> bool {
            self.state == InstanceState::Running
        }
    }
}
