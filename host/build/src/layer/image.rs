//! The documents of an image: configuration and manifest.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use windlass_containers::Runtime;
use windlass_model::deployment::{Artifact, ArtifactKind, ArtifactOutput};
use windlass_model::plan::{HealthCheck, RunConfig};
use windlass_model::{Digest, Failure};

use super::blob::{self, Piece, Present};
use super::{EPOCH_TEXT, Export};
use crate::artifact::static_dir;
use crate::key::architecture;
use crate::registry::{Layer, MANIFEST_TYPE};

pub(super) const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// An image, ready to be written somewhere.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) config: Document,
    pub(super) manifest: Document,
    /// Layers, the lowest first.
    pub(super) pieces: Vec<Piece>,
    /// What is worth saying.
    pub(super) notes: Vec<String>,
}

/// A small document with its digest.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

impl Document {
    pub(super) fn of(value: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        Self { digest: Digest::of(&bytes), bytes }
    }
}

impl Image {
    /// The blobs of it, each once, but for the documents.
    pub(super) fn layers(&self) -> Vec<&Layer> {
        let mut seen = std::collections::BTreeSet::new();
        let layers = self.pieces.iter().map(|piece| &piece.layer);
        layers.filter(|layer| seen.insert(&layer.digest)).collect()
    }
}

/// Makes an image of an output; what has to be made is under the runtime's lease.
pub(super) async fn make(
    export: &Export,
    runtime: &dyn Runtime,
    artifact: &Artifact,
    output: Option<&str>,
    present: Present<'_>,
) -> Result<Image, Failure> {
    let output = choose(artifact, output)?;
    let mut notes = Vec::new();
    let (pieces, config) = match &output.kind {
        ArtifactKind::Image { config } => {
            let snapshot = &output.snapshot;
            let pieces = blob::layers(export, runtime, snapshot, present, &mut notes).await?;
            (pieces, run_config(artifact, output, config))
        }
        ArtifactKind::StaticTree { tree, .. } => {
            let dir = static_dir(&export.builder.config.data_dir, tree);
            let layer = blob::make(export, runtime, dir).await?;
            notes.push("the files are at the image's root; it runs nothing by itself".to_owned());
            (vec![Piece { layer, from: None }], RunConfig::default())
        }
    };
    let config = Document::of(&configuration(&config, &pieces));
    let manifest = Document::of(&manifest(&config, &pieces));
    Ok(Image { config, manifest, pieces, notes })
}

/// The output of this name; without a name that of the web process, or the only one.
fn choose<'a>(artifact: &'a Artifact, name: Option<&str>) -> Result<&'a ArtifactOutput, Failure> {
    let found = match name {
        Some(name) => artifact.output(name),
        None => match (artifact.web(), artifact.outputs.as_slice()) {
            (Some(web), _) => artifact.output(&web.output),
            (None, [only]) => Some(only),
            (None, _) => None,
        },
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = artifact.outputs.iter().map(|o| o.name.as_str()).collect();
        let what = match name {
            Some(name) => format!("The deployment has no output {name:?}"),
            None => "The deployment has several outputs, and no web process".to_owned(),
        };
        let first = names.first().unwrap_or(&"NAME");
        let fix =
            format!("name one of them: --image {first}, or --from {first} of `windlass build`");
        Failure::app("image.no-such-output", what, format!("it has {}", names.join(", ")), fix)
    })
}

/// How the image is run: as its web process is here, else as its first one.
fn run_config(artifact: &Artifact, output: &ArtifactOutput, config: &RunConfig) -> RunConfig {
    let mut config = config.clone();
    let of_it = |name: &str| name == output.name;
    let web = artifact.web().filter(|process| of_it(&process.output));
    let process = web.or_else(|| artifact.processes.iter().find(|p| of_it(&p.output)));
    let Some(process) = process else { return config };
    if let Some(port) = process.port
        && !config.exposed.contains(&port)
    {
        config.exposed.push(port);
    }
    if !process.argv.is_empty() {
        config.entrypoint = Vec::new();
        config.cmd.clone_from(&process.argv);
        // A command that a builder chose listens where it is told to.
        if let Some(port) = process.port
            && !config.env.iter().any(|(name, _)| name == "PORT")
        {
            config.env.push(("PORT".to_owned(), port.to_string()));
        }
    }
    config
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Section {
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: BTreeMap<String, Nothing>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cmd: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, Nothing>,
    #[serde(skip_serializing_if = "String::is_empty")]
    working_dir: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<HealthSection>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    on_build: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shell: Vec<String>,
}

#[derive(Serialize)]
struct Nothing {}

/// Times are in nanoseconds; what is left out is the usual.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HealthSection {
    test: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_period: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_interval: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<u64>,
}

