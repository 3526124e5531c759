//! Where the started program listens: the port that it insists on, an address that nothing reaches, or nowhere
//! at all. A look at the text of its entry file, and not an evaluation.

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
const BOTS: [&str; 18] = [
    "discord.js",
    "@discordjs/core",
    "eris",
    "oceanic.js",
    "seyfert",
    "telegraf",
    "grammy",
    "node-telegram-bot-api",
    "telegram",
    "@mtcute/node",
    "@slack/socket-mode",
    "@slack/bolt",
    "tmi.js",
    "whatsapp-web.js",
    "@whiskeysockets/baileys",
    "matrix-bot-sdk",
    "mineflayer",
    "irc-framework",
];

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
    let file = entry_file(facts, line)?;
    let port = written(&facts.text(&file)?)?;
    Some((port, Evidence::new(file, format!("listens on {port}, and does not read PORT"))))
}

/// The entry file, if it listens on the loopback address alone, where nothing reaches it.
pub(crate) fn on_loopback(facts: &Facts, line: &str) -> Option<String> {
    let file = entry_file(facts, line)?;
    let text = code(&facts.text(&file)?);
    let local = ["localhost", "127.0.0.1", "::1"];
    let quoted = |call: &str| {
        call.split(['"', '\'', '`']).skip(1).step_by(2).any(|text| local.contains(&text))
    };
    calls(&text).iter().any(|call| quoted(call)).then_some(file)
}

/// Whether it is a bot that opens no port: none of the started files does.
pub(crate) fn is_bot(facts: &Facts, line: &str) -> bool {
    let slack = |name: &str| name == "@slack/bolt";
    let bot = BOTS
        .into_iter()
        .find(|name| facts.package.as_ref().is_some_and(|package| package.depends_on(name)));
    let Some(bot) = bot else {
        return false;
    };
    let file = entry_file(facts, line);
    let opens = |text: &str| {
        let text = code(text);
        let hooks =
            ["webhook", "webHook", "webhookCallback"].iter().any(|sign| text.contains(sign));
        start::opens_a_port(&text) || hooks
    };
    // Slack's library serves requests, unless it is told to ask for them.
    let asks = |text: &str| code(text).contains("socketMode");
    match entry::any(facts, file.as_deref().unwrap_or(line), |text| opens(text)) {
        Some(Some(_)) | None => false,
        Some(None) if slack(bot) => {
            let sign = entry::any(facts, file.as_deref().unwrap_or(line), |text| asks(text));
            sign.flatten().is_some()
        }
        Some(None) => true,
    }
}

/// The file that a command runs, or the source that it is compiled from: `node .`, `node index`,
/// `node dist/index.js`, `tsx src/index.ts`.
pub(crate) fn entry_file(facts: &Facts, line: &str) -> Option<String> {
    let last = line.rsplit("&&").next().unwrap_or(line);
    let mut words = last.split_whitespace().skip_while(|word| word.contains('='));
    let runner = words.find(|word| !matches!(*word, "exec" | "env" | "npx" | "cross-env"))?;
    if !matches!(program(runner), "node" | "bun" | "tsx" | "ts-node" | "pm2-runtime") {
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
    let reads =
        ["env.PORT", "env?.PORT", "env[\"PORT\"]", "env['PORT']", "{ PORT", "{PORT", ", PORT"];
    if reads.iter().any(|sign| text.contains(sign)) {
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

/// `{ port }`
fn shorthand(text: &str, call: &str) -> Option<u16> {
    let inner = call.split(['{', '}']).nth(1)?;
    let is = |word: &str| word.trim() == "port";
    inner.split(',').any(is).then(|| constant(text, "port")).flatten()
}

/// The arguments of the calls that listen, as far as their first function or their end.
fn calls(text: &str) -> Vec<&str> {
    let signs = [".listen(", "serve("];
    let mut found: Vec<(usize, &str)> = Vec::new();
    for sign in signs {
        for (at, _) in text.match_indices(sign) {
            let whole = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = &text[at + sign.len()..];
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
    if name.is_empty() {
        return None;
    }
    ["const ", "let ", "var "].iter().find_map(|keyword| {
        let declared = format!("{keyword}{name}");
        let mut values = text.match_indices(&declared).filter_map(|(at, _)| {
            let rest = text[at + declared.len()..].trim_start();
            let rest = rest.strip_prefix(": number").unwrap_or(rest).trim_start();
            rest.strip_prefix('=').and_then(|value| number(value.trim_start()))
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
    use super::written;

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
        ] {
            assert_eq!(written(text), port, "{text}");
        }
    }
}
