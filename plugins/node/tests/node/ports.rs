//! Applications that read their port from another variable than `PORT`.

use crate::support::{App, app};

fn with(start: &str, text: &str) -> App {
    let package =
        format!(r#"{{"dependencies":{{"express":"5"}},"scripts":{{"start":"{start}"}}}}"#);
    app(&[("package.json", package.as_str()), ("package-lock.json", "{}"), ("server.js", text)])
}

const OTHER: &str = "const port = process.env.SERVER_PORT || 4000;\napp.listen(port, () => {});\n";

#[test]
fn the_variable_is_set_to_the_port() {
    let told = "/bin/sh -c exec env SERVER_PORT=\"$PORT\" node server.js";
    let app = with("node server.js", OTHER);
    assert_eq!(app.web().join(" "), told);
    assert!(app.plan().processes[0].ports.is_empty(), "the host chooses it");
    let said = "server.js reads its port from SERVER_PORT, and not from PORT";
    assert!(app.log().iter().any(|(_, line)| line.starts_with(said)), "{:?}", app.log());
    let declared = app.settings(r#"{"run":{"command":"npm start","port":4000}}"#);
    assert_eq!(declared.web().join(" "), told);
    assert_eq!(declared.plan().processes[0].ports, [4000]);
    let chain = with("node migrate.js && node server.js", OTHER).web().join(" ");
    assert_eq!(
        chain,
        "/bin/sh -c export SERVER_PORT=\"$PORT\"; node migrate.js && exec node server.js"
    );
}

#[test]
fn a_port_that_the_line_sets_counts_and_other_variables_are_left_alone() {
    let set = with("SERVER_PORT=4100 node server.js", OTHER).plan();
    assert_eq!(
        set.processes[0].argv.join(" "),
        "/bin/sh -c exec env SERVER_PORT=4100 node server.js"
    );
    assert_eq!(set.processes[0].ports, [4100]);
    for text in [
        "app.listen(process.env.PORT || process.env.SERVER_PORT)",
        "db.connect({ port: process.env.DB_PORT })\napp.listen(process.env.PORT)",
        "const port = process.env.SERVER_PORT\nconsole.log(port)",
    ] {
        assert_eq!(with("node server.js", text).web(), ["node", "server.js"], "{text}");
    }
}
