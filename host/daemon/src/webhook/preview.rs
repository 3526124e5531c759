//! Previews: one environment per pull request or branch, made when there is something to show.
//!
//! **Invariant: its record is stored before anything of it is made**, so that whatever a crash leaves is
//! found and removed. It takes its variables and services from the project's environment `preview` and
//! from nowhere else; code from a fork gets no secret ones.

use std::sync::Arc;

use windlass_model::variable::{Variable, VariableName};
use windlass_model::webhook::{
    Outcome, Preview, PreviewOf, PreviewSettings, Trigger, Verdict, Webhook,
};
use windlass_model::{Digest, EnvironmentName, Failure, ProjectName, Timestamp};
use windlass_store::{Phase, StoreError};

use super::{removal, work};
use crate::control::{self, Target, stored};
use crate::host::Host;

/// The environment whose variables and services previews take over.
const TEMPLATE: &str = "preview";
/// Longest name of an environment, in bytes.
const NAME_BYTES_MAX: usize = 40;
/// Longest label of a host name, in bytes.
const LABEL_BYTES_MAX: usize = 63;
/// Hexadecimal digits that tell shortened names apart.
const DIGITS: usize = 8;

/// A preview that is to show a commit.
pub(super) struct Wanted {
    pub origin: PreviewOf,
    pub from_fork: bool,
    pub trigger: Trigger,
}

/// The preview of a pull request or branch, unless it is being removed.
pub(super) fn find(
    host: &Host,
    project: &ProjectName,
    origin: &PreviewOf,
) -> Result<Option<Preview>, Failure> {
    let all = host.store.previews(project).map_err(stored)?;
    Ok(all.into_iter().find(|one| one.origin == *origin && one.removing.is_none()))
}

/// Makes the preview if it is not there, and deploys to it.
pub(super) async fn update(
    host: &Arc<Host>,
    webhook: &Webhook,
    settings: &PreviewSettings,
    wanted: Wanted,
) -> Result<Outcome, Failure> {
    let project = &webhook.project;
    let subject = wanted.origin.to_string();
    let _lock = removal::lock(host, project).await;
    let all = host.store.previews(project).map_err(stored)?;
    let known = all.iter().find(|one| one.origin == wanted.origin).cloned();
    let mut preview = match known {
        Some(gone) if gone.removing.is_some() => return Err(being_removed(&gone)),
        Some(known) => known,
        None => {
            let present = all.iter().filter(|one| one.removing.is_none()).count();
            if present >= settings.count_max as usize {
                return Ok(work::nothing(
                    &subject,
                    Verdict::Ignored,
                    "preview-limit",
                    full(settings),
                ));
            }
            let taken = host.store.environments(project).map_err(stored)?;
            let taken: Vec<EnvironmentName> = taken.into_iter().map(|one| one.name).collect();
            fresh(project, &wanted, &taken)
        }
    };
    preview.deployed_at = Timestamp::now();
    preview.from_fork |= wanted.from_fork;
    host.store.put_preview(&preview).await.map_err(stored)?;
    crate::failpoint::reached("preview:recorded");
    furnish(host, settings, &mut preview).await?;
    work::deploy(host, webhook, &preview.environment, &subject, wanted.trigger).await
}

/// Marks a preview to be removed; the removal itself is done in the background.
pub(super) async fn end(host: &Arc<Host>, preview: Preview, why: &str) -> Result<Outcome, Failure> {
    let environment = preview.environment.clone();
    let subject = preview.origin.to_string();
    removal::begin(host, &preview.project, &environment, why).await?;
    Ok(Outcome {
        reason: format!("the preview {environment} is removed: {why}"),
        environment: Some(environment),
        ..work::nothing(&subject, Verdict::Accepted, "preview-removed", "")
    })
}

fn fresh(project: &ProjectName, wanted: &Wanted, taken: &[EnvironmentName]) -> Preview {
    Preview {
        project: project.clone(),
        environment: name(&wanted.origin, taken),
        origin: wanted.origin.clone(),
        from_fork: wanted.from_fork,
        created_at: Timestamp::now(),
        deployed_at: Timestamp::now(),
        removing: None,
        inherited: Vec::new(),
    }
}

fn full(settings: &PreviewSettings) -> String {
    format!(
        "the project has {} previews, which is its limit: windlass preview remove NAME, or windlass \
         preview set --max N",
        settings.count_max
    )
}

fn being_removed(preview: &Preview) -> Failure {
    Failure::host(
        "preview.being-removed",
        format!("the preview {} is still being removed", preview.environment),
        "its removal has not ended",
        "nothing: it is tried again by itself",
    )
}

/// The environment with its domain, variables and services. Can be repeated.
async fn furnish(
    host: &Arc<Host>,
    settings: &PreviewSettings,
    preview: &mut Preview,
) -> Result<(), Failure> {
    let (project, environment) = (&preview.project, &preview.environment);
    control::ensure(host, &Target { project: project.clone(), environment: environment.clone() })
        .await?;
    if let Some(domain) = &settings.domain {
        let name = host_name(project, environment, domain);
        match host.store.add_domain(project, environment, &name).await {
            // Somebody else's name stays theirs; the preview answers under its local one.
            Ok(_) | Err(StoreError::DomainTaken { .. }) => {}
            Err(error) => return Err(stored(error)),
        }
    }
    inherit(host, preview).await
}

