//! What one version of a plugin asks for that another did not.

use super::capability::{Capability, Request};
use super::pattern::Shape;

/// What `new` asks for beyond `old`, each with its reason. A capability that was optional and is required now
/// counts whole: without a grant the new version would not run.
pub fn difference(old: &[Capability], new: &[Capability]) -> Vec<Capability> {
    let mut more = Vec::new();
    for capability in new {
        let weighs_the_same = |had: &&Capability| capability.optional || !had.optional;
        let had: Vec<&Request> =
            old.iter().filter(weighs_the_same).map(|had| &had.request).collect();
        let beyond = capability.request.beyond(&had);
        more.extend(beyond.into_iter().map(|request| Capability { request, ..capability.clone() }));
    }
    more
}

/// What is in `request` and in none of `had`.
pub(super) fn beyond(request: &Request, had: &[&Request]) -> Vec<Request> {
    if let Some((_, shape, entries)) = request.list() {
        let same = had.iter().filter(|had| had.kind() == request.kind());
        let had = same.filter_map(|had| had.list()).flat_map(|(.., list)| list);
        let rest = rest(shape, entries, &had.collect::<Vec<_>>());
        return rest.map(|rest| request.clone().with_list(rest)).into_iter().collect();
    }
    match request {
        Request::Http { hosts, methods, private } => {
            let is_had = |entry: &String| {
                had.iter().any(
                    |had| matches!(had, Request::Http { private, .. } if private.contains(entry)),
                )
            };
            match private.iter().all(is_had) {
                true => http_beyond(hosts, methods, had),
                false => vec![request.clone()],
            }
        }
        Request::Limits { wall_ms, cpu_ms, memory_bytes } => {
            let most = |of: fn(&Request) -> Option<u64>| had.iter().filter_map(|had| of(had)).max();
            let more = |asked: Option<u64>, most: Option<u64>| {
                asked.filter(|asked| most.is_none_or(|most| *asked > most))
            };
            let wall_ms = more(*wall_ms, most(wall));
            let cpu_ms = more(*cpu_ms, most(cpu));
            let memory_bytes = more(*memory_bytes, most(memory));
            match (wall_ms, cpu_ms, memory_bytes) {
                (None, None, None) => Vec::new(),
                _ => vec![Request::Limits { wall_ms, cpu_ms, memory_bytes }],
            }
        }
        _ => {
            let covered = had.iter().any(|had| request.meet(had).as_ref() == Some(request));
            if covered { Vec::new() } else { vec![request.clone()] }
        }
    }
}

fn wall(request: &Request) -> Option<u64> {
    if let Request::Limits { wall_ms, .. } = request { *wall_ms } else { None }
}

fn cpu(request: &Request) -> Option<u64> {
    if let Request::Limits { cpu_ms, .. } = request { *cpu_ms } else { None }
}

fn memory(request: &Request) -> Option<u64> {
    if let Request::Limits { memory_bytes, .. } = request { *memory_bytes } else { None }
}

/// The entries that nothing covers, if there are any.
fn rest(shape: Shape, entries: &[String], had: &[&String]) -> Option<Vec<String>> {
    let covered = |entry: &String| had.iter().any(|had| shape.covers(had, entry));
    let rest: Vec<String> = entries.iter().filter(|entry| !covered(entry)).cloned().collect();
    Some(rest).filter(|rest| !rest.is_empty())
}

/// The pairs of host and method that no request covers, as few requests as hosts with the same methods.
fn http_beyond(hosts: &[String], methods: &[String], had: &[&Request]) -> Vec<Request> {
    let covered = |host: &str, method: &str| {
        had.iter().any(|had| match had {
            Request::Http { hosts, methods, .. } => {
                hosts.iter().any(|had| Shape::Host.covers(had, host))
                    && methods.iter().any(|had| Shape::Method.covers(had, method))
            }
            _ => false,
        })
    };
    let mut groups: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for host in hosts {
        let open: Vec<String> =
            methods.iter().filter(|method| !covered(host, method)).cloned().collect();
        if open.is_empty() {
            continue;
        }
        match groups.iter_mut().find(|(methods, _)| *methods == open) {
            Some((_, hosts)) => hosts.push(host.clone()),
            None => groups.push((open, vec![host.clone()])),
        }
    }
    let one = |(methods, hosts)| Request::Http { hosts, methods, private: Vec::new() };
    groups.into_iter().map(one).collect()
}
