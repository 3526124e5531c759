//! Which verb is refused when, and what is named instead: one table, and the rule that a refusal names nothing
//! that would be refused in its turn. No supervisor works here, so what is asked for stays asked for.

use std::cell::Cell;
use std::net::Ipv4Addr;

use windlass_model::deployment::{Instance, Kind, Source};
use windlass_model::project::Project;
use windlass_model::{EnvironmentName, Limits, ProjectName, StepStatus};

use super::*;
use crate::control::{deployments, pausing};
use crate::testing::TestHost;

/// What the environment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    Nothing,
    Serving,
    /// It serves, and has no instance: a static site.
    Static,
    Maintenance,
    Stopped,
}

/// The other deployment of the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    None,
    /// One of this status, in this step.
    At(DeploymentStatus, StepName),
    /// One that failed in this step, and is being cleaned up.
    CleanedUp(StepName),
    /// A build, which is not deployed.
    Build(DeploymentStatus),
}

/// What is asked for. The last three are about the other deployment, or about the live one without another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Stop,
    Start,
    Restart,
    Maintenance,
    Cancel,
    Pause,
    Resume,
}

const VERBS: [Verb; 7] = [
    Verb::Stop,
    Verb::Start,
    Verb::Restart,
    Verb::Maintenance,
    Verb::Cancel,
    Verb::Pause,
    Verb::Resume,
];

/// The code of a refusal and words of its fix; nothing where it is accepted.
type Expected = Option<(&'static str, &'static str)>;

/// How an environment stands: what runs, what was asked of it, and what is on its way.
type State = (Runs, Option<Action>, Other);

/// The states of what runs that there are.
const RUNNING: [(Runs, Option<Action>); 8] = [
    (Runs::Nothing, None),
    (Runs::Serving, None),
    (Runs::Serving, Some(Action::Stop)),
    (Runs::Serving, Some(Action::Restart)),
    (Runs::Static, None),
    (Runs::Maintenance, None),
    (Runs::Stopped, None),
    (Runs::Stopped, Some(Action::Start)),
];

/// Deployments on their way, and what is named about them.
const ON_THEIR_WAY: [(Other, &str); 9] = [
    (Other::At(DeploymentStatus::Queued, StepName::Fetch), "`windlass cancel N`"),
    (Other::At(DeploymentStatus::Running, StepName::Fetch), "`windlass cancel N`"),
    (Other::At(DeploymentStatus::Running, StepName::Migrate), "`windlass cancel N`"),
    (Other::At(DeploymentStatus::Running, StepName::Check), "`windlass cancel N`"),
    (Other::At(DeploymentStatus::Running, StepName::Switch), "wait until it is live"),
    (Other::At(DeploymentStatus::Running, StepName::Finish), "wait until it is live"),
    (Other::At(DeploymentStatus::Paused, StepName::Check), "`windlass resume N`"),
    (Other::CleanedUp(StepName::Build), "wait until it is cleaned up"),
    (Other::CleanedUp(StepName::Switch), "wait until it is cleaned up"),
];

