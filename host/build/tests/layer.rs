//! Layers against containerd's own apply, and images in archives, on a real containerd.
//!
//! The trees are random: `WINDLASS_TEST_SEED` repeats a run, `WINDLASS_TEST_EXTENT=full` plays many.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use common::{Host, Registry, copy, plan, script, scripted, step};
use serde_json::Value;
use windlass_build::{Access, ArchiveFormat, Layout};
use windlass_containers::Labels;
use windlass_containers::runtime::Access as Mode;
use windlass_model::Digest;
use windlass_model::deployment::{Artifact, ArtifactKind, ArtifactOutput};
use windlass_model::plan::{Base, Op, Output, OutputKind, RunConfig};

const SAMPLE: u64 = 4;
const FULL: u64 = 30;
/// Snapshots above each other in a case.
const DEPTH: usize = 3;

/// An artifact with one image, whose snapshot a test made.
fn artifact(snapshot: &str) -> Artifact {
    let kind = ArtifactKind::Image { config: RunConfig::default() };
    Artifact {
        digest: Digest::of(snapshot.as_bytes()),
        outputs: vec![ArtifactOutput { name: "app".into(), snapshot: snapshot.into(), kind }],
        processes: Vec::new(),
        bases: Vec::new(),
        toolchains: Vec::new(),
        plan: Digest::of(b"plan"),
    }
}

