//! The steps of a build as a graph: each begins when those that it needs are done, within the budget of the
//! host. The first that fails ends the others, with every process of theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use windlass_model::Failure;
use windlass_model::plan::BuildStep;

use super::needed::{needed, references};
use super::session::{Results, Session};
use super::steps::StepDone;

/// How a step ended, with its place.
type Ended = (usize, Result<StepDone, Failure>);

/// The steps that wait, those that run, and what came of the others.
struct Graph<'a> {
    steps: Vec<&'a BuildStep>,
    waiting: BTreeSet<usize>,
    running: FuturesUnordered<BoxFuture<'a, Ended>>,
    ended: BTreeMap<usize, StepDone>,
}

impl Session {
    /// Carries out every step that an output needs.
    pub(super) async fn run_steps(&mut self) -> Result<Results, Failure> {
        let request = std::sync::Arc::clone(&self.request);
        let needed = needed(&request.plan);
        let steps: Vec<&BuildStep> =
            request.plan.steps.iter().filter(|step| needed.contains(step.id.as_str())).collect();
        let waiting = (0..steps.len()).collect();
        if request.cache.bypass {
            self.places.expect_any();
        }
        let (running, ended) = (FuturesUnordered::new(), BTreeMap::new());
        let mut graph = Graph { steps, waiting, running, ended };
        self.run_graph(&mut graph).await?;
        let mut results = Results::default();
        for done in graph.ended.into_values() {
            results.note(&done.images);
            results.outcomes.push(done.outcome);
        }
        let source = std::sync::Arc::clone(&self.source);
        let saved = super::blocking(move || source.save_stats()).await?;
        if let Err(error) = saved {
            tracing::warn!(%error, "what was hashed is not remembered");
        }
        Ok(results)
    }

    async fn run_graph<'a>(&mut self, graph: &mut Graph<'a>) -> Result<(), Failure> {
        let mut failures: BTreeMap<usize, Failure> = BTreeMap::new();
        loop {
            // After a failure nothing is begun any more; what runs is waited for, so that nothing is left.
            if failures.is_empty() {
                self.begin_ready(graph);
            }
            let Some((place, ended)) = graph.running.next().await else { break };
            match ended {
                Ok(step) => {
                    self.done.insert(graph.steps[place].id.clone(), step.done.clone());
                    graph.ended.insert(place, step);
                }
                Err(failure) => {
                    self.request.cancel.cancel();
                    failures.insert(place, failure);
                }
            }
        }
        // The others were cancelled because of it; of two that failed by themselves the first is told.
        let own = |failure: &Failure| failure.code != "build.cancelled";
        let first = failures.values().position(own).unwrap_or_default();
        failures.into_values().nth(first).map_or(Ok(()), Err)
    }

    fn begin_ready<'a>(&self, graph: &mut Graph<'a>) {
        let total = graph.steps.len();
        let is_ready = |place: &usize| {
            references(graph.steps[*place]).into_iter().all(|id| self.done.contains_key(id))
        };
        let ready: Vec<usize> = graph.waiting.iter().copied().filter(is_ready).collect();
        for place in ready {
            graph.waiting.remove(&place);
            let step = graph.steps[place];
            let shown = format!("step {}/{total} {}", place + 1, step.name);
            let mut session = self.of_step(place, &shown);
            graph.running.push(Box::pin(async move {
                let ended = Box::pin(session.run_step(step, &shown, Instant::now())).await;
                session.log.end_step();
                (place, ended)
            }));
        }
    }
}
