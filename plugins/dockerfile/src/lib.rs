//! The Dockerfile plugin: it recognises a Dockerfile and says that it cannot be built yet.
//!
//! **Invariant: an application with a Dockerfile is never silently built as something else.** Whoever
//! wants it built without its Dockerfile says so, with `build.framework`.

use windlass_plugin_common::{forced, spelling};
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, DetectReport, Detection, Detector, PluginError, Source};

const ID: &str = "dockerfile";
const FILES: [&str; 2] = ["Dockerfile", "Containerfile"];

/// The plugin.
#[derive(Debug)]
pub struct Dockerfile;

impl Detector for Dockerfile {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let framework = Settings::of(ctx)?.build.framework;
        let asked = framework.as_deref() == Some(ID);
        source.prefetch(&FILES);
        let found = FILES.into_iter().find(|file| source.is_file(file));
        if let Some(other) = framework.filter(|_| found.is_some() && !asked) {
            let reason = format!("build.framework in windlass.toml asks for {other:?} instead");
            return Ok(DetectReport::near_miss(ID, reason));
        }
        match found {
            Some(file) => Ok(recognised().evidence(file, "").refuse(refusal(file)).into()),
            None if asked => Ok(forced::certain(recognised(), ID).refuse(refusal(FILES[0])).into()),
            None => Ok(DetectReport {
                detections: Vec::new(),
                near_misses: spelling::near_misses(source, ID, &FILES),
            }),
        }
    }
}

fn recognised() -> Detection {
    Detection::new(ID, "Dockerfile", ID).confidence(100)
}

fn refusal(file: &str) -> PluginError {
    PluginError::new(
        "dockerfile.unsupported",
        format!(
            "the application brings a {file}, and this version of Windlass does not build those"
        ),
    )
    .hint(
        "to build it without its Dockerfile, name what it is in windlass.toml, for example\n\
         [build]\n\
         framework = \"node\"     # or nextjs, vite, python, flask, django, static\n\
         (`windlass detect` shows what is recognised)",
    )
}

windlass_sdk::export! {
    Dockerfile: [detector],
    name: "dockerfile",
    failures: "failures.toml",
}

#[cfg(test)]
mod tests {
    use windlass_sdk::DetectReport;
    use windlass_sdk::testing::Harness;

    use super::Dockerfile;

    fn detect(file: &str, settings: &str) -> DetectReport {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), "FROM scratch\n").unwrap();
        Harness::new(folder.path()).settings(settings).detect::<Dockerfile>().unwrap()
    }

    #[test]
    fn a_dockerfile_is_refused_with_the_way_out() {
        for file in ["Dockerfile", "Containerfile"] {
            let found = &detect(file, "{}").detections[0];
            assert_eq!((found.id.as_str(), found.confidence), ("dockerfile", 100));
            let refusal = found.refusal.as_ref().unwrap();
            assert_eq!(refusal.code, "dockerfile.unsupported");
            assert!(refusal.message.contains(file), "{}", refusal.message);
            assert!(refusal.hint.as_ref().unwrap().contains("framework ="));
        }
    }

    #[test]
    fn another_framework_in_the_settings_lets_it_be_built_as_that() {
        let report = detect("Dockerfile", r#"{"build":{"framework":"node"}}"#);
        assert!(report.detections.is_empty());
        assert_eq!(report.near_misses[0].id, "dockerfile");
    }

    #[test]
    fn asking_for_the_dockerfile_is_refused_too_with_or_without_one() {
        for file in ["Dockerfile", "README.md"] {
            let report = detect(file, r#"{"build":{"framework":"dockerfile"}}"#);
            let refusal = report.detections[0].refusal.as_ref().unwrap();
            assert_eq!(refusal.code, "dockerfile.unsupported", "{file}");
        }
    }

    #[test]
    fn other_folders_are_not_its_business_but_a_slip_is_named() {
        assert_eq!(detect("README.md", "{}"), DetectReport::nothing());
        let report = detect("dockerfile", "{}");
        assert!(report.near_misses[0].reason.contains("did you mean \"Dockerfile\""));
    }
}