/// What each verb answers while nothing is on its way: the code and words of the fix, or nothing where it is
/// accepted.
#[rustfmt::skip]
const ALONE: &[(Runs, Option<Action>, Verb, Expected)] = {
    use Runs::{Maintenance, Nothing, Serving, Static, Stopped};
    use Verb::{Restart, Start, Stop};
    &[
        (Nothing, None, Stop, Some(("environment.nothing-live", "`windlass deploy`"))),
        (Nothing, None, Start, Some(("environment.nothing-live", "`windlass deploy`"))),
        (Nothing, None, Restart, Some(("environment.nothing-live", "`windlass deploy`"))),
        (Nothing, None, Verb::Maintenance, Some(("environment.nothing-live", "`windlass deploy`"))),
        (Serving, None, Stop, None),
        (Serving, None, Start, Some(("environment.serving", "`windlass restart`"))),
        (Serving, None, Restart, None),
        (Serving, None, Verb::Maintenance, None),
        (Serving, Some(Action::Stop), Stop, None),
        (Serving, Some(Action::Stop), Start, Some(("environment.stopping", "wait until it is stopped"))),
        (Serving, Some(Action::Stop), Restart, Some(("environment.stopping", "then `windlass start`"))),
        (Serving, Some(Action::Restart), Stop, None),
        (Serving, Some(Action::Restart), Start, Some(("environment.serving", "`windlass restart`"))),
        (Serving, Some(Action::Restart), Restart, None),
        (Static, None, Stop, None),
        (Static, None, Start, Some(("environment.serving", "`windlass redeploy`"))),
        (Static, None, Restart, Some(("environment.no-instances", "`windlass redeploy`"))),
        (Maintenance, None, Stop, None),
        (Maintenance, None, Start, Some(("environment.serving", "`windlass maintenance off`"))),
        (Maintenance, None, Restart, None),
        (Stopped, None, Stop, Some(("environment.stopped", "`windlass start`"))),
        (Stopped, None, Start, None),
        (Stopped, None, Restart, Some(("environment.stopped", "`windlass start`"))),
        (Stopped, None, Verb::Maintenance, Some(("environment.stopped", "`windlass start`"))),
        (Stopped, Some(Action::Start), Stop, None),
        (Stopped, Some(Action::Start), Start, None),
        (Stopped, Some(Action::Start), Restart, Some(("environment.stopped", "wait until it serves"))),
        (Stopped, Some(Action::Start), Verb::Maintenance, Some(("environment.stopped", "wait until it serves"))),
    ]
};

struct World {
    parts: TestHost,
    made: Cell<u32>,
}

/// An environment in a state.
struct Scene {
    target: Target,
    live: Option<Deployment>,
    other: Option<Deployment>,
}

impl World {
    async fn new() -> Self {
        let parts = TestHost::with(Limits::default(), &pipeline::TABLE).await;
        Self { parts, made: Cell::new(0) }
    }

    /// A new deployment, changed before it is stored again.
    async fn put(
        &self,
        target: &Target,
        kind: Kind,
        change: impl FnOnce(&mut Deployment),
    ) -> Deployment {
        let store = &self.parts.host.store;
        let Target { project, environment } = target.clone();
        let source = Source::Git { url: "file:///x".into(), reference: None };
        let queued = Deployment::queued(project, environment, 0, kind, source, "test".into());
        let mut made = store.create_deployment(queued).await.unwrap();
        change(&mut made.value);
        store.update_deployment(&made.value, made.revision).await.unwrap();
        made.value
    }

    async fn scene(&self, (runs, asked, other): State) -> Scene {
        self.made.set(self.made.get() + 1);
        let project: ProjectName = format!("shop-{}", self.made.get()).parse().unwrap();
        let store = &self.parts.host.store;
        store.create_project(&Project::new(project.clone())).await.unwrap();
        let target = Target { project, environment: EnvironmentName::production() };
        store.ensure_environment(&target.project, &target.environment).await.unwrap();
        let live = match runs {
            Runs::Nothing => None,
            _ => Some(Box::pin(self.live(&target, runs, asked)).await),
        };
        let other = match other {
            Other::None => None,
            Other::At(status, step) => {
                Some(self.put(&target, Kind::Deploy, |one| at(one, status, step)).await)
            }
            Other::CleanedUp(step) => {
                let failed = |one: &mut Deployment| {
                    at(one, DeploymentStatus::Running, step);
                    one.failure = Some(Failure::app("test.failed", "it failed", "so", "mend it"));
                    one.step_mut(step).unwrap().status = StepStatus::Failed;
                };
                Some(self.put(&target, Kind::Deploy, failed).await)
            }
            Other::Build(status) => {
                let build = Kind::Build { image: "shop:1".into() };
                Some(self.put(&target, build, |one| at(one, status, StepName::Build)).await)
            }
        };
        Scene { target, live, other }
    }

