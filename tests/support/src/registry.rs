//! A registry on the loopback address: Debian's docker-registry.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use windlass_model::Digest;

use crate::http::{Request, Response, send};
use crate::wait::wait_for;

/// User and password of a guarded registry, and what its password file says of them.
pub const LOGIN: (&str, &str) = ("me", "the-password");
const HTPASSWD: &str = "me:$2b$05$9S5RK7cWT2jna/8Ls.bAmefxUTeQZhUJ1nYMR1lK9XHnMBm5xzag6\n";

/// The running registry; it ends, and its images go, when this is dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    /// `127.0.0.1:PORT`
    pub address: String,
    is_guarded: bool,
    _dir: tempfile::TempDir,
}

impl DockerRegistry {
    /// An empty one on a free port, for everyone.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same, for [`LOGIN`] alone.
    pub fn start_guarded() -> Self {
        Self::start_guarded_by(HTPASSWD)
    }

    /// The same, for those whom this password file names, a user and a bcrypt hash a line.
    pub fn start_guarded_by(htpasswd: &str) -> Self {
        Self::start_with(Some(htpasswd))
    }

    fn start_with(htpasswd: Option<&str>) -> Self {
        let dir = crate::scratch("registry");
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: {address}}}\n",
            dir.path().join("data").display(),
        );
        if let Some(htpasswd) = htpasswd {
            let passwords = dir.path().join("htpasswd");
            std::fs::write(&passwords, htpasswd).unwrap();
            let passwords = passwords.display();
            config += &format!("auth: {{htpasswd: {{realm: test, path: {passwords}}}}}\n");
        }
        let path = dir.path().join("config.yml");
        std::fs::write(&path, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is missing: run `apt-get install docker-registry`");
        let registry = Self { child, address, is_guarded: htpasswd.is_some(), _dir: dir };
        wait_for("the registry listens", Duration::from_secs(20), || {
            TcpStream::connect(&registry.address).map(drop).map_err(|e| e.to_string())
        });
        registry
    }

    /// Pushes an image `NAME:1` of one layer, which is a tar archive of a root file system, with the `config`
    /// of the [image specification](https://github.com/opencontainers/image-spec/blob/main/config.md); as [`LOGIN`]
    /// where that counts.
    ///
    /// # Panics
    /// When it cannot be pushed.
    pub fn push_rootfs(&self, name: &str, layer: &Path, config: &serde_json::Value) {
        self.push_layers(name, &[layer], config);
    }

    /// The same of several layers, the lowest first.
    ///
    /// # Panics
    /// When it cannot be pushed.
    pub fn push_layers(&self, name: &str, layers: &[&Path], config: &serde_json::Value) {
        let dir = crate::scratch("base");
        let hashes = run(Command::new("sha256sum").args(layers));
        let diff_ids: Vec<String> =
            hashes.lines().map(|line| format!("sha256:{}", &line[..64])).collect();
        let files: Vec<String> = (0..layers.len()).map(|n| format!("layer-{n}.tar")).collect();
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let manifest =
            serde_json::json!([{"Config": "config.json", "RepoTags": ["a:1"], "Layers": files}]);
        std::fs::write(dir.path().join("manifest.json"), manifest.to_string()).unwrap();
        for (layer, file) in layers.iter().zip(&files) {
            std::fs::copy(layer, dir.path().join(file)).unwrap();
        }
        let image = dir.path().join("image.tar");
        let mut pack = Command::new("tar");
        pack.arg("-cf").arg(&image).arg("-C").arg(dir.path());
        run(pack.args(["manifest.json", "config.json"]).args(&files));
        let login = self.is_guarded.then(|| format!("--dest-creds={}:{}", LOGIN.0, LOGIN.1));
        run(Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"])
            .args(login)
            .arg(format!("docker-archive:{}", image.display()))
            .arg(format!("docker://{}/{name}:1", self.address)));
    }

    /// Pushes an artifact `REPOSITORY:TAG`, as [`LOGIN`] where that counts: each layer with its media type and its
    /// [annotations](https://github.com/opencontainers/image-spec/blob/main/annotations.md).
    ///
    /// # Panics
    /// When it cannot be pushed.
    pub fn push_artifact(
        &self,
        repository: &str,
        tag: &str,
        layers: &[(&str, &[u8], serde_json::Value)],
    ) {
        const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
        let described = layers.iter().map(|(media_type, bytes, annotations)| {
            let digest = self.push_blob(repository, bytes);
            serde_json::json!({ "mediaType": media_type, "size": bytes.len(), "digest": digest,
                                "annotations": annotations })
        });
        let described: Vec<serde_json::Value> = described.collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": described,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "size": 2,
                "digest": self.push_blob(repository, b"{}"),
            },
        });
        let target = format!("/v2/{repository}/manifests/{tag}");
        self.send("PUT", &target, MANIFEST, manifest.to_string().as_bytes());
    }

    fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        const ANY: &str = "application/octet-stream";
        let digest = Digest::of(bytes);
        let opened = self.send("POST", &format!("/v2/{repository}/blobs/uploads/"), ANY, &[]);
        let location = opened.header("location").unwrap();
        let (_, target) = location.split_once(&self.address).unwrap_or(("", location));
        self.send("PUT", &format!("{target}&digest={digest}"), ANY, bytes);
        digest
    }

    fn send(&self, method: &str, target: &str, media_type: &str, body: &[u8]) -> Response {
        let login = format!("{}:{}", LOGIN.0, LOGIN.1);
        let login = base64::engine::general_purpose::STANDARD.encode(login);
        let headers = vec![
            ("authorization", format!("Basic {login}")),
            ("content-type", media_type.to_owned()),
        ];
        let request = Request { method, target, host: &self.address, headers, body: Some(body) };
        let response = send(self.address.parse().unwrap(), &request).unwrap();
        assert!(matches!(response.status, 201 | 202), "{method} {target}: {}", response.text());
        response
    }
}

fn run(command: &mut Command) -> String {
    crate::cli::CliOutput::of(command).ok().stdout
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _status = self.child.wait();
    }
}
