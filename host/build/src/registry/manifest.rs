//! From an index or a manifest to the image for this machine, wherever the documents come from.

use serde::Deserialize;
use windlass_model::Digest;
use windlass_model::plan::{HealthCheck, ImageDetails, RunConfig};

use super::error::RegistryError;
use super::{ImageManifest, Layer};
use crate::key::architecture;

/// Of the manifest of an image.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Of a layer whose manifest does not say.
pub(super) const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Indexes within indexes.
const DEPTH_MAX: usize = 4;

/// Reads the image for this machine. `document` gives a document of this kind (`manifests`, `blobs`) and
/// digest, checked against it. The image is named by the digest `top`.
pub(super) fn read(
    what: &str,
    host: &str,
    top: Digest,
    bytes: &[u8],
    document: impl Fn(&str, &Digest) -> Result<Vec<u8>, RegistryError>,
) -> Result<ImageManifest, RegistryError> {
    let protocol = |why: &str| RegistryError::Protocol { host: host.into(), why: why.into() };
    let mut manifest: Document = json(host, bytes)?;
    for _ in 0..DEPTH_MAX {
        let Some(list) = manifest.manifests.take() else { break };
        let chosen = choose(what, &list)?;
        manifest = json(host, &document("manifests", &chosen)?)?;
    }
    let (Some(config), Some(layers)) = (manifest.config, manifest.layers) else {
        return Err(protocol("a manifest without configuration or layers"));
    };
    let image: ImageConfig = json(host, &document("blobs", &config.digest)?)?;
    check_platform(what, &image)?;
    if image.rootfs.diff_ids.len() != layers.len() {
        return Err(protocol("the configuration names other layers than the manifest"));
    }
    let layers = layers
        .into_iter()
        .zip(image.rootfs.diff_ids)
        .map(|(layer, diff_id)| Layer {
            digest: layer.digest,
            bytes: layer.size,
            diff_id,
            media_type: layer.media_type.unwrap_or_else(|| LAYER_TYPE.to_owned()),
        })
        .collect();
    let author = image.author.filter(|author| !author.is_empty());
    let mut config = RunConfig::from(image.config.unwrap_or_default());
    config.details.author = author;
    Ok(ImageManifest { digest: top, config, layers })
}

pub(super) fn json<T: for<'a> Deserialize<'a>>(
    host: &str,
    bytes: &[u8],
) -> Result<T, RegistryError> {
    serde_json::from_slice(bytes)
        .map_err(|e| RegistryError::Protocol { host: host.to_owned(), why: e.to_string() })
}

/// The image for this machine; a single one without a platform is taken and judged by its
/// configuration.
fn choose(what: &str, list: &[Descriptor]) -> Result<Digest, RegistryError> {
    let wanted = architecture();
    let fits = |d: &&Descriptor| {
        d.platform.as_ref().is_some_and(|p| p.os == "linux" && p.architecture == wanted)
    };
    let only = || match list {
        [one] if one.platform.is_none() => Some(one),
        _ => None,
    };
    list.iter().find(fits).or_else(only).map(|d| d.digest.clone()).ok_or_else(|| {
        let mut available: Vec<String> =
            list.iter().filter_map(|d| d.platform.as_ref()).map(Platform::name).collect();
        // Signatures and attestations stand beside the images, for a platform that does not exist.
        available.retain(|name| !name.starts_with("unknown/"));
        available.dedup();
        if available.is_empty() {
            available.push("no platform that it names".to_owned());
        }
        unsupported(what, available.join(", "))
    })
}

/// Digests of the images of an index that may be for this machine: those that say so, else those that do
/// not say.
pub(super) fn candidates(host: &str, bytes: &[u8]) -> Result<Vec<Digest>, RegistryError> {
    let index: Document = json(host, bytes)?;
    let list = index.manifests.unwrap_or_default();
    let of = |wanted: &dyn Fn(&Descriptor) -> bool| -> Vec<Digest> {
        let found = list.iter().filter(|d| wanted(d)).map(|d| &d.digest);
        found.collect::<std::collections::BTreeSet<_>>().into_iter().cloned().collect()
    };
    let fitting = of(&|d| {
        d.platform.as_ref().is_some_and(|p| p.os == "linux" && p.architecture == architecture())
    });
    Ok(if fitting.is_empty() { of(&|d| d.platform.is_none()) } else { fitting })
}

pub(super) fn check_platform(what: &str, image: &ImageConfig) -> Result<(), RegistryError> {
    let os = image.os.as_deref().unwrap_or("linux");
    let given = image.architecture.as_deref().unwrap_or(architecture());
    if os == "linux" && given == architecture() {
        return Ok(());
    }
    Err(unsupported(what, format!("{os}/{given}")))
}

