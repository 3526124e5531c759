use super::*;

/// Taken as `field=value`, then what was ignored.
fn read_file(name: &'static str, text: &str) -> (Vec<String>, Vec<String>) {
    let file = parse(name, text).unwrap_or_default();
    let taken = file.taken.iter().map(|one| format!("{:?}={}", one.field, one.value)).collect();
    (taken, file.ignored)
}

#[track_caller]
fn check(name: &'static str, text: &str, taken: &[&str], ignored: &[&str]) {
    let (found, rest) = read_file(name, text);
    assert_eq!(found, taken, "taken from {name}");
    assert_eq!(rest.len(), ignored.len(), "{rest:?}");
    for (line, part) in rest.iter().zip(ignored) {
        assert!(line.contains(part), "{line:?} has no {part:?}");
    }
}

#[test]
fn railway() {
    let text = r#"
[build]
builder = "RAILPACK"
buildCommand = "yarn install && yarn build"
watchPatterns = ["src/**"]

[deploy]
startCommand = "node dist/main.js"
preDeployCommand = ["npm run db:migrate"]
healthcheckPath = "/api/health"
healthcheckTimeout = 300
restartPolicyType = "ON_FAILURE"
"#;
    check(
        "railway.toml",
        text,
        &[
            "Build=yarn build",
            "Start=node dist/main.js",
            "Release=npm run db:migrate",
            "Health=/api/health",
        ],
        &["build.watchPatterns", "health.timeout", "deploy.restartPolicyType"],
    );
    let docker = r#"{"build":{"builder":"DOCKERFILE","dockerfilePath":"./docker/app.Dockerfile"}}"#;
    check("railway.json", docker, &["Dockerfile=docker/app.Dockerfile"], &[]);
    check("railway.json", "{\"build\": {", &[], &["does not read"]);
    check("railway.toml", "a = \n", &[], &["does not read"]);
}

#[test]
fn railpack_and_nixpacks() {
    check(
        "railpack.json",
        r#"{"$schema":"https://schema.railpack.com","packages":{"node":"22","python":"3.12.1"},
            "steps":{"install":{"commands":["npm ci --legacy-peer-deps"]},
                     "build":{"commands":["...","./extra.sh"]}},
            "deploy":{"startCommand":"pnpm run start","aptPackages":["ffmpeg"],
                      "variables":{"NODE_ENV":"production"}}}"#,
        &[
            "Start=pnpm run start",
            "Install=npm ci --legacy-peer-deps",
            "Version(\"node\")=22",
            "Version(\"python\")=3.12.1",
        ],
        &["steps.build.commands (it extends", "deploy.variables: NODE_ENV", "deploy.aptPackages"],
    );
    check(
        "nixpacks.toml",
        r#"
providers = ["node", "python"]
[variables]
NIXPACKS_NODE_VERSION = "20"
CI = "true"
[phases.setup]
nixPkgs = ["...", "ffmpeg"]
[phases.build]
cmds = ["npm run build", "npm run seed"]
[start]
cmd = "node server.js"
"#,
        &["Start=node server.js", "Build=npm run build && npm run seed", "Version(\"node\")=20"],
        &["variables: CI", "phases.setup.nixPkgs (packages of the system"],
    );
    let apt = "[phases.setup]\naptPkgs = ['ffmpeg']\n";
    check("nixpacks.toml", apt, &[], &["phases.setup.aptPkgs (packages of the system are not"]);
    let apt = r#"{"buildAptPackages":["libvips-dev"],"deploy":{"aptPackages":["ffmpeg"]}}"#;
    check("railpack.json", apt, &[], &["write a Dockerfile", "deploy.aptPackages (packages"]);
}

#[test]
fn render() {
    let text = r#"
services:
  - type: pserv
    name: search
    runtime: docker
  - type: web
    name: shop
    runtime: python
    plan: free
    buildCommand: "pip install -r requirements.txt && python manage.py collectstatic --noinput"
    startCommand: gunicorn shop.wsgi:application
    preDeployCommand: python manage.py migrate
    healthCheckPath: /healthz
    envVars:
      - key: PYTHON_VERSION
        value: 3.11.4
      - key: DATABASE_URL
        fromDatabase: {name: db, property: connectionString}
      - key: PORT
        value: 8000
  - type: worker
    name: shop_queue
    runtime: python
    buildCommand: "pip install -r requirements.txt && python manage.py collectstatic --noinput"
    startCommand: celery -A shop worker
  - type: redis
    name: cache
databases:
  - name: db
"#;
    check(
        "render.yaml",
        text,
        &[
            "Build=python manage.py collectstatic --noinput",
            "Start=gunicorn shop.wsgi:application",
            "Release=python manage.py migrate",
            "Health=/healthz",
            "Port=8000",
            "Version(\"python\")=3.11.4",
            "Process(\"shop-queue\")=celery -A shop worker",
        ],
        &["services.shop.envVars: DATABASE_URL", "pserv search", "redis cache", "databases"],
    );
    let site = "services:\n- type: web\n  name: site\n  runtime: static\n  buildCommand: npm run build\n  \
                staticPublishPath: ./dist\n  routes:\n  - type: rewrite\n    source: /*\n    destination: /index.html\n";
    check("render.yaml", site, &["Build=npm run build", "Output=dist", "SinglePage=true"], &[]);
    let below = "services:\n- type: web\n  name: api\n  rootDir: api\n  startCommand: node .\n";
    check("render.yaml", below, &[], &["set build.app_dir"]);
}

