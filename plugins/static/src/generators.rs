//! Site generators: how each is recognised, what it needs, and where it leaves the site.
//!
//! **Invariant: the documentation of a project is not its application.** A generator's configuration beside
//! another project's manifest is a near miss, unless the settings ask for it.

use windlass_plugin_common::python::Manifests;
use windlass_plugin_common::yaml;
use windlass_sdk::{Evidence, NearMiss};

use crate::facts::Facts;
use crate::releases::Program;

/// A site that a generator builds.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) confidence: u8,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) supersedes: &'static [&'static str],
    pub(crate) tool: Tool,
    pub(crate) command: String,
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// Folder of the site, relative to the application.
    pub(crate) output: String,
}

/// Where the generator comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Packages of Debian; `version` is what is asked for, if it is.
    Hugo { version: Option<String>, modules: bool, npm: bool },
    /// Packages of Debian.
    Debian(Vec<String>),
    /// A program of a release; `version` is what is asked for, if it is.
    Release { program: Program, version: Option<String> },
    /// Packages of PyPI: a file of requirements, or a list.
    Pip { requirements: Option<String>, packages: Vec<String> },
    /// The gems of the Gemfile.
    Bundle,
}

type Answer = Option<Result<Generator, String>>;
type Find = fn(&Facts<'_>, bool) -> Answer;

const ALL: [(&str, Find); 7] = [
    ("hugo", hugo),
    ("zola", zola),
    ("jekyll", jekyll),
    ("mkdocs", mkdocs),
    ("mdbook", mdbook),
    ("sphinx", sphinx),
    ("pelican", pelican),
];

/// Whether a generator has this id.
pub(crate) fn is_one(id: &str) -> bool {
    ALL.iter().any(|(known, _)| *known == id)
}

/// The generator of the folder; `asked` is `build.framework`.
pub(crate) fn find(facts: &Facts<'_>, asked: Option<&str>) -> (Option<Generator>, Vec<NearMiss>) {
    let mut misses = Vec::new();
    let wanted = |id: &str| asked.is_none_or(|asked| asked == id || !is_one(asked));
    for (id, find) in ALL.into_iter().filter(|(id, _)| wanted(id)) {
        match find(facts, asked == Some(id)) {
            Some(Ok(mut found)) => {
                let settings = &facts.settings.build;
                found.output = settings.output.clone().unwrap_or(found.output);
                found.command = settings.command.clone().unwrap_or(found.command);
                // The gems' programs are found through Bundler only.
                if found.tool == Tool::Bundle && found.command.starts_with("jekyll ") {
                    found.command = format!("bundle exec {}", found.command);
                }
                return (Some(found), misses);
            }
            Some(Err(reason)) => misses.push(NearMiss { id: id.to_owned(), reason }),
            None => {}
        }
    }
    (None, misses)
}

/// The near miss of a configuration beside another project's manifest.
fn beside(facts: &Facts<'_>, file: &str, id: &str, asked: bool, except: &[&str]) -> Option<String> {
    let (other, what) = facts.other_project(except).filter(|_| !asked)?;
    Some(format!(
        "there is {file}, but {other} says that this is {what}; to build the site, set \
         build.framework = {id:?} in windlass.toml"
    ))
}

fn hugo(facts: &Facts<'_>, asked: bool) -> Answer {
    const OWN: [&str; 6] = [
        "hugo.toml",
        "hugo.yaml",
        "hugo.yml",
        "hugo.json",
        "config/_default/hugo.toml",
        "config/_default/hugo.yaml",
    ];
    const SHARED: [&str; 5] = [
        "config.toml",
        "config.yaml",
        "config.yml",
        "config/_default/config.toml",
        "config/_default/config.yaml",
    ];
    let shared = |file: &&&str| facts.has(file) && names_base_url(&facts.text(file));
    let file = OWN.iter().find(|file| facts.has(file)).or_else(|| SHARED.iter().find(shared))?;
    let folder = facts.folder_of(&["content", "layouts", "themes", "archetypes"]);
    let theme = facts.has("theme.toml") && !facts.has_folder("content");
    let modules = facts.has("go.mod");
    if theme && !asked {
        let reason = "theme.toml says that this is a theme for Hugo, and there is no content/";
        return Some(Err(reason.to_owned()));
    }
    if folder.is_none() && !modules && !asked {
        return if OWN.contains(file) {
            Some(Err(format!("there is {file}, but no content/, layouts/ or themes/")))
        } else {
            None
        };
    }
    if let Some(reason) = beside(facts, file, "hugo", asked, &["go.mod", "package.json"]) {
        return Some(Err(reason));
    }
    if modules && !asked && facts.files().any(|file| file.ends_with(".go")) {
        return Some(Err(format!("there is {file}, but also a program in Go")));
    }
    let (pin, sign) = facts.toolchain("hugo", ".hugo-version");
    let version = Some(pin.requirement).filter(|version| !version.is_empty());
    let text = facts.text(file);
    let output =
        key_of(&text, &["publishDir", "publishdir"]).unwrap_or_else(|| "public".to_owned());
    let mut evidence = vec![Evidence::new(*file, "")];
    evidence.extend(folder.map(|folder| Evidence::new(format!("{folder}/"), "")));
    evidence.extend(sign);
    Some(Ok(Generator {
        id: "hugo",
        name: "Hugo",
        confidence: 92,
        evidence,
        supersedes: &["static", "go", "node"],
        tool: Tool::Hugo { version, modules, npm: facts.has("package.json") },
        command: "hugo --gc --minify".to_owned(),
        env: &[
            ("HUGO_ENVIRONMENT", "production"),
            ("HUGO_ENABLEGITINFO", "false"),
            ("HUGO_CACHEDIR", "/root/.cache/hugo"),
        ],
        output,
    }))
}

/// Hugo's `baseURL`, in each case that it is written in; Zola's is `base_url`.
fn names_base_url(text: &str) -> bool {
    text.lines()
        .any(|line| line.trim_start().trim_matches('"').to_ascii_lowercase().starts_with("baseurl"))
}

/// The value of a top-level key in TOML or YAML, as far as one line tells.
fn key_of(text: &str, keys: &[&str]) -> Option<String> {
    let line = text.lines().take_while(|line| !line.starts_with('['));
    let value = |line: &str| {
        let (key, value) = line.split_once([':', '='])?;
        let value = value.split('#').next()?.trim().trim_matches(['"', '\'', ',']);
        let named = keys.contains(&key.trim().trim_matches('"'));
        (named && !value.is_empty()).then(|| folder(value))
    };
    line.filter(|line| !line.starts_with([' ', '\t']))
        .find_map(value)
        .filter(|value| !value.is_empty())
}

/// A folder of the application, without `.` and `..`.
pub(crate) fn folder(path: &str) -> String {
    let parts = path.trim().trim_matches(['"', '\'']).split('/');
    parts.filter(|part| !matches!(*part, "" | "." | "..")).collect::<Vec<_>>().join("/")
}

fn zola(facts: &Facts<'_>, asked: bool) -> Answer {
    let file = ["zola.toml", "config.toml"].into_iter().find(|file| facts.has(file))?;
    let text = facts.text(file);
    let own = text.lines().any(|line| line.trim_start().starts_with("base_url"));
    if !own {
        return None;
    }
    let folder = facts.folder_of(&["content", "templates", "sass"])?;
    if facts.has("theme.toml") && !facts.has_folder("content") && !asked {
        return Some(Err(
            "theme.toml says that this is a theme for Zola, and there is no content/".to_owned(),
        ));
    }
    if let Some(reason) = beside(facts, file, "zola", asked, &["package.json"]) {
        return Some(Err(reason));
    }
    let (pin, sign) = facts.toolchain("zola", ".zola-version");
    let version = Some(pin.requirement).filter(|version| !version.is_empty());
    let mut evidence =
        vec![Evidence::new(file, "base_url"), Evidence::new(format!("{folder}/"), "")];
    evidence.extend(sign);
    Some(Ok(Generator {
        id: "zola",
        name: "Zola",
        confidence: 92,
        evidence,
        supersedes: &["static", "node"],
        tool: Tool::Release { program: Program::Zola, version },
        command: "zola build".to_owned(),
        env: &[],
        output: key_of(&text, &["output_dir"]).unwrap_or_else(|| "public".to_owned()),
    }))
}

/// Jekyll's plugins that Debian has, as `ruby-<name>`.
const JEKYLL_PLUGINS: [&str; 22] = [
    "jekyll-archives",
    "jekyll-avatar",
    "jekyll-compose",
    "jekyll-data",
    "jekyll-default-layout",
    "jekyll-feed",
    "jekyll-gist",
    "jekyll-github-metadata",
    "jekyll-include-cache",
    "jekyll-last-modified-at",
    "jekyll-mentions",
    "jekyll-optional-front-matter",
    "jekyll-paginate",
    "jekyll-paginate-v2",
    "jekyll-polyglot",
    "jekyll-readme-index",
    "jekyll-redirect-from",
    "jekyll-relative-links",
    "jekyll-seo-tag",
    "jekyll-sitemap",
    "jekyll-titles-from-headings",
    "jekyll-toc",
];

fn jekyll(facts: &Facts<'_>, asked: bool) -> Answer {
    let file =
        ["_config.yml", "_config.yaml", "_config.toml"].into_iter().find(|file| facts.has(file))?;
    let gemfile = facts.text("Gemfile");
    let gem = gemfile.lines().map(str::trim).find(|line| {
        line.starts_with("gem ") && (line.contains("jekyll") || line.contains("github-pages"))
    });
    let folder = facts.folder_of(&["_posts", "_layouts", "_includes", "_data", "_pages", "_sass"]);
    if facts.has("_toc.yml") && !asked {
        return Some(Err(
            "_toc.yml says that this is a Jupyter Book, which is not built here".to_owned()
        ));
    }
    if gem.is_none() && folder.is_none() && !asked {
        let reason = format!(
            "there is {file}, but no Gemfile that names jekyll, and no _posts/ or _layouts/"
        );
        return Some(Err(reason));
    }
    if gem.is_some() && facts.files().any(|file| file.ends_with(".gemspec")) && !asked {
        return Some(
            Err("the gemspec says that this is a theme or a plugin for Jekyll".to_owned()),
        );
    }
    if let Some(reason) = beside(facts, file, "jekyll", asked, &["Gemfile", "package.json"]) {
        return Some(Err(reason));
    }
    let keys = yaml::parse(&facts.text(file)).unwrap_or_default();
    let plugins = keys.get("plugins").or_else(|| keys.get("gems"));
    let plugins = plugins.and_then(|list| list.as_array()).map(Vec::as_slice).unwrap_or_default();
    let packaged = plugins.iter().filter_map(|name| {
        let name = name.as_str()?;
        JEKYLL_PLUGINS.contains(&name).then(|| format!("ruby-{name}"))
    });
    let minima = keys.get("theme").and_then(|theme| theme.as_str()) == Some("minima");
    let packaged = packaged.chain(minima.then(|| "jekyll-theme-minima".to_owned()));
    let tool = match gemfile.is_empty() {
        true => Tool::Debian(std::iter::once("jekyll".to_owned()).chain(packaged).collect()),
        false => Tool::Bundle,
    };
    let mut evidence = vec![Evidence::new(file, "")];
    evidence.extend(gem.map(|line| Evidence::new("Gemfile", line)));
    evidence.extend(folder.map(|folder| Evidence::new(format!("{folder}/"), "")));
    let command = if gemfile.is_empty() { "jekyll build" } else { "bundle exec jekyll build" };
    let output = keys.get("destination").and_then(|value| value.as_str()).map(self::folder);
    Some(Ok(Generator {
        id: "jekyll",
        name: "Jekyll",
        confidence: if gem.is_some() { 93 } else { 75 },
        evidence,
        supersedes: &["static", "ruby", "rack", "node"],
        tool,
        command: command.to_owned(),
        env: &[("JEKYLL_ENV", "production"), ("LANG", "C.UTF-8")],
        output: output.unwrap_or_else(|| "_site".to_owned()),
    }))
}

/// The package of PyPI, and whether the project depends on it.
fn declared(facts: &Facts<'_>, package: &str) -> Option<(&'static str, String)> {
    Manifests::read(facts.source).ok()?.declares(package)
}

/// The requirements that name a package: the file, its own text said to hold it.
fn requirements(facts: &Facts<'_>, package: &str) -> Option<String> {
    let names = |file: &&&str| {
        let text = facts.text(file);
        let named = |line: &str| windlass_plugin_common::python::name_of(line);
        text.lines()
            .filter_map(named)
            .any(|name| name == package || name.starts_with(&format!("{package}-")))
    };
    ["requirements.txt", "requirements-docs.txt", "docs/requirements.txt", "requirements/docs.txt"]
        .iter()
        .filter(|file| facts.has(file))
        .find(names)
        .map(|file| (*file).to_owned())
}

/// Plugins and themes of MkDocs: the name in mkdocs.yml, and the package.
const MKDOCS: [(&str, &str); 18] = [
    ("material", "mkdocs-material"),
    ("readthedocs", ""),
    ("mkdocs", ""),
    ("search", ""),
    ("tags", ""),
    ("blog", ""),
    ("awesome-pages", "mkdocs-awesome-pages-plugin"),
    ("awesome-nav", "mkdocs-awesome-nav"),
    ("minify", "mkdocs-minify-plugin"),
    ("redirects", "mkdocs-redirects"),
    ("macros", "mkdocs-macros-plugin"),
    ("mkdocstrings", "mkdocstrings[python]"),
    ("literate-nav", "mkdocs-literate-nav"),
    ("gen-files", "mkdocs-gen-files"),
    ("section-index", "mkdocs-section-index"),
    ("include-markdown", "mkdocs-include-markdown-plugin"),
    ("glightbox", "mkdocs-glightbox"),
    ("bootstrap", "mkdocs-bootstrap"),
];

fn mkdocs(facts: &Facts<'_>, asked: bool) -> Answer {
    let file = ["mkdocs.yml", "mkdocs.yaml"].into_iter().find(|file| facts.has(file))?;
    let depends = declared(facts, "mkdocs").or_else(|| declared(facts, "mkdocs-material"));
    let mut except = vec!["requirements.txt"];
    if depends.is_some() {
        except.extend(["pyproject.toml", "Pipfile"]);
    }
    if let Some(reason) = beside(facts, file, "mkdocs", asked, &except) {
        return Some(Err(reason));
    }
    let keys = match yaml::parse(&facts.text(file)) {
        Ok(keys) => keys,
        Err(why) => return Some(Err(format!("{file} does not read: {why}"))),
    };
    let docs = keys.get("docs_dir").and_then(|value| value.as_str()).unwrap_or("docs");
    if !facts.has_folder(folder(docs).split('/').next().unwrap_or("docs")) && !asked {
        return Some(Err(format!("there is {file}, but no folder {docs}")));
    }
    let output = keys.get("site_dir").and_then(|value| value.as_str()).map(folder);
    let mut evidence = vec![Evidence::new(file, "")];
    evidence.extend(depends.map(|(file, key)| Evidence::new(file, key)));
    let requirements = requirements(facts, "mkdocs");
    Some(Ok(Generator {
        id: "mkdocs",
        name: "MkDocs",
        confidence: 91,
        evidence,
        supersedes: &["static", "python"],
        tool: Tool::Pip { requirements, packages: mkdocs_packages(&keys) },
        command: "mkdocs build".to_owned(),
        env: &[("PYTHONDONTWRITEBYTECODE", "1")],
        output: output.unwrap_or_else(|| "site".to_owned()),
    }))
}

/// What mkdocs.yml needs, where no requirements name it.
fn mkdocs_packages(keys: &serde_json::Value) -> Vec<String> {
    let theme = keys.get("theme");
    let theme = theme.and_then(|theme| theme.get("name").or(Some(theme))?.as_str());
    let plugins = match keys.get("plugins") {
        Some(serde_json::Value::Array(list)) => list
            .iter()
            .filter_map(|one| {
                one.as_str().or_else(|| one.as_object()?.keys().next().map(String::as_str))
            })
            .collect(),
        Some(serde_json::Value::Object(map)) => map.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let mut packages = vec!["mkdocs<2".to_owned()];
    for name in theme.into_iter().chain(plugins) {
        let name = name.split('/').next().unwrap_or(name);
        match MKDOCS.iter().find(|(known, _)| *known == name) {
            Some((_, "")) => {}
            Some((_, package)) => packages.push((*package).to_owned()),
            None => packages.push(format!("mkdocs-{name}")),
        }
    }
    packages.dedup();
    packages
}

fn mdbook(facts: &Facts<'_>, asked: bool) -> Answer {
    let file = "book.toml";
    let text = Some(facts.text(file))
        .filter(|text| facts.has(file) && (text.contains("[book]") || text.is_empty()))?;
    let summary = key_of(text.split("[book]").nth(1).unwrap_or_default(), &["src"]);
    let summary = format!("{}/SUMMARY.md", summary.unwrap_or_else(|| "src".to_owned()));
    if !facts.has(&summary) && !asked {
        return Some(Err(format!("there is {file}, but no {summary}")));
    }
    if let Some(reason) = beside(facts, file, "mdbook", asked, &["package.json"]) {
        return Some(Err(reason));
    }
    let (pin, sign) = facts.toolchain("mdbook", ".mdbook-version");
    let version = Some(pin.requirement).filter(|version| !version.is_empty());
    let output = key_of(text.split("[build]").nth(1).unwrap_or_default(), &["build-dir"]);
    let mut evidence = vec![Evidence::new(file, ""), Evidence::new(summary, "")];
    evidence.extend(sign);
    Some(Ok(Generator {
        id: "mdbook",
        name: "mdBook",
        confidence: 92,
        evidence,
        supersedes: &["static"],
        tool: Tool::Release { program: Program::MdBook, version },
        command: "mdbook build".to_owned(),
        env: &[],
        output: output.unwrap_or_else(|| "book".to_owned()),
    }))
}

fn sphinx(facts: &Facts<'_>, asked: bool) -> Answer {
    let conf = ["conf.py", "source/conf.py"].into_iter().chain(asked.then_some("docs/conf.py"));
    let file = conf.into_iter().find(|file| facts.has(file))?;
    let text = facts.text(file);
    let folder = file.trim_end_matches("conf.py").trim_end_matches('/');
    let index = ["index.rst", "index.md"].into_iter().find(|index| {
        facts.has(&if folder.is_empty() {
            (*index).to_owned()
        } else {
            format!("{folder}/{index}")
        })
    });
    let signs = ["html_theme", "extensions", "sphinx"].iter().any(|sign| text.contains(sign));
    if (index.is_none() || !signs) && !asked {
        return None;
    }
    if let Some(reason) = beside(facts, file, "sphinx", asked, &["requirements.txt"]) {
        return Some(Err(reason));
    }
    let theme = key_of(&text, &["html_theme"])
        .filter(|theme| !matches!(theme.as_str(), "alabaster" | "classic"));
    let packages =
        ["sphinx".to_owned()].into_iter().chain(theme.map(|theme| theme.replace('_', "-")));
    let packages =
        packages.chain(text.contains("myst_parser").then(|| "myst-parser".to_owned())).collect();
    let input = if folder.is_empty() { "." } else { folder };
    Some(Ok(Generator {
        id: "sphinx",
        name: "Sphinx",
        confidence: 80,
        evidence: vec![Evidence::new(file, "html_theme or extensions")],
        supersedes: &["static", "python"],
        tool: Tool::Pip { requirements: requirements(facts, "sphinx"), packages },
        command: format!("sphinx-build -b html {input} _build/html"),
        env: &[("PYTHONDONTWRITEBYTECODE", "1")],
        output: "_build/html".to_owned(),
    }))
}

fn pelican(facts: &Facts<'_>, asked: bool) -> Answer {
    let file = ["publishconf.py", "pelicanconf.py"].into_iter().find(|file| facts.has(file))?;
    if !facts.has("pelicanconf.py") || (!facts.has_folder("content") && !asked) {
        return Some(Err(format!("there is {file}, but no pelicanconf.py with a folder content")));
    }
    let except = ["requirements.txt", "pyproject.toml", "Pipfile"];
    if let Some(reason) = beside(facts, file, "pelican", asked, &except) {
        return Some(Err(reason));
    }
    let packages = ["pelican", "markdown"].map(str::to_owned).to_vec();
    Some(Ok(Generator {
        id: "pelican",
        name: "Pelican",
        confidence: 91,
        evidence: vec![Evidence::new("pelicanconf.py", ""), Evidence::new("content/", "")],
        supersedes: &["static", "python"],
        tool: Tool::Pip { requirements: requirements(facts, "pelican"), packages },
        command: format!("pelican content -o output -s {file}"),
        env: &[("PYTHONDONTWRITEBYTECODE", "1")],
        output: "output".to_owned(),
    }))
}
