//! Builds and runs applications that say in `my-plugin.json` how.
//!
//! ```json
//! { "image": "debian:bookworm-slim", "build": "./build.sh", "run": "./server", "port": 8080 }
//! ```

use serde::{Deserialize, Serialize};
use windlass_sdk::plan::{
    Artifact, Base, BuildPlan, Copy, ImageOutput, Output, Process, ProcessKind, Run, RunConfig,
    Step,
};
use windlass_sdk::{Builder, Context, DetectReport, Detection, Detector, PluginError, Source, log};

/// The plugin: a type, with a trait for each stage that it fills.
pub struct Plugin;

/// The file that is looked for.
const FILE: &str = "my-plugin.json";

/// What stands in it. The detector reads it, and hands it to the builder.
#[derive(Serialize, Deserialize)]
struct App {
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

/// A builder is asked for what a detector of the same plugin recognised.
impl Detector for Plugin {
    fn detect(_: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let Some(app) = source.json::<App>(FILE)? else {
            return Ok(DetectReport::nothing());
        };
        let found = Detection::new("my-plugin", "an application of my-plugin", "my-plugin")
            .confidence(80)
            .evidence(FILE, format!("image: {}", app.image))
            .with_notes(&app);
        Ok(found.into())
    }
}

impl Builder for Plugin {
    fn plan(ctx: &Context, _: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        let app: App = chosen.notes()?;
        let settings = ctx.settings()?;
        // What is set in windlass.toml comes before anything that a plugin finds out by itself.
        let Some(command) = settings.run.command.or(app.run) else {
            let error = PluginError::new("my-plugin.no-command", "nothing says how it is started");
            return Err(error.hint(format!("add \"run\" to {FILE}, or set `run.command`")));
        };
        let mut step = Step::new("app", "build the application", Base::Image(app.image))
            .op(Copy::source(["**"], "/app/").parents().exclude([FILE]));
        if let Some(line) = settings.build.command.or(app.build) {
            log::info(format!("it is built with: {line}"));
            // A command has the network only where it says so.
            step = step.op(Run::shell(line).network());
        }
        let config = RunConfig { user: "1000:1000".to_owned(), ..RunConfig::new() };
        let image = ImageOutput { step: step.id.clone(), config };
        let port = settings.run.port.or(app.port);
        let web = Process {
            name: "web".to_owned(),
            output: "app".to_owned(),
            kind: ProcessKind::Web,
            argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), format!("exec {command}")],
            ports: port.into_iter().collect(),
        };
        Ok(BuildPlan {
            steps: vec![step],
            outputs: vec![Output { name: "app".to_owned(), artifact: Artifact::Image(image) }],
            processes: vec![web],
            toolchains: Vec::new(),
        })
    }
}

windlass_sdk::export! {
    Plugin: [detector, builder],
}

#[cfg(test)]
mod tests {
    use windlass_sdk::testing::Harness;

    use super::Plugin;

    #[test]
    fn what_the_file_says_is_built_and_run() {
        let harness = Harness::new("fixtures/server/source");
        let (_, plan) = harness.detect_and_plan::<Plugin>().unwrap();
        assert_eq!(plan.processes[0].argv[2], "exec ./server.sh");
        assert_eq!(plan.processes[0].ports, [8080]);
    }

    #[test]
    fn the_settings_win() {
        let harness = Harness::new("fixtures/server/source")
            .settings(r#"{"run":{"command":"./other.sh","port":9000}}"#);
        let (_, plan) = harness.detect_and_plan::<Plugin>().unwrap();
        assert_eq!(plan.processes[0].argv[2], "exec ./other.sh");
        assert_eq!(plan.processes[0].ports, [9000]);
    }

    #[test]
    fn without_a_command_it_says_what_to_do() {
        let harness = Harness::new("fixtures/no-command/source");
        let error = harness.detect_and_plan::<Plugin>().unwrap_err();
        assert_eq!(error.code, "my-plugin.no-command");
        assert!(error.hint.unwrap().contains("run.command"));
    }
}
