use windlass_plugin_common::outline::outline;
use windlass_sdk::plan::{Artifact, Op, StaticOutput};
use windlass_sdk::testing::{App, Harness};
use windlass_sdk::{DetectReport, Detection, PluginError};

use super::Static;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn detect(files: &[&str], settings: &str) -> DetectReport {
    let files: Vec<_> = files.iter().map(|path| (*path, "")).collect();
    Harness::new(folder(&files).path()).settings(settings).detect::<Static>().unwrap()
}

fn site(files: &[(&str, &str)], settings: &str) -> (Detection, Vec<String>, StaticOutput) {
    let folder = folder(files);
    let (chosen, plan) =
        Harness::new(folder.path()).settings(settings).detect_and_plan::<Static>().unwrap();
    assert!(plan.processes.is_empty(), "a static site runs nothing");
    let Op::Copy(copy) = &plan.steps[0].ops[0] else { panic!("no copy") };
    let Artifact::StaticTree(tree) = &plan.outputs[0].artifact else { panic!("no tree") };
    (chosen, copy.sources.clone(), tree.clone())
}

#[test]
fn an_index_is_a_site_wherever_it_usually_lies() {
    for (index, sources, root) in [
        ("index.html", "**", "/site"),
        ("public/index.html", "public/**", "/site/public"),
        ("dist/index.html", "dist/**", "/site/dist"),
    ] {
        let (chosen, copied, tree) = site(&[(index, "")], "{}");
        assert!(chosen.confidence <= 30, "weaker than anything else");
        assert_eq!(chosen.evidence[0].path, index);
        assert_eq!((copied[0].as_str(), tree.root.as_str()), (sources, root));
        assert_eq!(tree.not_found, None);
    }
}

#[test]
fn the_error_page_is_found() {
    let (_, _, tree) = site(&[("public/index.html", ""), ("public/404.html", "")], "{}");
    assert_eq!(tree.not_found.as_deref(), Some("404.html"));
}