impl From<&HealthCheck> for HealthSection {
    fn from(check: &HealthCheck) -> Self {
        let given = |number: u32| (number > 0).then(|| u64::from(number));
        let ns = |ms: u32| given(ms).map(|ms| ms * 1_000_000);
        Self {
            test: check.test.clone(),
            interval: ns(check.interval_ms),
            timeout: ns(check.timeout_ms),
            start_period: ns(check.start_period_ms),
            start_interval: ns(check.start_interval_ms),
            retries: given(check.retries),
        }
    }
}

/// Every port as images name it: those of TCP are `exposed`, and the others only among the details.
fn ports(run: &RunConfig) -> BTreeMap<String, Nothing> {
    let full = |port: &String| match port.contains('/') {
        true => port.clone(),
        false => format!("{port}/tcp"),
    };
    let tcp = run.exposed.iter().map(|port| format!("{port}/tcp"));
    run.details.ports.iter().map(full).chain(tcp).map(|port| (port, Nothing {})).collect()
}

fn configuration(run: &RunConfig, pieces: &[Piece]) -> serde_json::Value {
    let section = Section {
        user: run.user.clone(),
        exposed_ports: ports(run),
        env: run.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        entrypoint: run.entrypoint.clone(),
        cmd: run.cmd.clone(),
        volumes: run.volumes.iter().map(|path| (path.clone(), Nothing {})).collect(),
        working_dir: run.cwd.clone(),
        labels: run.labels.iter().cloned().collect(),
        stop_signal: run.stop_signal.clone(),
        healthcheck: run.details.health.as_ref().map(HealthSection::from),
        on_build: run.details.onbuild.clone(),
        shell: run.details.shell.clone(),
    };
    let history: Vec<_> = pieces
        .iter()
        .map(|piece| {
            let by = match &piece.from {
                Some(from) => format!("layer of {}/{}", from.registry, from.repository),
                None => "windlass build".to_owned(),
            };
            json!({ "created": EPOCH_TEXT, "created_by": by })
        })
        .collect();
    let mut config = json!({
        "architecture": architecture(), "os": "linux", "created": EPOCH_TEXT, "config": section,
        "rootfs": {
            "type": "layers",
            "diff_ids": pieces.iter().map(|piece| &piece.layer.diff_id).collect::<Vec<_>>(),
        },
        "history": history,
    });
    if let Some(author) = &run.details.author {
        config["author"] = json!(author);
    }
    if architecture() == "arm64" {
        config["variant"] = json!("v8");
    }
    config
}

fn manifest(config: &Document, pieces: &[Piece]) -> serde_json::Value {
    let descriptor = |media_type: &str, digest: &Digest, size: u64| json!({ "mediaType": oci(media_type), "digest": digest, "size": size });
    let layers: Vec<_> = pieces
        .iter()
        .map(|Piece { layer, .. }| descriptor(&layer.media_type, &layer.digest, layer.bytes))
        .collect();
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, &config.digest, config.bytes.len() as u64),
        "layers": layers,
    })
}

