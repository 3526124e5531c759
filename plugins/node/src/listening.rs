//! Where the started program listens: the port that it insists on, an address that nothing reaches, or nowhere
//! at all. A look at the text of its entry file, and not an evaluation.

use windlass_plugin_common::ports;
use windlass_plugin_common::scripts::program;
use windlass_sdk::Evidence;

use crate::config::normal;
use crate::entry;
use crate::facts::Facts;
use crate::start;

/// Endings that may be left out of a file's name, and the file that a folder stands for.
const ENDINGS: [&str; 6] = ["", ".js", ".mjs", ".cjs", "/index.js", "/index.mjs"];
/// Endings of the source of a compiled file.
const TYPED: [&str; 4] = [".ts", ".mts", ".cts", ".tsx"];
/// Folders that compilers write.
const COMPILED: [&str; 4] = ["dist/", "build/", "lib/", "out/"];
/// Libraries of bots that ask for their work and open no port.
const BOTS: [&str; 27] = [
    "discord.js",
    "@discordjs/core",
    "@sapphire/framework",
    "detritus-client",
    "eris",
    "oceanic.js",
    "seyfert",
    "telegraf",
    "grammy",
    "node-telegram-bot-api",
    "telegram",
    "@mtcute/node",
    "@slack/socket-mode",
    "@slack/rtm-api",
    SLACK,
    "tmi.js",
    "@twurple/chat",
    "whatsapp-web.js",
    "@whiskeysockets/baileys",
    "baileys",
    "venom-bot",
    "@wppconnect-team/wppconnect",
    "@open-wa/wa-automate",
    "vk-io",
    "matrix-bot-sdk",
    "mineflayer",
    "irc-framework",
];

/// Slack's library answers requests, unless it is told to ask for them.
const SLACK: &str = "@slack/bolt";
/// Libraries of bots for Telegram, which may be sent their work.
const TELEGRAM: [&str; 3] = ["telegraf", "grammy", "node-telegram-bot-api"];
/// How they are told so.
const WEBHOOKS: [&str; 7] = [
    "webhook:",
    "webHook:",
    "webhookCallback(",
    "createWebhook(",
    "startWebhook(",
    "setWebhook(",
    "setWebHook(",
];
/// Addresses that nothing outside of the instance reaches.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The port that the application insists on: in its start command, or written into its entry file.
pub(crate) fn fixed_port(facts: &Facts, line: &str) -> Option<(u16, Evidence)> {
    let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || c == '=').collect();
    let flag = |pair: &[&str]| {
        matches!(pair[0], "--port" | "-p" | "-l" | "PORT").then(|| pair[1].parse().ok()).flatten()
    };
    if let Some(port) = words.windows(2).find_map(flag) {
        let sign = format!("{line:?} names the port {port}");
        return Some((port, Evidence::new("package.json", sign)));
    }
    let (file, text) = listening_file(facts, line)?;
    if let Some(name) = variable(&text) {
        let port = ports::set_by(line, &name)?.parse().ok()?;
        return Some((port, Evidence::new("package.json", format!("{line:?} sets {name}"))));
    }
    let port = written(&text)?;
    Some((port, Evidence::new(file, format!("listens on {port}, and does not read PORT"))))
}

/// The variable that the application reads its port from, if that is not `PORT` and its start command does not set
/// it, and the file that reads it.
pub(crate) fn port_variable(facts: &Facts, line: &str) -> Option<(String, String)> {
    let (file, text) = listening_file(facts, line)?;
    let name = variable(&text).filter(|name| ports::set_by(line, name).is_none())?;
    Some((name, file))
}

/// The first of the started files that says anything of a port, and its text.
fn listening_file(facts: &Facts, line: &str) -> Option<(String, String)> {
    let says =
        |text: &str| reads_port(&code(text)) || written(text).is_some() || variable(text).is_some();
    let file = entry::any(facts, &entry_file(facts, line)?, says).flatten()?;
    let text = facts.text(&file)?;
    Some((file, text))
}

/// The started file that listens on the loopback address alone, where nothing reaches it.
pub(crate) fn on_loopback(facts: &Facts, line: &str) -> Option<String> {
    entry::any(facts, &entry_file(facts, line)?, |text| listens_locally(facts, text)).flatten()
}

