//! What is known of the application before anything is decided.

use std::collections::BTreeSet;

use windlass_plugin_common::assets::Files;
use windlass_plugin_common::composer::{self, Composer};
use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::settings;
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, PluginError, Source, Toolchain};

/// Folders below the application that are listed.
const DEPTH: u32 = 2;
const ENTRIES_MAX: u32 = 5_000;

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    /// composer.json; `None` without one.
    pub(crate) composer: Option<Composer>,
    /// Why composer.json does not read.
    pub(crate) broken: Option<PluginError>,
    pub(crate) declared: Declared,
    /// The file that names the folder of `build.output`.
    pub(crate) output_file: Option<&'static str>,
    pub(crate) source: &'a Source,
    pub(crate) variables: &'a [String],
    pub(crate) previous: &'a [Toolchain],
    files: BTreeSet<String>,
}

impl<'a> Facts<'a> {
    /// Gathers them.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &'a Context, source: &'a Source) -> Result<Self, PluginError> {
        source.prefetch(&[
            composer::FILE,
            "Procfile",
            ".php-version",
            ".tool-versions",
            "mise.toml",
            ".mise.toml",
            "package.json",
            "index.php",
            "style.css",
        ]);
        let settings = settings::read(ctx, source)?;
        let (composer, broken) =
            match source.text(composer::FILE)?.map(|text| Composer::parse(&text)) {
                Some(Ok(composer)) => (Some(composer), None),
                Some(Err(error)) => (None, Some(error)),
                None => (None, None),
            };
        let listing = source.list(&[], DEPTH, ENTRIES_MAX)?;
        let files = listing.entries.into_iter().map(|entry| entry.path).collect();
        let mut declared = Declared::read(&settings, source)?;
        if settings.run.command.is_none() && !settings.run.processes.contains_key("web") {
            declared.web = declared.web.filter(|(line, ..)| heroku(line).is_none());
        }
        let output_file = match settings.build.output {
            Some(_) => settings::output_file(ctx, source)?,
            None => None,
        };
        Ok(Self {
            settings,
            composer,
            broken,
            declared,
            output_file,
            source,
            variables: &ctx.variable_names,
            previous: &ctx.previous_toolchains,
            files,
        })
    }

    /// The first of these that exists.
    pub(crate) fn first<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// What composer.json asks of a package.
    pub(crate) fn requires(&self, package: &str) -> Option<&str> {
        self.composer.as_ref()?.requires(package)
    }

    /// Whether there is anything of PHP that a folder of `build.output` could be served with: a manifest, or
    /// scripts in it or in the application's own folder. Every kind of site names such a folder.
    pub(crate) fn has_php(&self, output: &str) -> bool {
        let inside = |path: &String| {
            let below = output.is_empty() || path.starts_with(&format!("{output}/"));
            path.ends_with(".php") && (below || !path.contains('/'))
        };
        self.composer.is_some()
            || self.files.iter().any(inside)
            || self.source.is_file(format!("{output}/index.php").trim_start_matches('/'))
    }

    /// PHP files directly in a folder; `""` is the application's own.
    pub(crate) fn scripts<'s>(&'s self, folder: &'s str) -> impl Iterator<Item = &'s str> {
        let name = move |path: &'s String| {
            let rest = match folder {
                "" => path.as_str(),
                folder => path.strip_prefix(folder)?.strip_prefix('/')?,
            };
            (!rest.contains('/') && rest.ends_with(".php")).then_some(rest)
        };
        self.files.iter().filter_map(name)
    }
}

impl Files for Facts<'_> {
    fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    fn text(&self, path: &str) -> Option<String> {
        self.source.text(path).ok().flatten()
    }
}

/// The folder that a command of Heroku's PHP buildpack serves: `vendor/bin/heroku-php-apache2 public/`.
pub(crate) fn heroku(line: &str) -> Option<String> {
    let mut words = line.split_whitespace().skip_while(|word| *word == "exec");
    let program = words.next()?.rsplit('/').next()?;
    if !program.starts_with("heroku-php-") {
        return None;
    }
    let folder = line.split_whitespace().last().filter(|last| !last.contains("heroku-php-"));
    let folder = folder.filter(|folder| !folder.starts_with('-') && !folder.contains('.'));
    Some(folder.unwrap_or_default().trim_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::heroku;

    #[test]
    fn commands_of_heroku_name_the_folder() {
        assert_eq!(heroku("vendor/bin/heroku-php-apache2 public/").as_deref(), Some("public"));
        assert_eq!(heroku("heroku-php-nginx -C nginx.conf web").as_deref(), Some("web"));
        assert_eq!(heroku("heroku-php-apache2").as_deref(), Some(""));
        assert_eq!(heroku("php -S 0.0.0.0:$PORT"), None);
    }
}
