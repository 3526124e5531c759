//! The command that starts it: the server that the bundle has, on the port that the host gives.

use windlass_plugin_common::assets::Files;

use crate::facts::Facts;

const PUMA: &str = "config/puma.rb";
/// Gems that serve.
const SERVERS: [&str; 7] = ["puma", "falcon", "thin", "unicorn", "passenger", "iodine", "webrick"];

/// Rails: its own command starts the server that the bundle has. What a killed server left in `tmp/pids`
/// would stop the next one.
pub(crate) fn rails(facts: &Facts) -> (String, Vec<String>) {
    let warnings = without_server(facts, "puma").into_iter().collect();
    if facts.uses("unicorn") && !facts.uses("puma") {
        return (unicorn(facts), warnings);
    }
    let server = "bundle exec rails server -b 0.0.0.0 -p \"$PORT\"";
    (format!("rm -f tmp/pids/server.pid && {server}"), warnings)
}

/// A `config.ru`.
pub(crate) fn rack(facts: &Facts) -> (String, Vec<String>) {
    let port = "\"$PORT\"";
    let servers = ["puma", "falcon", "unicorn", "thin", "passenger", "iodine"];
    let line = match facts.first_gem(&servers) {
        Some("puma") if facts.has(PUMA) => format!("bundle exec puma -C {PUMA} -p {port}"),
        Some("puma") => format!("bundle exec puma -p {port}"),
        Some("falcon") => "bundle exec falcon serve --bind \"http://0.0.0.0:$PORT\"".to_owned(),
        Some("unicorn") => unicorn(facts),
        Some("thin") => format!("bundle exec thin start -R config.ru -a 0.0.0.0 -p {port}"),
        Some("passenger") => {
            format!("bundle exec passenger start --engine=builtin --address 0.0.0.0 --port {port}")
        }
        Some(_) => format!("bundle exec iodine -b 0.0.0.0 -p {port}"),
        None if facts.gemfile.is_none() => format!("rackup config.ru -o 0.0.0.0 -p {port}"),
        None => format!("bundle exec rackup config.ru -o 0.0.0.0 -p {port}"),
    };
    (line, no_server(facts).into_iter().collect())
}

/// Why Sinatra, run by its own file, would find nothing to serve with.
pub(crate) fn sinatra(facts: &Facts) -> Option<String> {
    let modern = facts.locked("sinatra").is_some_and(|(major, _)| major >= 4);
    let rackup = modern && !facts.uses("rackup");
    let alone = || {
        rackup.then(|| {
            "Sinatra 4 starts no server without the gem rackup: add it to the Gemfile".to_owned()
        })
    };
    without_server(facts, "puma and rackup").or_else(alone)
}

/// Why `rackup` would find nothing to serve with.
fn no_server(facts: &Facts) -> Option<String> {
    if let Some(reason) = without_server(facts, "puma") {
        return Some(reason);
    }
    let modern = facts.locked("rack").is_some_and(|(major, _)| major >= 3);
    let others = ["puma", "unicorn", "passenger", "iodine", "rackup"];
    (modern && facts.first_gem(&others).is_none()).then(|| {
        "rack 3 has no rackup command: add the gem rackup, or puma, to the Gemfile".to_owned()
    })
}

/// That no gem serves, where it is known which gems there are, and what is to be added. A command that was declared
/// may serve by other means; those of Rails, Rack, Ruby and of such a gem do not.
fn without_server(facts: &Facts, add: &str) -> Option<String> {
    let usual = ["rails s", "rackup", "ruby "];
    let declared = facts.declared.web.as_ref();
    let usual = || usual.iter().chain(&SERVERS);
    let own = declared.is_some_and(|(line, ..)| !usual().any(|word| line.contains(word)));
    let file = facts.gems_file().filter(|_| !own && facts.first_gem(&SERVERS).is_none())?;
    Some(format!("{file} has no web server: add {add} to the Gemfile"))
}

fn unicorn(facts: &Facts) -> String {
    let config = facts.first(&["config/unicorn.rb", "unicorn.rb"]);
    let config = config.map(|file| format!(" -c {file}")).unwrap_or_default();
    format!("bundle exec unicorn{config} -l \"0.0.0.0:$PORT\"")
}

/// A script. Installed gems are found without Bundler, except those that come from Git or a folder.
pub(crate) fn script(facts: &Facts, file: &str) -> String {
    let unpublished = facts.lock.as_ref().is_some_and(|lock| lock.unpublished);
    let paths = facts.gemfile.as_ref().is_some_and(|(.., gemfile)| !gemfile.paths.is_empty());
    if unpublished || paths { format!("bundle exec ruby {file}") } else { format!("ruby {file}") }
}
