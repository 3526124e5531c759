//! The peer: Debian's docker.io with BuildKit, as a private daemon; a registry for both, and their bases.

use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_test_support::outside::{OutsideServer, Page};
use windlass_test_support::registry::DockerRegistry;
use windlass_test_support::{PrivateDocker, scratch};

use super::tree::{Tree, of_saved, of_tar};

/// What a test build is asked for.
pub(crate) struct Wanted<'a> {
    pub(crate) context: &'a Path,
    pub(crate) dockerfile: &'a str,
    pub(crate) target: Option<&'a str>,
    pub(crate) args: Vec<(String, String)>,
    pub(crate) secret: Option<&'a str>,
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The daemon that builds for comparison.
pub(crate) struct Peer {
    docker: PrivateDocker,
}

impl Peer {
    pub(crate) fn start() -> Self {
        Self { docker: PrivateDocker::start() }
    }

    /// Builds, and gives the files and the configuration.
    pub(crate) fn build(&self, wanted: &Wanted<'_>) -> Result<(Tree, Tree), String> {
        let tar = self.docker.dir().join("built.tar");
        let output = format!("type=tar,dest={}", text(&tar));
        let files =
            self.build_command(wanted).args(["--output", &output]).arg(wanted.context).output();
        let files = files.unwrap();
        if !files.status.success() {
            return Err(format!("the peer: {}", String::from_utf8_lossy(&files.stderr)));
        }
        run(self.build_command(wanted).args(["--tag", "built"]).arg(wanted.context));
        let saved = self.docker.dir().join("saved.tar");
        run(&mut self.docker.command(&["save", "--output", text(&saved), "built"]));
        Ok((of_tar(&tar), of_saved(&saved)))
    }

    /// Loads a saved image into its own store and gives what it makes of its configuration.
    pub(crate) fn load(&self, archive: &Path) -> serde_json::Value {
        let said = run(&mut self.docker.command(&["load", "--quiet", "--input", text(archive)]));
        let name = said.trim().split_once(": ").map(|(_, name)| name).unwrap_or_default();
        let inspected = run(&mut self.docker.command(&["image", "inspect", name]));
        let images: serde_json::Value = serde_json::from_str(&inspected).unwrap();
        images[0].clone()
    }

    fn build_command(&self, wanted: &Wanted<'_>) -> Command {
        let mut command = self.docker.command(&["build", "--quiet", "--network", "none", "--file"]);
        command.arg(wanted.context.join(wanted.dockerfile));
        for (name, value) in &wanted.args {
            command.args(["--build-arg", &format!("{name}={value}")]);
        }
        command.args(wanted.target.iter().flat_map(|target| ["--target", target]));
        if let Some(secret) = wanted.secret {
            let file = self.docker.dir().join("secret");
            std::fs::write(&file, secret).unwrap();
            command.args(["--secret", &format!("id=build-token,src={}", text(&file))]);
        }
        command
    }
}

/// A registry for everyone, with the bases that the fixtures begin with, and an image with attributes.
pub(crate) fn registry_with_bases() -> DockerRegistry {
    with_bases(DockerRegistry::start())
}

/// The same images, pushed to this registry.
pub(crate) fn with_bases(registry: DockerRegistry) -> DockerRegistry {
    let dir = scratch("base");
    let (root, marked) = (dir.path().join("rootfs"), dir.path().join("marked"));
    write_rootfs(&root);
    write_marked(&marked);
    let layer = packed(&root);
    for (name, config) in bases() {
        registry.push_rootfs(name, &layer, &config);
    }
    registry.push_rootfs("marked", &packed(&marked), &serde_json::json!({ "Env": [PATH] }));
    registry
}

/// A folder as a layer, with the attributes that trees are compared by.
fn packed(root: &Path) -> PathBuf {
    let layer = root.with_extension("tar");
    let attributes =
        ["--xattrs", "--xattrs-include=security.capability", "--xattrs-include=user.*"];
    let tar = ["-cf", text(&layer), "-C", text(root), "."];
    run(Command::new("tar").args(attributes).args(tar));
    layer
}

/// `CAP_NET_BIND_SERVICE`, as `setcap` writes it (`vfs_cap_data` of the kernel, version 2).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A program with a capability, and two names of one file with a note.
fn write_marked(root: &Path) {
    let dir = root.join("marked");
    std::fs::create_dir_all(&dir).unwrap();
    let file = |name: &str, attributes: &[(&str, &[u8])]| {
        let path = dir.join(name);
        std::fs::write(&path, name).unwrap();
        for (attribute, value) in attributes {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&path, *attribute, value, flags).unwrap();
        }
    };
    let note = b"for both sides".as_slice();
    file("able", &[("security.capability", CAPABILITY.as_slice()), ("user.note", note)]);
    file("first", &[("user.note", note)]);
    std::fs::hard_link(dir.join("first"), dir.join("second")).unwrap();
}

