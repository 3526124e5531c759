//! Applications that are started by pm2's configuration, without pm2 among their dependencies.

use crate::support::{App, app};
use windlass_sdk::plan::ProcessKind;

const LOCK: (&str, &str) = ("package-lock.json", "{}");

fn started(start: &str, dependencies: &str, files: &[(&str, &str)]) -> App {
    let package = format!(
        r#"{{"dependencies":{{"express":"5"{dependencies}}},"scripts":{{"start":"{start}"}}}}"#
    );
    let mut all = vec![("package.json", package.as_str()), LOCK];
    all.extend(files);
    app(&all)
}

fn processes(app: &App) -> Vec<String> {
    let shown = |one: &windlass_sdk::plan::Process| {
        let kind = if one.kind == ProcessKind::Web { "web" } else { "worker" };
        format!("{} ({kind}): {}", one.name, one.argv.join(" "))
    };
    app.plan().processes.iter().map(shown).collect()
}

#[test]
fn the_application_of_the_configuration_is_run_itself() {
    let config = "module.exports = {\n  apps: [{\n    name: 'shop',\n    script: './server.js', // the server\n    \
                  instances: 'max',\n    exec_mode: 'cluster',\n    args: '--quiet',\n    node_args: ['--enable-source-maps'],\n    \
                  cwd: __dirname,\n    env: { NODE_ENV: 'development', PORT: 3000, REGION: 'eu west' },\n    \
                  env_production: { NODE_ENV: 'production' },\n  }],\n};\n";
    let file = ("ecosystem.config.js", config);
    let run = "web (web): /bin/sh -c exec env REGION='eu west' NODE_ENV=production node --enable-source-maps \
               server.js --quiet";
    for start in [
        "pm2 start ecosystem.config.js",
        "pm2-runtime ecosystem.config.js",
        "pm2-runtime start ecosystem.config.js --env production",
        "npx pm2 start",
        "pm2 start ecosystem.config.js --no-daemon && pm2 logs",
    ] {
        assert_eq!(processes(&started(start, "", &[file, ("server.js", "")])), [run], "{start}");
    }
    let watched = started("pm2 start server.js && pm2 logs", "", &[("server.js", "")]);
    assert_eq!(processes(&watched), ["web (web): node server.js"]);
    let kept = started("pm2 start ecosystem.config.js", r#","pm2":"6""#, &[file]);
    assert_eq!(processes(&kept), ["web (web): pm2-runtime start ecosystem.config.js"]);
}

#[test]
fn several_applications_are_processes() {
    let config = r#"{"apps":[
        {"name":"mail worker","script":"npm","args":"run mail"},
        {"name":"api","script":"dist/main.js","cwd":"server"},
        {"name":"other","script":"other.js"},
        {"name":"Other","script":"again.js"}]}"#;
    let package = r#"{"dependencies":{"express":"5"},"scripts":{"start":"pm2-runtime processes.json","mail":"node mail.js"}}"#;
    let files = [("package.json", package), LOCK, ("processes.json", config)];
    let all = [
        "web (web): /bin/sh -c cd server && exec node dist/main.js",
        "mail-worker (worker): node mail.js",
        "other (worker): node other.js",
        "other-4 (worker): node again.js",
    ];
    assert_eq!(processes(&app(&files)), all);
    let procfile = ("Procfile", "web: pm2-runtime processes.json --only api,other\n");
    let both = [&files[..], &[procfile]].concat();
    assert_eq!(processes(&app(&both)), [all[0], all[2]]);
}

#[test]
fn what_pm2_would_start_and_cannot_be_read_is_refused() {
    let file = |text: &'static str| [("ecosystem.config.js", text)];
    for (files, why) in [
        (&file("module.exports = load()")[..], "ecosystem.config.js does not say in plain values"),
        (&file("module.exports = {apps: [{name: 'a', script: entry()}]}")[..], "what a runs"),
        (&file("module.exports = {apps: []}")[..], "ecosystem.config.js names no application"),
        (&[][..], "there is no ecosystem.config.js"),
    ] {
        let refusal = started("pm2 start ecosystem.config.js", "", files).refusal();
        assert_eq!(refusal.code, "node.no-start");
        assert!(refusal.message.contains("not among the dependencies"), "{}", refusal.message);
        assert!(refusal.message.contains(why), "{}", refusal.message);
        assert!(refusal.hint.unwrap().contains("run.command = \"node server.js\""));
    }
    let installed = r#"{"build":{"install":"npm ci && npm install --global pm2"}}"#;
    let app = started("pm2 start ecosystem.config.js", "", &[]).settings(installed);
    assert_eq!(app.found().refusal, None);
}
