//! Whether what a file needs is named in any Gemfile.

use windlass_plugin_common::assets::Files;
use windlass_plugin_common::spelling;
use windlass_sdk::PluginError;

use crate::facts::Facts;

/// The manifest, as it is spelled.
const MANIFESTS: [&str; 1] = ["Gemfile"];
/// Gems that never come with Ruby, by what they are required as.
const GEMS: [&str; 22] = [
    "active_record",
    "activerecord",
    "bundler/setup",
    "cuba",
    "discordrb",
    "dotenv",
    "faraday",
    "grape",
    "hanami",
    "httparty",
    "mongo",
    "nokogiri",
    "pg",
    "puma",
    "rack",
    "rails",
    "redis",
    "roda",
    "sequel",
    "sidekiq",
    "sinatra",
    "telegram/bot",
];

/// The refusal of an application without a Gemfile that needs a gem: nothing would be installed, and it would end at
/// its first line. A `config.ru` always needs one: Ruby has no `rackup`.
pub(crate) fn missing(facts: &Facts, file: &str) -> Option<PluginError> {
    let build = &facts.settings.build;
    let installs = build.install.is_some() || build.command.is_some();
    if facts.gemfile.is_some() || installs || !is_run(facts, file) {
        return None;
    }
    let text = facts.text(file).unwrap_or_default();
    let gem = match GEMS.into_iter().find(|gem| requires(&text, gem)) {
        None if file == "config.ru" => "rack",
        found => found?,
    };
    let message =
        format!("{file} needs the gem {gem}, and no Gemfile says what is to be installed");
    let misspelled = spelling::near_misses(facts.source, "ruby", &MANIFESTS);
    let folders = spelling::folders_with(facts.source, &MANIFESTS);
    let hint = match (misspelled.first(), folders.first()) {
        (Some(miss), _) => format!("rename it: {}", miss.reason),
        (_, Some((folder, file))) => format!(
            "there is {folder}/{file}: to deploy that folder, set build.app_dir = {folder:?} in windlass.toml"
        ),
        _ => format!(
            "list the gems in a Gemfile beside it (`bundle init && bundle add {gem} puma` writes one), or set \
             build.install in windlass.toml"
        ),
    };
    Some(PluginError::new("ruby.no-manifest", message).hint(hint))
}

/// Whether the file is what runs: a command line that was declared may name another.
fn is_run(facts: &Facts, file: &str) -> bool {
    facts.declared.web.as_ref().is_none_or(|(line, ..)| {
        let rack = file == "config.ru" && ["rackup", "puma"].iter().any(|name| line.contains(name));
        rack || line.split_whitespace().any(|word| word.trim_start_matches("./") == file)
    })
}

/// Whether a gem is required at the top level, where a failure ends the program: `require "sinatra/base"`.
fn requires(text: &str, gem: &str) -> bool {
    text.lines().any(|line| {
        let name = line.strip_prefix("require ").and_then(|rest| rest.split(['"', '\'']).nth(1));
        let rest = name.and_then(|name| name.strip_prefix(gem));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::requires;

    #[test]
    fn only_what_ends_the_program_is_required() {
        for text in ["require 'sinatra'", "x = 1\nrequire \"sinatra/base\"\n"] {
            assert!(requires(text, "sinatra"), "{text}");
        }
        for text in
            ["  require 'sinatra'", "# require 'sinatra'", "require './sinatra'", "require 'json'"]
        {
            assert!(!requires(text, "sinatra"), "{text}");
        }
    }
}