#[test]
fn settings_and_staticfile_name_the_folder() {
    let (_, _, tree) = site(&[("htdocs/x.html", "")], r#"{"build":{"output":"./htdocs/"}}"#);
    assert_eq!(tree.root, "/site/htdocs");
    let (_, _, tree) = site(&[("Staticfile", "root: web\n"), ("web/index.html", "")], "{}");
    assert_eq!(tree.root, "/site/web");
}

#[test]
fn it_stands_back_where_another_ecosystem_shows_unless_it_is_asked_for() {
    for other in ["go.mod", "composer.json", "manage.py", "requirements.txt"] {
        let report = detect(&["index.html", other], "{}");
        assert!(report.detections.is_empty(), "{other}");
        assert!(report.near_misses[0].reason.contains(other));
        let report = detect(&["index.html", other], r#"{"build":{"framework":"static"}}"#);
        assert_eq!(report.detections[0].confidence, 100);
    }
    let script = folder(&[("index.html", ""), ("package.json", r#"{"scripts":{"build":"x"}}"#)]);
    let report = Harness::new(script.path()).detect::<Static>().unwrap();
    assert!(report.near_misses[0].reason.contains("\"build\" script"));
}

#[test]
fn nothing_is_nothing_and_slips_are_named() {
    assert_eq!(detect(&["main.lua", "docs/index.html"], "{}"), DetectReport::nothing());
    assert_eq!(detect(&["README.md", "notes/index.html"], "{}"), DetectReport::nothing());
    assert!(detect(&["indx.html"], "{}").near_misses[0].reason.contains("did you mean"));
    let report = detect(&["README.md"], r#"{"build":{"framework":"static"}}"#);
    assert!(report.near_misses[0].reason.contains("build.output"));
    assert!(detect(&["index.html"], r#"{"build":{"framework":"node"}}"#).detections.is_empty());
}

/// The detection of a tree, with what nearly matched.
fn report(files: &[(&str, &str)], settings: &str) -> DetectReport {
    Harness::new(folder(files).path()).settings(settings).detect::<Static>().unwrap()
}

fn planned(files: &[(&str, &str)], settings: &str) -> (Detection, String) {
    let folder = folder(files);
    let harness = Harness::new(folder.path()).settings(settings);
    let (chosen, plan) = harness.detect_and_plan::<Static>().unwrap();
    (chosen, outline(&plan))
}

const POST: (&str, &str) = ("_posts/2024-01-01-a.md", "---\n---\n");
const CONTENT: (&str, &str) = ("content/_index.md", "");

#[test]
fn generators_are_recognised() {
    for (id, files) in [
        ("hugo", vec![("hugo.toml", ""), CONTENT]),
        ("hugo", vec![("config.toml", "baseURL = 'x'"), CONTENT]),
        ("hugo", vec![("config/_default/hugo.yaml", ""), ("themes/a/theme.toml", "")]),
        ("hugo", vec![("hugo.yaml", ""), ("go.mod", "module x"), ("package.json", "{}")]),
        ("zola", vec![("config.toml", "base_url = 'x'"), CONTENT]),
        ("jekyll", vec![("_config.yml", "a: b"), POST]),
        ("jekyll", vec![("_config.yml", ""), ("Gemfile", "gem 'github-pages'"), ("index.md", "")]),
        ("mkdocs", vec![("mkdocs.yml", "site_name: x"), ("docs/index.md", "")]),
        ("mdbook", vec![("book.toml", "[book]"), ("src/SUMMARY.md", "")]),
        ("sphinx", vec![("conf.py", "html_theme = 'furo'"), ("index.rst", "")]),
        ("pelican", vec![("pelicanconf.py", ""), ("content/a.md", "")]),
    ] {
        let report = report(&files, "{}");
        let found = report.detections.first().unwrap_or_else(|| panic!("{id}: {report:?}"));
        assert_eq!(found.id, id);
        assert!(found.confidence >= 70, "{id}");
        assert!(found.supersedes.contains(&"static".to_owned()) && !found.evidence.is_empty());
    }
}

#[test]
fn documentation_themes_and_half_sites_are_no_applications() {
    for (files, part) in [
        (
            vec![
                ("mkdocs.yml", "a: b"),
                ("docs/i.md", ""),
                ("pyproject.toml", "[project]\nname='x'"),
            ],
            "pyproject.toml",
        ),
        (vec![("book.toml", "[book]"), ("src/SUMMARY.md", ""), ("Cargo.toml", "")], "Cargo.toml"),
        (vec![("_config.yml", "theme: jekyll-theme-cayman"), ("README.md", "")], "no _posts/"),
        (vec![("_config.yml", ""), ("_toc.yml", ""), ("intro.md", "")], "Jupyter Book"),
        (
            vec![
                ("_config.yml", ""),
                ("Gemfile", "gem 'jekyll'"),
                ("a.gemspec", ""),
                ("_layouts/a", ""),
            ],
            "theme",
        ),
        (vec![("theme.toml", ""), ("hugo.toml", ""), ("layouts/index.html", "")], "theme"),
        (vec![("hugo.toml", "")], "no content/"),
        (vec![("hugo.toml", ""), CONTENT, ("go.mod", ""), ("main.go", "")], "program in Go"),
        (vec![("mkdocs.yml", "site_name: x")], "no folder docs"),
    ] {
        let report = report(&files, "{}");
        assert!(report.detections.is_empty(), "{report:?}");
        let reasons: Vec<_> = report.near_misses.iter().map(|miss| miss.reason.as_str()).collect();
        assert!(reasons.iter().any(|reason| reason.contains(part)), "{part}: {reasons:?}");
    }
    let files = [("mkdocs.yml", "a: b"), ("docs/i.md", ""), ("setup.py", "")];
    let found = report(&files, r#"{"build":{"framework":"mkdocs"}}"#);
    assert_eq!(found.detections[0].confidence, 100);
}

#[test]
fn pages_of_other_programs_are_no_sites() {
    for (files, part) in [
        (vec![("index.html", "<script type=module src=\"/src/main.tsx\">")], "/src/main.tsx"),
        (vec![("public/index.html", "<link href=%PUBLIC_URL%/x>")], "template"),
        (vec![("index.html", ""), ("manifest.json", "{\"manifest_version\": 3}")], "extension"),
        (vec![("index.html", ""), ("app.csproj", "")], ".NET"),
        (vec![("www/index.html", ""), ("config.xml", "")], "Cordova"),
    ] {
        let report = report(&files, "{}");
        assert!(report.detections.is_empty(), "{report:?}");
        assert!(report.near_misses[0].reason.contains(part), "{report:?}");
    }
}

#[test]
fn fallbacks_are_taken_from_where_people_wrote_them() {
    let rewrites = r#"{"rewrites":[{"source":"/(.*)","destination":"/index.html"}]}"#;
    for file in [
        ("Staticfile", "pushstate: enabled\n"),
        ("Staticfile", "index_fallback: true\n"),
        ("_redirects", "/* /index.html 200\n"),
        ("vercel.json", rewrites),
        (
            ".htaccess",
            "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule . /index.html [L]\n",
        ),
        (
            "nginx.conf",
            "server { root /usr/share/nginx/html; location / { try_files $uri /index.html; } }",
        ),
        ("Caddyfile", ":80\nroot * /srv\ntry_files {path} /index.html\nfile_server\n"),
    ] {
        let (_, _, tree) = site(&[("index.html", ""), file], "{}");
        assert_eq!(tree.spa_fallback.as_deref(), Some("index.html"), "{file:?}");
        assert_eq!(tree.not_found, None);
    }
    let (_, _, tree) = site(&[("index.html", "")], "{}");
    assert_eq!(tree.spa_fallback, None);
}

#[test]
fn configurations_of_web_servers_name_the_folder_or_are_refused() {
    let conf = "http { server { listen {{port}}; root public; } }";
    let (chosen, _, tree) = site(&[("nginx.conf", conf), ("public/index.html", "")], "{}");
    assert_eq!((chosen.id.as_str(), tree.root.as_str()), ("nginx", "/site/public"));
    let conf = "DocumentRoot /usr/local/apache2/htdocs\nErrorDocument 404 /lost.html\n";
    let files = [("httpd.conf", conf), ("index.html", ""), ("lost.html", "")];
    let (chosen, _, tree) = site(&files, "{}");
    assert_eq!((chosen.id.as_str(), tree.not_found.as_deref()), ("httpd", Some("lost.html")));
    let conf = "server {\n root public;\n location /api { proxy_pass http://a; }\n}\n";
    let found = report(&[("nginx.conf", conf), ("public/index.html", "")], "{}");
    let refusal = found.detections[0].refusal.as_ref().unwrap();
    assert_eq!(refusal.code, "static.server-unsupported");
    assert!(refusal.message.contains("line 3"), "{}", refusal.message);
    let plain = report(
        &[("nginx.conf", conf), ("public/index.html", "")],
        r#"{"build":{"framework":"static"}}"#,
    );
    assert!(plain.detections[0].refusal.is_none() && plain.detections[0].id == "static");
    assert!(report(&[("nginx.conf", conf)], "{}").detections.is_empty(), "a balancer is no site");
    let react = [("nginx.conf", conf), ("package.json", r#"{"scripts":{"build":"x"}}"#)];
    assert!(report(&react, "{}").detections.is_empty());
}

#[test]
fn a_folder_of_the_settings_of_others_must_be_there() {
    let netlify = ("netlify.toml", "[build]\npublish = 'web'\n");
    assert!(report(&[netlify, ("README.md", "")], "{}").detections.is_empty());
    let (chosen, _, tree) = site(&[netlify, ("web/index.html", "")], "{}");
    assert_eq!(tree.root, "/site/web");
    assert!(chosen.evidence.iter().any(|sign| sign.path == "netlify.toml"));
}

#[test]
fn only_one_public_folder_below_is_a_guess() {
    let files = ["README.md", "app/public/index.html", "app/other/index.html", "binding/type"];
    assert_eq!(detect(&files, "{}").detections[0].confidence, 5);
    let two = ["README.md", "a/public/index.html", "b/public/index.html"];
    assert!(detect(&two, "{}").detections.is_empty());
    assert!(detect(&["main.lua", "a/public/index.html"], "{}").detections.is_empty());
    let alone = detect(&["README.md", "docs/index.html", "LICENSE", ".gitignore"], "{}");
    assert_eq!(alone.detections[0].confidence, 12);
}

#[test]
fn the_plan_of_each_generator() {
    let hugo = [("hugo.toml", "publishDir = 'out'\n[params]\nx = 1\n"), CONTENT];
    let (_, plan) = planned(&hugo, "{}");
    assert_eq!(
        plan,
        "step generator (install Hugo) on debian \n  \
         run /bin/sh -c apt-get update && apt-get install -y --no-install-recommends hugo && rm -rf \
         /var/lib/apt/lists/* +network\n\
         step build (build the site) on generator\n  copy ** of source to /app/\n  \
         run /bin/sh -c hugo --gc --minify +network +cache hugo at /root/.cache/hugo\n\
         output site: files of build in /app/out spa=None not-found=Some(\"404.html\")"
    );
    let netlify = (
        "netlify.toml",
        "[build]\ncommand='hugo -b $URL'\n[build.environment]\nHUGO_VERSION='0.121.1'\n",
    );
    let (_, plan) = planned(&[hugo[0], hugo[1], netlify], "{}");
    assert!(plan.contains("download/v0.121.1/hugo_extended_0.121.1_linux-amd64.tar.gz"), "{plan}");
    assert!(plan.contains("run /bin/sh -c hugo --gc --minify"), "{plan}");
    let config = (
        "mkdocs.yml",
        "site_name: x\ntheme:\n  name: material\nplugins:\n  - search\n  - awesome-pages\n  - macros:\n      a: b\n",
    );
    let (chosen, plan) = planned(&[config, ("docs/index.md", "")], "{}");
    assert_eq!(chosen.ecosystem, "static");
    assert!(
        plan.contains("pip install mkdocs<2 mkdocs-material mkdocs-awesome-pages-plugin mkdocs-macros-plugin +network"),
        "{plan}"
    );
    assert!(plan.contains("on python") && plan.contains("in /app/site "), "{plan}");
    let listed = [config, ("docs/index.md", ""), ("requirements.txt", "mkdocs-material==9.5\n")];
    let (_, plan) = planned(&listed, "{}");
    assert!(plan.contains("copy requirements.txt of source"), "{plan}");
    assert!(plan.contains("run pip install -r requirements.txt"), "{plan}");
    let jekyll = [("_config.yml", "plugins: [jekyll-feed, jekyll-own]\ntheme: minima\n"), POST];
    let (_, plan) = planned(&jekyll, "{}");
    assert!(plan.contains("jekyll ruby-jekyll-feed jekyll-theme-minima &&"), "{plan}");
    let gems = [jekyll[0], POST, ("Gemfile", "gem 'jekyll'"), (".ruby-version", "ruby-3.3.1\n")];
    let (_, plan) = planned(&gems, "{}");
    assert!(plan.contains("on ruby 3.3.1") && plan.contains("bundle exec jekyll build"), "{plan}");
    let netlify = ("netlify.toml", "[build]\ncommand = 'jekyll build --future'\n");
    let (_, plan) = planned(&[gems[0], gems[1], gems[2], netlify], "{}");
    assert!(plan.contains("run /bin/sh -c bundle exec jekyll build --future"), "{plan}");
    let book = [
        ("book.toml", "[book]\nsrc = \"text\"\n[build]\nbuild-dir = \"out\"\n"),
        ("text/SUMMARY.md", ""),
    ];
    let (_, plan) = planned(&book, "{}");
    assert!(
        plan.contains("fetch https://github.com/rust-lang/mdBook/")
            && plan.contains("in /app/out "),
        "{plan}"
    );
}

#[test]
fn a_build_command_runs_before_a_plain_site_is_served() {
    let settings = r#"{"build":{"framework":"static","command":"./make.sh","output":"out"}}"#;
    let (_, plan) = planned(&[("make.sh", ""), ("index.html", "")], settings);
    assert!(plan.contains("step build (build) on debian"), "{plan}");
    assert!(plan.contains("files of build in /app/out"), "{plan}");
}

/// What a plan for a platform fetches and checks: addresses with their checksums, and the command after them.
fn fetched(files: &[(&str, &str)], platform: &str) -> Result<Vec<String>, PluginError> {
    let folder = folder(files);
    let mut harness = Harness::new(folder.path());
    platform.clone_into(&mut harness.context.platform);
    let (_, plan) = harness.detect_and_plan::<Static>()?;
    let said = |op: &Op| match op {
        Op::Fetch(fetch) => {
            Some(format!("{} {}", fetch.url, fetch.sha256.as_deref().unwrap_or("unchecked")))
        }
        Op::Run(run) => run.argv.last().cloned(),
        _ => None,
    };
    Ok(plan.steps[0].ops.iter().filter_map(said).collect())
}

#[test]
fn a_generator_is_fetched_for_the_platform_and_checked() {
    let zola = [("config.toml", "base_url = 'x'"), CONTENT];
    for (platform, version, machine, sum) in [
        (
            "linux/amd64",
            "0.19.2",
            "x86_64",
            "0798e69b86c628ddcb264ebd86c8cc8dce7670b9049060bf94faa73f6857cd9c",
        ),
        (
            "linux/arm64",
            "0.20.0",
            "aarch64",
            "91b428514d1c6b5674ed0e7ec244152b98c0a3eb6b63bb2c887e5966f185f7fa",
        ),
    ] {
        let name = format!("zola-v{version}-{machine}-unknown-linux-gnu.tar.gz");
        let address =
            format!("https://github.com/getzola/zola/releases/download/v{version}/{name} {sum}");
        let unpack = format!("tar -xzf /tmp/{name} -C /usr/local/bin zola && rm /tmp/{name}");
        assert_eq!(fetched(&zola, platform).unwrap(), [address, unpack]);
    }
    let pinned = [zola[0], zola[1], (".zola-version", "0.19.2\n")];
    let error = fetched(&pinned, "linux/arm64").unwrap_err();
    assert_eq!(error.code, "static.platform-unsupported");
    assert!(error.hint.unwrap().contains("zola = \"0.20.0\""));
    let error = fetched(&zola, "linux/s390x").unwrap_err();
    assert!(error.message.contains("linux/s390x"), "{}", error.message);
    let old = [zola[0], zola[1], (".zola-version", "0.17.2\n")];
    let taken = fetched(&old, "linux/amd64").unwrap();
    assert!(taken[0].ends_with("zola-v0.17.2-x86_64-unknown-linux-gnu.tar.gz unchecked"));
    let warnings = App::<Static>::new(&old).warnings();
    let fix = "the release publishes none; pin one of 0.18.0, 0.19.2, 0.20.0, 0.21.0";
    assert!(warnings.iter().any(|line| line.ends_with(fix)), "{warnings:?}");
    let line = [zola[0], zola[1], (".zola-version", "0.20\n")];
    let warnings = App::<Static>::new(&line).warnings();
    assert!(warnings[0].contains("so 0.19.2 is used"), "{warnings:?}");
}

#[test]
fn a_pinned_hugo_is_checked_with_the_list_of_its_release() {
    let files = [("hugo.toml", ""), CONTENT, (".hugo-version", "0.121.1\n")];
    let folder = "https://github.com/gohugoio/hugo/releases/download/v0.121.1";
    let name = "hugo_extended_0.121.1_linux-arm64.tar.gz";
    let list = "hugo_0.121.1_checksums.txt";
    assert_eq!(
        fetched(&files, "linux/arm64").unwrap(),
        [
            format!("{folder}/{list} unchecked"),
            format!("{folder}/{name} unchecked"),
            format!(
                "cd /tmp && grep -F '  {name}' {list} | sha256sum --check && \
                 tar -xzf /tmp/{name} -C /usr/local/bin hugo && rm /tmp/{name} && rm {list}"
            ),
        ]
    );
    // Debian has its own for every platform.
    let packaged = [files[0], files[1]];
    let taken = fetched(&packaged, "linux/s390x").unwrap();
    assert!(taken[0].contains("apt-get install"), "{taken:?}");
}

#[test]
fn the_program_that_generates_is_among_the_toolchains() {
    let toolchains = |files: &[(&str, &str)], settings: &str| {
        let plan = App::<Static>::new(files).settings(settings).plan();
        let named = plan.toolchains.iter().map(|one| format!("{} {}", one.name, one.requirement));
        named.collect::<Vec<_>>().join(", ")
    };
    let hugo = [("hugo.toml", ""), CONTENT];
    let pinned = r#"{"build":{"toolchain":{"hugo":"0.120.0"}}}"#;
    assert_eq!(toolchains(&hugo, pinned), "debian , hugo 0.120.0");
    assert_eq!(toolchains(&hugo, "{}"), "debian , hugo 0.111.3");
    let zola = [("config.toml", "base_url = 'x'"), CONTENT];
    let pinned = r#"{"build":{"toolchain":{"zola":"0.20.0"}}}"#;
    assert_eq!(toolchains(&zola, pinned), "debian , zola 0.20.0");
    let jekyll = [("_config.yml", "title: x"), ("index.md", ""), ("_posts/x.md", "")];
    assert!(!toolchains(&jekyll, "{}").contains("hugo"));
}

#[test]
fn a_folder_that_is_named_is_not_called_an_index_that_is_not_there() {
    let reason = |files: &[&str]| {
        let report = detect(files, r#"{"build":{"output":"frontend/dist"}}"#);
        report.near_misses.into_iter().map(|miss| miss.reason).collect::<Vec<_>>().join("\n")
    };
    let named = reason(&["requirements.txt"]);
    assert!(named.starts_with("windlass.toml names the folder \"frontend/dist\", but"), "{named}");
    let there = reason(&["requirements.txt", "frontend/dist/index.html"]);
    assert!(there.starts_with("there is an index.html, but requirements.txt"), "{there}");
}

#[test]
fn a_procfile_beside_a_page_is_said_to_be_ignored() {
    let files = [("index.html", ""), ("Procfile", "web: ./serve\nworker: ./work\n")];
    let warnings = App::<Static>::new(&files).warnings();
    assert!(
        warnings[0].starts_with("Procfile: ignored: web, worker (a static site"),
        "{warnings:?}"
    );
    assert!(App::<Static>::new(&files[..1]).warnings().is_empty());
}

#[test]
fn a_build_of_another_platform_that_no_plugin_knows_is_a_near_miss() {
    let reasons = |files: &[(&str, &str)]| {
        let report = Harness::new(folder(files).path()).detect::<Static>().unwrap();
        report.near_misses.into_iter().map(|miss| miss.reason).collect::<Vec<_>>().join("\n")
    };
    let netlify = ("netlify.toml", "[build]\ncommand = 'make'\npublish = 'dist'\n");
    let said = reasons(&[netlify]);
    assert!(said.starts_with("netlify.toml builds a site with `make` into \"dist\""), "{said}");
    let render = "services:\n- {type: web, runtime: static, name: x, staticPublishPath: ./build}\n";
    let said = reasons(&[("render.yaml", render)]);
    assert!(said.starts_with("render.yaml builds a site into \"build\", and"), "{said}");
    assert_eq!(reasons(&[netlify, ("go.mod", "module x")]), "");
}

#[test]
fn a_build_of_finished_files_is_preceded_by_the_installation_of_the_settings() {
    let settings = r#"{"build":{"framework":"static","install":"apt-get install -y make","command":"make site"}}"#;
    let folder = folder(&[("index.html", "")]);
    let (_, plan) =
        Harness::new(folder.path()).settings(settings).detect_and_plan::<Static>().unwrap();
    let text = outline(&plan);
    let at = |line: &str| text.find(line).unwrap();
    assert!(at("apt-get install -y make") < at("make site"), "{text}");
}