const PATH: &str = "PATH=/usr/local/bin:/usr/bin:/bin";

fn bases() -> [(&'static str, serde_json::Value); 3] {
    let plain = serde_json::json!({ "Env": [PATH], "Cmd": ["/bin/sh"] });
    let rich = serde_json::json!({
        "Env": [PATH, "RICH=yes"], "Entrypoint": ["/bin/entry"], "Cmd": ["serve", "-v"],
        "User": "app", "WorkingDir": "/home/app", "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Volumes": {"/data": {}}, "Labels": {"of": "the base", "keep": "1"}, "StopSignal": "SIGQUIT",
        "Shell": ["/bin/busybox", "ash", "-c"],
        "Healthcheck": {"Test": ["CMD", "/bin/true"], "Interval": 30_000_000_000_u64, "Retries": 2},
    });
    let triggers = serde_json::json!({
        "Env": [PATH], "OnBuild": ["COPY src /from-trigger/", "RUN touch /triggered"],
    });
    [("base", plain), ("rich", rich), ("onbuild", triggers)]
}

/// busybox with two users, and what a build's containers need.
fn write_rootfs(root: &Path) {
    for dir in ["bin", "data", "dev", "etc", "home/app", "proc", "sys", "tmp", "usr/lib", "var"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    let mode = |path: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(root.join(path), permissions).unwrap();
    };
    mode("tmp", 0o1777);
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
    let busybox = busybox.expect("busybox is missing: run `apt-get install busybox-static`");
    std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
    mode("bin/busybox", 0o755);
    let applets = "ash cat chmod chown cp echo env false grep head httpd id ln ls mkdir printf pwd rm \
                   seq sh sleep sort stat test touch true wc wget [";
    for name in applets.split(' ') {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    let files = [
        (
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nweb:x:33:34::/:/bin/sh\n",
        ),
        ("etc/group", "root:x:0:\napp:x:1001:\nweb:x:35:\nextra:x:44:app\n"),
        ("etc/motd", "hello\n"),
        ("etc/hosts", ""),
        ("etc/hostname", ""),
        ("etc/resolv.conf", ""),
    ];
    for (path, text) in files {
        std::fs::write(root.join(path), text).unwrap();
        mode(path, 0o644);
    }
    std::os::unix::fs::symlink("/data", root.join("data-link")).unwrap();
    std::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
    std::os::unix::fs::chown(root.join("home/app"), Some(1000), Some(1001)).unwrap();
}

/// The body of `/file.txt` of the server.
pub(crate) const FILE: &[u8] = b"downloaded\n";

/// A server of one file at an address that is not this machine's, which a build never reaches.
pub(crate) fn serve_file() -> OutsideServer {
    OutsideServer::start(|path| match path.split('?').next() {
        Some("/file.txt") => Page::File(FILE),
        _ => Page::Absent,
    })
}

/// A copy of a fixture that both build, with the address of the registry in it. Modes are those that Git knows; a
/// fixture that is about others, or about files that Git does not hold, makes them in its `prepare.sh`.
pub(crate) fn prepared(fixture: &Path, registry: &DockerRegistry) -> (tempfile::TempDir, PathBuf) {
    let dir = scratch("context");
    let context = dir.path().join("context");
    run(Command::new("cp").args(["-a", "--no-preserve=ownership", text(fixture), text(&context)]));
    run(Command::new("chmod").args(["-R", "u=rwX,go=rX", text(&context)]));
    let script = context.join("prepare.sh");
    if script.exists() {
        run(Command::new("sh").args(["-e", "prepare.sh"]).current_dir(&context));
        std::fs::remove_file(script).unwrap();
    }
    let sha256 = windlass_model::Digest::of(FILE);
    let found =
        run(Command::new("find").arg(&context).args(["-name", "*Dockerfile", "-type", "f"]));
    for path in found.lines() {
        let file = std::fs::read_to_string(path).unwrap();
        let file = file.replace("REGISTRY/", &format!("{}/", registry.address));
        std::fs::write(path, file.replace("FILE_SHA256", sha256.hex())).unwrap();
    }
    (dir, context)
}
