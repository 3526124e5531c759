//! In which order waiting deployments begin.
//!
//! Of one environment only the newest counts; a build is not of its environment's turn: it changes nothing
//! there, so it waits for no deployment of it, and none for it. The project with the fewest running comes first, and among
//! equals who has waited longest; so projects take turns, however much one of them asks for.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use windlass_model::{DeploymentId, EnvironmentName, ProjectName};
use windlass_store::Brief;

/// An environment, or a build by itself.
pub(crate) type Slot<'a> = (&'a ProjectName, &'a EnvironmentName, Option<&'a DeploymentId>);

/// What a deployment occupies while it runs.
pub(crate) fn slot(brief: &Brief) -> Slot<'_> {
    (&brief.project, &brief.environment, brief.build.then_some(&brief.id))
}

/// The newest waiting deployment of each environment.
pub(crate) fn newest(waiting: &[Arc<Brief>]) -> HashMap<Slot<'_>, &Arc<Brief>> {
    let mut newest: HashMap<Slot<'_>, &Arc<Brief>> = HashMap::new();
    for brief in waiting {
        let known = newest.entry(slot(brief)).or_insert(brief);
        if known.number < brief.number {
            *known = brief;
        }
    }
    newest
}

/// Those that can begin, in their order. `running` have a runner, `held` only their environment's slot.
pub(crate) fn order(
    waiting: &[Arc<Brief>],
    running: &[Arc<Brief>],
    held: &[Arc<Brief>],
) -> Vec<Arc<Brief>> {
    let taken: HashSet<Slot<'_>> = running.iter().chain(held).map(|brief| slot(brief)).collect();
    let mut per_project: HashMap<&ProjectName, VecDeque<&Arc<Brief>>> = HashMap::new();
    let mut candidates: Vec<&Arc<Brief>> = newest(waiting).into_values().collect();
    candidates.retain(|brief| !taken.contains(&slot(brief)));
    candidates.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    for brief in candidates {
        per_project.entry(&brief.project).or_default().push_back(brief);
    }
    let mut load: HashMap<&ProjectName, usize> = HashMap::new();
    for brief in running {
        *load.entry(&brief.project).or_default() += 1;
    }
    let mut turns: BinaryHeap<Reverse<(usize, &DeploymentId, &ProjectName)>> = per_project
        .iter()
        .filter_map(|(project, queue)| {
            let first = queue.front()?;
            Some(Reverse((load.get(project).copied().unwrap_or(0), &first.id, *project)))
        })
        .collect();
    let mut ordered = Vec::new();
    while let Some(Reverse((load, _, project))) = turns.pop() {
        let Some(queue) = per_project.get_mut(project) else { continue };
        ordered.extend(queue.pop_front().cloned());
        if let Some(next) = queue.front() {
            turns.push(Reverse((load + 1, &next.id, project)));
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief(project: &str, environment: &str, number: u64) -> Arc<Brief> {
        Arc::new(Brief {
            id: DeploymentId::generate(),
            project: project.parse().unwrap(),
            environment: environment.parse().unwrap(),
            number,
            wants: None,
            build: false,
        })
    }

    fn shown(ordered: &[Arc<Brief>]) -> Vec<String> {
        ordered.iter().map(|b| format!("{}/{} {}", b.project, b.environment, b.number)).collect()
    }

    /// Ids are only ordered by time to the millisecond.
    fn aged(mut briefs: Vec<Arc<Brief>>) -> Vec<Arc<Brief>> {
        let mut ids: Vec<DeploymentId> = briefs.iter().map(|brief| brief.id.clone()).collect();
        ids.sort_unstable();
        for (brief, id) in briefs.iter_mut().zip(ids) {
            Arc::get_mut(brief).unwrap().id = id;
        }
        briefs
    }

    #[test]
    fn projects_take_turns_however_much_one_of_them_asks_for() {
        let waiting = aged(vec![
            brief("greedy", "a", 1),
            brief("greedy", "b", 2),
            brief("greedy", "c", 3),
            brief("modest", "production", 1),
            brief("late", "production", 1),
        ]);
        let ordered = order(&waiting, &[], &[]);
        assert_eq!(
            shown(&ordered),
            ["greedy/a 1", "modest/production 1", "late/production 1", "greedy/b 2", "greedy/c 3"]
        );
        let running = [brief("modest", "staging", 7)];
        let ordered = order(&waiting, &running, &[]);
        assert_eq!(shown(&ordered)[..2], ["greedy/a 1", "late/production 1"]);
    }

    #[test]
    fn the_newest_of_an_environment_counts_and_a_taken_one_waits() {
        let waiting = aged(vec![
            brief("shop", "production", 1),
            brief("shop", "production", 2),
            brief("shop", "staging", 3),
            brief("blog", "production", 1),
        ]);
        assert_eq!(
            shown(&order(&waiting, &[], &[])),
            ["shop/production 2", "blog/production 1", "shop/staging 3"]
        );
        let build = Arc::new(Brief { build: true, ..(*brief("shop", "production", 9)).clone() });
        let with_build = [waiting.clone(), vec![build]].concat();
        let ordered = order(&with_build, &[], &[]);
        assert!(shown(&ordered).contains(&"shop/production 2".to_owned()), "{ordered:?}");
        assert!(shown(&ordered).contains(&"shop/production 9".to_owned()), "{ordered:?}");
        let held = [brief("shop", "production", 0)];
        assert_eq!(shown(&order(&waiting, &[], &held)), ["shop/staging 3", "blog/production 1"]);
    }
}
