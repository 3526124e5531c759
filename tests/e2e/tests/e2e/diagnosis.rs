//! Real failures, each provoked by a build or a run that really ends so, and each recognised: a code of its
//! own, a fix, the lines that show it, and what changed since the version before, which was good.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use windlass_model::changes::Changes;
use windlass_model::failure::codes::CODES;
use windlass_test_support::{GitRepo, HostOptions, TestHost, binary, fixture, sample, scratch};

/// The project of all cases.
const PROJECT: &str = "case";
/// A variable that the version before did not have.
const NEW_VARIABLE: &str = "COLOUR";
/// What an application says before it fails in silence.
const SAID: &str = "here it goes";

/// A repository that fails.
struct Case {
    /// The code that it must be recognised as.
    code: &'static str,
    /// What cause, fix or what happened must name.
    names: &'static str,
    /// What one of the lines that come with the failure must hold.
    shows: &'static str,
    files: Vec<(&'static str, String)>,
    /// Written beside the text files: what the compiler made.
    binary: Option<(&'static str, Make)>,
}

/// Writes a file that is not text.
type Make = fn(&Path);

fn case(code: &'static str, names: &'static str) -> Case {
    Case { code, names, shows: "", files: Vec::new(), binary: None }
}

impl Case {
    fn file(mut self, path: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        match self.files.iter_mut().find(|(known, _)| *known == path) {
            Some((_, known)) if path == "windlass.toml" => known.push_str(&text),
            Some((_, known)) => *known = text,
            None => self.files.push((path, text)),
        }
        self
    }

    fn toml(self, text: &str) -> Self {
        self.file("windlass.toml", format!("{text}\n"))
    }

    /// The same, and the failure must come with a line that holds this.
    fn shows(mut self, line: &'static str) -> Self {
        self.shows = line;
        self
    }

    /// A Node.js application that says something, and then does what shows in no line.
    fn says_then(self, server: &str) -> Self {
        self.node(&format!("console.log('{SAID}');\n{server}")).shows(SAID)
    }

    fn is_python(&self) -> bool {
        self.files.iter().any(|(path, _)| *path == "requirements.txt")
    }

    /// A Node.js application without dependencies; `server` is its program.
    fn node(self, server: &str) -> Self {
        self.file("package.json", package("{}"))
            .file("server.js", server)
            .toml("[health]\ntimeout = \"12s\"")
    }

    /// The same with another package.json.
    fn with(self, dependencies: &str) -> Self {
        self.file("package.json", package(dependencies))
    }

    /// A Python application.
    fn python(self, app: &str) -> Self {
        self.file("requirements.txt", "")
            .file("app.py", app)
            .toml("build.framework = \"python\"\nrun.command = \"python app.py\"\nhealth.timeout = \"12s\"")
    }
}

fn package(dependencies: &str) -> String {
    format!(
        "{{\"name\":\"case\",\"version\":\"1.0.0\",\"engines\":{{\"node\":\"22\"}},\
         \"scripts\":{{\"start\":\"node server.js\"}},\"dependencies\":{dependencies}}}"
    )
}

const LISTEN: &str = "listen(process.env.PORT, '0.0.0.0')";

/// Causes in the words of Node.js and its package managers.
fn node_cases() -> Vec<Case> {
    vec![
        case("node.module-missing", "no-such-package").node("require('no-such-package');"),
        case("node.file-missing", "lib/absent").node("require('./lib/absent');"),
        Case { binary: Some(("addon.node", foreign_addon)), ..case("node.native-module-version", "93") }
            .node("require('./addon.node');"),
        case("node.lockfile-outdated", "npm install")
            .node("")
            .with("{\"ms\":\"2.1.3\"}")
            .file(
                "package-lock.json",
                "{\"name\":\"case\",\"version\":\"1.0.0\",\"lockfileVersion\":3,\"requires\":true,\
                 \"packages\":{\"\":{\"name\":\"case\",\"version\":\"1.0.0\"}}}",
            ),
        case("node.package-not-found", "windlass-no-such-package")
            .node("")
            .with("{\"windlass-no-such-package\":\"1.0.0\"}"),
        case("node.package-version-not-found", "ms@99").node("").with("{\"ms\":\"99.0.0\"}"),
        case("node.peer-conflict", "legacy-peer-deps")
            .node("")
            .with("{\"react\":\"17.0.2\",\"react-dom\":\"18.2.0\"}"),
        case("node.engine-mismatch", "engines")
            .node("")
            .file(
                "package.json",
                "{\"name\":\"case\",\"version\":\"1.0.0\",\"engines\":{\"node\":\"22\",\"npm\":\"1.x\"},\
                 \"scripts\":{\"start\":\"node server.js\"},\"dependencies\":{\"ms\":\"2.1.3\"}}",
            )
            .toml("[build]\ninstall = \"npm install --engine-strict\""),
        case("node.script-missing", "compile").node("").toml("[build]\ncommand = \"npm run compile\""),
        case("node.module-system", "type").node("require('http');").file(
            "package.json",
            package("{}").replace("\"version\"", "\"type\":\"module\",\"version\""),
        ),
        case("node.registry-login", "NPM_TOKEN")
            .node("")
            .file(
                "registry.js",
                "const http = require('http'), { spawn } = require('child_process');\n\
                 http.createServer((q, s) => { s.statusCode = 401; s.end('{}'); }).listen(4873, () => {\n\
                 const npm = spawn('npm', ['install', '--registry', 'http://127.0.0.1:4873', 'ms'],\n\
                 { stdio: 'inherit' }); npm.on('exit', (code) => process.exit(code)); });",
            )
            .toml("[build]\ncommand = \"node registry.js\""),
        case("node.heap-out-of-memory", "max-old-space-size")
            .node("const a = []; for (;;) a.push(new Array(10000).fill(Math.random()));")
            .toml("[run]\ncommand = \"node --max-old-space-size=24 server.js\""),
        case("node.openssl-unsupported", "openssl-legacy-provider")
            .node("require('crypto').createHash('md4').update('x').digest();"),
        case("node.syntax-error", "SyntaxError").node("const = 1;"),
    ]
}

/// Causes that have nothing to do with the language.
fn system_cases() -> Vec<Case> {
    let twice = format!(
        "const h = require('http'); h.createServer().{LISTEN}.on('listening', () => h.createServer().{LISTEN});"
    );
    let server =
        |answer: &str| format!("require('http').createServer((q, s) => {{ {answer} }}).{LISTEN};");
    vec![
        case("app.port-in-use", "3000").node(&twice).toml("[run]\nport = 3000"),
        case("app.port-forbidden", "PORT")
            .node("require('http').createServer().listen(80);"),
        case("app.disk-full", "/dev/shm")
            .node("")
            .toml("[run]\ncommand = \"head -c 200000000 /dev/zero > /dev/shm/big\""),
        Case { binary: Some(("key.pem", certificate)), ..case("app.certificate-untrusted", "authority") }
            .node(
                "const fs = require('fs'), https = require('https'), key = fs.readFileSync('key.pem');\n\
                 https.createServer({ key, cert: key }, (q, s) => s.end()).listen(8443, () =>\n\
                 https.get('https://localhost:8443/'));",
            ),
        case("app.name-not-found", "db.nowhere.invalid")
            .node("require('net').connect(5432, 'db.nowhere.invalid');"),
        case("app.connection-refused", "127.0.0.1:5432")
            .node("require('net').connect(5432, '127.0.0.1');"),
        case("app.permission-denied", "start.sh")
            .node("")
            .file("start.sh", "#!/bin/sh\nexec node server.js\n")
            .toml("[run]\ncommand = \"./start.sh\""),
        Case { binary: Some(("tool", foreign_program)), ..case("app.exec-format", "processor") }
            .node("")
            .toml("[run]\ncommand = \"cp tool /tmp/tool && chmod +x /tmp/tool && env /tmp/tool\""),
        case("app.command-not-found", "no-such-command")
            .node("")
            .toml("[run]\ncommand = \"no-such-command --serve\""),
        Case { binary: Some(("tool", program_without_its_library)), ..case("app.library-missing", "libghost.so") }
            .node("")
            .toml("[run]\ncommand = \"cp tool /tmp/tool && chmod +x /tmp/tool && /tmp/tool\""),
        case("app.variable-missing", "API_KEY").node(
            "if (!process.env.API_KEY) throw new Error('Missing required environment variable: API_KEY');",
        ),
        case("check.finished", "status 0").says_then(""),
        case("check.exited", "status 3").says_then("process.exit(3);"),
        case("check.not-found", "health.path")
            .says_then(&server("s.statusCode = 404; s.end()"))
            .toml("path = \"/up\""),
        case("check.unhealthy", "503").says_then(&server("s.statusCode = 503; s.end('no')")),
        case("check.too-slow", "health.timeout").says_then(&server("")),
        case("check.never-listened", "PORT").says_then("setInterval(() => {}, 1000);"),
        case("check.loopback-only", "0.0.0.0")
            .says_then("require('http').createServer().listen(process.env.PORT, '127.0.0.1');"),
        case("check.wrong-port", "4321")
            .says_then("require('http').createServer().listen(Number('43' + '21'), '0.0.0.0');"),
        case("check.out-of-memory", "run.memory")
            .says_then("const a = []; setInterval(() => a.push(Buffer.alloc(16 << 20, 1)), 1);")
            .toml("[run]\nmemory = \"96MiB\""),
        case("build.out-of-memory", "memory_bytes_max").node("").shows(SAID).toml(&format!(
            "[build]\ncommand = \"echo {SAID} && exec \
             node -e 'const a = []; for (;;) a.push(Buffer.alloc(16 << 20, 1))'\"",
        )),
        case("build.command-failed", "exit code 7")
            .node("")
            .shows(SAID)
            .toml(&format!("[build]\ncommand = \"echo {SAID} && exit 7\"")),
    ]
}

const DJANGO: &str = "Django==4.2.16\n";
const DJANGO_MANAGE: &str = "import os, sys\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'settings')\n\
    from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n";
const DJANGO_SETTINGS: &str = "SECRET_KEY = 'x'\nDEBUG = False\nALLOWED_HOSTS = []\nROOT_URLCONF = 'urls'\n\
    MIDDLEWARE = ['django.middleware.common.CommonMiddleware']\n\
    INSTALLED_APPS = ['django.contrib.staticfiles', 'blog']\nSTATIC_URL = '/static/'\n\
    DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '/tmp/db.sqlite3'}}\n";

fn migration(after: &str) -> String {
    let dependency = if after.is_empty() { String::new() } else { format!("('blog', '{after}')") };
    format!(
        "from django.db import migrations\n\nclass Migration(migrations.Migration):\n    \
         dependencies = [{dependency}]\n    operations = []\n"
    )
}

fn django(case: Case) -> Case {
    case.python("")
        .file("requirements.txt", DJANGO)
        .file("manage.py", DJANGO_MANAGE)
        .file("settings.py", DJANGO_SETTINGS)
        .file("urls.py", "urlpatterns = []\n")
        .file("blog/__init__.py", "")
        .file("blog/migrations/__init__.py", "")
}

/// Causes in the words of Python, its package manager and migration tools.
fn python_cases() -> Vec<Case> {
    let served = "run.command = \"python manage.py runserver 0.0.0.0:$PORT --noreload\"";
    vec![
        case("python.module-missing", "no_such_module").python("import no_such_module\n"),
        case("python.import-error", "nothing_here").python("from os import nothing_here\n"),
        case("python.package-not-found", "windlass-no-such-package")
            .python("")
            .file("requirements.txt", "windlass-no-such-package==1.0\n"),
        case("python.version-mismatch", "requires-python")
            .python("")
            .file(
                "pkg/pyproject.toml",
                "[project]\nname = \"pkg\"\nversion = \"1.0\"\nrequires-python = \">=3.99\"\n",
            )
            .toml("build.command = \"pip install ./pkg\""),
        case("python.dependency-conflict", "urllib3")
            .python("")
            .file("requirements.txt", "requests==2.31.0\nurllib3==1.20\n"),
        case("python.requirements-missing", "requirements/prod.txt")
            .python("")
            .toml("build.install = \"pip install -r requirements/prod.txt\""),
        Case { files: Vec::new(), ..case("python.server-missing", "gunicorn") }
            .file("requirements.txt", "")
            .file("app.py", "app = None\n")
            .toml("build.framework = \"python\"\nrun.command = \"gunicorn app:app\""),
        case("python.variable-missing", "API_TOKEN").python("import os\nos.environ['API_TOKEN']\n"),
        case("python.syntax-error", "SyntaxError").python("def (:\n"),
        case("migrate.table-exists", "users")
            .python("")
            .file(
                "twice.py",
                "import sqlite3\ndb = sqlite3.connect(':memory:')\nfor _ in range(2):\n    \
             db.execute('create table users (id int)')\n",
            )
            .toml("migrate.command = \"python twice.py\""),
        django(case("migrate.conflict", "makemigrations --merge"))
            .file("blog/migrations/0001_initial.py", migration(""))
            .file("blog/migrations/0002_one.py", migration("0001_initial"))
            .file("blog/migrations/0002_two.py", migration("0001_initial"))
            .toml("migrate.command = \"python manage.py migrate\""),
        django(case("python.static-root-missing", "STATIC_ROOT")).file("blog/static/a.css", "").toml(
            "build.command = \"python manage.py collectstatic --noinput\"\nmigrate.command = false",
        ),
        {
            let mut served_case = django(case("python.allowed-hosts", "ALLOWED_HOSTS"));
            for (path, text) in &mut served_case.files {
                if *path == "windlass.toml" {
                    *text = format!(
                        "build.framework = \"python\"\n{served}\nhealth.timeout = \"12s\"\n\
                         health.path = \"/\"\nmigrate.command = false\n"
                    );
                }
            }
            served_case
        },
    ]
}

fn compile(source: &str, args: &[&str], to: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("source.c");
    std::fs::write(&file, source).unwrap();
    let status =
        Command::new("cc").arg("-o").arg(to).args(args).arg(&file).current_dir(&dir).status();
    assert!(status.unwrap().success());
}

/// A native module that registers itself for NODE_MODULE_VERSION 93.
fn foreign_addon(to: &Path) {
    let source = "struct module { int version; unsigned flags; void *dso; const char *file; void *init;\n\
        void *context; const char *name; void *priv; void *link; };\n\
        extern void node_module_register(void *);\n\
        static struct module it = { 93, 0, 0, \"addon.c\", 0, 0, \"addon\", 0, 0 };\n\
        __attribute__((constructor)) static void start(void) { node_module_register(&it); }\n";
    compile(source, &["-shared", "-fPIC"], to);
}

/// A program that is linked with a library which is not shipped.
fn program_without_its_library(to: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("libghost.so");
    compile(
        "int ghost(void) { return 0; }\n",
        &["-shared", "-fPIC", "-Wl,-soname,libghost.so"],
        &library,
    );
    let source = dir.path().join("main.c");
    std::fs::write(&source, "int ghost(void);\nint main(void) { return ghost(); }\n").unwrap();
    let status = Command::new("cc").arg("-o").arg(to).args([&source, &library]).status();
    assert!(status.unwrap().success());
}

/// The beginning of a program for another processor: an ELF header that says s390x.
fn foreign_program(to: &Path) {
    let mut header = vec![0x7f, b'E', b'L', b'F', 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header.extend([0, 2, 0, 22, 0, 0, 0, 1]);
    header.resize(4096, 0);
    std::fs::write(to, header).unwrap();
}

/// Key and certificate of an authority that nobody knows, in one file.
fn certificate(to: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let status = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-keyout", "key", "-out", "certificate"])
        .current_dir(&dir)
        .output()
        .unwrap();
    assert!(status.status.success());
    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    std::fs::write(to, text("key") + &text("certificate")).unwrap();
}

fn play(cases: Vec<Case>, size: usize) {
    let mut options = HostOptions::default();
    let build: toml::Table =
        [("memory_bytes_max".to_owned(), (512_i64 << 20).into())].into_iter().collect();
    options.limits.insert("build".to_owned(), build.into());
    let host = TestHost::start_with(options);
    host.deploy_git(PROJECT, &GitRepo::of_fixture("plain-node"), &[]).live();
    let variable = format!("{NEW_VARIABLE}=blue");
    host.cli(&["env", "set", &variable, "--project", PROJECT]).ok();
    let mut wrong = Vec::new();
    for case in sample::of(cases, size) {
        if let Err(why) = fails_as_it_should(&host, &case) {
            wrong.push(why);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    host.finish();
}

fn fails_as_it_should(host: &TestHost, case: &Case) -> Result<(), String> {
    let files: Vec<(&str, &str)> = case.files.iter().map(|(p, t)| (*p, t.as_str())).collect();
    let repo = GitRepo::of_files(&files);
    if let Some((path, make)) = case.binary {
        make(&repo.path().join(path));
    }
    repo.commit(case.code);
    let deployed = host.deploy_git(PROJECT, &repo, &[]);
    let deployment = &deployed.view.deployment;
    let Some(failure) = &deployment.failure else {
        return Err(format!("{}: it did not fail: {:?}", case.code, deployment.status));
    };
    let text = format!("{} {} {}", failure.what, failure.why, failure.fix);
    // A cause that was recognised comes with the lines it was recognised in, any other with the last ones.
    let lines = if failure.general.is_some() { &failure.evidence } else { &failure.log };
    let shown = lines.iter().any(|line| line.text.contains(case.shows));
    if failure.code != case.code || !text.contains(case.names) || !shown {
        let (code, names, shows) = (case.code, case.names, case.shows);
        return Err(format!("expected {code} that names {names:?}, shows {shows:?}: {failure:#?}"));
    }
    match &deployment.changes {
        Some(changes) if tells_what_changed(changes, case) => Ok(()),
        changes => Err(format!("{}: it is not said what changed: {changes:#?}", case.code)),
    }
}

/// Whether all that differs from the version before is told, and nothing else of these kinds.
fn tells_what_changed(changes: &Changes, case: &Case) -> bool {
    let to = changes.commit.as_ref().and_then(|commit| commit.to.as_deref()).unwrap_or_default();
    let variables = &changes.variables;
    changes.since_number == 1
        && to.ends_with(case.code)
        && variables.added == [NEW_VARIABLE]
        && variables.changed.is_empty()
        && variables.removed.is_empty()
        && changes.plugins.is_empty()
        // The version before was on another base.
        && (!case.is_python() || !changes.bases.is_empty())
}

#[test]
fn failures_of_node_applications_are_recognised() {
    play(node_cases(), 3);
}

#[test]
fn failures_of_the_system_and_the_network_are_recognised() {
    play(system_cases(), 4);
}

#[test]
fn failures_of_python_applications_and_migrations_are_recognised() {
    play(python_cases(), 2);
}

/// A plugin that is replaced between two versions, by a file that does the same, and is another one.
#[test]
fn a_failure_says_which_plugin_is_another_one_than_in_the_version_before() {
    let plugins = scratch("plugins");
    for entry in std::fs::read_dir(binary().with_file_name("plugins")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, plugins.path().join(path.file_name().unwrap())).unwrap();
    }
    let options =
        HostOptions { plugins_dir: Some(plugins.path().to_owned()), ..HostOptions::default() };
    let mut host = TestHost::start_with(options);
    let repo = GitRepo::of_fixture("plain-node");
    host.deploy_git(PROJECT, &repo, &[]).live();
    host.stop_serve();
    let file = plugins.path().join("node.wasm");
    let mut bytes = std::fs::read(&file).unwrap();
    // A section of its own kind, of which the component knows nothing: length, length of its name, name.
    bytes.extend([0, 5, 4, b'n', b'e', b'x', b't']);
    std::fs::write(&file, bytes).unwrap();
    host.restart();
    let listed = host.cli(&["plugin", "list"]).ok().stdout;
    assert!(listed.contains("node"), "{listed}");

    repo.edit("server.js", "const version", "process.exit(3);\nconst version");
    repo.commit("Break it");
    let failed = host.deploy_git(PROJECT, &repo, &[]);
    failed.failed("check.exited");
    let changes = failed.view.deployment.changes.unwrap();
    assert_eq!(changes.since_number, 1);
    let [plugin] = changes.plugins.as_slice() else { panic!("{changes:#?}") };
    assert_eq!(plugin.name, "node");
    assert!(plugin.from.is_some() && plugin.to.is_some(), "{plugin:#?}");
    assert_ne!(plugin.from, plugin.to, "the same version by its number, and another file");
    assert!(changes.bases.is_empty(), "{changes:#?}");
    let shown = host.cli(&["show", "--project", PROJECT]).ok().stdout;
    let told = |line: &str| line.trim_start().starts_with("plugin ") && line.contains("node: ");
    assert!(shown.lines().any(told), "{shown}");
    host.finish();
}

#[test]
fn every_case_that_is_not_recognised_by_its_lines_says_which_line_must_come_with_it() {
    let silent = ["check.", "build."];
    for case in [node_cases(), system_cases(), python_cases()].iter().flatten() {
        let by_lines = !silent.iter().any(|prefix| case.code.starts_with(prefix));
        assert!(by_lines || !case.shows.is_empty(), "{}", case.code);
    }
}

/// Every code that is recognised by patterns has a case here, or one named below with its own test, or lines of its
/// tool in `tests/fixtures/recognised.toml`, where the toolchain or its packages cannot be had.
#[test]
fn every_code_that_is_recognised_is_provoked_for_real() {
    let elsewhere = ["app.database-login", "app.database-missing"];
    let cases = [node_cases(), system_cases(), python_cases()];
    let mut provoked: BTreeSet<&str> = cases.iter().flatten().map(|case| case.code).collect();
    assert!(provoked.len() >= 30, "{} cases", provoked.len());
    provoked.extend(elsewhere);
    let printed = std::fs::read_to_string(fixture("recognised.toml")).unwrap();
    let printed: toml::Table = toml::from_str(&printed).unwrap();
    let lines = printed["line"].as_array().unwrap().iter();
    provoked.extend(lines.map(|line| line["code"].as_str().unwrap()));
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(plugins).unwrap() {
        let Ok(text) = std::fs::read_to_string(entry.unwrap().path().join("failures.toml")) else {
            continue;
        };
        let file: toml::Table = toml::from_str(&text).unwrap();
        for known in file["failure"].as_array().unwrap() {
            let code = known["code"].as_str().unwrap().to_owned();
            if known.get("patterns").is_some() && !provoked.contains(code.as_str()) {
                missing.push(code);
            }
        }
    }
    let of_the_host = CODES.iter().map(|code| code.code).filter(|code| code.starts_with("app."));
    missing.extend(of_the_host.filter(|code| !provoked.contains(code)).map(str::to_owned));
    assert!(missing.is_empty(), "no case provokes {missing:?}");
}
