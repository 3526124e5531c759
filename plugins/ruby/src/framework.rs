//! What kind of Ruby application it is.
//!
//! **Invariant: a way to start it is found, or it is no detection.** A gem's repository, a Gemfile for
//! tools and a site generator are near misses.

use windlass_plugin_common::assets::Files;
use windlass_sdk::{Detection, NearMiss};

use crate::facts::Facts;
use crate::{manifest, start};

/// What was decided.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) detection: Detection,
    pub(crate) kind: Kind,
    /// Command line of the process; none where it was declared.
    pub(crate) line: Option<String>,
    /// Whether it answers requests.
    pub(crate) web: bool,
    pub(crate) warnings: Vec<String>,
}

/// What its environment and its build depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rails,
    Hanami,
    Rack,
    Plain,
    /// A generator of a site: its command, and the folder that it writes.
    Site(&'static str, &'static str),
}

/// Generators of sites: gem and id, name, the files of one, the command and the folder that it writes.
/// Jekyll is the static plugin's.
const SITES: [(&str, &str, [&str; 2], &str, &str); 2] = [
    ("middleman", "Middleman", ["config.rb", "source"], "middleman build", "build"),
    ("nanoc", "nanoc", ["nanoc.yaml", "Rules"], "nanoc compile", "output"),
];

/// Gems that are frameworks on Rack: gem, id, name.
const ON_RACK: [(&str, &str, &str); 7] = [
    ("sinatra", "sinatra", "Sinatra"),
    ("hanami", "hanami", "Hanami"),
    ("roda", "rack", "Roda"),
    ("grape", "rack", "Grape"),
    ("padrino", "rack", "Padrino"),
    ("cuba", "rack", "Cuba"),
    ("syro", "rack", "Syro"),
];
/// Gems that make a site or a package, and start nothing.
const GENERATORS: [(&str, &str); 7] = [
    ("jekyll", "Jekyll"),
    ("github-pages", "Jekyll"),
    ("middleman", "Middleman"),
    ("nanoc", "nanoc"),
    ("bridgetown", "Bridgetown"),
    ("fastlane", "fastlane"),
    ("cocoapods", "CocoaPods"),
];
/// Files that are started, the usual first.
const ENTRIES: [&str; 14] = [
    "app.rb",
    "main.rb",
    "server.rb",
    "web.rb",
    "application.rb",
    "run.rb",
    "start.rb",
    "index.rb",
    "src/app.rb",
    "src/main.rb",
    "src/server.rb",
    "bin/server",
    "worker.rb",
    "bot.rb",
];
/// Those that answer no requests.
const WORKERS: [&str; 2] = ["worker.rb", "bot.rb"];
/// Files of the folder that configure a tool.
const TOOLS: [&str; 5] = ["config.rb", "Rakefile.rb", "install.rb", "setup.rb", "extconf.rb"];
const APPLICATION: &str = "config/application.rb";

/// Decides; `forced` is the setting `build.framework`.
pub(crate) fn decide(facts: &Facts, forced: Option<&str>) -> (Option<Decision>, Vec<NearMiss>) {
    let mut near_misses = Vec::new();
    if !is_ruby(facts) {
        return (None, near_misses);
    }
    if let Some(decision) = site(facts, forced) {
        return (Some(decision), near_misses);
    }
    if let Some(reason) = stands_back(facts).filter(|_| forced.is_none()) {
        near_misses.push(NearMiss { id: "ruby".to_owned(), reason });
        return (None, near_misses);
    }
    let found = match forced {
        Some("ruby") => None,
        Some("rails") => rails(facts, forced),
        Some("sinatra" | "hanami" | "rack") => rack(facts, forced),
        _ => rails(facts, None).or_else(|| rack(facts, None)),
    };
    match found.map_or_else(|| plain(facts), Ok) {
        Ok(decision) => (Some(decision), near_misses),
        Err(reason) => {
            near_misses.extend(reason.map(|reason| NearMiss { id: "ruby".to_owned(), reason }));
            (None, near_misses)
        }
    }
}

/// Whether anything here is written in Ruby.
fn is_ruby(facts: &Facts) -> bool {
    let signs = ["config.ru", "Rakefile", "bin/rails", APPLICATION];
    facts.gemfile.is_some()
        || facts.first(&signs).is_some()
        || facts.own(".rb").next().is_some()
        || facts.own(".gemspec").next().is_some()
        || facts.first(&ENTRIES).is_some()
}

