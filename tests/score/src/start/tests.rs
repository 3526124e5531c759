use super::*;
use crate::corpus::Tree;

fn tree(files: &[(&str, &str)]) -> Tree {
    let manifests =
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let files = files.iter().map(|(path, _)| (*path).to_owned()).collect();
    Tree { files, manifests, ..Tree::default() }
}

#[track_caller]
fn check(line: &str, expected: &str) {
    check_in(&Tree::default(), line, expected);
}

#[track_caller]
fn check_in(tree: &Tree, line: &str, expected: &str) {
    assert_eq!(of_line(line, tree).to_string(), expected, "{line}");
}

const SERVED: &str = "(served by the platform)";

#[test]
fn every_rule_has_its_own_name() {
    let mut names: Vec<_> = rules::RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rules::RULES.len());
}

#[test]
fn who_runs_it_makes_no_difference() {
    check("exec node x.js", "node x.js");
    check("/bin/sh -c 'exec env A=b node x.js'", "node x.js");
    check("NODE_ENV=production cross-env A=b node x.js > log 2>&1", "node x.js");
    check("npx next start", "next start");
    check("bundle exec bin/rails s", "rails server");
    check("poetry run python3.12 main.py", "python main.py");
    check("uv run main.py", "python main.py");
    check("python3 -m gunicorn main:app", "gunicorn main:app");
}

#[test]
fn scripts_are_looked_through() {
    let package =
        r#"{"main":"lib/a.js","scripts":{"start":"npm run serve","serve":"node dist/main"}}"#;
    let tree = tree(&[("package.json", package)]);
    for line in ["npm start", "npm run start", "yarn start", "bun run start", "node --run start"] {
        check_in(&tree, line, "node dist/main.js");
    }
    check_in(&tree, "node .", "node lib/a.js");
    check_in(&tree, "bun run x.ts", "bun x.ts");
}

#[test]
fn the_script_of_a_workspaces_package_runs_in_its_folder() {
    let root = r#"{"scripts":{"start":"turbo run start"}}"#;
    let web = r#"{"name":"@x/web","scripts":{"start":"next start"}}"#;
    let tree = tree(&[("package.json", root), ("apps/web/package.json", web)]);
    for line in [
        "npm start",
        "npx turbo run start",
        "yarn workspace @x/web start",
        "pnpm --filter web start",
        "cd apps/web && npm start",
        "npm run start --workspace=@x/web",
    ] {
        check_in(&tree, line, "next start (in apps/web)");
    }
}

#[test]
fn where_it_listens_is_the_hosts() {
    check("gunicorn --bind 0.0.0.0:${PORT:-8000} main:app", "gunicorn main:app");
    check("gunicorn -b :$PORT -w 4 --preload main:app", "gunicorn main:app");
    check("uvicorn main:app --host 0.0.0.0 --port \"$PORT\" --proxy-headers", "uvicorn main:app");
    check("bundle exec rackup config.ru -o 0.0.0.0 -p ${PORT:-3000}", "rackup");
    check("bin/rails server -b 0.0.0.0 -p ${PORT:-3000}", "rails server");
    check("next start -p $PORT -H 0.0.0.0", "next start");
    check("ruby app.rb -o 0.0.0.0 -p 4567", "ruby app.rb");
}

#[test]
fn what_runs_ahead_prepares() {
    check("rake db:migrate && bundle exec bin/rails server", "rails server");
    check("prisma migrate deploy && node dist/index.js", "node dist/index.js");
    check("cd /app/apps/web && node server.js", "node server.js (in apps/web)");
}

#[test]
fn the_platforms_own_servers_serve() {
    check("exec caddy run --config /assets/Caddyfile --adapter caddyfile 2>&1", SERVED);
    check("/start-container.sh", SERVED);
    check("node /p.mjs /nginx.conf && (php-fpm -y /x.conf & nginx -c /nginx.conf)", SERVED);
    check("apache2-foreground", SERVED);
    check("serve -s build", SERVED);
    check("vite preview", SERVED);
    check("node server.js", "node server.js");
}

#[test]
fn a_jar_is_a_jar() {
    check("java -Dserver.port=$PORT $JAVA_OPTS -jar target/*jar", "java -jar *.jar");
    check("gradle -v && java -Xmx1g -jar build/libs/*.jar", "java -jar *.jar");
    check(
        "JAR_FILE=$(find /app -name \"*.jar\" | head -n 1) && bash -c \"java $JAVA_OPTS -jar $JAR_FILE\"",
        "java -jar *.jar",
    );
    check("java -cp 'lib/*' com.example.Main", "java -cp lib/* com.example.Main");
}

#[test]
fn programs_have_base_names() {
    check("/app/_build/prod/rel/friends/bin/friends start", "friends start");
    check("ASPNETCORE_URLS=http://0.0.0.0:${PORT:-3000} ./out/csharp-api", "csharp-api");
    check("dotnet csharp-api.dll", "csharp-api");
    check("./bin/console_simple.exe", "console_simple");
    check("zsh start.sh", "sh start.sh");
    check("./start.sh", "sh start.sh");
    check("./build/erlang-shipment/entrypoint.sh run", "entrypoint.sh run");
    check("deno run --allow-all src/index.ts", "deno run src/index.ts");
}

#[test]
fn a_generic_name_is_any_compiled_program() {
    let command = |text: &str| of_line(text, &Tree::default());
    assert!(same(&command("./out"), &command("/app/shop"), "go"));
    assert!(!same(&command("./out"), &command("/app/shop --now"), "go"));
    assert!(!same(&command("./Run"), &command("/app/App"), "swift"));
    assert!(!same(&command("./out"), &command("shop"), "node"));
    assert!(!same(&Start::Served, &command("server"), "go"));
}

#[test]
fn a_plan_and_a_label_meet() {
    let argv = ["/bin/sh", "-c", "exec gunicorn main:app --bind 0.0.0.0:$PORT"].map(str::to_owned);
    let planned = Planned::Command { argv: argv.to_vec(), folder: String::new() };
    let label = "gunicorn --bind 0.0.0.0:${PORT:-8000} main:app";
    assert_eq!(of_plan(&planned, &Tree::default()), of_line(label, &Tree::default()));
}
