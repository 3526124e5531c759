//! A folder for a new plugin, from the template of its language and stage.
//!
//! A template is a plugin called `my-plugin` that builds as it lies in the repository. What is replaced: this
//! name in files and their names, as words and as an identifier, and in its manifests `../..`, the way to its SDK.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use windlass_model::Failure;
use windlass_model::author::{Created, Language, NewPlugin};
use windlass_model::plugin::Stage;
use windlass_model::plugin::lock::{NAME_RULE, is_name};

use super::component;
use super::embedded::{self, Embedded};
use super::sdk::{self, Sdk};

/// The name of the plugins that templates are.
const NAME: &str = "my-plugin";
/// The same as an identifier.
const IDENTIFIER: &str = "my_plugin";
/// The SDK, from where a template lies.
const SDK: &str = "../..";
/// Files of a template in which the SDK is named.
const MANIFESTS: [&str; 4] = ["Cargo.toml", "package.json", "pyproject.toml", "requirements.txt"];

/// Makes the folder.
///
/// # Errors
/// `plugin.name-invalid`, `plugin.folder-exists`, `plugin.no-template`, `plugin.no-sdk`, `plugin.not-written`.
pub fn new(request: &NewPlugin) -> Result<Created, Failure> {
    check_name(&request.name)?;
    let language = request.language;
    let folder = request.folder.clone().unwrap_or_else(|| PathBuf::from(&request.name));
    require_free(&folder)?;
    let template = template(language, request.stage)?;
    let sdk = Sdk::find(&folder, request.sdk.as_deref(), language)?;
    let path = sdk.path(language);
    let mut files = Vec::new();
    for (inside, file) in &template {
        let bytes = filled(inside, file.bytes, &request.name, &path);
        let inside = named(inside, &request.name);
        write(&folder.join(&inside), &bytes, file.executable)?;
        files.push(inside);
    }
    if sdk == Sdk::Copy {
        for (inside, bytes) in sdk::copy(language) {
            write(&folder.join(sdk::FOLDER).join(inside), &bytes, false)?;
        }
    }
    let mut notes = vec![sdk.note()];
    notes.extend(note(request.stage).map(str::to_owned));
    Ok(Created { name: request.name.clone(), language, folder, files, sdk: path, notes })
}

/// What this Windlass does not do with a stage yet, or what surprises about it.
fn note(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Detector | Stage::Builder => {
            Some("it fills detector and builder: what a plugin detects, the same plugin builds")
        }
        Stage::Rollout => Some(
            "no deployment asks rollout plugins yet: it can be written, built and tested, and moves no traffic",
        ),
        Stage::Migrator | Stage::Health | Stage::Custom => None,
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    let fits =
        is_name(name) && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-');
    if fits {
        return Ok(());
    }
    Err(Failure::app(
        "plugin.name-invalid",
        format!("{name:?} is no name for a plugin"),
        format!("it has {NAME_RULE}, and begins with a letter"),
        "choose another, such as `my-plugin`",
    ))
}

fn require_free(folder: &Path) -> Result<(), Failure> {
    let is_free = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    };
    if is_free {
        return Ok(());
    }
    Err(Failure::app(
        "plugin.folder-exists",
        format!("{} is there already", folder.display()),
        "nothing is written over",
        "choose another name, or another folder with --folder",
    ))
}

/// The files of a template with their paths in it.
fn template(
    language: Language,
    stage: Stage,
) -> Result<Vec<(&'static str, &'static Embedded)>, Failure> {
    let folder = format!("{}/template/{}", sdk::inside(language), stage.as_str());
    let files: Vec<_> = embedded::below(&folder).collect();
    if files.is_empty() {
        return Err(no_template(language, stage));
    }
    Ok(files)
}

fn no_template(language: Language, stage: Stage) -> Failure {
    let has = |language: Language, stage: Stage| {
        let folder = format!("{}/template/{}", sdk::inside(language), stage.as_str());
        embedded::below(&folder).next().is_some()
    };
    let stages: Vec<&str> =
        Stage::ALL.into_iter().filter(|one| has(language, *one)).map(Stage::as_str).collect();
    let languages: Vec<&str> =
        Language::ALL.into_iter().filter(|one| has(*one, stage)).map(Language::as_str).collect();
    Failure::app(
        "plugin.no-template",
        format!("there is no template of a {} in {}", stage.as_str(), language.as_str()),
        format!("in {} there are templates of: {}", language.as_str(), stages.join(", ")),
        format!(
            "begin with one of these and write the {} by hand, or choose --lang {}",
            stage.as_str(),
            languages.join(" or --lang ")
        ),
    )
}