/// Why it is no application although it has what applications have.
fn stands_back(facts: &Facts) -> Option<String> {
    if facts.is_library() && !facts.has(APPLICATION) {
        let spec = facts.own(".gemspec").next().unwrap_or_default();
        return Some(format!(
            "{spec} says that this is a gem, to be published and not to be run; if it is an \
             application, commit its Gemfile.lock, or set run.command in windlass.toml"
        ));
    }
    let serves = facts.has("config.ru") || facts.has(APPLICATION) || facts.uses("rails");
    let declared = facts.declared.web.is_some() || facts.declared.only_workers;
    if let Some((line, "Procfile", _)) = facts.declared.web.as_ref().filter(|_| !serves)
        && let Some(program) = foreign(line)
    {
        return Some(format!(
            "the Procfile runs {program}: this is no Ruby application; to run it as one, set \
             run.command in windlass.toml"
        ));
    }
    let known = GENERATORS.iter().find(|(gem, _)| facts.named(gem).is_some());
    let (_, name) = known.filter(|_| !serves && !declared)?;
    let (file, _) = facts.named(known?.0)?;
    Some(format!(
        "the {file} brings {name}, which builds files and answers no requests; to run something, \
         set run.command in windlass.toml"
    ))
}

/// The program of another language that a command starts.
fn foreign(line: &str) -> Option<&str> {
    const PROGRAMS: [&str; 12] = [
        "node", "npm", "yarn", "pnpm", "npx", "bun", "python", "python3", "gunicorn", "uvicorn",
        "php", "java",
    ];
    let mut words = line.split_whitespace().filter(|word| !word.contains('='));
    let first = words.find(|word| !matches!(*word, "env" | "exec"))?;
    PROGRAMS.contains(&first).then_some(first)
}

fn found(facts: &Facts, id: &str, name: &str, confidence: u8) -> Detection {
    let detection = Detection::new(id, name, "ruby").confidence(confidence).supersedes("static");
    let detection = if id == "ruby" { detection } else { detection.supersedes("ruby") };
    match &facts.declared.web {
        Some((_, file, sign)) => detection.evidence(*file, sign.clone()),
        None => detection,
    }
}

fn with_gem(facts: &Facts, detection: Detection, gem: &str) -> Detection {
    match (facts.named(gem), &facts.lock) {
        (Some((file, line)), _) => detection.evidence(file, line),
        (None, Some(lock)) => match lock.version(gem) {
            Some(version) => detection.evidence("Gemfile.lock", format!("{gem} ({version})")),
            None => detection,
        },
        (None, None) => detection,
    }
}

fn rails(facts: &Facts, forced: Option<&str>) -> Option<Decision> {
    let text = facts.text(APPLICATION).unwrap_or_default();
    let gem = facts.first_gem(&["rails", "railties"]);
    let defines = text.contains("Rails::Application");
    let asked = forced == Some("rails");
    if facts.gemfile.is_none() && !asked || facts.knows_gems() && gem.is_none() && !defines {
        return None;
    }
    let (confidence, sign, detail) = if facts.has(APPLICATION) {
        let detail = if defines { "Rails::Application" } else { "" };
        let known = gem.is_some() || defines || facts.has("bin/rails");
        (if known { 95 } else { 60 }, APPLICATION, detail)
    } else if facts.has("bin/rails") && !facts.is_library() {
        (60, "bin/rails", "there is no config/application.rb")
    } else if asked {
        (60, "Gemfile", "")
    } else {
        return None;
    };
    if confidence == 60 && !facts.has("bin/rails") && !asked {
        return None;
    }
    let mut detection = found(facts, "rails", "Ruby on Rails", confidence);
    detection = with_gem(facts, detection, gem.unwrap_or("rails")).evidence(sign, detail);
    if confidence == 95 {
        // Their package.json builds assets.
        detection = detection.supersedes("node").supersedes("vite");
    }
    let (line, warnings) = start::rails(facts);
    let line = Some(line);
    Some(Decision { detection, kind: Kind::Rails, line, web: true, warnings })
}

