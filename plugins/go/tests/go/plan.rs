//! What the plugin plans.

use crate::support::app;
use windlass_plugin_common::outline::outline;
use windlass_sdk::plan::{BuildPlan, ProcessKind};

const MAIN: &str = "package main\n\nimport \"net/http\"\n\nfunc main() {}\n";
const GIN: &str = "module example.com/shop\n\ngo 1.21\n\nrequire github.com/gin-gonic/gin v1.9.1\n";

fn env_of(plan: &BuildPlan, step: &str, name: &str) -> Option<String> {
    let step = plan.steps.iter().find(|one| one.id == step)?;
    step.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

#[test]
fn a_module_with_dependencies() {
    let main = "package main\n\nimport \"github.com/gin-gonic/gin\"\n";
    let files = [("go.mod", GIN), ("go.sum", "x"), ("cmd/web/main.go", main)];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn the_standard_library_alone() {
    let files = [("go.mod", "module shop\n"), ("main.go", MAIN)];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn c_code_gets_a_compiler_and_its_libraries() {
    let module = "module shop\nrequire github.com/mattn/go-sqlite3 v1.14.0\n";
    let plan = app(&[("go.mod", module), ("go.sum", ""), ("main.go", MAIN)]).plan();
    assert_eq!(env_of(&plan, "build", "CGO_ENABLED").as_deref(), Some("1"));
    assert!(outline(&plan).contains("install -y --no-install-recommends gcc libc6-dev"));
    assert!(outline(&plan).contains("LD_LIBRARY_PATH=/usr/local/lib/app"));
    let plan = app(&[("go.mod", "module shop\n"), ("main.go", MAIN)]).plan();
    assert_eq!(env_of(&plan, "build", "CGO_ENABLED").as_deref(), Some("0"));
}

#[test]
fn vendored_modules_are_not_fetched() {
    let plan = app(&[("go.mod", GIN), ("main.go", MAIN), ("vendor/modules.txt", "x")]).plan();
    assert_eq!(env_of(&plan, "build", "GOFLAGS").as_deref(), Some("-mod=vendor"));
    assert!(plan.steps.iter().all(|step| step.id != "dependencies"));
}

#[test]
fn files_without_a_module_get_one() {
    let text = outline(&app(&[("main.go", MAIN)]).plan());
    assert!(text.contains("[ -f go.mod ] || go mod init app && go mod tidy"), "{text}");
}

#[test]
fn each_program_that_a_process_names_is_built() {
    let files = [
        ("go.mod", "module shop\n"),
        ("cmd/web/main.go", MAIN),
        ("cmd/jobs/main.go", MAIN),
        ("cmd/seed/main.go", MAIN),
        ("Procfile", "web: bin/web\nworker: ./jobs -q\n"),
    ];
    let plan = app(&files).plan();
    let text = outline(&plan);
    assert!(text.contains("-o /out/app/bin/web ./cmd/web") && text.contains("bin/jobs ./cmd/jobs"));
    assert!(!text.contains("seed"), "{text}");
    let lines: Vec<_> = plan.processes.iter().map(|p| (p.kind, p.argv.join(" "))).collect();
    assert_eq!(lines[0], (ProcessKind::Web, "/app/bin/web".to_owned()));
    assert_eq!(lines[1], (ProcessKind::Worker, "/app/bin/jobs -q".to_owned()));
}

#[test]
fn a_fixed_port_is_the_process_s_port() {
    let fixed = "package main\nfunc main() { http.ListenAndServe(\":8080\", nil) }\n";
    let plan = app(&[("go.mod", "module shop\n"), ("main.go", fixed)]).plan();
    assert_eq!(plan.processes[0].ports, [8080]);
    let plan = app(&[("go.mod", "module shop\n"), ("main.go", MAIN)]).plan();
    assert!(plan.processes[0].ports.is_empty());
}

#[test]
fn the_settings_commands_are_taken() {
    let settings =
        r#"{"build":{"command":"make build","install":"make deps"},"run":{"command":"./out"}}"#;
    let plan = app(&[("go.mod", GIN), ("main.go", MAIN)]).settings(settings).plan();
    let text = outline(&plan);
    assert!(
        text.contains("run /bin/sh -c make deps") && text.contains("run /bin/sh -c make build")
    );
    assert!(text.contains("copy /app/** of build to /app/") && !text.contains("go build"));
    assert_eq!(plan.processes[0].argv, ["./out"]);
}

#[test]
fn a_bot_is_a_worker() {
    let module = "module shop\nrequire github.com/bwmarrin/discordgo v0.27.1\n";
    let plan = app(&[("go.mod", module), ("main.go", "package main\n")]).plan();
    assert_eq!((plan.processes.len(), plan.processes[0].name.as_str()), (1, "worker"));
    let named = r#"{"run":{"processes":{"worker":{"command":"shop -q"}}}}"#;
    let plan = app(&[("go.mod", module), ("main.go", "package main\n")]).settings(named).plan();
    assert_eq!((plan.processes.len(), plan.processes[0].argv.join(" ").as_str()), (1, "shop -q"));
}

#[test]
fn a_bot_that_is_declared_as_the_web_process_is_warned_of() {
    let module = "module shop\nrequire github.com/bwmarrin/discordgo v0.27.1\n";
    let warned = |text: &str, settings: &str| {
        let files = [("go.mod", module), ("go.sum", ""), ("main.go", text)];
        app(&files).settings(settings).warnings()
    };
    let command = r#"{"run":{"command":"./shop"}}"#;
    let said = warned("package main\n", command);
    assert!(said[0].starts_with("main.go seems to open no port"), "{said:?}");
    assert!(warned("package main\n", "{}").is_empty(), "it is a worker then");
    assert!(warned(MAIN, command).is_empty());
}

#[test]
fn modules_of_a_workspace_without_checksums_are_named() {
    let main = ("api/main.go", MAIN);
    let work = ("go.work", "go 1.22\nuse (\n ./api\n ./lib\n)\n");
    let api =
        "module example.com/api\nrequire (\n github.com/x/y v1.0.0\n example.com/lib v0.0.0\n)\n";
    let files = [work, ("api/go.mod", api), main, ("lib/go.mod", "module example.com/lib\n")];
    let said = app(&files).warnings().join("\n");
    assert!(said.contains("no go.sum beside api/go.mod, so"), "{said}");
    for sums in ["api/go.sum", "go.work.sum"] {
        let locked = [&files[..], &[(sums, "x")]].concat();
        assert!(app(&locked).warnings().is_empty(), "{sums}");
    }
    let own = [
        work,
        ("api/go.mod", "module example.com/api\nrequire example.com/lib v0.0.0\n"),
        main,
        files[3],
    ];
    assert!(app(&own).warnings().is_empty(), "nothing is downloaded");
}

#[test]
fn what_a_worker_or_the_migration_names_is_built_beside_the_application() {
    let files = [
        ("go.mod", "module example.com/x\n"),
        ("cmd/front/main.go", MAIN),
        ("cmd/jobs/main.go", MAIN),
        ("cmd/migrate/main.go", MAIN),
    ];
    let settings =
        r#"{"run":{"processes":{"worker":{"command":"jobs"}}},"migrate":{"command":"migrate up"}}"#;
    let plan = app(&files).settings(settings).plan();
    let lines: Vec<_> = plan.processes.iter().map(|process| process.argv.join(" ")).collect();
    assert_eq!(lines, ["/app/bin/front", "jobs"]);
    let text = outline(&plan);
    assert!(text.contains("./cmd/jobs") && text.contains("./cmd/migrate"), "{text}");
}

#[test]
fn a_migration_tool_that_nothing_calls_is_built_beside_the_application() {
    let module = |tool: &str| {
        format!("module shop\ngo 1.24\nrequire (\n\tgithub.com/jackc/pgx/v5 v5.7.0\n\t{tool}\n)\n")
    };
    let goose = module("github.com/pressly/goose/v3 v3.24.1 // indirect");
    let step = ("db/migrations/00001_a.sql", "-- +goose Up\nSELECT 1;\n");
    let files = [("go.mod", goose.as_str()), ("go.sum", "x"), ("main.go", MAIN), step];
    insta::assert_snapshot!(outline(&app(&files).plan()));
    let migrates = |files: &[(&str, &str)]| {
        let text = outline(&app(files).plan());
        text.contains("output migrate:").then_some(text)
    };
    let boots = ("main.go", "package main\n\tif err := goose.Up(db, \"migrations\"); err != nil {");
    assert!(migrates(&[files[0], boots, step]).is_none());
    let program = ("cmd/migrate/main.go", boots.1);
    assert!(migrates(&[files[0], files[2], program, step]).is_some());
    assert!(migrates(&files[..3]).is_none(), "no migrations");
    let mysql = goose.replace("github.com/jackc/pgx/v5", "github.com/go-sql-driver/mysql");
    assert!(migrates(&[("go.mod", &mysql), files[2], step]).is_none());

    let migrate = module("github.com/golang-migrate/migrate/v4 v4.18.2");
    let step = ("db/000001_a.up.sql", "");
    let text = migrates(&[("go.mod", &migrate), files[2], step]).unwrap();
    let line = "-tags pgx5 github.com/golang-migrate/migrate/v4/cmd/migrate@v4.18.2";
    assert!(text.contains(line), "{text}");
    let old = migrate.replace("v4.18.2", "v4.15.2");
    assert!(migrates(&[("go.mod", &old), files[2], step]).is_none(), "it has no pgx5");
}

#[test]
fn a_port_of_another_variable_is_told_under_its_name() {
    let main = "package main\n\nimport (\n\"net/http\"\n\"os\"\n)\n\nfunc main() {\n\tport := os.Getenv(\"SERVER_PORT\")\n\
                \thttp.ListenAndServe(\":\"+port, nil)\n}\n";
    let app = app(&[("go.mod", "module shop\n"), ("main.go", main)]);
    let told = "/bin/sh -c exec env SERVER_PORT=\"$PORT\" /app/bin/shop";
    assert_eq!(app.line(), told);
    let said = "main.go reads its port from SERVER_PORT, and not from PORT";
    assert!(app.log().iter().any(|(_, line)| line.starts_with(said)), "{:?}", app.log());
    let app = app.settings(r#"{"run":{"command":"go run . -q"}}"#);
    assert_eq!(app.line(), format!("{told} -q"));
    let app = app.settings(r#"{"run":{"command":"SERVER_PORT=80 ./shop"}}"#);
    assert!(!app.line().contains("$PORT"), "{}", app.line());
}
