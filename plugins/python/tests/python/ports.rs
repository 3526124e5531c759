//! Programs that read their port from another variable than `PORT`.

use crate::support::{App, app};

fn with(text: &str) -> App {
    app(&[("requirements.txt", "requests\n"), ("server.py", text)])
}

#[test]
fn the_variable_is_set_to_the_port() {
    let text = "import os\nfrom http.server import HTTPServer\nport = int(os.environ[\"APP_PORT\"])\n\
                HTTPServer((\"\", port), Handler).serve_forever()\n";
    let app = app(&[("requirements.txt", "requests\n"), ("server.py", text)]);
    let told = "/bin/sh -c exec env APP_PORT=\"$PORT\" python server.py";
    assert_eq!(app.web().join(" "), told);
    let said = "server.py reads its port from APP_PORT, and not from PORT";
    assert!(app.log().iter().any(|(_, line)| line.starts_with(said)), "{:?}", app.log());
    let set = app.settings(r#"{"run":{"command":"APP_PORT=4100 python server.py"}}"#).plan();
    assert_eq!(
        set.processes[0].argv.join(" "),
        "/bin/sh -c exec env APP_PORT=4100 python server.py"
    );
    assert_eq!(set.processes[0].ports, [4100]);
}

#[test]
fn a_server_that_is_told_its_port_and_other_variables_are_left_alone() {
    let served = "import os\nimport uvicorn\napp = FastAPI()\nif __name__ == '__main__':\n    \
                  uvicorn.run(app, port=int(os.getenv('APP_PORT')))\n";
    let files = [("requirements.txt", "fastapi\nuvicorn\n"), ("main.py", served)];
    assert!(!app(&files).web().join(" ").contains("APP_PORT"));
    let database = "import os\nfrom http.server import HTTPServer\ndb = connect(port=os.environ['DB_PORT'])\n\
                    HTTPServer(('', int(os.environ['PORT'])), H)\n";
    assert_eq!(with(database).web(), ["python", "server.py"]);
}