/// A generator of a site, unless something is run.
fn site(facts: &Facts, forced: Option<&str>) -> Option<Decision> {
    let serves = facts.has(APPLICATION) || facts.declared.web.is_some();
    let known = |(gem, _, files, ..): &&(&str, &str, [&'static str; 2], &str, &str)| match forced {
        Some(forced) => forced == *gem,
        None => !serves && facts.uses(gem) && facts.first(files).is_some(),
    };
    let (gem, name, files, command, folder) = SITES.iter().find(known)?;
    let file = facts.first(files).unwrap_or("Gemfile");
    let detection = with_gem(facts, found(facts, gem, name, 90), gem).evidence(file, "");
    let kind = Kind::Site(command, folder);
    Some(Decision { detection, kind, line: None, web: false, warnings: Vec::new() })
}

/// A framework on Rack, or a `config.ru`.
fn rack(facts: &Facts, forced: Option<&str>) -> Option<Decision> {
    let asked = |id: &str| forced.is_none_or(|forced| forced == id);
    let known = ON_RACK.iter().find(|(gem, id, _)| facts.uses(gem) && asked(id)).copied();
    // The id `rack` is that of all that have none of their own.
    let wanted = ON_RACK.iter().find(|(gem, id, _)| gem == id && forced == Some(*id)).copied();
    let (gem, id, name) = known.or(wanted).unwrap_or(("rack", "rack", "Rack"));
    let kind = if id == "hanami" { Kind::Hanami } else { Kind::Rack };
    if facts.has("config.ru") {
        // A Procfile says what is run; a config.ru beside it may be for something else.
        let confidence = match (known.is_some(), facts.gemfile.is_some()) {
            (true, _) => 92,
            (false, true) => 80,
            (false, false) => 39,
        };
        let mut detection = with_gem(facts, found(facts, id, name, confidence), gem);
        detection = detection.evidence("config.ru", "");
        detection.refusal = manifest::missing(facts, "config.ru");
        let (line, warnings) = start::rack(facts);
        return Some(Decision { detection, kind, line: Some(line), web: true, warnings });
    }
    if id != "sinatra" || facts.gemfile.is_none() {
        return None;
    }
    let (entry, sign) = sinatra_entry(facts)?;
    let used = sign.is_some();
    let confidence = if used { 92 } else { 55 };
    let mut detection = with_gem(facts, found(facts, id, name, confidence), gem);
    let unused = || format!("{name} is declared, but this file does not require it");
    detection = detection.evidence(entry, sign.unwrap_or_else(unused));
    let line = Some(start::script(facts, entry));
    let warnings = start::sinatra(facts).into_iter().collect();
    Some(Decision { detection, kind, line, web: true, warnings })
}

/// The file that requires Sinatra; else the usual entry, without a line.
fn sinatra_entry<'f>(facts: &'f Facts) -> Option<(&'f str, Option<String>)> {
    let requires = |file: &str| {
        let text = facts.text(file)?;
        let sign = |line: &str| line.trim().starts_with("require") && line.contains("sinatra");
        let n = text.lines().position(sign)?;
        Some(format!("line {}: require sinatra", n + 1))
    };
    let usual = ENTRIES.iter().copied().filter(|file| facts.has(file));
    let files: Vec<&str> = usual.chain(facts.own(".rb")).collect();
    let using = files.iter().find_map(|file| Some((*file, Some(requires(file)?))));
    using.or_else(|| files.first().map(|file| (*file, None)))
}

/// A script, or what was declared.
fn plain(facts: &Facts) -> Result<Decision, Option<String>> {
    let declared = facts.declared.web.is_some() || facts.declared.only_workers;
    let entry = facts.first(&ENTRIES).or_else(|| only_script(facts));
    let manifest = facts.gemfile.as_ref().map(|(file, ..)| *file);
    let usual = entry.is_some_and(|entry| ENTRIES[..4].contains(&entry));
    let confidence = match (manifest, entry) {
        (Some(_), _) if declared => 80,
        (None, Some(_)) if declared => 60,
        (None, None) if declared && starts_ruby(facts) => 60,
        (Some(_), Some(_)) => 65,
        (None, Some(_)) if usual => 35,
        _ => return Err(no_start(facts, manifest)),
    };
    let mut detection = found(facts, "ruby", "Ruby", confidence);
    if let Some(manifest) = manifest {
        detection = detection.evidence(manifest, "");
    }
    if let Some(entry) = entry.filter(|_| facts.declared.web.is_none()) {
        detection = detection.evidence(entry, "");
    }
    if detection.evidence.is_empty() {
        detection = detection.evidence("Procfile", "only workers");
    }
    detection.refusal = entry.and_then(|entry| manifest::missing(facts, entry));
    let line = entry.map(|entry| start::script(facts, entry));
    let web = !entry.is_some_and(|entry| WORKERS.contains(&entry));
    Ok(Decision { detection, kind: Kind::Plain, line, web, warnings: Vec::new() })
}

/// The only Ruby file of the folder, beside a Gemfile.
fn only_script<'f>(facts: &'f Facts) -> Option<&'f str> {
    facts.gemfile.as_ref()?;
    let mut own = facts.own(".rb").filter(|file| *file != "gems.rb" && !TOOLS.contains(file));
    let first = own.next()?;
    own.next().is_none().then_some(first)
}

/// Whether the declared command runs Ruby.
fn starts_ruby(facts: &Facts) -> bool {
    let line = facts.declared.web.as_ref().map(|(line, ..)| line.as_str()).unwrap_or_default();
    let programs = ["ruby", "bundle", "rackup", "puma", "rails", "rake"];
    line.split_whitespace().any(|word| programs.contains(&word))
}

fn no_start(facts: &Facts, manifest: Option<&str>) -> Option<String> {
    let usual = ENTRIES[..4].join(", ");
    if let Some(manifest) = manifest {
        return Some(format!(
            "there is a {manifest}, but no config/application.rb, no config.ru and none of {usual} \
             to start; set run.command in windlass.toml"
        ));
    }
    let reason = "there is a Rakefile, but nothing to start: tasks are run on demand; set \
                  run.command in windlass.toml";
    facts.has("Rakefile").then(|| reason.to_owned())
}