#[test]
fn fly() {
    let text = r#"
app = "shop"
primary_region = "ams"
[build]
  dockerfile = "Dockerfile.fly"
[deploy]
  release_command = "bin/rails db:prepare"
[env]
  PORT = "8080"
  LOG_LEVEL = "info"
[processes]
  app = "bin/rails server -b 0.0.0.0"
  worker = "bundle exec sidekiq"
[http_service]
  internal_port = 3000
  force_https = true
  processes = ["app"]
  auto_stop_machines = true
  [[http_service.checks]]
    path = "/up"
[[vm]]
  memory = "1gb"
"#;
    check(
        "fly.toml",
        text,
        &[
            "Dockerfile=Dockerfile.fly",
            "Release=bin/rails db:prepare",
            "Start=bin/rails server -b 0.0.0.0",
            "Process(\"worker\")=bundle exec sidekiq",
            "Port=3000",
            "Health=/up",
            "Port=8080",
        ],
        &["env: LOG_LEVEL", "http_service.auto_stop_machines", "vm"],
    );
    let release =
        "[deploy]\nrelease_command = '/app/bin/migrate'\n[[services]]\ninternal_port = 4000\n";
    check("fly.toml", release, &["Port=4000"], &["a file of an image"]);
}

#[test]
fn heroku() {
    let text = r#"{"name":"Shop","description":"x","stack":"heroku-24",
        "buildpacks":[{"url":"heroku/nodejs"}],"env":{"SECRET":{"generator":"secret"}},
        "addons":["heroku-postgresql"],"scripts":{"postdeploy":"npm run seed"},
        "formation":{"web":{"quantity":1}},
        "healthchecks":{"web":[{"type":"startup","path":"/health"}]}}"#;
    check(
        "app.json",
        text,
        &["Health=/health"],
        &[
            "runs once",
            "addons (run them beside",
            "buildpacks",
            "env: SECRET (set them",
            "run.replicas",
            "stack",
        ],
    );
    assert_eq!(parse("app.json", r#"{"expo":{"name":"x"}}"#), None);
    assert_eq!(parse("app.json", r#"{"name":"App","displayName":"App"}"#), None);
    let dokku = r#"{"scripts":{"dokku":{"predeploy":"python manage.py migrate"}}}"#;
    check("app.json", dokku, &["Release=python manage.py migrate"], &[]);
    let text = "build:\n  docker:\n    web: Dockerfile\n  config:\n    A: b\nrun:\n  web: bin/web -p $PORT\n  \
                worker:\n    command: [python, work.py]\n    image: web\nrelease:\n  image: web\n  command:\n    - ./migrate\n    - up\n";
    check(
        "heroku.yml",
        text,
        &[
            "Dockerfile=Dockerfile",
            "Start=bin/web -p $PORT",
            "Process(\"worker\")=python work.py",
            "Release=./migrate up",
        ],
        &["build.config"],
    );
}

#[test]
fn packages_of_the_system_and_mounts_get_advice() {
    let apt = "# sound\nffmpeg\n:repo:deb https://example.org x main\nlibvips-dev # images\n";
    check("Aptfile", apt, &[], &["ffmpeg, libvips-dev (packages of the system are not installed"]);
    assert_eq!(parse("Aptfile", "# nothing\n"), None);
    let mounts = "[mounts]\nsource = 'data'\ndestination = '/data'\n";
    check("fly.toml", mounts, &[], &["mounts (the folders that are kept are run.volumes"]);
}

#[test]
fn a_version_is_taken_from_the_first_file_that_names_one_that_can_be_had() {
    let text = |file: &str| match file {
        "render.yaml" => Some(
            "services:\n- type: web\n  name: a\n  envVars:\n  - key: NODE_VERSION\n    value: 12\n"
                .to_owned(),
        ),
        "netlify.toml" => Some("[build.environment]\nNODE_VERSION = '18'\n".to_owned()),
        _ => None,
    };
    let (taken, file) = version(&["nodejs", "node"], text).unwrap();
    assert_eq!((taken.value.as_str(), file), ("18", "netlify.toml"));
    assert_eq!(taken.key, "build.environment.NODE_VERSION");
    assert_eq!(version(&["python"], text), None);
}

#[test]
fn netlify_vercel_and_redirects() {
    let text = r#"
[build]
  command = "hugo --gc --minify -b $DEPLOY_PRIME_URL"
  publish = "public"
[build.environment]
  HUGO_VERSION = "0.121.1"
  NODE_OPTIONS = "x"
[context.deploy-preview]
  command = "hugo"
[[redirects]]
  from = "/*"
  to = "/index.html"
  status = 200
[[redirects]]
  from = "/old"
  to = "/new"
[[headers]]
  for = "/*"
"#;
    check(
        "netlify.toml",
        text,
        &["Output=public", "Version(\"hugo\")=0.121.1", "SinglePage=true"],
        &[
            "$DEPLOY_PRIME_URL",
            "build.environment: NODE_OPTIONS",
            "redirects (1 of 2: of such rules only the fallback of every path to index.html is taken)",
            "context",
            "headers",
        ],
    );
    check("netlify.toml", "[build]\nbase='web/'\ncommand='x'\n", &[], &["set build.app_dir"]);
    check(
        "vercel.json",
        r#"{"buildCommand":"npm run build","outputDirectory":"dist","installCommand":"pnpm install",
            "framework":"vite","cleanUrls":true,"crons":[],
            "rewrites":[{"source":"/(.*)","destination":"/index.html"}]}"#,
        &["Build=npm run build", "Output=dist", "SinglePage=true"],
        &["crons"],
    );
    check(
        "vercel.json",
        r#"{"version":2,"builds":[{"src":"index.js","use":"@vercel/node"}],"outputDirectory":".next",
            "routes":[{"handle":"filesystem"},{"src":"/(.*)","dest":"index.js"}]}"#,
        &[],
        &[
            "outputDirectory (it holds",
            "routes (1 of 2: of such rules only the fallback of every path to index.html is taken)",
            "builds",
        ],
    );
    check(
        "_redirects",
        "# spa\n/*  /index.html  200\n/a /b 301\n",
        &["SinglePage=true"],
        &["1 rules (of such rules only the fallback of every path to index.html is taken)"],
    );
}

#[test]
fn no_key_is_ignored_without_a_reason() {
    let all = |name, text: &str| parse(name, text).unwrap().ignored;
    let vercel = r#"{"headers":[{"source":"/(.*)","headers":[]}],"functions":{"a.js":{}},"regions":["fra1"],
        "images":{"sizes":[64]},"bunVersion":"1","git":{"deploymentEnabled":false},"env":{"A":"b"},
        "ignoreCommand":"true","crons":[],"surprise":{"of":"next year"}}"#;
    let netlify = "[build]\nignore='x'\n[[plugins]]\npackage='a'\n[context.x]\ncommand='y'\n[[headers]]\nfor='/'\n\
                   [functions]\ndirectory='f'\n";
    let fly = "primary_region='a'\nkill_timeout=5\n[[vm]]\nmemory='1gb'\n[[statics]]\nguest_path='/x'\n\
               [deploy]\nstrategy='rolling'\n[http_service]\nauto_stop_machines=true\n[[restart]]\npolicy='x'\n";
    let render = "services:\n- {type: web, name: a, scaling: {}, domains: [x], routes: [{type: redirect, source: /a}]}\n\
                  envVarGroups: []\npreviews: {}\n";
    for (name, text) in [
        ("vercel.json", vercel),
        ("netlify.toml", netlify),
        ("fly.toml", fly),
        ("render.yaml", render),
        (
            "railway.json",
            r#"{"deploy":{"region":"x","sleepApplication":true},"build":{"watchPatterns":[]}}"#,
        ),
        (
            "static.json",
            r#"{"root":"dist","routes":{"/a":"b"},"proxies":{},"error_page":"x","headers":{}}"#,
        ),
        (
            "firebase.json",
            r#"{"hosting":{"public":"x","headers":[],"redirects":[]},"functions":{},"storage":{}}"#,
        ),
        ("app.json", r#"{"stack":"heroku-24","environments":{"test":{}},"image":"x"}"#),
    ] {
        let ignored = all(name, text);
        assert!(!ignored.is_empty(), "{name}");
        for line in ignored {
            assert!(line.ends_with(')') && line.contains(" ("), "{name}: {line}");
        }
    }
    let said = all("vercel.json", vercel).join("\n");
    assert!(
        said.contains("headers (an application sets the headers of its answers itself"),
        "{said}"
    );
    assert!(said.contains("surprise (nothing here means the same)"), "{said}");
    assert!(said.contains("env: A (set them with `windlass env set`)"), "{said}");
}

#[test]
fn the_first_file_is_heard_and_all_are_read() {
    let railway = ("railway.json", r#"{"deploy":{"startCommand":"a"}}"#);
    let fly = ("fly.toml", "[build]\ndockerfile = 'Nowhere'\n[processes]\nweb = 'b'\nq = 'c'\n");
    let harness = windlass_sdk::testing::Harness::with_files(&[railway, fly]);
    let (others, _) = harness.run(read);
    assert_eq!(others.value(&Field::Start), Some("a"));
    assert_eq!(others.get(&Field::Start).unwrap().1, "railway.json");
    assert_eq!(others.processes(), BTreeMap::from([("q", "c")]));
    assert_eq!(others.value(&Field::Dockerfile), None);
    assert!(others.files[1].ignored[0].contains("there is no Nowhere"));
    assert_eq!(others.single_page(), None);
}
