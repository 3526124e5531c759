//! What a promotion looks at before it goes on: that the source is the artifact's, and what of the target
//! environment an artifact that was built for another one cannot heed.

use std::collections::BTreeMap;

use windlass_model::deployment::Kind;
use windlass_model::settings::Settings;
use windlass_model::variable::Variable;
use windlass_model::{Failure, Secret};

use super::Run;

/// Refuses another source than the artifact's, and warns of differences that need a build.
pub(super) fn compare(run: &mut Run, settings: &Settings) -> Result<(), Failure> {
    let Kind::Promote { from, environment } = run.deployment.kind.clone() else {
        return Ok(());
    };
    let Some((built, _)) = run.host.deployment(&from)? else {
        return Ok(());
    };
    let tree =
        |fetched: Option<&windlass_model::deployment::Fetched>| fetched.map(|f| f.tree.clone());
    let theirs = tree(built.outputs.fetched.as_ref());
    if theirs.is_some() && theirs != tree(run.deployment.outputs.fetched.as_ref()) {
        return Err(Failure::app(
            "promote.source-differs",
            format!("the source is not the one that deployment #{} was built from", built.number),
            "what lies at its reference has other files than the artifact",
            format!(
                "deploy the source itself: `windlass deploy -e {}`",
                run.deployment.environment
            ),
        ));
    }
    let target = run.deployment.environment.clone();
    let kept = run.host.store.env_snapshot(&from).map_err(|e| e.to_failure())?;
    if let Some(kept) = kept {
        let names = differing(&kept, &run.variables);
        if !names.is_empty() {
            run.warn(
                "promote.build-variables-differ",
                format!(
                    "the artifact was built with {environment}'s {}, which differ in {target}: what the \
                     build baked in stays {environment}'s. Where that matters, build for {target} with \
                     `windlass deploy -e {target}`",
                    names.join(", ")
                ),
            );
        }
    }
    let keys = built.outputs.settings.map(|theirs| built_in(&theirs, settings)).unwrap_or_default();
    if !keys.is_empty() {
        run.warn(
            "promote.build-settings-differ",
            format!(
                "windlass.toml has other values of {} for {target} than for {environment}: the artifact \
                 was built with {environment}'s",
                keys.join(", ")
            ),
        );
    }
    Ok(())
}

/// Settings that are part of an artifact and differ.
fn built_in(theirs: &Settings, ours: &Settings) -> Vec<&'static str> {
    let mut keys = Vec::new();
    if theirs.build != ours.build {
        keys.push("[build]");
    }
    if theirs.run.command != ours.run.command {
        keys.push("run.command");
    }
    let names = |settings: &Settings| settings.run.processes.keys().cloned().collect::<Vec<_>>();
    if names(theirs) != names(ours) {
        keys.push("run.processes");
    }
    keys
}

/// Names of the variables that a build sees and that differ.
fn differing(theirs: &[Variable], ours: &[Variable]) -> Vec<String> {
    fn built(variables: &[Variable]) -> BTreeMap<&str, &Secret<String>> {
        let in_build = variables.iter().filter(|variable| variable.scope.in_build());
        in_build.map(|variable| (variable.name.as_str(), &variable.value)).collect()
    }
    let (theirs, ours) = (built(theirs), built(ours));
    let mut names: Vec<String> =
        theirs.keys().chain(ours.keys()).map(|n| (*n).to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| theirs.get(name.as_str()) != ours.get(name.as_str()));
    names
}

#[cfg(test)]
mod tests {
    use windlass_model::variable::Scope;

    use super::*;

    fn variable(name: &str, value: &str, scope: Scope) -> Variable {
        let (name, value) = (name.parse().unwrap(), Secret::new(value.to_owned()));
        Variable { name, value, scope, secret: false }
    }

    #[test]
    fn only_variables_that_a_build_sees_are_compared() {
        let staging = [
            variable("API", "staging", Scope::Both),
            variable("SAME", "x", Scope::Build),
            variable("DATABASE_URL", "staging", Scope::Run),
        ];
        let production = [
            variable("API", "production", Scope::Both),
            variable("SAME", "x", Scope::Build),
            variable("DATABASE_URL", "production", Scope::Run),
            variable("ONLY", "here", Scope::Build),
        ];
        assert_eq!(differing(&staging, &production), ["API", "ONLY"]);
        assert!(differing(&staging, &staging).is_empty());
    }
}
