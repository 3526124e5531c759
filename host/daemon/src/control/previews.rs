//! Previews of a project: what they are made for, which there are, and their end.

use std::sync::Arc;

use windlass_model::hooks::{PreviewView, PreviewsView, SetPreviews};
use windlass_model::webhook::{Preview, PreviewSettings};
use windlass_model::{EnvironmentName, Failure, ProjectName, Timestamp};

use super::{stored, views, webhooks};
use crate::host::Host;
use crate::webhook::removal;

/// Most previews of one project.
const COUNT_MAX: u32 = 100;
/// Longest time without a deployment, in seconds: a year.
const EXPIRES_S_MAX: u64 = 366 * 24 * 3600;

/// The previews of a project, and its settings.
///
/// # Errors
/// `project.not-found`.
pub async fn list(host: &Arc<Host>, project: &ProjectName) -> Result<PreviewsView, Failure> {
    host.store.project(project).map_err(stored)?;
    let settings = host.store.preview_settings(project).map_err(stored)?;
    let addresses = views::Addresses::of(host).await;
    let mut previews = Vec::new();
    for preview in host.store.previews(project).map_err(stored)? {
        previews.push(view(host, preview, &settings, &addresses)?);
    }
    Ok(PreviewsView { settings, previews })
}

fn view(
    host: &Host,
    preview: Preview,
    settings: &PreviewSettings,
    addresses: &views::Addresses,
) -> Result<PreviewView, Failure> {
    let found =
        host.store.find_environment(&preview.project, &preview.environment).map_err(stored)?;
    let shown = found.map(|found| views::environment(host, &found.value, addresses)).transpose()?;
    let (live, live_number, urls) = match shown {
        Some(shown) => (shown.live, shown.live_number, shown.urls),
        None => (None, None, Vec::new()),
    };
    let expires_s = i64::try_from(settings.expires_after_s).unwrap_or(i64::MAX);
    let expires_at = preview.deployed_at.as_second().saturating_add(expires_s);
    let expires_at = Timestamp::from_second(expires_at).unwrap_or(Timestamp::MAX);
    Ok(PreviewView { preview, expires_at, live, live_number, urls })
}

/// Changes what a project has previews for. Those that are there stay.
///
/// # Errors
/// `project.not-found`, `webhook.pattern-invalid`, `preview.domain-invalid`, `preview.limits-invalid`.
pub async fn set(
    host: &Arc<Host>,
    project: &ProjectName,
    body: SetPreviews,
) -> Result<PreviewSettings, Failure> {
    host.store.project(project).map_err(stored)?;
    let mut settings = host.store.preview_settings(project).map_err(stored)?;
    if let Some(branches) = body.branches {
        settings.branches = webhooks::checked(branches)?;
    }
    if let Some(domain) = body.domain {
        settings.domain = checked_domain(&domain)?;
    }
    settings.pull_requests = body.pull_requests.unwrap_or(settings.pull_requests);
    settings.forks = body.forks.unwrap_or(settings.forks);
    settings.count_max = body.count_max.unwrap_or(settings.count_max);
    settings.expires_after_s = body.expires_after_s.unwrap_or(settings.expires_after_s);
    let fits = (1..=COUNT_MAX).contains(&settings.count_max)
        && (1..=EXPIRES_S_MAX).contains(&settings.expires_after_s);
    if !fits {
        return Err(Failure::app(
            "preview.limits-invalid",
            "previews cannot have these limits",
            format!("a project has 1 to {COUNT_MAX} of them, and they last 1 s to 366 days"),
            "for instance: windlass preview set --max 5 --expire 7d",
        ));
    }
    host.store.set_preview_settings(project, &settings).await.map_err(stored)?;
    Ok(settings)
}

/// A domain below which one more label fits.
fn checked_domain(domain: &str) -> Result<Option<String>, Failure> {
    if domain.is_empty() {
        return Ok(None);
    }
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if domain.len() <= 253 - 64 && domain.split('.').all(is_label) {
        return Ok(Some(domain));
    }
    Err(Failure::app(
        "preview.domain-invalid",
        format!("{domain:?} cannot be the domain of previews"),
        "it must be a host name of at most 189 characters, without scheme, port, path or *",
        "for instance: windlass preview set --domain preview.example.com, with a DNS record for \
         *.preview.example.com that points here",
    ))
}

/// Asks for the removal of a preview, which is done in the background.
///
/// # Errors
/// `project.not-found`, `preview.not-found`.
pub async fn remove(
    host: &Arc<Host>,
    project: &ProjectName,
    environment: &EnvironmentName,
    actor: &str,
) -> Result<(), Failure> {
    host.store.project(project).map_err(stored)?;
    let found = host.store.preview(project, environment).map_err(stored)?;
    if found.is_none() {
        return Err(Failure::app(
            "preview.not-found",
            format!("{project} has no preview {environment}"),
            "it is gone, or is an environment of another kind",
            "`windlass preview list` shows the previews",
        ));
    }
    removal::begin(host, project, environment, &format!("{actor} removed it")).await
}
