//! Applications whose dependencies stand in Conda's `environment.yml`.

use crate::support::app;
use windlass_plugin_common::outline::outline;

const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";

fn environment(dependencies: &str) -> String {
    format!("name: shop\nchannels:\n  - conda-forge\ndependencies:\n{dependencies}")
}

#[test]
fn an_environment_of_pips_packages_is_built_with_pip() {
    let text = environment("  - python=3.12\n  - pip\n  - pip:\n    - flask>=3\n    - gunicorn\n");
    let app = app(&[("environment.yml", &text), ("app.py", FLASK)]);
    let found = app.found();
    assert_eq!((found.id.as_str(), found.refusal.is_none()), ("flask", true));
    assert_eq!(found.toolchains[0].requirement, "3.12");
    let signs: Vec<&str> = found.evidence.iter().map(|sign| sign.detail.as_str()).collect();
    assert!(signs.contains(&"dependencies.pip: flask>=3"), "{signs:?}");
    let text = outline(&app.plan());
    assert!(text.contains("pip install flask>=3 gunicorn"), "{text}");
    assert!(app.web().join(" ").contains("gunicorn --bind"), "{:?}", app.web());
}

#[test]
fn what_pip_reads_of_the_source_is_there() {
    let text = environment("  - python>=3.10,<3.13\n  - pip:\n    - -r more.txt\n");
    let files = [("environment.yaml", text.as_str()), ("more.txt", "flask\n"), ("app.py", FLASK)];
    let text = outline(&app(&files).plan());
    let install = text.find("pip install -r more.txt").unwrap();
    assert!(text[..install].contains("copy ** "), "{text}");
}

#[test]
fn packages_that_only_conda_has_are_named() {
    let text = environment(
        "  - python=3.11\n  - gdal\n  - conda-forge::rasterio=1.3\n  - pip:\n    - flask\n",
    );
    let refusal = app(&[("environment.yml", &text), ("app.py", FLASK)]).refusal();
    assert_eq!(refusal.code, "python.conda-unsupported");
    assert!(refusal.message.ends_with("cannot be had here: gdal, rasterio"), "{}", refusal.message);
    assert!(refusal.hint.unwrap().contains("below `pip:` in environment.yml"));
}
