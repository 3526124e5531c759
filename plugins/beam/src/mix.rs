//! Elixir: what `mix.exs` says. It is a program, which is not run: only what its text names is known.

use windlass_sdk::{Detection, NearMiss};

use crate::facts::Facts;

pub(crate) const FILE: &str = "mix.exs";

/// An application that mix builds into a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mix {
    /// Name of the release, which is also that of its start script.
    pub(crate) release: String,
    /// Whether `mix.exs` lists it; `mix release` takes a name only then.
    pub(crate) listed: bool,
    pub(crate) phoenix: bool,
    /// The folder whose `mix.exs` defines `assets.deploy`, if one does.
    pub(crate) assets: Option<String>,
    /// Whether there are dependencies to fetch.
    pub(crate) dependencies: bool,
    pub(crate) umbrella: bool,
    /// Whether the database's migrations are there, and no module of the release runs them.
    pub(crate) migrates_with_mix: bool,
    /// `elixir: "~> 1.14"`
    pub(crate) requirement: Option<String>,
    pub(crate) sign: String,
    pub(crate) confidence: u8,
}

impl Mix {
    /// The detection; `asked` is the id that the settings ask for.
    pub(crate) fn detection(&self, asked: Option<&str>) -> Detection {
        let phoenix = asked.map_or(self.phoenix, |id| id == "phoenix");
        let (id, name) = if phoenix { ("phoenix", "Phoenix") } else { ("elixir", "Elixir") };
        let found = Detection::new(id, name, "elixir")
            .confidence(self.confidence)
            .evidence(FILE, &self.sign)
            .supersedes("static");
        if phoenix { found.supersedes("elixir") } else { found }
    }
}

/// What mix builds here; `None` without a `mix.exs`.
pub(crate) fn decide(facts: &Facts, asked: bool) -> Option<Result<Mix, NearMiss>> {
    if !facts.has(FILE) {
        return None;
    }
    let text = without_comments(&facts.text(FILE));
    let umbrella = text.contains("apps_path:");
    let all = if umbrella { texts(facts) } else { text.clone() };
    let uses = |name: &str| all.contains(&format!("{{:{name},"));
    let phoenix = uses("phoenix");
    let unknown = text.trim().is_empty();
    let application = facts
        .listed(|path| path.starts_with("lib/") && path.ends_with("/application.ex"))
        .next()
        .is_some();
    let starts = all.contains("mod: {") || all.contains("mod: ");
    let listed = listed(&text);
    let name = listed.clone().or_else(|| implied(facts, &text, umbrella));
    let runs = starts || (unknown && application) || asked;
    let reason = match (runs, &name) {
        (false, _) => Some(
            "mix.exs names no application module (mod: {MyApp.Application, []}): it is taken for a \
             library; set run.command in windlass.toml if it is started otherwise",
        ),
        (true, None) if umbrella => Some(
            "an umbrella project is built into a release, and mix.exs defines none: add releases: \
             [name: [applications: [...]]]",
        ),
        (true, None) => Some("mix.exs names no application (app: :name)"),
        (true, Some(_)) => None,
    };
    if let Some(reason) = reason {
        return Some(Err(NearMiss { id: "elixir".to_owned(), reason: reason.to_owned() }));
    }
    let line = line_of(&text, if phoenix { "{:phoenix," } else { "mod:" });
    let sign = match (unknown, phoenix) {
        (true, _) => "nothing in it could be read; there is a lib/*/application.ex".to_owned(),
        (_, true) => format!("line {line}: {{:phoenix, …}}"),
        (_, false) => format!("line {line}: mod:"),
    };
    let endpoint = facts.listed(|path| path.ends_with("endpoint.ex")).next().is_some();
    let confidence = match (unknown, phoenix, endpoint) {
        (true, ..) => 60,
        (_, true, true) => 95,
        (_, true, false) => 75,
        _ => 80,
    };
    Some(Ok(Mix {
        release: name.unwrap_or_default(),
        listed: listed.is_some(),
        phoenix,
        assets: assets(facts),
        dependencies: facts.has("mix.lock") || unknown || has_dependencies(&all),
        umbrella,
        migrates_with_mix: migrates(facts),
        requirement: after(&text, "elixir: \"")
            .map(|rest| rest.split('"').next().unwrap_or(rest).to_owned()),
        sign,
        confidence,
    }))
}

/// The manifests of an umbrella in one text.
fn texts(facts: &Facts) -> String {
    let paths: Vec<&str> = facts.listed(|path| path.ends_with("mix.exs")).collect();
    facts.source.prefetch(&paths);
    paths.iter().map(|path| without_comments(&facts.text(path))).collect::<Vec<_>>().join("\n")
}

/// Where `mix assets.deploy` is defined.
fn assets(facts: &Facts) -> Option<String> {
    let manifests = facts.listed(|path| path.ends_with("mix.exs"));
    let mut defines = manifests.filter(|path| facts.text(path).contains("\"assets.deploy\""));
    defines.next().map(|path| path.trim_end_matches(FILE).trim_end_matches('/').to_owned())
}

/// The name that a text begins with.
fn word(rest: &str) -> Option<String> {
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    (end > 0).then(|| rest[..end].to_owned())
}

/// `releases: [name: [`, in place or in a function.
fn listed(text: &str) -> Option<String> {
    after(text, "releases: [").and_then(word).or_else(|| {
        after(text, "def releases do")
            .or_else(|| after(text, "defp releases do"))
            .and_then(|rest| word(rest.trim_start().strip_prefix('[')?))
    })
}

/// Without such a list: `app: :name`, else the name of the one folder in `lib`.
fn implied(facts: &Facts, text: &str, umbrella: bool) -> Option<String> {
    let own = if umbrella { None } else { after(text, "app: :").and_then(word) };
    own.or_else(|| {
        let folders =
            facts.listed(|path| path.starts_with("lib/") && path.ends_with("/application.ex"));
        let name = folders.filter_map(|path| path.split('/').nth(1)).next()?;
        text.trim().is_empty().then(|| name.trim_end_matches("_web").to_owned())
    })
}

fn has_dependencies(text: &str) -> bool {
    let lists = text.match_indices("deps do").any(|(at, _)| {
        let rest = text[at + "deps do".len()..].trim_start();
        rest.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with('{'))
    });
    lists || after(text, "deps: [").is_some_and(|rest| rest.trim_start().starts_with('{'))
}

fn migrates(facts: &Facts) -> bool {
    let migrations = facts.listed(|path| path.contains("/migrations/") && path.ends_with(".exs"));
    let release = facts.listed(|path| path.ends_with("/release.ex")).next().is_some();
    migrations.count() > 0 && !release
}

fn after<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    text.split_once(word).map(|(_, rest)| rest)
}

fn line_of(text: &str, word: &str) -> usize {
    text.find(word).map_or(1, |at| text[..at].matches('\n').count() + 1)
}

/// Without comments; a `#` inside quotes is kept.
fn without_comments(text: &str) -> String {
    let line = |line: &str| {
        let mut comment = line.match_indices('#').map(|(at, _)| at);
        let end = comment.find(|at| line[..*at].matches('"').count().is_multiple_of(2));
        line[..end.unwrap_or(line.len())].to_owned()
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
