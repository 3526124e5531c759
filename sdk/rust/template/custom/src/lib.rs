//! Refuses sources that hold private keys: a custom stage at the hook `after-fetch`.

use serde::{Deserialize, Serialize};
use windlass_sdk::custom::{Facts, Input, Outcome};
use windlass_sdk::{Context, Custom, PluginError, Source, annotations};

/// The plugin: a type, with a trait for each stage that it fills.
pub struct Plugin;

/// Files that are looked into.
const LOOKED_INTO: [&str; 3] = ["**/*.pem", "**/*.key", "**/id_*"];

/// What can be set for this stage, in `options` of `[[stages]]` in windlass.toml.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    /// Files that may be there: keys of tests.
    allow: Vec<String>,
}

/// What stages that need `keys` get.
#[derive(Serialize)]
struct Outputs {
    looked_at: usize,
}

impl Custom for Plugin {
    fn run(
        _stage: &str,
        ctx: &Context,
        source: &Source,
        _: &Facts,
        _: &[Input],
    ) -> Result<Outcome, PluginError> {
        let options: Options = ctx.options()?;
        let files = source.files(&LOOKED_INTO)?;
        if files.is_empty() {
            return Ok(Outcome::skipped("there is no file that could be a key"));
        }
        source.prefetch(&files.iter().map(String::as_str).collect::<Vec<_>>());
        for file in files.iter().filter(|file| !options.allow.contains(file)) {
            let text = source.text(file)?.unwrap_or_default();
            if text.contains("PRIVATE KEY-----") {
                let error =
                    PluginError::new("my-plugin.private-key", format!("{file} is a private key"));
                return Err(
                    error.hint("take it out of the source, and replace it: it is known now")
                );
            }
        }
        annotations::set("keys", &format!("none; files looked into: {}", files.len()));
        let outputs = Outputs { looked_at: files.len() };
        Ok(Outcome::done("there is no private key").with_outputs(&outputs))
    }
}

windlass_sdk::export! {
    Plugin: [custom],
    capabilities: [
        { name: "source", paths: ["**/*.pem", "**/*.key", "**/id_*"], reason: "looks for keys in them" },
        { name: "annotations", reason: "says beside the deployment what it found" },
    ],
    custom: [
        { name: "keys", hooks: ["after-fetch"], provides: ["keys"], summary: "Looks for private keys" },
    ],
    options_schema: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": { "allow": { "type": "array", "items": { "type": "string" } } }
    }"#,
}

#[cfg(test)]
mod tests {
    use windlass_sdk::custom::Facts;
    use windlass_sdk::testing::Harness;

    use super::Plugin;

    #[test]
    fn a_private_key_is_named_with_its_file() {
        let harness = Harness::new("fixtures/key/source");
        let error = harness.custom::<Plugin>("keys", &Facts::empty(), &[]).result.unwrap_err();
        assert_eq!(error.code, "my-plugin.private-key");
        assert!(error.message.contains("deploy.pem"), "{}", error.message);
    }

    #[test]
    fn what_is_allowed_may_be_there() {
        let harness = Harness::new("fixtures/key/source").options(r#"{"allow":["deploy.pem"]}"#);
        let ran = harness.custom::<Plugin>("keys", &Facts::empty(), &[]);
        assert_eq!(ran.result.unwrap().summary, "there is no private key");
        assert_eq!(ran.annotations[0].value, "none; files looked into: 1");
    }
}
