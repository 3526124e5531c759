//! Options of plugins, checked against the JSON Schema that the plugin brings.
//!
//! The schema is a stranger's: nothing outside it is looked up, and its patterns are tried in linear time.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};
use windlass_model::plugin::Manifest;
use windlass_model::{Failure, ProjectName};

/// Memory of one compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Options of one plugin in one project, in bytes.
const OPTIONS_BYTES_MAX: usize = 64 * 1024;
/// Problems that are named at once.
const SHOWN_MAX: usize = 5;

/// The check of a plugin's options; `None` when it has none.
///
/// # Errors
/// Why its schema is none.
fn validator(manifest: &Manifest) -> Result<Option<Validator>, String> {
    if manifest.options_schema.trim().is_empty() {
        return Ok(None);
    }
    let schema: Value = serde_json::from_str(&manifest.options_schema)
        .map_err(|error| format!("it is not JSON: {error}"))?;
    let patterns =
        PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    let built = jsonschema::options().with_pattern_options(patterns).build(&schema);
    built.map(Some).map_err(|error| error.to_string())
}

/// Refuses a plugin whose schema nothing can be checked against.
///
/// # Errors
/// `plugin.options-schema`
pub(super) fn check_schema(manifest: &Manifest) -> Result<(), Failure> {
    validator(manifest).map(drop).map_err(|why| bad_schema(&manifest.name, why))
}

/// Checks a project's options.
///
/// # Errors
/// `plugin.options-invalid` names each option that does not fit; `plugin.options-schema`.
pub(super) fn check(
    manifest: &Manifest,
    project: &ProjectName,
    options: &Map<String, Value>,
) -> Result<(), Failure> {
    if !options.is_empty() && manifest.options_schema.trim().is_empty() {
        return Err(invalid(&manifest.name, project, "it has no options".to_owned()));
    }
    fit(manifest, options, |why| invalid(&manifest.name, project, why))
}

/// Checks the options of an entry of `[[stages]]`, with those of the project that it goes before. A plugin without
/// a schema judges them itself.
///
/// # Errors
/// `plugin.options-invalid` names each option that does not fit; `plugin.options-schema`.
pub(crate) fn check_of_stage(
    manifest: &Manifest,
    options: &Map<String, Value>,
) -> Result<(), Failure> {
    let name = &manifest.name;
    fit(manifest, options, |why| {
        Failure::app(
            "plugin.options-invalid",
            format!("the options of {name} in `[[stages]]` of windlass.toml do not fit"),
            why,
            format!("correct them there; `windlass plugin show {name}` gives its schema"),
        )
    })
}