    async fn live(&self, target: &Target, runs: Runs, asked: Option<Action>) -> Deployment {
        let host = &self.parts.host;
        let made = self.put(target, Kind::Deploy, |_| ()).await;
        let (generation, _) = host.next_generation(&made).await.unwrap();
        let (mut made, revision) = host.deployment(&made.id).unwrap().unwrap();
        at(&mut made, DeploymentStatus::Live, StepName::Finish);
        made.steps.last_mut().unwrap().status = StepStatus::Succeeded;
        made.outputs.generation = Some(generation);
        if runs != Runs::Static {
            made.outputs.instances = vec![instance()];
        }
        host.go_live(&made, revision).await.unwrap();
        let by = By::now("ada");
        let Target { project, environment } = target;
        let set = host.change_running(project, environment, |running| {
            running.asked = asked.map(|action| Asked { action, by: by.clone() });
            match runs {
                Runs::Stopped => running.stopped = Some(by.clone()),
                Runs::Maintenance => {
                    let message = "back at noon".to_owned();
                    let maintenance = Maintenance { message, hold_ms: None, by: by.clone() };
                    running.maintenance = Some(maintenance);
                }
                _ => {}
            }
            Ok(Some(()))
        });
        set.await.unwrap().unwrap();
        let (mut made, revision) = host.deployment(&made.id).unwrap().unwrap();
        if runs == Runs::Stopped {
            made.status = DeploymentStatus::Stopped;
            host.save_deployment(&made, revision).await.unwrap();
        }
        made
    }

    /// Asks for a verb in a state, once.
    async fn ask(&self, state: State, verb: Verb) -> Result<(), Failure> {
        let scene = Box::pin(self.scene(state)).await;
        let asked = Box::pin(self.ask_of(&scene, verb)).await;
        Box::pin(self.end(scene)).await;
        asked
    }

    /// What is on its way ends: every later look reads all of that kind.
    async fn end(&self, scene: Scene) {
        let Some(other) = scene.other else { return };
        let host = &self.parts.host;
        let (mut other, revision) = host.deployment(&other.id).unwrap().unwrap();
        other.status = DeploymentStatus::Failed;
        host.save_deployment(&other, revision).await.unwrap();
    }

    /// Asks for a verb; one that is refused changes nothing.
    async fn ask_of(&self, scene: &Scene, verb: Verb) -> Result<(), Failure> {
        let (host, target) = (&self.parts.host, &scene.target);
        let id = scene.other.as_ref().or(scene.live.as_ref()).map(|subject| &subject.id);
        let asked = match (verb, id) {
            (Verb::Stop, _) => stop(host, target, "ada").await.map(drop),
            (Verb::Start, _) => start(host, target, "ada").await.map(drop),
            (Verb::Restart, _) => restart(host, target, "ada").await.map(drop),
            (Verb::Maintenance, _) => {
                let body = SetMaintenance { message: None, hold_ms: None };
                maintenance_on(host, target, body, "ada").await.map(drop)
            }
            (Verb::Cancel, Some(id)) => deployments::cancel(host, id, "ada").await.map(drop),
            (Verb::Pause, Some(id)) => pausing::pause(host, id, "ada").await.map(drop),
            (Verb::Resume, Some(id)) => pausing::resume(host, id, "ada").await.map(drop),
            (Verb::Cancel | Verb::Pause | Verb::Resume, None) => Ok(()),
        };
        let number = scene.other.as_ref().or(scene.live.as_ref()).map_or(0, |one| one.number);
        asked.map_err(|mut failure| {
            failure.fix = failure.fix.replace(&format!(" {number}`"), " N`");
            failure
        })
    }
}

/// Takes a deployment to a step, which has not ended.
fn at(deployment: &mut Deployment, status: DeploymentStatus, step: StepName) {
    deployment.status = status;
    for done in deployment.steps.iter_mut().take_while(|one| one.name != step) {
        done.status = StepStatus::Succeeded;
    }
}

fn instance() -> Instance {
    Instance {
        id: "web-0".into(),
        process: "web".parse().unwrap(),
        ordinal: 0,
        address: Ipv4Addr::LOCALHOST,
        port: Some(1),
        pid: 1,
        started_at: Timestamp::now(),
    }
}

