//! What is known of the application before anything is decided.

use std::collections::BTreeSet;

use windlass_plugin_common::assets::Files;
use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::settings;
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, PluginError, Source, Toolchain};

use crate::gemfile::{Gemfile, Lock};

/// Folders below the application that are listed.
const DEPTH: u32 = 2;
const ENTRIES_MAX: u32 = 5_000;
/// The names of the manifest, with that of its lock file.
const GEMFILES: [(&str, &str); 2] = [("Gemfile", "Gemfile.lock"), ("gems.rb", "gems.locked")];

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    /// Its name, its lock file's name, and what it says.
    pub(crate) gemfile: Option<(&'static str, &'static str, Gemfile)>,
    pub(crate) lock: Option<Lock>,
    pub(crate) declared: Declared,
    pub(crate) source: &'a Source,
    pub(crate) platform: &'a str,
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
            "Gemfile",
            "Gemfile.lock",
            "gems.rb",
            "gems.locked",
            "Procfile",
            ".ruby-version",
            ".tool-versions",
            "mise.toml",
            ".mise.toml",
            "config/application.rb",
            "config.ru",
            "package.json",
        ]);
        let settings = settings::read(ctx, source)?;
        let listing = source.list(&[], DEPTH, ENTRIES_MAX)?;
        let files = listing.entries.into_iter().map(|entry| entry.path).collect();
        let text = |path: &str| source.text(path).ok().flatten();
        let named = GEMFILES.into_iter().find_map(|(file, lock)| Some((file, lock, text(file)?)));
        let lock = named.as_ref().and_then(|(_, lock, _)| text(lock));
        let gemfile = named.map(|(file, lock, text)| (file, lock, Gemfile::parse(&text)));
        Ok(Self {
            declared: Declared::read(&settings, source)?,
            settings,
            gemfile,
            lock: lock.map(|text| Lock::parse(&text)),
            source,
            platform: &ctx.platform,
            variables: &ctx.variable_names,
            previous: &ctx.previous_toolchains,
            files,
        })
    }

    /// The first of these that exists.
    pub(crate) fn first<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// Files of the application's own folder with this ending.
    pub(crate) fn own<'s>(&'s self, ending: &'s str) -> impl Iterator<Item = &'s str> {
        let own = move |path: &&str| !path.contains('/') && path.ends_with(ending);
        self.files.iter().map(String::as_str).filter(own)
    }

    /// Whether a gem is named by the Gemfile or by its lock file.
    pub(crate) fn uses(&self, gem: &str) -> bool {
        self.named(gem).is_some()
            || self.lock.as_ref().is_some_and(|lock| lock.version(gem).is_some())
    }

    /// The first of these gems that is used.
    pub(crate) fn first_gem<'g>(&self, gems: &[&'g str]) -> Option<&'g str> {
        gems.iter().copied().find(|gem| self.uses(gem))
    }

    /// Major and minor version of a gem in the lock file.
    pub(crate) fn locked(&self, gem: &str) -> Option<(u32, u32)> {
        let mut numbers = self.lock.as_ref()?.version(gem)?.split('.').map(|n| n.parse().ok());
        Some((numbers.next()??, numbers.next().flatten().unwrap_or_default()))
    }

    /// File and line that name a gem.
    pub(crate) fn named(&self, gem: &str) -> Option<(&'static str, String)> {
        let (file, _, gemfile) = self.gemfile.as_ref()?;
        let line = gemfile.line_of(gem)?;
        Some((file, format!("line {line}: gem {gem:?}")))
    }

    /// The file that names every gem: the lock file, else the Gemfile, unless it reads other files.
    pub(crate) fn gems_file(&self) -> Option<&'static str> {
        let (file, lock, gemfile) = self.gemfile.as_ref()?;
        if self.lock.as_ref().is_some_and(|lock| !lock.is_empty()) {
            return Some(lock);
        }
        (!gemfile.is_empty() && !gemfile.reads_more).then_some(file)
    }

    /// Whether it is known which gems there are: neither file may be readable and filled.
    pub(crate) fn knows_gems(&self) -> bool {
        let filled = self.gemfile.as_ref().is_some_and(|(.., gemfile)| !gemfile.is_empty());
        filled || self.lock.as_ref().is_some_and(|lock| !lock.is_empty())
    }

    /// Whether the folder is a gem's, made to be published: it has a gemspec, and nothing that an
    /// application has.
    pub(crate) fn is_library(&self) -> bool {
        let locked = self.lock.as_ref().is_some_and(|lock| !lock.is_empty());
        let deployed = self.declared.web.is_some() || self.declared.only_workers;
        self.own(".gemspec").next().is_some() && !locked && !deployed
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
