//! What the plugin installs and builds.

use windlass_plugin_common::outline::outline;
use windlass_sdk::plan::{Mount, Op};

use crate::support::{FLASK, MANAGE, app};

#[test]
fn flask_with_gunicorn() {
    let files = [("requirements.txt", "flask\ngunicorn\n"), ("app.py", FLASK)];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn django_with_static_files() {
    let files = [
        ("requirements.txt", "Django>=5\ngunicorn\n"),
        ("manage.py", MANAGE),
        ("shop/settings.py", "STATIC_ROOT = BASE_DIR / 'static'\n"),
        ("shop/wsgi.py", ""),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn a_project_table_is_installed_by_its_list() {
    let project = "[project]\nname='my-shop'\ndependencies=['fastapi[standard]','httpx>=0.27']\n\
                   [build-system]\nrequires=['setuptools']\n";
    let files = [("pyproject.toml", project), ("my_shop/__init__.py", "app = FastAPI()\n")];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn uv_with_a_packaged_project() {
    let project = "[project]\nname='greeter'\ndependencies=['flask','gunicorn']\n\
                   [build-system]\nrequires=['uv_build']\n[tool.uv]\nrequired-version='>=0.6, <1'\n";
    let files = [
        ("pyproject.toml", project),
        ("uv.lock", "version = 1\n"),
        ("src/greeter/__init__.py", "def create_app(x=None):\n    return Flask(x)\n"),
    ];
    let plan = app(&files).plan();
    insta::assert_snapshot!(outline(&plan));
    let Op::Run(sync) = plan.steps[2].ops.last().unwrap() else { panic!("no run") };
    let bound = sync.mounts.iter().any(
        |mount| matches!(mount, Mount::Bind(bind) if bind.from_step == "manager" && !bind.writable),
    );
    assert!(bound, "{:?}", sync.mounts);
}

#[test]
fn uv_with_a_workspace() {
    let root = "[project]\nname='root'\ndependencies=['part']\n[tool.uv.workspace]\nmembers=['part']\n\
                [tool.uv.sources]\npart={workspace=true}\n";
    let part = "[project]\nname='part'\n[build-system]\nrequires=['uv_build']\n";
    let files = [
        ("pyproject.toml", root),
        ("uv.lock", "version = 1\n"),
        ("main.py", "import part\n"),
        ("part/pyproject.toml", part),
        ("part/src/part/__init__.py", ""),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn poetry_with_groups() {
    let project = "[tool.poetry]\nname='shop'\n[tool.poetry.dependencies]\npython='^3.11'\nflask='^3'\n\
                   [tool.poetry.group.prod.dependencies]\ngunicorn='*'\n\
                   [tool.poetry.group.dev.dependencies]\npytest='*'\n\
                   [build-system]\nrequires=['poetry-core']\n";
    let files = [
        ("pyproject.toml", project),
        ("poetry.lock", ""),
        ("shop/__init__.py", ""),
        ("shop/server.py", FLASK),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn pdm_and_pipenv() {
    let project = "[project]\nname='x'\ndependencies=['flask','waitress']\n";
    let files = [("pyproject.toml", project), ("pdm.lock", ""), ("app.py", FLASK)];
    insta::assert_snapshot!("pdm", outline(&app(&files).plan()));
    let pipfile = "[packages]\nflask='*'\ngunicorn='*'\n";
    let files = [("Pipfile", pipfile), ("Pipfile.lock", "{}"), ("app.py", FLASK)];
    insta::assert_snapshot!("pipenv", outline(&app(&files).plan()));
    let warnings = app(&[("Pipfile", pipfile), ("app.py", FLASK)]).warnings();
    assert!(warnings[0].contains("no lock file"), "{warnings:?}");
}

#[test]
fn what_is_compiled_is_compiled_beside_the_image() {
    let requirements = "psycopg2==2.9\nflask\ngunicorn\nlib @ git+https://example.org/lib\n";
    let files = [("requirements.txt", requirements), ("app.py", FLASK)];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn wheels_need_nothing_of_the_system() {
    let requirements = "numpy\npillow\nlxml\ncryptography\npsycopg2-binary\npsycopg[binary]\n";
    let plan = app(&[("requirements.txt", requirements), ("main.py", "")]).plan();
    assert!(!outline(&plan).contains("apt-get"), "{}", outline(&plan));
}

#[test]
fn playwright_brings_its_browser() {
    let plan = app(&[("requirements.txt", "playwright\n"), ("main.py", "")]).plan();
    let text = outline(&plan);
    assert!(text.contains("run /bin/sh -c playwright install --with-deps chromium"), "{text}");
    assert!(text.contains("PLAYWRIGHT_BROWSERS_PATH=/opt/browsers"), "{text}");
}

#[test]
fn a_project_that_only_setup_py_describes_is_installed_whole() {
    let files = [("setup.py", "setup(install_requires=deps())"), ("main.py", "")];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn an_old_version_is_warned_of() {
    let files = [
        ("requirements.txt", "flask\ngunicorn"),
        ("app.py", FLASK),
        ("runtime.txt", "python-3.10.2"),
    ];
    assert!(app(&files).warnings()[0].contains("end of life"));
}

#[test]
fn requirements_that_name_other_files_bring_them() {
    let text = |requirements: &str| {
        let files = [
            ("requirements.txt", requirements),
            ("base.txt", "y"),
            ("limits.txt", "y<2"),
            ("main.py", ""),
        ];
        outline(&app(&files).plan())
    };
    assert!(
        text("-r base.txt\n-c limits.txt\nx")
            .contains("copy requirements.txt base.txt limits.txt of source to /app/\n")
    );
    assert!(text("-e .\nx").contains("copy ** of source to /app/\n"));
    assert!(text("./libs/x").contains("copy ** of source to /app/\n"));
}

#[test]
fn assets_are_built_beside_the_image() {
    let package = r#"{"scripts":{"build":"vite build"},"devDependencies":{"vite":"6"}}"#;
    let files = [
        ("requirements.txt", "django\ngunicorn\n"),
        ("manage.py", MANAGE),
        ("shop/settings.py", "STATIC_ROOT = 'x'\n"),
        ("shop/wsgi.py", ""),
        ("package.json", package),
        ("package-lock.json", "{}"),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
    let own = app(&files).settings(r#"{"build":{"command":"make static"}}"#).plan();
    assert!(!outline(&own).contains("vite") && own.toolchains.len() == 1);
}

#[test]
fn the_files_of_other_platforms_are_heard() {
    let files = [
        ("requirements.txt", "flask\ngunicorn\n"),
        ("app.py", FLASK),
        ("railway.json", r#"{"deploy":{"startCommand":"gunicorn -w 3 app:app"}}"#),
    ];
    assert_eq!(app(&files).plan().processes[0].argv.join(" "), "gunicorn -w 3 app:app");
}

#[test]
fn django_runs_with_the_settings_that_its_application_names() {
    let set = |module: &str| {
        format!("os.environ.setdefault(\n    \"DJANGO_SETTINGS_MODULE\", \"{module}\")\n")
    };
    let (local, production) = (set("config.settings.local"), set("config.settings.production"));
    let files = [
        ("requirements/production.txt", "django\ngunicorn\n"),
        ("manage.py", local.as_str()),
        ("config/wsgi.py", production.as_str()),
        ("config/settings/local.py", ""),
        ("config/settings/base.py", "STATIC_ROOT = 'x'\n"),
        ("config/settings/production.py", ""),
    ];
    let signs = app(&files).found().evidence.into_iter();
    let signs: Vec<_> = signs.map(|sign| format!("{}: {}", sign.path, sign.detail)).collect();
    for (file, module) in [("manage.py", "local"), ("config/wsgi.py", "production")] {
        let sign = format!("{file}: DJANGO_SETTINGS_MODULE = config.settings.{module}");
        assert!(signs.contains(&sign), "{sign}: {signs:?}");
    }
    assert!(!signs.contains(&"config/wsgi.py: ".to_owned()), "it is named once: {signs:?}");
    let plan = app(&files).plan();
    assert_eq!(
        plan.processes[0].argv.last().unwrap(),
        "exec gunicorn --bind \"0.0.0.0:$PORT\" config.wsgi:application"
    );
    let text = outline(&plan);
    assert!(text.contains("DJANGO_SETTINGS_MODULE=config.settings.production"), "{text}");
    let Op::Run(collect) = plan.steps.last().unwrap().ops.last().unwrap() else { panic!("no run") };
    assert!(collect.env.iter().any(|(name, _)| name == "DJANGO_SETTINGS_MODULE"));
}