fn listens_locally(facts: &Facts, text: &str) -> bool {
    let text = code(text);
    // Fastify does where it is told no address.
    let fastify = ["fastify", "@nestjs/platform-fastify"]
        .iter()
        .any(|package| facts.uses(package) && text.contains(package));
    let local = |call: &&str| is_local(&text, call) || fastify && names_no_address(call);
    calls(&text).iter().any(local)
}

/// Whether a call that listens names a loopback address, also by a constant.
fn is_local(text: &str, call: &str) -> bool {
    let quoted = |text: &str| {
        text.split(['"', '\'', '`']).skip(1).step_by(2).any(|it| LOOPBACK.contains(&it))
    };
    let line = |name: &str| value_of(text, name).and_then(|value| value.lines().next());
    let mut words = call.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$'));
    quoted(call) || words.any(|word| line(word).is_some_and(quoted))
}

/// Whether a call that listens names a port and no address.
fn names_no_address(call: &str) -> bool {
    let call = call.trim();
    if let Some(object) = call.strip_prefix('{') {
        let object = object.split('}').next().unwrap_or(object);
        return object.contains("port") && !object.contains("host") && !object.contains("...");
    }
    let mut parts = call.splitn(2, ',').map(str::trim);
    let port = parts.next().is_some_and(|first| {
        first.starts_with(|c: char| c.is_ascii_digit()) || first.to_lowercase().contains("port")
    });
    let callback = |second: &str| {
        second.is_empty() || ["(", "async", "function"].iter().any(|sign| second.starts_with(sign))
    };
    port && parts.next().is_none_or(callback)
}

/// The library of a bot that opens no port: none of the started files does.
pub(crate) fn bot(facts: &Facts, line: &str) -> Option<&'static str> {
    let package = facts.package.as_ref()?;
    let bot = BOTS.into_iter().find(|name| package.depends_on(name))?;
    let telegram = TELEGRAM.iter().any(|name| package.depends_on(name));
    let file = entry_file(facts, line);
    let started = file.as_deref().unwrap_or(line);
    let opens = |text: &str| {
        let text = code(text);
        let asked = || WEBHOOKS.iter().any(|sign| text.contains(sign));
        start::opens_a_port(&text) || telegram && asked()
    };
    let quiet = entry::any(facts, started, opens)?.is_none();
    let asks = || {
        let found = entry::any(facts, started, |text| code(text).contains("socketMode"));
        found.flatten().is_some()
    };
    let quiet = quiet && fixed_port(facts, line).is_none() && (bot != SLACK || asks());
    quiet.then_some(bot)
}

/// What to say of a web process that is declared, and is a bot that opens no port.
pub(crate) fn quiet_web(facts: &Facts) -> Option<String> {
    let (line, ..) = facts.declared.web.as_ref()?;
    bot(facts, line)?;
    facts.declared.no_port(entry_file(facts, line).as_ref().unwrap_or(line))
}

/// The file that a command runs, or the source that it is compiled from: `node .`, `node index`,
/// `node dist/index.js`, `tsx src/index.ts`.
pub(crate) fn entry_file(facts: &Facts, line: &str) -> Option<String> {
    let last = line.rsplit("&&").next().unwrap_or(line);
    let mut words = last.split_whitespace().skip_while(|word| word.contains('='));
    let runner = words.find(|word| !matches!(*word, "exec" | "env" | "npx" | "cross-env"))?;
    let runners = ["node", "bun", "tsx", "ts-node", "babel-node", "pm2-runtime"];
    if !runners.contains(&program(runner)) {
        return None;
    }
    let words = words.filter(|word| !word.starts_with('-') && !matches!(*word, "start" | "run"));
    let main = facts.package.as_ref().and_then(|package| package.main());
    let mut words = words.map(|word| word.trim_matches(['"', '\'']));
    words.find_map(|word| match word {
        "." | "./" => file(facts, main.unwrap_or("index.js")),
        word => file(facts, word),
    })
}