/// Takes over what the environment `preview` has now, and drops what it has no more.
async fn inherit(host: &Arc<Host>, preview: &mut Preview) -> Result<(), Failure> {
    let (project, environment) = (preview.project.clone(), preview.environment.clone());
    let template: EnvironmentName = TEMPLATE.parse().map_err(|_| being_removed(preview))?;
    if host.store.find_environment(&project, &template).map_err(stored)?.is_none() {
        return Ok(());
    }
    let all = host.store.variable_values(&project, &template, Phase::Any).map_err(stored)?;
    let given: Vec<Variable> =
        all.into_iter().filter(|one| !(one.secret && preview.from_fork)).collect();
    let own = host.store.variables(&project, &environment).map_err(stored)?;
    let is_own = |name: &VariableName| {
        own.iter().any(|one| one.name == *name) && !preview.inherited.contains(name)
    };
    let given: Vec<Variable> = given.into_iter().filter(|one| !is_own(&one.name)).collect();
    let gone: Vec<VariableName> = preview
        .inherited
        .iter()
        .filter(|name| !given.iter().any(|one| one.name == **name))
        .cloned()
        .collect();
    preview.inherited = given.iter().map(|one| one.name.clone()).collect();
    host.store.put_preview(preview).await.map_err(stored)?;
    if !gone.is_empty() {
        host.store.unset_variables(&project, &environment, &gone).await.map_err(stored)?;
    }
    if !given.is_empty() {
        host.store.set_variables(&project, &environment, &given).await.map_err(stored)?;
    }
    for service in host.store.services(&project, &template).map_err(stored)? {
        host.store.put_service(&project, &environment, &service).await.map_err(stored)?;
    }
    Ok(())
}

/// The environment of a preview: `pr-12`, or the branch in the alphabet of environments. A name that
/// had to be changed, or that another environment has, ends with digits of the branch's digest.
fn name(origin: &PreviewOf, taken: &[EnvironmentName]) -> EnvironmentName {
    let wanted = match origin {
        PreviewOf::PullRequest(number) => format!("pr-{number}"),
        PreviewOf::Branch(branch) => branch.clone(),
    };
    let slug = slug(&wanted);
    let exact = slug == wanted && slug.len() <= NAME_BYTES_MAX;
    let told_apart = || {
        let digest = Digest::of(format!("{origin}").as_bytes());
        let kept: String = slug.chars().take(NAME_BYTES_MAX - DIGITS - 1).collect();
        let kept = kept.trim_matches('-');
        let kept = if kept.is_empty() { "preview" } else { kept };
        format!("{kept}-{}", &digest.hex()[..DIGITS])
    };
    let reserved = slug == TEMPLATE || slug == EnvironmentName::production().as_str();
    // `pr-12` is the name of a pull request's preview, not of a branch that is called so.
    let looks_like_pr = matches!(origin, PreviewOf::Branch(_)) && slug.starts_with("pr-");
    let plain: Option<EnvironmentName> =
        if exact && !reserved && !looks_like_pr { slug.parse().ok() } else { None };
    match plain.filter(|name| !taken.contains(name)) {
        Some(name) => name,
        None => told_apart().parse().unwrap_or_else(|_| EnvironmentName::production()),
    }
}

/// Lower case, and one hyphen for each run of what is no letter or digit.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => slug.push(c),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_matches('-').to_owned()
}

/// `pr-12-shop.<domain>`, its first label within DNS's limit.
fn host_name(project: &ProjectName, environment: &EnvironmentName, domain: &str) -> String {
    let label = format!("{environment}-{project}");
    if label.len() <= LABEL_BYTES_MAX {
        return format!("{label}.{domain}");
    }
    let digest = Digest::of(label.as_bytes());
    let kept = label[..LABEL_BYTES_MAX - DIGITS - 1].trim_end_matches('-');
    format!("{kept}-{}.{domain}", &digest.hex()[..DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_branch(branch: &str) -> String {
        name(&PreviewOf::Branch(branch.into()), &[]).to_string()
    }

    #[test]
    fn names_are_safe_short_and_apart() {
        assert_eq!(name(&PreviewOf::PullRequest(12), &[]).as_str(), "pr-12");
        assert_eq!(of_branch("dev"), "dev");
        let slashed = of_branch("feature/Login form");
        assert!(slashed.starts_with("feature-login-form-"), "{slashed}");
        assert_ne!(slashed, of_branch("feature-login-form"));
        assert_ne!(of_branch("a/b"), of_branch("a.b"));
        let long = of_branch(&format!("dependabot/npm_and_yarn/{}", "x".repeat(200)));
        assert_eq!(long.len(), NAME_BYTES_MAX, "{long}");
        assert!(of_branch("日本語").starts_with("preview-"));
        assert_eq!(of_branch("日本語"), of_branch("日本語"));
    }

    #[test]
    fn a_preview_never_takes_another_environments_name() {
        for taken in ["production", "preview", "pr-12"] {
            assert_ne!(of_branch(taken), taken);
        }
        let staging: EnvironmentName = "staging".parse().unwrap();
        let chosen = name(&PreviewOf::Branch("staging".into()), std::slice::from_ref(&staging));
        assert_ne!(chosen, staging);
        let pr: EnvironmentName = "pr-7".parse().unwrap();
        assert_ne!(name(&PreviewOf::PullRequest(7), std::slice::from_ref(&pr)), pr);
    }

    #[test]
    fn host_names_fit_into_a_label() {
        let host = |environment: &str, project: &str| {
            host_name(
                &project.parse().unwrap(),
                &environment.parse().unwrap(),
                "preview.example.com",
            )
        };
        assert_eq!(host("pr-12", "shop"), "pr-12-shop.preview.example.com");
        let long = host(&"a".repeat(40), &"b".repeat(40));
        assert_eq!(long.split('.').next().unwrap().len(), LABEL_BYTES_MAX);
        assert_ne!(long, host(&"a".repeat(40), &format!("{}c", "b".repeat(39))));
    }
}
