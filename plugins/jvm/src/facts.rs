//! What is known of the application before anything is decided.

use std::collections::BTreeSet;

use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::{settings, wanted};
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, NearMiss, PluginError, Source, Toolchain};

const DEPTH: u32 = 4;
const ENTRIES_MAX: u32 = 5_000;
const BUILD_FILES: [&str; 7] = [
    "**/pom.xml",
    "**/build.gradle",
    "**/build.gradle.kts",
    "gradle/**",
    ".mvn/**",
    "project/*",
    "conf/*",
];
const LOOSE: [&str; 6] =
    ["*.java", "src/**/*.java", "lib/*.jar", "*.jar", "target/*.jar", "build/libs/*.jar"];
const SOURCES: [&str; 6] = [
    "**/src/main/java/**/*.java",
    "**/src/main/kotlin/**/*.kt",
    "**/src/main/java/**/*.kt",
    "**/src/main/scala/**/*.scala",
    "**/src/main/resources/*",
    "src/*.{java,kt}",
];
const PREFETCHED: [&str; 20] = [
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "settings.gradle",
    "settings.gradle.kts",
    "gradle/wrapper/gradle-wrapper.properties",
    "gradle/libs.versions.toml",
    "build.sbt",
    "project/plugins.sbt",
    "project.clj",
    "deps.edn",
    "build.clj",
    "Procfile",
    ".java-version",
    ".sdkmanrc",
    ".tool-versions",
    "mise.toml",
    ".mise.toml",
    "system.properties",
    ".jdk-version",
];

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    pub(crate) declared: Declared,
    pub(crate) source: &'a Source,
    pub(crate) variable_names: &'a [String],
    /// What lies in the application's folder itself.
    pub(crate) root: BTreeSet<String>,
    /// Build files, jars and main sources below it.
    pub(crate) files: BTreeSet<String>,
    previous: &'a [Toolchain],
}

impl<'a> Facts<'a> {
    /// Gathers them. Where nothing in the folder is of the JVM, nothing below it is looked at.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &'a Context, source: &'a Source) -> Result<Self, PluginError> {
        let settings = settings::read(ctx, source)?;
        let listing = source.list(&[], 1, ENTRIES_MAX)?;
        let root: BTreeSet<String> = listing.entries.into_iter().map(|entry| entry.path).collect();
        let declared = Declared::read(&settings, source)?;
        let mut files = BTreeSet::new();
        let mut list = |globs: &[&str], depth| -> Result<(), PluginError> {
            let listing = source.list(globs, depth, ENTRIES_MAX)?;
            let kept =
                |path: &String| !path.contains("node_modules/") && !path.contains("src/test/");
            files.extend(listing.entries.into_iter().map(|entry| entry.path).filter(kept));
            Ok(())
        };
        if root.iter().any(|name| is_build_file(name)) {
            source.prefetch(&PREFETCHED);
            list(&BUILD_FILES, DEPTH)?;
            list(&SOURCES, 0)?;
        } else if root.iter().any(|name| is_loose(name)) {
            list(&LOOSE, 8)?;
        } else if root.contains("src") || root.contains("target") {
            // Elsewhere these folders are usual too: no deeper look.
            list(&LOOSE, 2)?;
        }
        let (previous, variable_names) = (&ctx.previous_toolchains, &ctx.variable_names);
        Ok(Self { settings, declared, source, variable_names, root, files, previous })
    }

    /// Whether the file or folder lies in the application's folder, or was listed below it.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.root.contains(path) || self.files.contains(path)
    }

    /// The first of these that exists.
    pub(crate) fn first<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// Text of a file, empty if it cannot be read.
    pub(crate) fn text(&self, path: &str) -> String {
        let text = self.source.text(path).ok().flatten().unwrap_or_default();
        text.trim_start_matches('\u{feff}').to_owned()
    }

    /// Version of a toolchain that the application ran with before.
    pub(crate) fn previous(&self, name: &str) -> Option<&str> {
        wanted::before(name, self.previous)
    }

    /// The listed files of a folder with one of these endings.
    pub(crate) fn below<'f>(
        &'f self,
        folder: &str,
        endings: &'f [&'f str],
    ) -> impl Iterator<Item = &'f str> + use<'f> {
        let inside = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.files
            .iter()
            .filter(move |path| path.starts_with(&inside))
            .filter(move |path| endings.iter().any(|ending| path.ends_with(ending)))
            .map(String::as_str)
    }

    /// Whether the module that runs is named by the settings.
    pub(crate) fn target(&self) -> Option<&str> {
        self.settings.build.target.as_deref().map(|name| name.trim_matches(['/', ':']))
    }
}

fn is_build_file(name: &str) -> bool {
    let known = [
        "build.gradle",
        "build.gradle.kts",
        "settings.gradle",
        "settings.gradle.kts",
        "build.sbt",
        "project.clj",
        "deps.edn",
    ];
    known.contains(&name) || crate::maven::is_manifest(name)
}

fn is_loose(name: &str) -> bool {
    let ending = |end: &str| name.len() > end.len() && name.ends_with(end);
    ending(".java") || ending(".jar") || ending(".kt")
}

/// A near miss of this plugin.
pub(crate) fn miss(id: &str, reason: impl Into<String>) -> NearMiss {
    NearMiss { id: id.to_owned(), reason: reason.into() }
}