/// The file of this name, with or without its ending, or its source.
fn file(facts: &Facts, name: &str) -> Option<String> {
    let name = normal(name);
    let code = |file: &String| {
        let ending = file.rsplit('.').next().unwrap_or_default();
        matches!(ending, "js" | "mjs" | "cjs" | "ts" | "mts" | "cts" | "tsx" | "jsx")
    };
    let itself = ENDINGS.iter().map(|ending| format!("{name}{ending}"));
    if let Some(found) = itself.filter(code).find(|file| facts.has(file)) {
        return Some(found);
    }
    let rest = COMPILED.iter().find_map(|folder| name.strip_prefix(folder))?;
    let stem = [".js", ".mjs", ".cjs"].iter().find_map(|ending| rest.strip_suffix(ending));
    let stem = stem.unwrap_or(rest).trim_start_matches("src/");
    let sources = ["src/", ""].into_iter().flat_map(|folder| {
        let endings = TYPED.into_iter().chain([".js", ".mjs"]);
        endings.map(move |ending| format!("{folder}{stem}{ending}"))
    });
    sources.into_iter().find(|file| facts.has(file))
}

/// The port that a program listens on, if it does not read `PORT`.
fn written(text: &str) -> Option<u16> {
    let text = code(text);
    if reads_port(&text) {
        return None;
    }
    calls(&text).into_iter().find_map(|call| {
        let named = call.split("port:").nth(1).map(str::trim_start);
        let first = call.trim_start();
        let value = match named {
            Some(value) => value,
            None if first.starts_with('{') => return shorthand(&text, call),
            None => first,
        };
        number(value).or_else(|| constant(&text, identifier(value)))
    })
}

/// So many names lead from one to the next.
const NAMES_DEEP: usize = 3;

/// The variable that a program reads the port from that it listens on, if it does not read `PORT`:
/// `app.listen(process.env.SERVER_PORT || 3000)`, also by names in between.
fn variable(text: &str) -> Option<String> {
    let text = code(text);
    if reads_port(&text) {
        return None;
    }
    let found = calls(&text).into_iter().find_map(|call| {
        let named = call.split("port:").nth(1);
        let first = call.trim_start();
        let value = match named {
            Some(value) => value,
            None if first.starts_with('{') => {
                let inner = call.split(['{', '}']).nth(1)?;
                inner.split(',').map(str::trim).find(|word| *word == "port")?
            }
            None => first,
        };
        by_name(&text, value, NAMES_DEEP)
    });
    found.filter(|name| ports::is_own(name)).map(str::to_owned)
}

/// The variable of the environment that a value comes from.
fn by_name<'t>(text: &'t str, value: &'t str, deep: usize) -> Option<&'t str> {
    let value = argument(value);
    if let Some(name) = of_environment(value) {
        return Some(name);
    }
    let deep = deep.checked_sub(1)?;
    // `config.port`, of an object in the same file.
    let member = value.contains(".port").then(|| text.match_indices("port:"));
    let mut members = member.into_iter().flatten().map(|(at, key)| &text[at + key.len()..]);
    if let Some(name) = members.find_map(|value| of_environment(argument(value))) {
        return Some(name);
    }
    let mut names = value.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$'));
    names.find_map(|name| {
        let unpacked = || unpacked(text, name);
        value_of(text, name).and_then(|value| by_name(text, value, deep)).or_else(unpacked)
    })
}

/// The value as far as the end of the argument, of the property or of the statement.
fn argument(value: &str) -> &str {
    let mut depth = 0_usize;
    let end = value.char_indices().find_map(|(at, c)| {
        let ends = match c {
            '(' | '[' | '{' => {
                depth += 1;
                false
            }
            ')' | ']' | '}' if depth > 0 => {
                depth -= 1;
                false
            }
            ')' | ']' | '}' | ';' => true,
            ',' | '\n' => depth == 0,
            _ => false,
        };
        ends.then_some(at)
    });
    &value[..end.unwrap_or(value.len())]
}

