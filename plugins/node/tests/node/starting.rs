//! What is started, on which port, and where that was found.

use crate::support::{App, app};
use windlass_plugin_common::outline::outline;
use windlass_sdk::plan::ProcessKind;

const LOCK: (&str, &str) = ("package-lock.json", "{}");

/// An application with these dependencies of either kind, and scripts.
fn with(
    dependencies: &str,
    development: &str,
    scripts: &str,
    files: &[(&'static str, &'static str)],
) -> App {
    let list = |names: &str| {
        let names: Vec<_> =
            names.split_whitespace().map(|name| format!("\"{name}\":\"*\"")).collect();
        names.join(",")
    };
    let package = format!(
        r#"{{"name":"x","dependencies":{{{}}},"devDependencies":{{{}}},"scripts":{{{scripts}}}}}"#,
        list(dependencies),
        list(development)
    );
    let mut all = vec![("package.json", package.as_str()), LOCK];
    all.extend(files);
    app(&all)
}

fn web(app: &App) -> String {
    app.web().join(" ")
}

fn signs(app: &App) -> Vec<String> {
    let signs = app.found().evidence.into_iter();
    signs.map(|sign| format!("{}: {}", sign.path, sign.detail).trim_end().to_owned()).collect()
}

#[test]
fn what_a_start_script_has_around_its_server_is_kept() {
    let next = "next start -H 0.0.0.0 -p \"$PORT\"";
    for (script, run) in [
        ("next start", format!("exec {next}")),
        ("prisma migrate deploy && next start", format!("prisma migrate deploy && exec {next}")),
        ("npm run db && npx next start", format!("prisma migrate deploy && exec {next}")),
        (
            "next start -p 4000 --keepAliveTimeout 70000",
            format!("exec {next} --keepAliveTimeout 70000"),
        ),
        (
            "NODE_OPTIONS=--max-old-space-size=512 PORT=4000 next start",
            format!("exec env NODE_OPTIONS=--max-old-space-size=512 {next}"),
        ),
        ("cross-env A=b next start", format!("exec env A=b {next}")),
    ] {
        let scripts =
            format!(r#""db":"prisma migrate deploy","build":"next build","start":"{script}""#);
        let app = with("next react prisma", "", &scripts, &[]);
        assert_eq!(web(&app), format!("/bin/sh -c {run}"), "{script}");
        let sign = signs(&app).pop().unwrap();
        assert!(
            sign.starts_with(&format!("package.json: scripts.start: {script}, run as ")),
            "{sign}"
        );
    }
    let nest = r#""build":"nest build","start":"prisma migrate deploy && nest start""#;
    let chain = "/bin/sh -c prisma migrate deploy && exec node dist/main";
    assert_eq!(web(&with("@nestjs/core prisma", "", nest, &[])), chain);
    let hook = r#""prestart":"node seed.js","start":"next start""#;
    assert_eq!(
        web(&with("next", "", hook, &[])),
        format!("/bin/sh -c node seed.js && exec {next}")
    );
    let own = r#""start":"dotenv -e .env -- next start""#;
    assert_eq!(web(&with("next dotenv-cli", "", own, &[])), "dotenv -e .env -- next start");
}

#[test]
fn a_start_script_that_cannot_be_taken_apart_is_not_said_to_be_run() {
    let nest = r#""build":"nest build","start":"sh -c 'prisma migrate deploy && nest start'""#;
    let app = with("@nestjs/core prisma", "", nest, &[]);
    assert_eq!(web(&app), "node dist/main");
    let sign = "package.json: its start script is for development: node dist/main is run";
    assert!(signs(&app).contains(&sign.to_owned()), "{:?}", signs(&app));
}

#[test]
fn a_server_that_next_cuts_down_keeps_the_variables_of_its_script() {
    let config = ("next.config.js", "module.exports = { output: 'standalone' }");
    let started = |script: &str| {
        let scripts = format!(r#""build":"next build","start":"{script}""#);
        web(&with("next prisma", "", &scripts, &[config]))
    };
    assert_eq!(started("next start -p 3000"), "node server.js");
    assert_eq!(started("prisma migrate deploy && next start"), "node server.js");
    assert_eq!(started("TZ=UTC next start"), "/bin/sh -c exec env TZ=UTC node server.js");
    assert_eq!(started("PORT=3000 node .next/standalone/server.js"), "node server.js");
    let more = "/bin/sh -c node warm.js && exec next start -H 0.0.0.0 -p \"$PORT\"";
    assert_eq!(started("node warm.js && next start"), more, "it may need what is cut off");
}

/// Next.js with its cut-down server, as it is declared in the settings or a Procfile.
fn cut_down(settings: &str, files: &[(&'static str, &'static str)]) -> App {
    let config = ("next.config.js", "module.exports = { output: 'standalone' }");
    let scripts = r#""build":"next build","start":"next start""#;
    with("next", "", scripts, &[&[config], files].concat()).settings(settings)
}

#[test]
fn the_server_that_next_cuts_down_may_be_declared() {
    let declared = |line: &str| {
        let app = cut_down(&format!(r#"{{"run":{{"command":"{line}"}}}}"#), &[]);
        let cut = outline(&app.plan()).contains("in /app/.next/standalone");
        (web(&app), cut)
    };
    for line in [
        "node server.js",
        "node .next/standalone/server.js",
        "node ./.next/standalone/server.js",
        "cd .next/standalone && node server.js",
        "PORT=3000 HOSTNAME=0.0.0.0 node server.js",
    ] {
        assert_eq!(declared(line), ("node server.js".to_owned(), true), "{line}");
    }
    let set = "/bin/sh -c exec env TZ=UTC node server.js".to_owned();
    assert_eq!(declared("TZ=UTC node server.js"), (set, true));
    let next = "exec next start -H 0.0.0.0 -p \"$PORT\"";
    let more = (format!("/bin/sh -c node warm.js && {next}"), false);
    assert_eq!(declared("node warm.js && node server.js"), more);
    assert_eq!(declared("next start"), ("next start".to_owned(), false));
    let app = cut_down("{}", &[("Procfile", "web: node server.js\n")]);
    assert!(outline(&app.plan()).contains("step collect"), "{}", outline(&app.plan()));
    let own = cut_down("{}", &[("Procfile", "web: node server.js\n"), ("server.js", "")]);
    assert_eq!(web(&own), "node server.js");
    assert!(!outline(&own.plan()).contains(".next/standalone"), "it is the application's own");
}

#[test]
fn the_init_line_of_a_server_that_next_cuts_down_changes_nothing() {
    let plain = cut_down("{}", &[]);
    let line = web(&plain);
    let declared = cut_down(&format!(r#"{{"run":{{"command":"{line}"}}}}"#), &[]);
    assert_eq!(outline(&declared.plan()), outline(&plain.plan()));
}

#[test]
fn a_worker_beside_a_server_that_next_cuts_down_gets_all_of_the_application() {
    let next = "/bin/sh -c exec next start -H 0.0.0.0 -p \"$PORT\"";
    let jobs = r#""processes":{"jobs":{"command":"node jobs.js"}}"#;
    for settings in [
        format!(r#"{{"run":{{{jobs}}}}}"#),
        format!(r#"{{"run":{{"command":"node server.js",{jobs}}}}}"#),
        format!(r#"{{"run":{{"command":"node .next/standalone/server.js",{jobs}}}}}"#),
    ] {
        let app = cut_down(&settings, &[("jobs.js", "")]);
        let plan = app.plan();
        let lines: Vec<_> = plan.processes.iter().map(|one| one.argv.join(" ")).collect();
        assert_eq!(lines, [next, "node jobs.js"], "{settings}");
        assert!(!outline(&plan).contains("standalone"), "{}", outline(&plan));
    }
}

#[test]
fn a_bot_that_is_declared_as_the_web_process_is_said_to_open_no_port() {
    let poll = ("bot.js", "const bot = require('x'); bot.login(process.env.TOKEN)");
    let said = |settings: &str, files: &[(&'static str, &'static str)]| {
        let app = with("discord.js", "", "", files).settings(settings);
        app.warnings().into_iter().find(|line| line.contains("no port"))
    };
    let command = r#"{"run":{"command":"node bot.js"}}"#;
    let set = said(command, &[poll]).unwrap();
    assert!(
        set.starts_with("bot.js seems to open no port, and run.command in windlass.toml"),
        "{set}"
    );
    let procfile = said("{}", &[poll, ("Procfile", "web: node bot.js\n")]).unwrap();
    assert!(procfile.contains("web in Procfile"), "{procfile}");
    assert_eq!(said("{}", &[poll, ("Procfile", "worker: node bot.js\n")]), None);
    let serves = ("bot.js", "require('http').createServer(f).listen(process.env.PORT)");
    assert_eq!(said(command, &[serves]), None);
}

#[test]
fn scripts_that_are_called_and_not_there_are_warned_of() {
    let settings = r#"{"build":{"command":"npm run build"},"migrate":{"command":"npm run db:migrate"},
                       "run":{"command":"npm run serve"}}"#;
    let app = with("express", "", r#""serve":"node app.js""#, &[("app.js", "")]);
    let said: Vec<_> = app
        .settings(settings)
        .warnings()
        .into_iter()
        .filter(|line| line.starts_with("package.json has no script"))
        .collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("\"build\"") && said[1].contains("\"db:migrate\""), "{said:?}");
}

#[test]
fn what_is_sent_to_the_background_is_run_in_front() {
    assert_eq!(web(&with("express", "", r#""start":"node index.js &""#, &[])), "node index.js");
    let declared = with("express", "", "", &[("Procfile", "web: node index.js &\n")]);
    assert_eq!(web(&declared), "node index.js");
}

#[test]
fn what_reads_a_typescript_configuration_at_its_start_keeps_the_compiler() {
    let scripts = r#""build":"next build","start":"next start""#;
    let typed = ("next.config.ts", "export default {}");
    let prunes = |app: &App| outline(&app.plan()).contains("run npm prune");
    let kept = with("next", "typescript eslint", scripts, &[typed]);
    assert!(!prunes(&kept));
    let warning = kept.warnings().into_iter().find(|line| line.contains("typescript")).unwrap();
    assert!(warning.contains("move typescript to \"dependencies\""), "{warning}");
    assert!(prunes(&with("next typescript", "eslint", scripts, &[typed])));
    let plain = ("next.config.js", "module.exports = {}");
    assert!(prunes(&with("next", "typescript", scripts, &[plain])));
    let modern = ("next.config.mts", "export default {}");
    assert!(!prunes(&with("next", "typescript", scripts, &[modern])));
}

#[test]
fn bots_are_workers() {
    let poll = ("bot.js", "const bot = require('x'); bot.login(process.env.TOKEN)");
    for name in [
        "discord.js",
        "telegraf",
        "grammy",
        "node-telegram-bot-api",
        "whatsapp-web.js",
        "@whiskeysockets/baileys",
        "eris",
        "mineflayer",
    ] {
        let app = with(name, "", r#""start":"node bot.js""#, &[poll]);
        let processes = app.plan().processes;
        let [worker] = processes.as_slice() else { panic!("{name}: {processes:?}") };
        assert_eq!((worker.name.as_str(), worker.kind), ("worker", ProcessKind::Worker), "{name}");
        assert_eq!((worker.argv.join(" ").as_str(), &worker.ports[..]), ("node bot.js", &[][..]));
        let sign = format!("package.json: dependencies.{name}: a worker without a port");
        assert!(signs(&app).contains(&sign), "{:?}", signs(&app));
    }
    let typed =
        ("src/index.ts", "import { Client } from 'discord.js'\nclient.on('webhook:', () => 1)");
    let built = r#""build":"tsc","start":"node dist/index.js""#;
    let app = with("discord.js", "typescript", built, &[typed]);
    assert_eq!(app.plan().processes[0].kind, ProcessKind::Worker);
}

#[test]
fn bots_that_open_a_port_are_none() {
    let kind = |name: &str, files: &[(&'static str, &'static str)]| {
        let app = with(name, "", r#""start":"node bot.js""#, files);
        app.plan().processes[0].kind
    };
    let asks = ("bot.js", "new App({ token, socketMode: true }).start()");
    assert_eq!(kind("@slack/bolt", &[asks]), ProcessKind::Worker);
    assert_eq!(
        kind("@slack/bolt", &[("bot.js", "new App({ token }).start(3000)")]),
        ProcessKind::Web
    );
    let opens = ("bot.js", "http.createServer(answer).listen(process.env.PORT)");
    assert_eq!(kind("discord.js", &[opens]), ProcessKind::Web);
    let imported = [("bot.js", "import './web.js'"), ("web.js", "server.listen(8080)")];
    assert_eq!(kind("discord.js", &imported), ProcessKind::Web);
    let sent = ("bot.js", "bot.launch({ webhook: { domain, port } })");
    assert_eq!(kind("telegraf", &[sent]), ProcessKind::Web);
    assert_eq!(kind("discord.js express", &[("bot.js", "require('express')")]), ProcessKind::Web);
    let declared = [("bot.js", "1"), ("Procfile", "web: node bot.js\n")];
    assert_eq!(kind("discord.js", &declared), ProcessKind::Web, "who says so knows it");
}

#[test]
fn a_declared_worker_of_a_bot_is_not_run_twice() {
    let processes = |settings: &str| {
        let bot = ("bot.js", "client.login()");
        let app = with("discord.js", "", r#""start":"node bot.js""#, &[bot]).settings(settings);
        let all = app.plan().processes.into_iter();
        all.map(|process| format!("{} {}", process.name, process.argv.join(" ")))
            .collect::<Vec<_>>()
    };
    let named = r#"{"run":{"processes":{"worker":{"command":"node bot.js --x"}}}}"#;
    assert_eq!(processes(named), ["worker node bot.js --x"]);
    let other = r#"{"run":{"processes":{"jobs":{"command":"node jobs.js"}}}}"#;
    assert_eq!(processes(other), ["worker node bot.js", "jobs node jobs.js"]);
}

#[test]
fn a_written_port_is_found_wherever_the_program_is() {
    let port = |start: &str, files: &[(&'static str, &'static str)]| {
        let app = with("express", "tsx", &format!(r#""build":"tsc","start":"{start}""#), files);
        app.plan().processes[0].ports.clone()
    };
    let text = "const port = 4100;\napp.listen(port, () => {})";
    for (start, file) in [
        ("node .", "index.js"),
        ("node index", "index.js"),
        ("node server/", "server/index.js"),
        ("node dist/main.js", "src/main.ts"),
        ("tsx src/index.ts", "src/index.ts"),
        ("NODE_ENV=production node --enable-source-maps build/app.js", "src/app.ts"),
        ("prisma migrate deploy && node a.js", "a.js"),
        ("nodemon a.js", "a.js"),
    ] {
        assert_eq!(port(start, &[(file, text)]), [4100], "{start}");
    }
    let object = ("a.js", "await fastify.listen({ port: 4200, host: '0.0.0.0' })");
    assert_eq!(port("node a.js", &[object]), [4200]);
    let bun = ("a.ts", "Bun.serve({\n  port: 4300,\n  fetch(request) {} })");
    assert_eq!(port("bun a.ts", &[bun]), [4300]);
    let further = [("a.js", "require('./web/start')"), ("web/start.js", text)];
    assert_eq!(port("node a.js", &further), [4100]);
    let first = [("a.js", "process.env.PORT; require('./b')"), ("b.js", text)];
    assert_eq!(port("node a.js", &first), [0_u16; 0]);
    let read = ("a.js", "const port = process.env.PORT ?? 4400\nserve({ fetch, port })");
    assert_eq!(port("node a.js", &[read]), [0_u16; 0]);
}

#[test]
fn a_server_that_nothing_reaches_is_warned_of() {
    let warned = |name: &str, text: &'static str| {
        let app = with(name, "", r#""start":"node a.js""#, &[("a.js", text)]);
        app.plan();
        app.warnings().iter().any(|line| line.starts_with("a.js seems to listen on 127.0.0.1 only"))
    };
    assert!(warned("express", "app.listen(3000, 'localhost')"));
    assert!(warned("express", "const host = '127.0.0.1'\napp.listen({ port, host })"));
    assert!(warned("fastify", "import f from 'fastify'\nawait f().listen({ port: 3000 })"));
    let adapter =
        "new FastifyAdapter() // @nestjs/platform-fastify\nawait app.listen(process.env.PORT)";
    assert!(!warned("express", adapter));
    assert!(warned("@nestjs/platform-fastify express", adapter));
    assert!(!warned("fastify", "import f from 'fastify'\nf().listen({ port: 3000, host: '::' })"));
    assert!(!warned("express", "app.listen({ port: 3000 })"));
    assert!(!warned("express", "// app.listen(3000, 'localhost')\napp.listen(3000)"));
}

#[test]
fn the_file_that_names_the_folder_of_the_files_is_the_evidence() {
    let package = ("package.json", r#"{"scripts":{"docs":"x"},"devDependencies":{"tsup":"8"}}"#);
    let of = |file: (&str, &str), settings: &str| {
        signs(&app(&[package, LOCK, file]).settings(settings)).remove(0)
    };
    let netlify = ("netlify.toml", "[build]\npublish = \"site\"\ncommand = \"npm run docs\"\n");
    assert_eq!(of(netlify, "{}"), "netlify.toml: build.publish: site");
    let vercel = ("vercel.json", r#"{"outputDirectory":"out","buildCommand":"npm run docs"}"#);
    assert_eq!(of(vercel, "{}"), "vercel.json: outputDirectory: out");
    let own = r#"{"build":{"output":"web"}}"#;
    assert_eq!(of(netlify, own), "windlass.toml: build.output = \"web\"");
    let vue = ("package.json", r#"{"dependencies":{"nuxt":"3"}}"#);
    let found = signs(&app(&[vue, LOCK, ("netlify.toml", "[build]\npublish = 'dist'\n")]));
    assert!(!found.iter().any(|sign| sign.contains("windlass.toml")), "{found:?}");
}

#[test]
fn package_managers_of_declared_lines_are_looked_through() {
    let scripts = r#""prestart":"node b.js","start":"node a.js","work":"node w.js""#;
    for line in ["npm start", "npm run start", "yarn start", "pnpm start", "yarn run start"] {
        let run = "/bin/sh -c node b.js && exec node a.js";
        let app = with("express", "", scripts, &[]);
        let settings = format!(r#"{{"run":{{"command":"{line}"}}}}"#);
        assert_eq!(web(&app.settings(&settings)), run, "{line}");
    }
    let procfile = ("Procfile", "web: npm start\nworker: npm run work -- --x\n");
    let plan = with("express", "", scripts, &[procfile]).plan();
    let lines: Vec<String> = plan.processes.iter().map(|process| process.argv.join(" ")).collect();
    assert_eq!(lines, ["/bin/sh -c node b.js && exec node a.js", "node w.js --x"]);
}

#[test]
fn a_declared_line_may_hand_over_to_a_member() {
    let api = ("apps/api/package.json", r#"{"name":"api","scripts":{"start":"node s.js"}}"#);
    let root = r#"{"private":true,"workspaces":["apps/*"],"scripts":{"start":"npm start -w api"}}"#;
    for line in [
        "npm start",
        "npm start -w api",
        "npm run start --workspace=apps/api",
        "yarn workspace api start",
    ] {
        let procfile = format!("web: {line}\n");
        let files = [("package.json", root), LOCK, api, ("Procfile", procfile.as_str())];
        let app = app(&files);
        assert_eq!(web(&app), "node s.js", "{line}");
        assert_eq!(app.found().app_dir.as_deref(), Some("apps/api"), "{line}");
        // What else is declared is run in the root.
        let built = r#"{"build":{"command":"npm run build -w api"}}"#;
        let run = "/bin/sh -c cd apps/api && exec node s.js";
        assert_eq!(web(&app.settings(built)), run, "{line}");
    }
}

#[test]
fn workers_that_another_platform_s_file_declares_are_said_with_it() {
    let fly = ("fly.toml", "[processes]\njobs = \"node jobs.js\"\n");
    let app = with("bullmq", "", "", &[fly, ("jobs.js", "")]);
    assert_eq!(signs(&app), ["fly.toml: processes.jobs: only workers"]);
    let own = r#"{"run":{"processes":{"jobs":{"command":"node jobs.js"}}}}"#;
    let app = with("bullmq", "", "", &[]).settings(own);
    assert_eq!(signs(&app), ["windlass.toml: run.processes: only workers"]);
}

#[test]
fn what_restarts_a_program_gives_way_to_it() {
    let run = |dependencies: &str,
               development: &str,
               start: &str,
               files: &[(&'static str, &'static str)]| {
        let scripts = format!(r#""build":"tsc","start":"{start}""#);
        web(&with(dependencies, development, &scripts, files))
    };
    assert_eq!(run("express nodemon", "", "nodemon index.js", &[]), "node index.js");
    assert_eq!(
        run("express", "ts-node-dev", "ts-node-dev --respawn src/a.ts", &[]),
        "ts-node src/a.ts"
    );
    let exec = ("nodemon.json", r#"{"exec":"tsx src/a.ts"}"#);
    assert_eq!(run("express", "nodemon tsx", "nodemon", &[exec]), "tsx src/a.ts");
    assert_eq!(run("express", "", "pm2 start a.js -i max", &[]), "node a.js");
    assert_eq!(
        run("express pm2", "", "pm2 start a.js -i max", &[]),
        "pm2-runtime start a.js -i max"
    );
    assert_eq!(run("express forever", "", "forever start a.js", &[]), "node a.js");
    let production = r#""start":"vite","start:prod":"nodemon a.js""#;
    assert_eq!(web(&with("express vite", "", production, &[])), "node a.js");
    let app = with("express", "ts-node-dev", r#""start":"ts-node-dev src/a.ts""#, &[]);
    app.plan();
    let kept = |line: &String| line.contains("the start command needs ts-node-dev");
    assert!(app.warnings().iter().any(kept), "{:?}", app.warnings());
}

#[test]
fn a_hook_before_the_start_keeps_the_tools_that_it_needs() {
    let scripts = r#""build":"tsc","prestart":"knex migrate:latest","start":"node a.js""#;
    let app = with("express", "knex typescript", scripts, &[]);
    assert!(!outline(&app.plan()).contains("run npm prune"));
    assert!(app.warnings().iter().any(|line| line.contains("needs knex")), "{:?}", app.warnings());
}

#[test]
fn builds_that_are_named_for_another_platform_are_run() {
    let build = |scripts: &str| {
        let app = with("express", "", scripts, &[("server.js", "")]);
        outline(&app.plan())
    };
    let heroku = r#""start":"node server.js","heroku-postbuild":"npm run build --prefix client""#;
    assert!(build(heroku).contains("run npm run heroku-postbuild"), "{}", build(heroku));
    assert!(build(r#""start":"node s.js","gcp-build":"tsc""#).contains("run npm run gcp-build"));
    let both = build(r#""start":"node s.js","heroku-postbuild":"x","build":"tsc""#);
    assert!(both.contains("run npm run build") && !both.contains("postbuild"), "{both}");
}

#[test]
fn evidence_of_a_member_is_named_from_the_root() {
    let root = r#"{"private":true,"workspaces":["apps/*","packages/*"],"engines":{"node":"22"}}"#;
    let web = r#"{"name":"web","dependencies":{"next":"15","@x/ui":"*"},"scripts":{"start":"next start"}}"#;
    let files = [
        ("package.json", root),
        LOCK,
        ("apps/web/package.json", web),
        ("apps/web/next.config.js", ""),
        ("packages/ui/package.json", r#"{"name":"@x/ui"}"#),
    ];
    let own = [
        "apps/web/package.json: dependencies.next",
        "apps/web/next.config.js:",
        "apps/web/package.json: scripts.start: next start, run as next start -H 0.0.0.0 -p \"$PORT\"",
    ];
    let chosen = [
        &own[..],
        &["apps/web: the application of this workspace", "package.json: engines.node: 22"],
    ]
    .concat();
    assert_eq!(signs(&app(&files)), chosen);
    let mut inside = app(&files);
    inside.harness = inside.harness.app_dir("apps/web");
    let named = [&own[..], &["package.json: engines.node: 22"]].concat();
    assert_eq!(signs(&inside), named);
    let pinned =
        [&files[..], &[("apps/web/.nvmrc", "24"), ("apps/web/Procfile", "web: npm start\n")]]
            .concat();
    let found = signs(&app(&pinned));
    assert!(found.contains(&"apps/web/.nvmrc: 24".to_owned()), "{found:?}");
    assert!(found.contains(&"apps/web/Procfile: line 1: web: npm start".to_owned()), "{found:?}");
    let nested: Vec<_> = files.iter().map(|(path, text)| (format!("code/{path}"), *text)).collect();
    let nested: Vec<_> = nested.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let mut nested = app(&nested);
    nested.harness = nested.harness.app_dir("code");
    assert_eq!(signs(&nested)[0], "code/apps/web/package.json: dependencies.next");
    assert_eq!(signs(&nested).pop().unwrap(), "code/package.json: engines.node: 22");
    assert_eq!(nested.found().app_dir.as_deref(), Some("code/apps/web"));
}
