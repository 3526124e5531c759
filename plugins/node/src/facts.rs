//! What is known of the application before anything is decided: its files, its package.json, its
//! settings, and the workspace that it is part of.

use std::collections::BTreeSet;
use std::rc::Rc;

use windlass_plugin_common::layout::{APP, Declared};
use windlass_plugin_common::others::{self, Field, Taken};
use windlass_plugin_common::package_json::{self, PackageJson};
pub(crate) use windlass_plugin_common::paths::join;
use windlass_plugin_common::workspace::{self, Workspace};
use windlass_plugin_common::{pins, settings, wanted};
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, Evidence, PluginError, Source, Toolchain};

use crate::answers;
use crate::config::normal;
use crate::start;

/// Folders below the application that are listed.
const DEPTH: u32 = 2;
const ENTRIES_MAX: u32 = 5_000;
/// Read in one call.
const READ: [&str; 9] = [
    package_json::FILE,
    "Procfile",
    ".nvmrc",
    ".node-version",
    ".bun-version",
    ".yarnrc.yml",
    "pnpm-workspace.yaml",
    "lerna.json",
    "nx.json",
];

/// Where the application lies, in the source and in the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its folder below `/app`; empty for `/app` itself.
    pub(crate) dir: String,
    /// The folder below `/app` in which dependencies are installed.
    pub(crate) root: String,
    /// Whether files are copied from the root of the source, because the application's folder is not all
    /// that it needs.
    pub(crate) whole: bool,
}

impl Place {
    /// The application's folder in the image.
    pub(crate) fn app(&self) -> String {
        join(APP, &self.dir)
    }

    /// The folder in the image in which dependencies are installed.
    pub(crate) fn root(&self) -> String {
        join(APP, &self.root)
    }

    /// The glob of a copy from the source, for a path from where dependencies are installed.
    pub(crate) fn glob(&self, path: &str) -> String {
        if self.whole { format!("/{}", join(&self.root, path)) } else { path.to_owned() }
    }

    /// The application's folder, seen from the one in which dependencies are installed.
    pub(crate) fn inner(&self) -> &str {
        self.dir.strip_prefix(self.root.as_str()).unwrap_or(&self.dir).trim_start_matches('/')
    }
}

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) settings: Settings,
    /// package.json; `None` without one.
    pub(crate) package: Option<PackageJson>,
    /// Why package.json does not read.
    pub(crate) broken: Option<PluginError>,
    pub(crate) declared: Declared,
    /// The application's folder.
    pub(crate) source: Source,
    pub(crate) place: Place,
    /// The file that names the folder of `build.output`, and its key; `None` where none does.
    pub(crate) output_sign: Option<Evidence>,
    /// The application's folder from the root of the source.
    folder: String,
    /// The workspace that it is the root or a member of.
    pub(crate) workspace: Option<Rc<Workspace>>,
    files: BTreeSet<String>,
    previous: Vec<Toolchain>,
}