#[track_caller]
fn assert_refused(
    asked: Result<(), Failure>,
    expected: Option<(&str, &str)>,
    state: State,
    verb: Verb,
) {
    let Some((code, words)) = expected else {
        assert!(asked.is_ok(), "{verb:?} in {state:?}: {asked:?}");
        return;
    };
    let Err(failure) = asked else { panic!("{verb:?} in {state:?} is accepted") };
    assert_eq!(failure.code, code, "{verb:?} in {state:?}: {failure:?}");
    assert!(failure.fix.contains(words), "{verb:?} in {state:?}: {failure:?}");
}

#[tokio::test]
async fn each_verb_is_accepted_or_names_the_one_that_fits_also_beside_a_mere_build() {
    let world = World::new().await;
    for &(runs, asked, verb, expected) in ALONE {
        for other in [
            Other::None,
            Other::Build(DeploymentStatus::Queued),
            Other::Build(DeploymentStatus::Running),
        ] {
            let state = (runs, asked, other);
            let answer = Box::pin(world.ask(state, verb)).await;
            assert_refused(answer, expected, state, verb);
        }
    }
}

#[tokio::test]
async fn stop_start_and_restart_beside_a_deployment_name_what_can_be_done_about_it() {
    let world = World::new().await;
    for (runs, asked) in RUNNING {
        let code = match runs {
            Runs::Nothing => "environment.nothing-live",
            _ => "environment.deploying",
        };
        for (other, words) in ON_THEIR_WAY {
            for verb in [Verb::Stop, Verb::Start, Verb::Restart] {
                let state = (runs, asked, other);
                let answer = Box::pin(world.ask(state, verb)).await;
                assert_refused(answer, Some((code, words)), state, verb);
            }
        }
    }
}

/// The verbs that a refusal names for now: those before the first "wait" or "then".
fn named_for_now(fix: &str) -> Vec<Verb> {
    let until = ["wait", "then "].into_iter().filter_map(|word| fix.find(word)).min();
    let now = &fix[..until.unwrap_or(fix.len())];
    let known = [
        ("`windlass stop`", Verb::Stop),
        ("`windlass start`", Verb::Start),
        ("`windlass restart`", Verb::Restart),
        ("`windlass cancel N`", Verb::Cancel),
        ("`windlass pause", Verb::Pause),
        ("`windlass resume N`", Verb::Resume),
    ];
    known.into_iter().filter(|(text, _)| now.contains(text)).map(|(_, verb)| verb).collect()
}

#[tokio::test]
async fn a_verb_that_a_refusal_names_is_accepted_at_that_very_moment() {
    let world = World::new().await;
    let builds = [DeploymentStatus::Queued, DeploymentStatus::Running].map(Other::Build);
    let others: Vec<Other> = ON_THEIR_WAY.iter().map(|(other, _)| *other).collect();
    let others: Vec<Other> = [Other::None].into_iter().chain(builds).chain(others).collect();
    let mut named = 0;
    for (runs, asked) in RUNNING {
        for other in &others {
            let state = (runs, asked, *other);
            let mut kept = None;
            for verb in VERBS {
                let scene = match kept.take() {
                    Some(scene) => scene,
                    None => Box::pin(world.scene(state)).await,
                };
                let Err(refused) = Box::pin(world.ask_of(&scene, verb)).await else {
                    Box::pin(world.end(scene)).await;
                    continue;
                };
                kept = Some(scene);
                for instead in named_for_now(&refused.fix) {
                    named += 1;
                    let then = Box::pin(world.ask(state, instead)).await;
                    assert!(
                        then.is_ok(),
                        "{verb:?} in {state:?} is refused with {refused:?}; {instead:?} then: {then:?}"
                    );
                }
            }
            if let Some(scene) = kept {
                Box::pin(world.end(scene)).await;
            }
        }
    }
    assert!(named > 100, "{named} verbs were named");
}