fn unsupported(what: &str, available: String) -> RegistryError {
    RegistryError::UnsupportedPlatform { what: what.to_owned(), wanted: architecture(), available }
}

/// An index or a manifest: which one shows in what it has.
#[derive(Deserialize)]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: Digest,
    media_type: Option<String>,
    #[serde(default)]
    size: u64,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    fn name(&self) -> String {
        let variant = self.variant.iter().map(|variant| format!("/{variant}")).collect::<String>();
        format!("{}/{}{variant}", self.os, self.architecture)
    }
}

#[derive(Deserialize)]
pub(super) struct ImageConfig {
    architecture: Option<String>,
    os: Option<String>,
    pub(super) author: Option<String>,
    pub(super) config: Option<ConfigSection>,
    pub(super) rootfs: RootFs,
}

#[derive(Deserialize)]
pub(super) struct RootFs {
    #[serde(default)]
    pub(super) diff_ids: Vec<Digest>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ConfigSection {
    env: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    exposed_ports: Option<std::collections::BTreeMap<String, serde_json::Value>>,
    volumes: Option<std::collections::BTreeMap<String, serde_json::Value>>,
    labels: Option<std::collections::BTreeMap<String, String>>,
    stop_signal: Option<String>,
    shell: Option<Vec<String>>,
    on_build: Option<Vec<String>>,
    healthcheck: Option<HealthSection>,
}

/// Times are in nanoseconds.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct HealthSection {
    test: Option<Vec<String>>,
    interval: i64,
    timeout: i64,
    start_period: i64,
    start_interval: i64,
    retries: i64,
}

impl From<HealthSection> for HealthCheck {
    fn from(section: HealthSection) -> Self {
        let ms = |ns: i64| u32::try_from(ns / 1_000_000).unwrap_or(0);
        Self {
            test: section.test.unwrap_or_default(),
            interval_ms: ms(section.interval),
            timeout_ms: ms(section.timeout),
            start_period_ms: ms(section.start_period),
            start_interval_ms: ms(section.start_interval),
            retries: u32::try_from(section.retries).unwrap_or(0),
        }
    }
}

impl From<ConfigSection> for RunConfig {
    fn from(section: ConfigSection) -> Self {
        let pair = |text: String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (text, String::new()),
        };
        let ports: Vec<String> = section.exposed_ports.unwrap_or_default().into_keys().collect();
        let tcp = |text: &String| {
            let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            port.parse().ok().filter(|_| protocol == "tcp")
        };
        Self {
            entrypoint: section.entrypoint.unwrap_or_default(),
            cmd: section.cmd.unwrap_or_default(),
            env: section.env.unwrap_or_default().into_iter().map(pair).collect(),
            user: section.user.unwrap_or_default(),
            cwd: section.working_dir.unwrap_or_default(),
            exposed: ports.iter().filter_map(tcp).collect(),
            volumes: section.volumes.unwrap_or_default().into_keys().collect(),
            labels: section.labels.unwrap_or_default().into_iter().collect(),
            stop_signal: section.stop_signal,
            details: Box::new(ImageDetails {
                ports,
                shell: section.shell.unwrap_or_default(),
                onbuild: section.on_build.unwrap_or_default(),
                health: section
                    .healthcheck
                    .map(HealthCheck::from)
                    .filter(|check| !check.test.is_empty()),
                author: None,
                whole: false,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_configuration_becomes_a_run_configuration() {
        let json = r#"{"Env":["PATH=/bin","A=b=c"],"Cmd":["node"],"WorkingDir":"/app",
                       "ExposedPorts":{"3000/tcp":{}},"Labels":null,"User":"node"}"#;
        let config = RunConfig::from(serde_json::from_str::<ConfigSection>(json).unwrap());
        assert_eq!(config.env[1], ("A".to_owned(), "b=c".to_owned()));
        assert_eq!(config.exposed, [3000]);
        assert_eq!((config.cwd.as_str(), config.user.as_str()), ("/app", "node"));
    }

    #[test]
    fn what_a_build_on_top_of_it_needs_is_read_too() {
        let json = r#"{"ExposedPorts":{"53/udp":{},"80/tcp":{}},"Shell":["/bin/bash","-c"],
                       "OnBuild":["RUN a"],"Healthcheck":{"Test":["CMD","/up"],"Interval":5000000000,
                       "Retries":2}}"#;
        let config = RunConfig::from(serde_json::from_str::<ConfigSection>(json).unwrap());
        assert_eq!((config.exposed, config.details.ports.len()), (vec![80], 2));
        let details = config.details;
        assert_eq!(
            (details.shell[0].as_str(), details.onbuild[0].as_str()),
            ("/bin/bash", "RUN a")
        );
        let check = details.health.unwrap();
        assert_eq!((check.test.len(), check.interval_ms, check.retries), (2, 5_000, 2));
    }
}