fn fit(
    manifest: &Manifest,
    options: &Map<String, Value>,
    invalid: impl Fn(String) -> Failure,
) -> Result<(), Failure> {
    if options.is_empty() {
        return Ok(());
    }
    let value = Value::Object(options.clone());
    if value.to_string().len() > OPTIONS_BYTES_MAX {
        return Err(invalid(format!("they have more than {OPTIONS_BYTES_MAX} bytes")));
    }
    let validator = validator(manifest).map_err(|why| bad_schema(&manifest.name, why))?;
    let Some(validator) = validator else { return Ok(()) };
    let problems: Vec<String> = validator
        .iter_errors(&value)
        .take(SHOWN_MAX)
        .map(|error| {
            let place = error.instance_path().to_string();
            let place = place.trim_start_matches('/').replace('/', ".");
            if place.is_empty() { error.to_string() } else { format!("{place}: {error}") }
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(invalid(problems.join("; "))) }
}

fn invalid(name: &str, project: &ProjectName, why: String) -> Failure {
    Failure::app(
        "plugin.options-invalid",
        format!("the options of {name} in {project} do not fit"),
        why,
        format!(
            "`windlass plugin show {name}` gives its schema; set them with `windlass plugin configure {name} \
             KEY=VALUE --project {project}`"
        ),
    )
}

fn bad_schema(name: &str, why: String) -> Failure {
    Failure::app(
        "plugin.options-schema",
        format!("the options of {name} cannot be checked"),
        format!("the schema in its manifest is no JSON Schema: {why}"),
        "report it to its author",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(schema: &str) -> Manifest {
        Manifest { name: "scan".into(), options_schema: schema.into(), ..Manifest::default() }
    }

    fn options(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    fn tried(schema: &str, json: &str) -> Result<(), Failure> {
        check(&with(schema), &"shop".parse().unwrap(), &options(json))
    }

    const SCHEMA: &str = r#"{
        "type": "object", "additionalProperties": false,
        "properties": {
            "fail_on": { "enum": ["low", "high"] },
            "ignore": { "type": "array", "items": { "type": "string", "pattern": "^CVE-" } }
        }
    }"#;

    #[test]
    fn options_that_fit_are_taken_and_others_are_named() {
        tried(SCHEMA, r#"{"fail_on": "high", "ignore": ["CVE-1"]}"#).unwrap();
        tried(SCHEMA, "{}").unwrap();
        let failure =
            tried(SCHEMA, r#"{"fail_on": "all", "ignore": ["x"], "other": 1}"#).unwrap_err();
        assert_eq!(failure.code, "plugin.options-invalid");
        for named in ["fail_on", "ignore.0", "other"] {
            assert!(failure.why.contains(named), "{}", failure.why);
        }
    }

    #[test]
    fn a_plugin_without_a_schema_has_no_options() {
        tried("", "{}").unwrap();
        assert!(tried("", r#"{"a": 1}"#).unwrap_err().why.contains("no options"));
    }

    #[test]
    fn options_of_a_stage_are_checked_where_there_is_a_schema() {
        let schema = r#"{"properties": {"level": {"enum": ["low", "high"]}}, "additionalProperties": false}"#;
        let tried = |schema: &str, json: &str| check_of_stage(&with(schema), &options(json));
        tried(schema, r#"{"level": "low"}"#).unwrap();
        tried("", r#"{"anything": 1}"#).unwrap();
        let failure = tried(schema, r#"{"levle": "low"}"#).unwrap_err();
        assert_eq!(failure.code, "plugin.options-invalid");
        assert!(failure.why.contains("levle") && failure.fix.contains("there"), "{failure:#?}");
    }

    #[test]
    fn a_schema_of_a_stranger_harms_nobody() {
        for none in ["{", r#"{"type": 3}"#, r#"{"pattern": "("}"#] {
            let failure = check_schema(&with(none)).unwrap_err();
            assert_eq!(failure.code, "plugin.options-schema", "{none}");
        }
        // Nothing is fetched or read for it.
        for outside in ["https://example.com/s.json", "file:///etc/passwd", "http://127.0.0.1/s"] {
            let schema = format!(r#"{{"$ref": "{outside}"}}"#);
            assert_eq!(check_schema(&with(&schema)).unwrap_err().code, "plugin.options-schema");
        }
        // A reference to itself ends, whatever is between.
        for endless in [
            r##"{"$ref": "#"}"##,
            r##"{"allOf": [{"$ref": "#"}]}"##,
            r##"{"not": {"$ref": "#"}}"##,
            r##"{"properties": {"a": {"$ref": "#"}}, "anyOf": [{"$ref": "#"}, true]}"##,
        ] {
            let _either = tried(endless, r#"{"a": {"a": {}}}"#);
        }
        let slow = r#"{"properties": {"a": {"pattern": "^(a+)+$"}}}"#;
        let text = format!(r#"{{"a": "{}!"}}"#, "a".repeat(5_000));
        assert!(tried(slow, &text).is_err());
        let wide = r#"{"properties": {"a": {"pattern": "\\w{1000}{1000}"}}}"#;
        assert!(check_schema(&with(wide)).is_err());
    }

    #[test]
    fn options_have_a_size() {
        let huge = format!(r#"{{"a": "{}"}}"#, "x".repeat(OPTIONS_BYTES_MAX));
        assert!(tried(r#"{"type": "object"}"#, &huge).unwrap_err().why.contains("bytes"));
    }
}