/// Unpacks a saved image, which is trusted here.
fn unpacked(archive: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tar::Archive::new(std::fs::File::open(archive).unwrap()).unpack(dir.path()).unwrap();
    dir
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn blob(dir: &Path, digest: &Value) -> std::path::PathBuf {
    let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    dir.join("blobs/sha256").join(hex)
}

/// Every name in a layer stands there once: others refuse a layer that names anything twice.
fn assert_named_once(layer: &Path, shown: &str) {
    let mut list = Command::new("tar");
    let listed = list.args(["--quoting-style=escape", "-tf"]).arg(layer).output().unwrap();
    assert!(listed.status.success(), "{shown}: {}", String::from_utf8_lossy(&listed.stderr));
    let mut names = BTreeSet::new();
    for name in listed.stdout.split(|byte| *byte == b'\n').filter(|name| !name.is_empty()) {
        let name = name.strip_suffix(b"/").unwrap_or(name);
        assert!(names.insert(name), "{shown}: {:?} twice", String::from_utf8_lossy(name));
    }
}

/// The manifest of an OCI archive.
fn manifest(dir: &Path) -> Value {
    let index = json(&dir.join("index.json"));
    json(&blob(dir, &index["manifests"][0]["digest"]))
}

#[tokio::test]
async fn unpacking_a_layer_gives_the_identical_tree() {
    let host = Host::start(232).await;
    let full = std::env::var("WINDLASS_TEST_EXTENT").is_ok_and(|extent| extent == "full");
    let cases = if full { FULL } else { SAMPLE };
    let seed = trees::seed();
    eprintln!("{cases} cases: WINDLASS_TEST_SEED={seed}");
    for case in 0..cases {
        eprintln!("case {case}");
        one_case(&host, seed.wrapping_add(case), case).await;
    }
    host.finish().await;
}

async fn one_case(host: &Host, seed: u64, case: u64) {
    let runtime = &host.runtime;
    let keep = Labels::from([("containerd.io/gc.root".to_owned(), "1".to_owned())]);
    let mut random = trees::Random::new(seed);
    let (mut names, mut lists): (Vec<String>, usize) = (Vec::new(), 0);
    for level in 0..DEPTH {
        let (key, name) = (format!("making-{case}-{level}"), format!("tree-{case}-{level}"));
        let parent = names.last().map(String::as_str);
        runtime.prepare_snapshot(&key, parent, &keep).await.unwrap();
        let mounted = runtime.mount_snapshot(&key, Mode::ReadWrite).await.unwrap();
        trees::change(mounted.path(), &mut random);
        if level == 0 {
            lists = trees::add_lists(mounted.path());
        }
        drop(mounted);
        runtime.commit_snapshot(&key, &name, &keep).await.unwrap();
        names.push(name);
    }
    let out = tempfile::tempdir().unwrap();
    let archive = out.path().join("image.tar");
    let top = artifact(names.last().unwrap());
    let saved = host.builder.save(&top, None, ArchiveFormat::Oci, &archive).await.unwrap();
    assert_eq!(saved.layers, DEPTH);
    let dir = unpacked(&archive);
    let manifest = manifest(dir.path());
    let (mut parent, mut entries) = (None::<String>, 0);
    for (level, layer) in manifest["layers"].as_array().unwrap().iter().enumerate() {
        let digest: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
        assert!(runtime.blob(&digest).await.unwrap().is_some(), "a made layer is kept");
        let shown = format!("seed {seed}, level {level}");
        assert_named_once(&blob(dir.path(), &layer["digest"]), &shown);
        let applied = format!("applied-{case}-{level}");
        runtime.apply_layer(parent.as_deref(), &applied, &digest, None, &keep).await.unwrap();
        let made = runtime.mount_snapshot(&names[level], Mode::ReadOnly).await.unwrap();
        let unpacked = runtime.mount_snapshot(&applied, Mode::ReadOnly).await.unwrap();
        let (made, unpacked) = (trees::read(made.path()), trees::read(unpacked.path()));
        trees::assert_same(&made, &unpacked, &shown);
        assert!(level > 0 || trees::with_lists(&unpacked) >= lists, "seed {seed}: {lists} lists");
        entries += made.len();
        parent = Some(applied);
    }

    assert!(entries > 20, "seed {seed}: the trees have {entries} entries");

    // The layers of what was unpacked are the same layers again.
    let again = artifact(parent.as_deref().unwrap());
    let second = host.builder.save(&again, None, ArchiveFormat::Oci, &archive).await.unwrap();
    assert_eq!(second.digest, saved.digest, "seed {seed}");
    for name in names.iter().rev() {
        runtime.remove_snapshot(name).await.unwrap();
    }
    while let Some(name) = parent {
        let found = runtime.snapshot(&name).await.unwrap().unwrap();
        runtime.remove_snapshot(&name).await.unwrap();
        parent = found.parent;
    }
}

#[tokio::test]
async fn the_same_build_in_two_data_directories_is_the_same_image() {
    let registry = Registry::start();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let base = registry.push("team/base", "1", architecture);
    let base = Base::Image(format!("{}/team/base@{base}", registry.address));
    let make = "mkdir -p /data/deep; echo hello > /data/deep/x; rm /etc/group; ln -s x /data/y";
    let ops = vec![copy("app.txt", "/app.txt"), Op::Run(script(make))];
    let wanted = plan(vec![step("app", base, ops)]);
    let mut seen = Vec::new();
    for pool in [233, 234] {
        let host = Host::start(pool).await;
        let built = host.build(wanted.clone()).await.unwrap();
        let file = host.data.path().join("image.tar");
        let save = async |format| host.builder.save(&built.artifact, None, format, &file).await;
        let saved = save(ArchiveFormat::Oci).await.unwrap();
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!(saved.bytes, bytes.len() as u64);
        let dir = unpacked(&file);
        let manifest = manifest(dir.path());
        assert_eq!(saved.notes, Vec::<String>::new());
        // The base's layer is the registry's own blob.
        let url = format!("http://{}/v2/team/base/manifests/1", registry.address);
        let accept = "application/vnd.oci.image.manifest.v1+json";
        let mut of_base = ureq::get(&url).header("accept", accept).call().unwrap();
        let of_base: Value = of_base.body_mut().read_json().unwrap();
        assert_eq!(manifest["layers"][0]["digest"], of_base["layers"][0]["digest"]);
        let config = json(&blob(dir.path(), &manifest["config"]["digest"]));
        assert_eq!(config["config"]["User"], "app");
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
        assert_eq!(config["history"].as_array().unwrap().len(), 2);
        let docker = save(ArchiveFormat::Docker).await.unwrap();
        assert_eq!((docker.config, docker.digest), (saved.config.clone(), saved.digest.clone()));
        seen.push((saved.digest, Digest::of(&bytes)));
        host.finish().await;
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_saved_image_is_loaded_again_and_by_others() {
    let host = Host::start(235).await;
    let make = "echo kept > /kept; chmod 4755 /bin/busybox; rm /tmp -r; mkdir /tmp";
    let built = host.build(scripted(script(make))).await.unwrap();
    let export = host.builder.export(Access::default()).named("shop:12");
    let mut first: Option<Digest> = None;
    for (format, transport) in
        [(ArchiveFormat::Oci, "oci-archive"), (ArchiveFormat::Docker, "docker-archive")]
    {
        let file = host.data.path().join("image.tar");
        let saved = export.save(&built.artifact, Some("app"), format, &file).await.unwrap();
        let dir = unpacked(&file);
        let layout = Layout::open(dir.path()).unwrap();
        assert_eq!(layout.image().config.cmd, ["/bin/sh"]);

        // Here: it is built on, and what comes of it is the same image again.
        let checks = "cat /kept; ls -l /bin/busybox";
        let run = step("app", Base::Image(layout.reference()), vec![Op::Run(script(checks))]);
        let mut request = host.request(plan(vec![run]));
        request.access.layout = Some(dir.path().to_owned());
        host.builder.build(request).await.unwrap();
        assert!(host.log().contains("kept") && host.log().contains("-rwsr-xr-x"), "{}", host.log());
        let bare = step("app", Base::Image(layout.reference()), Vec::new());
        let mut request = host.request(plan(vec![bare]));
        request.access.layout = Some(dir.path().to_owned());
        let loaded = host.builder.build(request).await.unwrap();
        let again = host.data.path().join("again.tar");
        let again = export.save(&loaded.artifact, None, ArchiveFormat::Oci, &again).await.unwrap();
        assert_eq!(again.digest, *first.get_or_insert(again.digest.clone()));
        assert_eq!(again.layers, saved.layers);

        // Elsewhere: skopeo reads every layer against its digest, containerd unpacks it.
        let copied = tempfile::tempdir().unwrap();
        let from = format!("{transport}:{}", file.display());
        succeeds(
            Command::new("skopeo")
                .args(["copy", "--insecure-policy", &from])
                .arg(format!("dir:{}", copied.path().display())),
        );
        let socket = host.engine.paths().socket();
        let ctr = |args: &[&str]| {
            let mut command = Command::new("ctr");
            command.arg("-a").arg(&socket).args(["-n", "peer"]).args(args);
            succeeds(&mut command)
        };
        ctr(&["images", "import", &file.display().to_string()]);
        let listed = ctr(&["images", "ls"]);
        assert!(listed.contains("docker.io/library/shop:12"), "{listed}");
        for name in ctr(&["images", "ls", "-q"]).lines() {
            ctr(&["images", "rm", "--sync", name]);
        }
    }
    host.finish().await;
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_base_whose_registry_is_gone_is_packed_anew_and_a_site_is_an_image() {
    let host = Host::start(236).await;
    let registry = Registry::start();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    registry.push("team/base", "1", architecture);
    let base = Base::Image(format!("{}/team/base:1", registry.address));
    let make = "mkdir /site; echo hi > /site/index.html";
    let mut wanted = plan(vec![step("app", base, vec![Op::Run(script(make))])]);
    wanted.steps[0].user = "root".to_owned();
    let tree = OutputKind::StaticTree {
        step: "app".into(),
        root: "/site".into(),
        spa_fallback: None,
        not_found: None,
    };
    wanted.outputs.push(Output { name: "site".into(), artifact: tree });
    let built = host.build(wanted).await.unwrap();
    drop(registry);
    let file = host.data.path().join("image.tar");
    let save =
        async |output| host.builder.save(&built.artifact, output, ArchiveFormat::Oci, &file).await;
    let saved = save(Some("app")).await.unwrap();
    assert_eq!(saved.layers, 2);
    assert!(saved.notes[0].contains("team/base"), "{:?}", saved.notes);
    Layout::open(unpacked(&file).path()).unwrap();

    assert_eq!(save(None).await.unwrap_err().code, "image.no-such-output");
    assert_eq!(save(Some("other")).await.unwrap_err().code, "image.no-such-output");
    let site = save(Some("site")).await.unwrap();
    assert_eq!(site.layers, 1);
    let dir = unpacked(&file);
    let layer = blob(dir.path(), &manifest(dir.path())["layers"][0]["digest"]);
    let layer = flate2::read::GzDecoder::new(std::fs::File::open(layer).unwrap());
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(layer).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        found.insert(entry.path().unwrap().display().to_string(), text);
    }
    assert_eq!(found, BTreeMap::from([("index.html".to_owned(), "hi\n".to_owned())]));
    assert!(!host.left().await.contains(&"leases"), "{:?}", host.left().await);
    host.finish().await;
}

/// Blobs of an OCI layout that a test makes by hand.
struct Handmade(tempfile::TempDir);

impl Handmade {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
        Self(dir)
    }

    fn put(&self, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        std::fs::write(blob(self.0.path(), &Value::from(digest.as_str())), bytes).unwrap();
        serde_json::json!({ "digest": digest, "size": bytes.len() })
    }

    /// Writes the rest around layers and the digests of what is in them.
    fn finish(&self, layers: &[Value], diff_ids: &[Digest]) -> Layout {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = self.put(config.to_string().as_bytes());
        let manifest = serde_json::json!({ "config": config, "layers": layers });
        let manifest = self.put(manifest.to_string().as_bytes());
        let index = serde_json::json!({ "manifests": [manifest] });
        std::fs::write(self.0.path().join("index.json"), index.to_string()).unwrap();
        Layout::open(self.0.path()).unwrap()
    }
}

fn one_file(name: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), format!("of {name}\n")).unwrap();
    common::packed(dir.path())
}