/// A text of a template for a plugin of this name.
fn named(text: &str, name: &str) -> String {
    text.replace(NAME, name).replace(IDENTIFIER, &name.replace('-', "_"))
}

/// A file of a template for this plugin. What is no text stays as it is.
fn filled(path: &str, bytes: &[u8], name: &str, sdk: &str) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
    let text = named(text, name);
    let is_manifest = MANIFESTS.contains(&path);
    if is_manifest { text.replace(SDK, sdk).into_bytes() } else { text.into_bytes() }
}

fn write(path: &Path, bytes: &[u8], executable: bool) -> Result<(), Failure> {
    let written = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, bytes)?;
        if executable {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    };
    written().map_err(|e| component::not_written(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(folder: &Path, language: Language, stage: Stage) -> NewPlugin {
        NewPlugin {
            name: "notes-2".into(),
            language,
            stage,
            folder: Some(folder.to_owned()),
            sdk: None,
        }
    }

    #[test]
    fn there_is_a_template_of_every_stage_in_rust_and_its_name_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        for stage in Stage::ALL {
            let folder = root.path().join(stage.as_str());
            let created = new(&request(&folder, Language::Rust, stage)).unwrap();
            assert!(created.files.contains(&"src/lib.rs".to_owned()), "{:?}", created.files);
            assert!(created.files.contains(&"README.md".to_owned()), "{:?}", created.files);
            for file in &created.files {
                let text = fs::read_to_string(folder.join(file)).unwrap();
                assert!(!text.contains(NAME) && !text.contains(IDENTIFIER), "{file}: {text}");
                assert!(!file.contains(NAME), "{file}");
            }
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
            assert!(manifest.contains("windlass-plugin-notes-2"), "{manifest}");
            assert!(manifest.contains(r#"path = "./windlass/sdk/rust""#), "{manifest}");
            assert!(folder.join("windlass/sdk/rust/src/lib.rs").is_file());
        }
    }

    #[test]
    fn what_is_there_is_not_lost_and_a_bad_name_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let mut request = request(root.path(), Language::Rust, Stage::Detector);
        fs::write(root.path().join("kept"), "").unwrap();
        assert_eq!(new(&request).unwrap_err().code, "plugin.folder-exists");
        for name in ["", "Notes", "a b", "-a", "a-", "1a", "../a"] {
            request.name = name.to_owned();
            assert_eq!(new(&request).unwrap_err().code, "plugin.name-invalid", "{name}");
        }
    }

    #[test]
    fn every_language_has_a_detector_and_what_is_missing_is_said_with_what_there_is() {
        let root = tempfile::tempdir().unwrap();
        for language in Language::ALL {
            let folder = root.path().join(language.as_str());
            let created = new(&request(&folder, language, Stage::Detector)).unwrap();
            assert!(folder.join(&created.sdk).is_dir(), "{}", created.sdk);
            assert!(folder.join("fixtures/book/source/book.toml").is_file());
            for manifest in MANIFESTS {
                let text = fs::read_to_string(folder.join(manifest)).unwrap_or_default();
                assert!(!text.contains(SDK) && !text.contains(NAME), "{manifest}: {text}");
            }
        }
        let failure = no_template(Language::Python, Stage::Rollout);
        assert!(failure.why.contains("detector"), "{}", failure.why);
        assert!(failure.fix.contains("--lang rust"), "{}", failure.fix);
    }

    #[test]
    fn only_manifests_name_the_sdk() {
        let manifest = filled("Cargo.toml", b"path = \"../..\" # my-plugin", "a-b", "../sdk");
        assert_eq!(manifest, b"path = \"../sdk\" # a-b");
        let other = filled("src/lib.rs", b"../.. my_plugin", "a-b", "../sdk");
        assert_eq!(other, b"../.. a_b");
        assert_eq!(filled("a.bin", &[0xff, 0xfe], "a", "b"), [0xff, 0xfe]);
    }
}
