//! Settings of an environment: what a person laid over `windlass.toml`.
//!
//! They are in force from the next deployment on; how much is kept, from the next end of any deployment.

use std::collections::BTreeSet;
use std::sync::Arc;

use windlass_model::settings::{
    EnvironmentSettings, Layers, Overrides, SetSettings, SettingOrigin, SettingView, SettingsView,
};
use windlass_model::{Failure, Timestamp};
use windlass_store::{StoreError, Versioned};

use super::{Target, require, stored};
use crate::host::Host;

/// Longest document, in bytes of JSON: it lies in the record of every deployment that is made with it.
const BYTES_MAX: usize = 64 << 10;

/// What is set, and where each value comes from.
///
/// # Errors
/// `environment.not-found`.
pub fn show(host: &Host, target: &Target) -> Result<SettingsView, Failure> {
    require(host, target)?;
    let set = found(host, target)?;
    let live = host.live(&target.project, &target.environment)?.map(|(live, _)| live);
    let settings = live.as_ref().and_then(|live| live.outputs.settings.as_ref());
    let layers = settings.map(|settings| settings.layers.clone()).unwrap_or_default();
    let overrides = set.as_ref().map(|set| set.value.overrides.clone()).unwrap_or_default();
    Ok(SettingsView {
        values: values(&overrides, &layers),
        settings: overrides,
        revision: set.as_ref().map_or(0, |set| set.revision),
        updated_at: set.as_ref().map(|set| set.value.updated_at),
        updated_by: set.map(|set| set.value.updated_by),
        live_number: live.map(|live| live.number),
    })
}

fn found(host: &Host, target: &Target) -> Result<Option<Versioned<EnvironmentSettings>>, Failure> {
    host.store.environment_settings(&target.project, &target.environment).map_err(stored)
}

/// Each key of what is set now and of what serves.
fn values(set: &Overrides, live: &Layers) -> Vec<SettingView> {
    let (set, file, then) = (set.flat(), live.file.flat(), live.environment.flat());
    let keys: BTreeSet<&String> = set.keys().chain(file.keys()).chain(then.keys()).collect();
    let view = |key: &String| {
        let (value, origin) = match (set.get(key), file.get(key)) {
            (Some(value), _) => (Some(value.clone()), SettingOrigin::Environment),
            (None, Some(value)) => (Some(value.clone()), SettingOrigin::File),
            (None, None) => (None, SettingOrigin::Default),
        };
        let live = then.get(key).or_else(|| file.get(key)).cloned();
        SettingView { key: key.clone(), value, origin, file: file.get(key).cloned(), live }
    };
    keys.into_iter().map(view).collect()
}

/// Sets all that is to be set from now on.
///
/// # Errors
/// `environment.not-found`; those of [`Overrides::read`]; `store.too-large`; `store.conflict` when it was
/// changed since it was read.
pub async fn set(
    host: &Arc<Host>,
    target: &Target,
    body: SetSettings,
    actor: &str,
) -> Result<SettingsView, Failure> {
    require(host, target)?;
    let bytes = serde_json::to_vec(&body.settings).map_or(usize::MAX, |text| text.len());
    if bytes > BYTES_MAX {
        let what = format!("the settings of {target}");
        return Err(stored(StoreError::TooLarge { what, bytes, bytes_max: BYTES_MAX }));
    }
    let overrides = Overrides::read(body.settings)?;
    put(host, target, overrides, body.revision, actor).await?;
    show(host, target)
}

/// Takes everything back that was set.
///
/// # Errors
/// `environment.not-found`.
pub async fn clear(host: &Arc<Host>, target: &Target, actor: &str) -> Result<(), Failure> {
    put(host, target, Overrides::default(), None, actor).await
}

async fn put(
    host: &Arc<Host>,
    target: &Target,
    overrides: Overrides,
    revision: Option<u64>,
    actor: &str,
) -> Result<(), Failure> {
    let before = found(host, target)?;
    let owed = before.as_ref().is_some_and(|before| before.value.retention_owed);
    let kept = before.map(|before| before.value.overrides.retention()).unwrap_or_default();
    let settings = EnvironmentSettings {
        retention_owed: owed || kept != overrides.retention(),
        overrides,
        updated_at: Timestamp::now(),
        updated_by: actor.to_owned(),
    };
    let Target { project, environment } = target;
    let put = host.store.put_environment_settings(project, environment, &settings, revision).await;
    put.map(drop).map_err(stored)
}
