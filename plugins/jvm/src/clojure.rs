//! Clojure: Leiningen and tools.build.

use windlass_sdk::NearMiss;

use crate::app::{App, Language, Package, Tool};
use crate::facts::{Facts, miss};

const LEIN: &str = "project.clj";
const DEPS: &str = "deps.edn";
const BUILD: &str = "build.clj";

/// What is built here, or what nearly is an application; `None` where there is no Clojure.
pub(crate) fn decide(facts: &Facts) -> Option<Result<App, Vec<NearMiss>>> {
    if facts.root.contains(LEIN) {
        return Some(lein(facts));
    }
    facts.root.contains(DEPS).then(|| tools(facts))
}

fn lein(facts: &Facts) -> Result<App, Vec<NearMiss>> {
    let text = without_comments(&facts.text(LEIN));
    let mut app = App::new(Tool::Lein, Language::Clojure, Package::Jar, LEIN);
    let ring = text.contains("lein-ring") && text.contains(":handler");
    app.tasks = vec![if ring { "ring uberjar" } else { "uberjar" }.to_owned()];
    if text.trim().is_empty() {
        app.confidence = 60;
        "nothing in it could be read".clone_into(&mut app.sign);
    } else if ring {
        app.confidence = 85;
        ":ring :handler".clone_into(&mut app.sign);
    } else if let Some(line) = line_of(&text, ":main") {
        app.confidence = 82;
        app.sign = format!("line {line}: :main");
    } else {
        let reason = "project.clj names no :main namespace: it is taken for a library; add :main, and \
                      :aot for it, or set run.command in windlass.toml";
        return Err(vec![miss("clojure", reason)]);
    }
    Ok(app)
}

fn tools(facts: &Facts) -> Result<App, Vec<NearMiss>> {
    if !facts.root.contains(BUILD) {
        let reason = "there is a deps.edn, but no build.clj that makes an uberjar: add one with \
                      tools.build, and a :build alias";
        return Err(vec![miss("clojure", reason)]);
    }
    let mut app = App::new(Tool::ToolsBuild, Language::Clojure, Package::Jar, BUILD);
    let text = without_comments(&facts.text(BUILD));
    let names = ["uber", "uberjar", "uber-jar", "build", "all", "ci"];
    let defined = |name: &&&str| {
        let head = format!("(defn {name}");
        text.match_indices(&head).any(|(at, _)| {
            let next = text[at + head.len()..].chars().next();
            next.is_none_or(|c| c.is_whitespace() || matches!(c, '[' | '"' | ')'))
        })
    };
    let known = names.iter().find(defined);
    if text.trim().is_empty() {
        app.confidence = 60;
        "nothing in it could be read".clone_into(&mut app.sign);
    } else if let (Some(name), true) = (known, text.contains("uber")) {
        app.confidence = 82;
        app.sign = format!("(defn {name}");
    } else {
        let reason = "build.clj defines no function that makes an uberjar (uber, uberjar): it is taken \
                      for a library's";
        return Err(vec![miss("clojure", reason)]);
    }
    let deps = without_comments(&facts.text(DEPS));
    app.tasks = vec![alias(&deps), known.unwrap_or(&"uber").to_string()];
    Ok(app)
}

/// The alias that brings tools.build.
fn alias(deps: &str) -> String {
    let before = deps.split("tools.build").next().filter(|before| before.len() < deps.len());
    let before = before.unwrap_or_default();
    let word = |at: usize| {
        let name = before[at + 1..].split(|c: char| c.is_whitespace() || c == '{').next()?;
        let opens = before[at + 1 + name.len()..].trim_start().starts_with('{');
        let keys = ["deps", "replace-deps", "extra-deps", "aliases", "override-deps"];
        (opens && !keys.contains(&name)).then(|| name.to_owned())
    };
    let found = before.match_indices(':').filter_map(|(at, _)| word(at)).next_back();
    found.unwrap_or_else(|| "build".to_owned())
}

fn line_of(text: &str, word: &str) -> Option<usize> {
    let at = text
        .match_indices(word)
        .find(|(at, _)| text[at + word.len()..].chars().next().is_none_or(char::is_whitespace))?;
    Some(text[..at.0].matches('\n').count() + 1)
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split(';').next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::alias;

    #[test]
    fn the_alias_is_the_one_that_brings_the_build() {
        let deps = "{:deps {a {:mvn/version \"1\"}} :aliases {:test {:extra-deps {b {}}}\n \
                    :make {:deps {io.github.clojure/tools.build {}} :ns-default build}}}";
        assert_eq!(alias(deps), "make");
        assert_eq!(
            alias("{:aliases {:build {:replace-deps {io.github.clojure/tools.build 1}}}}"),
            "build"
        );
        assert_eq!(alias(""), "build");
    }
}