/// The OCI name of a layer's media type; Docker's own mean the same.
fn oci(media_type: &str) -> &str {
    match media_type {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
            "application/vnd.oci.image.layer.v1.tar+gzip"
        }
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
            "application/vnd.oci.image.layer.v1.tar+zstd"
        }
        "application/vnd.docker.image.rootfs.diff.tar" => "application/vnd.oci.image.layer.v1.tar",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use windlass_model::deployment::ArtifactProcess;
    use windlass_model::plan::{ImageDetails, ProcessKind};

    use super::*;

    fn artifact(outputs: &[&str], web: Option<(&str, &[&str])>) -> Artifact {
        let output = |name: &&str| ArtifactOutput {
            name: (*name).to_owned(),
            snapshot: format!("step-{name}"),
            kind: ArtifactKind::Image { config: RunConfig::default() },
        };
        let process = |(output, argv): (&str, &[&str])| ArtifactProcess {
            name: "web".parse().unwrap(),
            output: output.to_owned(),
            kind: ProcessKind::Web,
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            port: Some(3000),
        };
        Artifact {
            digest: Digest::of(b"x"),
            outputs: outputs.iter().map(output).collect(),
            processes: web.map(process).into_iter().collect(),
            bases: Vec::new(),
            toolchains: Vec::new(),
            plan: Digest::of(b"plan"),
        }
    }

    #[test]
    fn the_web_processs_output_is_taken_unless_another_is_named() {
        let both = artifact(&["a", "b"], Some(("b", &[])));
        assert_eq!(choose(&both, None).unwrap().name, "b");
        assert_eq!(choose(&both, Some("a")).unwrap().name, "a");
        assert_eq!(choose(&both, Some("c")).unwrap_err().code, "image.no-such-output");
        assert_eq!(choose(&artifact(&["a"], None), None).unwrap().name, "a");
        let none = choose(&artifact(&["a", "b"], None), None).unwrap_err();
        assert!(none.why.contains("a, b"), "{none:?}");
        // Each verb has an option of its own for it.
        assert!(none.fix.contains("--image a") && none.fix.contains("--from a"), "{none:?}");
    }

    #[test]
    fn what_an_image_says_beside_its_command_is_written_too() {
        let check = |test: &[&str]| HealthCheck {
            test: test.iter().map(|word| (*word).to_owned()).collect(),
            ..HealthCheck::default()
        };
        let details = ImageDetails {
            ports: vec!["53/udp".into(), "80/tcp".into(), "81".into()],
            shell: vec!["/bin/bash".into(), "-c".into()],
            onbuild: vec!["RUN make".into()],
            health: Some(HealthCheck {
                interval_ms: 90_000,
                timeout_ms: 500,
                start_interval_ms: 1,
                retries: 5,
                ..check(&["CMD", "/up"])
            }),
            author: Some("Somebody".into()),
            whole: true,
        };
        let details = Box::new(details);
        let run = RunConfig { exposed: vec![80, 8080], details, ..RunConfig::default() };
        let written = configuration(&run, &[]);
        assert_eq!(
            written["config"],
            json!({
                "ExposedPorts": {"53/udp": {}, "80/tcp": {}, "81/tcp": {}, "8080/tcp": {}},
                "Shell": ["/bin/bash", "-c"], "OnBuild": ["RUN make"],
                "Healthcheck": {
                    "Test": ["CMD", "/up"], "Interval": 90_000_000_000_u64,
                    "Timeout": 500_000_000, "StartInterval": 1_000_000, "Retries": 5,
                },
            })
        );
        assert_eq!(written["author"], "Somebody");
        let none = ImageDetails { health: Some(check(&["NONE"])), ..ImageDetails::default() };
        let run = RunConfig { details: Box::new(none), ..RunConfig::default() };
        let written = configuration(&run, &[]);
        assert_eq!(written["config"], json!({ "Healthcheck": {"Test": ["NONE"]} }));
        assert_eq!(written.get("author"), None);
    }

    #[test]
    fn an_image_runs_what_its_web_process_runs_here() {
        let own = artifact(&["app"], Some(("app", &["node", "x.js"])));
        let config = run_config(&own, &own.outputs[0], &RunConfig::default());
        assert_eq!((config.cmd, config.exposed), (vec!["node".into(), "x.js".into()], vec![3000]));
        assert_eq!(config.env, [("PORT".to_owned(), "3000".to_owned())]);
        let given = artifact(&["app"], Some(("app", &[])));
        let base = RunConfig { cmd: vec!["run".into()], ..RunConfig::default() };
        let config = run_config(&given, &given.outputs[0], &base);
        assert_eq!((config.cmd, config.env.len()), (base.cmd, 0));
    }
}