impl Facts {
    /// Gathers them for the application's folder.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &Context) -> Result<Self, PluginError> {
        let mut facts = Self::of(ctx, &ctx.app_dir)?;
        let names = facts.top().map(str::to_owned).collect();
        let own = workspace::own(&facts.source, facts.package.as_ref(), names)?;
        if let Some(own) = own {
            facts.workspace = Some(Rc::new(own));
        } else if let Some(above) = workspace::above(&ctx.app_dir)? {
            let dir = normal(&ctx.app_dir);
            facts.place = Place { dir, root: above.folder.clone(), whole: true };
            facts.workspace = Some(Rc::new(above));
        }
        facts.look_through();
        Ok(facts)
    }

    /// The facts of a member of the workspace of which this is the root.
    ///
    /// # Errors
    /// As for [`Self::gather`].
    pub(crate) fn member(&self, ctx: &Context, dir: &str) -> Result<Self, PluginError> {
        let mut facts = Self::of(ctx, &join(&ctx.app_dir, dir))?;
        facts.place = Place { dir: dir.to_owned(), root: String::new(), whole: false };
        let led = start::declared_member(self).filter(|(member, _)| member == dir);
        if let Some((_, line)) = led {
            facts.settings = self.settings.clone();
            facts.declared = Declared::read(&self.settings, &self.source)?;
            facts.declared.web.iter_mut().for_each(|(web, ..)| web.clone_from(&line));
        }
        facts.workspace.clone_from(&self.workspace);
        facts.look_through();
        Ok(facts)
    }

    /// The facts of the root of the workspace above, for a project that is configured and built there.
    ///
    /// # Errors
    /// As for [`Self::gather`].
    pub(crate) fn above(&self, ctx: &Context) -> Result<Self, PluginError> {
        let folder = self.place.root.clone();
        let mut facts = Self::of(ctx, &folder)?;
        facts.place = Place { dir: folder.clone(), root: folder, whole: true };
        facts.workspace.clone_from(&self.workspace);
        facts.look_through();
        Ok(facts)
    }

    /// Takes the package managers out of the declared command lines.
    fn look_through(&mut self) {
        let mut declared = self.declared.clone();
        if !declared.only_workers {
            let line = declared.web.as_ref().map(|(line, ..)| line.as_str());
            let known = |name: &String| declared.workers.iter().any(|(other, _)| other == name);
            let beside = start::beside(self, line).into_iter().filter(|(name, _)| !known(name));
            let beside: Vec<_> = beside.collect();
            declared.workers.extend(beside);
        }
        if let Some((line, ..)) = &mut declared.web {
            *line = start::declared(self, line);
        }
        for (_, line) in &mut declared.workers {
            *line = start::declared(self, line);
        }
        // The server that is cut down has nothing that another command could need.
        if let Some((line, _, sign)) = &mut declared.web
            && let Some(frame) = start::around_cut_down(self, line)
            && !(frame.before.is_empty() && declared.workers.is_empty())
        {
            *line = frame.whole(answers::NEXT_START);
            *sign = format!("{sign}, run as {line}");
        }
        self.declared = declared;
    }

    fn of(ctx: &Context, folder: &str) -> Result<Self, PluginError> {
        let source = Source::below(folder);
        source.prefetch(&READ.iter().chain(&pins::FILES).copied().collect::<Vec<_>>());
        let settings = settings::read(ctx, &source)?;
        let (package, broken) = match PackageJson::read(&source) {
            Ok(package) => (package, None),
            Err(error) if error.code == "source.unreadable" => return Err(error),
            Err(error) => (None, Some(error)),
        };
        let listing = source.list(&[], DEPTH, ENTRIES_MAX)?;
        let files = listing.entries.into_iter().map(|entry| entry.path).collect();
        let declared = Declared::read(&settings, &source)?;
        let previous = ctx.previous_toolchains.clone();
        let (place, workspace) = (Place::default(), None);
        let output_sign = match settings.build.output {
            Some(_) => output_sign(ctx, &source)?,
            None => None,
        };
        let folder = normal(folder);
        Ok(Self {
            settings,
            package,
            broken,
            declared,
            source,
            place,
            output_sign,
            folder,
            workspace,
            files,
            previous,
        })
    }

    /// A path for people: in a workspace from the root of the source, because several files have its name.
    pub(crate) fn shown(&self, path: &str) -> String {
        match &self.workspace {
            Some(_) if path != settings::OWN => join(&self.folder, path),
            _ => path.to_owned(),
        }
    }

    /// The folder in which dependencies are installed, from the root of the source.
    pub(crate) fn root_folder(&self) -> &str {
        let folder = self.folder.strip_suffix(self.place.inner()).unwrap_or(&self.folder);
        folder.trim_end_matches('/')
    }

    /// The file that declares the processes beside the web process, and its key.
    pub(crate) fn workers_sign(&self) -> (&'static str, String) {
        let others = others::read(&self.source);
        let declares = |taken: &Taken| {
            let lines = self.declared.workers.iter();
            matches!(taken.field, Field::Process(_))
                && lines.into_iter().any(|(_, line)| *line == taken.value)
        };
        let found = others.all().find(|(taken, _)| declares(taken));
        let (key, file) =
            found.map_or(("run.processes", settings::OWN), |(taken, file)| (&taken.key, file));
        (file, format!("{key}: only workers"))
    }

    /// Whether the file or folder exists, at most two levels deep.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// The first of these that exists.
    pub(crate) fn first<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// Files of the folder itself.
    pub(crate) fn top(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str).filter(|path| !path.contains('/'))
    }

    /// Folders, at most the first five, that hold a file of this name.
    pub(crate) fn nested(&self, name: &str) -> Vec<&str> {
        let folder = |path: &'_ String| path.strip_suffix(name)?.strip_suffix('/').map(str::len);
        let found = self.files.iter().filter_map(|path| Some(&path[..folder(path)?]));
        found.filter(|folder| !folder.contains("node_modules")).take(5).collect()
    }

    /// Text of a file, if it can be read.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.source.text(path).ok().flatten()
    }

    /// The packages that the application is made of, with their folders from where dependencies are
    /// installed: those of its workspace that it needs, itself, and the workspace's root.
    pub(crate) fn packages(&self) -> Vec<(&str, &PackageJson)> {
        let inner = self.place.inner();
        let Some(workspace) = self.workspace.as_ref().filter(|_| !inner.is_empty()) else {
            return self.package.iter().map(|package| ("", package)).collect();
        };
        let needed = workspace.needed_by(inner).into_iter();
        let needed =
            needed.filter_map(|dir| Some((dir, workspace.members.get(dir)?.package.as_ref()?)));
        needed.chain([("", &workspace.package)]).collect()
    }

    /// Whether a file or folder of one of these packages exists.
    pub(crate) fn package_has(&self, dir: &str, path: &str) -> bool {
        match &self.workspace {
            Some(workspace) if dir != self.place.inner() => {
                workspace.source.exists(&join(dir, path))
            }
            _ => self.has(path),
        }
    }

    /// Text of a file of one of these packages, if it can be read.
    pub(crate) fn package_text(&self, dir: &str, path: &str) -> Option<String> {
        match &self.workspace {
            Some(workspace) => workspace.source.text(&join(dir, path)).ok().flatten(),
            None => self.text(path),
        }
    }

    /// Whether a file lies where dependencies are installed.
    pub(crate) fn root_has(&self, path: &str) -> bool {
        match &self.workspace {
            Some(workspace) => workspace.has(path),
            None => self.has(path),
        }
    }

    /// Text of a file where dependencies are installed.
    pub(crate) fn root_text(&self, path: &str) -> Option<String> {
        match &self.workspace {
            Some(workspace) => workspace.source.text(path).ok().flatten(),
            None => self.text(path),
        }
    }

    /// The package.json where dependencies are installed.
    pub(crate) fn root_package(&self) -> Option<&PackageJson> {
        match &self.workspace {
            Some(workspace) => Some(&workspace.package),
            None => self.package.as_ref(),
        }
    }

    /// Version of a toolchain that the application ran with before.
    pub(crate) fn previous(&self, name: &str) -> Option<&str> {
        wanted::before(name, &self.previous)
    }

    /// Whether a package is a dependency of either kind.
    pub(crate) fn uses(&self, package: &str) -> bool {
        self.package.as_ref().is_some_and(|json| json.uses(package))
    }

    /// The command line of a script of package.json.
    pub(crate) fn script(&self, name: &str) -> Option<&str> {
        self.package.as_ref()?.script(name)
    }
}

/// Where the folder of finished files is named: windlass.toml, else another platform's file.
fn output_sign(ctx: &Context, source: &Source) -> Result<Option<Evidence>, PluginError> {
    if let Some(output) = Settings::of(ctx)?.build.output {
        return Ok(Some(Evidence::new(settings::OWN, format!("build.output = {output:?}"))));
    }
    let others = others::read(source);
    let named = others.get(&Field::Output);
    Ok(named.map(|(taken, file)| Evidence::new(file, format!("{}: {}", taken.key, taken.value))))
}