/// `process.env.APP_PORT`, `process.env['APP_PORT']` → `APP_PORT`
fn of_environment(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("process.env").or_else(|| value.split_once("Bun.env"))?;
    let rest = rest.strip_prefix('?').unwrap_or(rest);
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    let name = match rest.strip_prefix('[') {
        Some(quoted) => quoted.trim_start_matches(['"', '\'', '`']),
        None => rest,
    };
    Some(identifier(name)).filter(|name| !name.is_empty())
}

/// The variable that a name is unpacked from: `const { APP_PORT: port = 3000 } = process.env`.
fn unpacked<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut before = text.match_indices("} = process.env").map(|(at, _)| &text[..at]);
    before.find_map(|before| {
        let inner = before.rsplit('{').next()?;
        inner.split(',').find_map(|item| {
            let item = item.split('=').next().unwrap_or(item);
            let (variable, local) = item.split_once(':').unwrap_or((item, item));
            (local.trim() == name && !name.is_empty()).then(|| variable.trim())
        })
    })
}

/// Whether a text reads the variable `PORT`.
fn reads_port(text: &str) -> bool {
    let signs =
        ["env.PORT", "env?.PORT", "env[\"PORT\"]", "env['PORT']", "{ PORT", "{PORT", ", PORT"];
    signs.iter().any(|sign| text.contains(sign))
}

/// `{ port }`
fn shorthand(text: &str, call: &str) -> Option<u16> {
    let inner = call.split(['{', '}']).nth(1)?;
    let is = |word: &str| word.trim() == "port";
    inner.split(',').any(is).then(|| constant(text, "port")).flatten()
}

/// The arguments of the calls that listen, as far as their first function or their end.
fn calls(text: &str) -> Vec<&str> {
    let signs = [".listen(", "serve(", "listen:"];
    let mut found: Vec<(usize, &str)> = Vec::new();
    for sign in signs {
        for (at, _) in text.match_indices(sign) {
            let whole = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = text[at + sign.len()..].trim_start_matches(' ');
            let end = rest.find("=>").unwrap_or(rest.len());
            let end = rest.find(';').map_or(end, |at| at.min(end));
            let end = rest
                .find('\n')
                .filter(|_| !rest.starts_with(['{', '\n']))
                .map_or(end, |at| at.min(end));
            if whole || sign.starts_with('.') {
                found.push((at, &rest[..end]));
            }
        }
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, call)| call).collect()
}

/// The number that a name is set to: `const port = 3000`.
fn constant(text: &str, name: &str) -> Option<u16> {
    value_of(text, name).and_then(number)
}

/// What follows where a name is declared: `const port = `, `let port: number = `.
fn value_of<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    if name.is_empty() {
        return None;
    }
    ["const ", "let ", "var "].iter().find_map(|keyword| {
        let declared = format!("{keyword}{name}");
        let mut values = text.match_indices(&declared).filter_map(|(at, _)| {
            let rest = text[at + declared.len()..].trim_start();
            let typed = [": number", ": string"].iter().find_map(|kind| rest.strip_prefix(kind));
            typed.unwrap_or(rest).trim_start().strip_prefix('=').map(str::trim_start)
        });
        values.next()
    })
}

/// A number that stands alone, without a further word behind it.
fn number(text: &str) -> Option<u16> {
    let text = text.trim_start_matches(['"', '\'']);
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let rest = text[digits..].trim_start_matches(['"', '\'']).trim_start_matches([' ', '\t']);
    let alone = rest.is_empty() || rest.starts_with([',', ')', ';', '}', '\n', '\r']);
    text[..digits].parse().ok().filter(|port| alone && *port > 0)
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$'));
    &text[..end.unwrap_or(text.len())]
}

