//! Which variables of the build a command sees, and what of them is part of its step's key.
//!
//! **Invariant: a secret that a plan asks for by name is where it asks for it, and nowhere else.** Its value is
//! in no other command's environment and in no key: a new value of it builds nothing again. All other values
//! that a step's commands see are in its key, as digests that say nothing to who does not have this host's salt.

use windlass_model::Digest;
use windlass_model::plan::{BuildPlan, BuildStep, Mount, Op, OutputKind};

use crate::request::{BuildRequest, BuildVariable};

/// Variables that are in the environment of every command of the build. A plan whose images are whole says
/// itself what its commands see: they get what they ask for by name.
pub(crate) fn given(request: &BuildRequest) -> impl Iterator<Item = &BuildVariable> {
    request.variables.iter().filter(|variable| is_given(&request.plan, variable))
}

/// Names of the variables that a step's commands see, each with a digest.
pub(super) fn keyed(
    request: &BuildRequest,
    step: &BuildStep,
    salt: &[u8],
) -> Vec<(String, Digest)> {
    let runs = step.ops.iter().any(|op| matches!(op, Op::Run(_)));
    let keyed = |variable: &BuildVariable| {
        let given = runs && is_given(&request.plan, variable);
        if !given && !asks_for(step, &variable.name) {
            return None;
        }
        // Of a secret that is asked for it counts that there is one.
        let counts = given || !variable.secret;
        let value = counts.then(|| variable.value.expose().as_str());
        Some((variable.name.clone(), digest(salt, &variable.name, value)))
    };
    request.variables.iter().filter_map(keyed).collect()
}

fn is_given(plan: &BuildPlan, variable: &BuildVariable) -> bool {
    let is_whole = plan.outputs.iter().any(|output| {
        matches!(&output.artifact, OutputKind::Image { config, .. } if config.details.whole)
    });
    let asked = || plan.steps.iter().any(|step| asks_for(step, &variable.name));
    !(is_whole || variable.secret && asked())
}

/// Whether a command of the step asks for a variable by name.
fn asks_for(step: &BuildStep, wanted: &str) -> bool {
    let mut mounts = step.ops.iter().flat_map(|op| match op {
        Op::Run(run) => run.mounts.as_slice(),
        _ => &[],
    });
    mounts.any(|mount| matches!(mount, Mount::Secret { name, .. } if name == wanted))
}

/// The salt has always the same length, a name no `=`, and the value's digest one length or none.
fn digest(salt: &[u8], name: &str, value: Option<&str>) -> Digest {
    let value = value.map(|value| Digest::of(value.as_bytes()));
    let value = value.as_ref().map_or("", Digest::as_str);
    Digest::of(&[salt, name.as_bytes(), b"=", value.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_needs_the_salt_and_tells_names_and_values_apart() {
        let of = |salt: &[u8], name: &str, value| digest(salt, name, value);
        let all = std::collections::BTreeSet::from([
            of(b"one host", "PIN", Some("1234")),
            of(b"another!", "PIN", Some("1234")),
            of(b"one host", "PUK", Some("1234")),
            of(b"one host", "PIN", Some("1235")),
            of(b"one host", "PIN", Some("")),
            of(b"one host", "PIN", None),
            Digest::of(b"1234"),
        ]);
        assert_eq!(all.len(), 7);
        assert_eq!(of(b"salt", "PIN", Some("1")), of(b"salt", "PIN", Some("1")));
    }
}