#[tokio::test]
async fn layers_of_every_compression_are_loaded_and_wrong_ones_refused() {
    let host = Host::start(246).await;
    let root = tempfile::tempdir().unwrap();
    common::write_rootfs(root.path());
    let tars = [common::packed(root.path()), one_file("gzipped"), one_file("zstandard")];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &tars[1]).unwrap();
    let packed =
        [tars[0].clone(), gzip.finish().unwrap(), zstd::encode_all(tars[2].as_slice(), 3).unwrap()];
    let ids: Vec<Digest> = tars.iter().map(|tar| Digest::of(tar)).collect();
    let build = async |image: &Handmade, layout: &Layout| {
        let show = script("cat /gzipped /zstandard");
        let run = step("app", Base::Image(layout.reference()), vec![Op::Run(show)]);
        let mut request = host.request(plan(vec![run]));
        request.access.layout = Some(image.0.path().to_owned());
        host.builder.build(request).await
    };

    // Both what the digest and what the configuration says are checked, before anything runs.
    let wrong = Handmade::new();
    let mut layers: Vec<Value> = packed.iter().map(|layer| wrong.put(layer)).collect();
    let others = [ids[0].clone(), ids[2].clone(), ids[1].clone()];
    let failure = build(&wrong, &wrong.finish(&layers, &others)).await.unwrap_err();
    assert_eq!(failure.code, "registry.digest-mismatch");
    layers.swap(1, 2);
    std::fs::write(blob(wrong.0.path(), &layers[2]["digest"]), &packed[2]).unwrap();
    let swapped = [ids[0].clone(), ids[2].clone(), ids[1].clone()];
    let failure = build(&wrong, &wrong.finish(&layers, &swapped)).await.unwrap_err();
    assert_eq!(failure.code, "registry.digest-mismatch");

    let image = Handmade::new();
    let layers: Vec<Value> = packed.iter().map(|layer| image.put(layer)).collect();
    build(&image, &image.finish(&layers, &ids)).await.unwrap();
    let log = host.log();
    assert!(log.contains("of gzipped") && log.contains("of zstandard"), "{log}");

    // As Docker saved it for years: a layer that is there twice is a link to the first.
    let saved = tempfile::tempdir().unwrap();
    for (n, tar) in tars[..2].iter().enumerate() {
        std::fs::create_dir(saved.path().join(n.to_string())).unwrap();
        std::fs::write(saved.path().join(format!("{n}/layer.tar")), tar).unwrap();
    }
    std::fs::create_dir(saved.path().join("2")).unwrap();
    std::os::unix::fs::symlink("../1/layer.tar", saved.path().join("2/layer.tar")).unwrap();
    let config = serde_json::json!({
        "os": "linux", "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"diff_ids": [ids[0], ids[1], ids[1]]},
    });
    std::fs::write(saved.path().join("c.json"), config.to_string()).unwrap();
    let layers = ["0/layer.tar", "1/layer.tar", "2/layer.tar"];
    let manifest = serde_json::json!([{ "Config": "c.json", "Layers": layers }]);
    std::fs::write(saved.path().join("manifest.json"), manifest.to_string()).unwrap();
    let layout = Layout::open(saved.path()).unwrap();
    let show = script("cat /gzipped");
    let run = step("app", Base::Image(layout.reference()), vec![Op::Run(show)]);
    let mut request = host.request(plan(vec![run]));
    request.access.layout = Some(saved.path().to_owned());
    host.builder.build(request).await.unwrap();
    host.finish().await;
}