/// The text without lines that are comments.
fn code(text: &str) -> String {
    let comment = |line: &&str| {
        let line = line.trim_start();
        ["//", "/*", "*"].into_iter().any(|sign| line.starts_with(sign))
    };
    text.lines().filter(|line| !comment(line)).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_nothing_reaches_is_seen() {
        for (text, local) in [
            ("app.listen(3000, 'localhost')", true),
            ("app.listen({ port: 3000, host: \"127.0.0.1\" })", true),
            ("const hostname = '127.0.0.1';\nserver.listen(port, hostname, () => {", true),
            ("Bun.serve({ hostname: `localhost`, port: 3000 })", true),
            ("const HOST = process.env.HOST || 'localhost'\napp.listen(PORT, HOST)", true),
            ("app.listen(3000, '0.0.0.0')", false),
            ("app.listen(3000, () => console.log('localhost'))", false),
            ("const hostname = '0.0.0.0';\nserver.listen(port, hostname)", false),
            ("redis.connect('localhost')", false),
        ] {
            let found = calls(text).iter().any(|call| is_local(text, call));
            assert_eq!(found, local, "{text}");
        }
    }

    #[test]
    fn a_call_without_an_address_is_seen() {
        for (call, none) in [
            ("{ port: 3000 })", true),
            ("{ port }, (err) ", true),
            ("{ port, host: '0.0.0.0' })", false),
            ("{ port, ...options })", false),
            ("3000)", true),
            ("3000, (err) ", true),
            ("3000, function (err) {", true),
            ("3000, HOST)", false),
            ("process.env.PORT ?? 3000)", true),
            ("options)", false),
            (")", false),
        ] {
            assert_eq!(names_no_address(call), none, "{call}");
        }
    }

    #[test]
    fn a_port_of_another_variable_is_seen_where_it_is_plain() {
        for (text, name) in [
            ("app.listen(process.env.SERVER_PORT || 3000, () => {})", Some("SERVER_PORT")),
            (
                "const port = Number(process.env['APP_PORT'] ?? 80)\napp.listen(port)",
                Some("APP_PORT"),
            ),
            ("const { HTTP_PORT = 3000 } = process.env;\napp.listen(HTTP_PORT)", Some("HTTP_PORT")),
            ("const { X_PORT: port } = process.env;\nserve({ fetch, port })", Some("X_PORT")),
            (
                "const p = parseInt(process.env.API_PORT, 10)\nawait f.listen({ port: p })",
                Some("API_PORT"),
            ),
            (
                "const config = {\n  port: process.env.NODE_PORT || 3000,\n}\napp.listen(config.port)",
                Some("NODE_PORT"),
            ),
            ("let port = Bun.env.WEB_PORT\nBun.serve({ port: port, fetch })", Some("WEB_PORT")),
            ("app.listen(process.env.PORT || process.env.SERVER_PORT)", None),
            ("const db = { port: process.env.DB_PORT }\napp.listen(db.port)", None),
            ("app.listen(process.env.ADDRESS)", None),
            ("app.listen(3000)\nconst x = process.env.SERVER_PORT", None),
            ("// app.listen(process.env.APP_PORT)", None),
        ] {
            assert_eq!(variable(text).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn a_written_port_is_found_and_a_read_one_is_left() {
        for (text, port) in [
            ("app.listen(3000)", Some(3000)),
            ("app.listen(8080, () => {})", Some(8080)),
            ("const port = 3000\napp.listen(port, () => {})", Some(3000)),
            ("const PORT: number = 5000;\napp.listen(PORT)", Some(5000)),
            ("await fastify.listen({ port: 3000 })", Some(3000)),
            ("const port = 3001\nawait app.listen({ port, host: '0.0.0.0' })", Some(3001)),
            ("serve({ fetch: app.fetch, port: 3000 }, (info) => {})", Some(3000)),
            ("serve({\n  fetch: app.fetch,\n  port: 3000,\n}, (info) => {})", Some(3000)),
            ("app.listen(process.env.PORT || 3000)", None),
            ("const { PORT = 3000 } = process.env\napp.listen(PORT)", None),
            ("const port = process.env['PORT'] ?? 3000\napp.listen(port)", None),
            ("const port = config.get('x')\napp.listen(port)", None),
            ("// app.listen(3000)\napp.listen(config.port)", None),
            ("preserve(3000)", None),
            ("app.listen()", None),
            ("startStandaloneServer(server, { listen: { port: 4000 } })", Some(4000)),
            ("Bun.serve({ port: 3000, fetch(req) {} })", Some(3000)),
            ("server.listen(port, hostname, () => {})\nconst port = 3000;", Some(3000)),
        ] {
            assert_eq!(written(text), port, "{text}");
        }
    }
}
