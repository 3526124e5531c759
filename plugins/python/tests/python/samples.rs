//! The sample applications of this repository: what each is taken for, and what runs.

use std::path::Path;

use windlass_plugin_python::Python;
use windlass_sdk::testing::Harness;

const SAMPLES: [(&str, &str, &str); 11] = [
    ("flask", "flask", "exec gunicorn --bind \"0.0.0.0:$PORT\" app:app"),
    ("django", "django", "exec gunicorn --bind \"0.0.0.0:$PORT\" board.wsgi:application"),
    ("fastapi", "fastapi", "exec uvicorn app.main:app --host 0.0.0.0 --port \"$PORT\""),
    ("starlette", "starlette", "exec uvicorn main:app --host 0.0.0.0 --port \"$PORT\""),
    ("python-worker", "python", "main.py"),
    ("uv", "flask", "exec gunicorn --bind \"0.0.0.0:$PORT\" 'greeter:create_app()'"),
    ("poetry", "flask", "exec gunicorn --bind \"0.0.0.0:$PORT\" main:app"),
    ("pdm", "flask", "exec waitress-serve --listen=\"0.0.0.0:$PORT\" wsgi:application"),
    (
        "streamlit",
        "streamlit",
        "exec streamlit run app.py --server.port \"$PORT\" --server.address 0.0.0.0 --server.headless true",
    ),
    ("gradio", "gradio", "exec env GRADIO_SERVER_PORT=\"$PORT\" python app.py"),
    ("pipenv", "flask", "exec gunicorn --bind \"0.0.0.0:$PORT\" server:server"),
];

#[test]
fn each_sample_is_recognised_and_runs_its_server() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/samples");
    for (name, id, last) in SAMPLES {
        let harness = Harness::new(folder.join(name));
        let (found, plan) = harness.detect_and_plan::<Python>().unwrap();
        assert_eq!((found.id.as_str(), found.refusal), (id, None), "{name}");
        let process = &plan.processes[0];
        assert_eq!(process.argv.last().map(String::as_str), Some(last), "{name}");
        assert_eq!(process.name == "worker", name == "python-worker", "{name}");
        let json = std::fs::read_to_string(folder.join(name).join("sample.json")).unwrap();
        assert!(json.contains(&format!("\"id\": \"{id}\"")), "{name}");
    }
}
