//! The stage on files as repositories have them.

use windlass_sdk::annotations::Tone;
use windlass_sdk::custom::{Facts, Hook, Output, OutputKind, Process};
use windlass_sdk::testing::{Harness, Ran};

use super::Cron;

fn facts() -> Facts {
    Facts {
        hook: Hook::AfterBuild,
        outputs: vec![Output { name: "app".to_owned(), kind: OutputKind::Image }],
        processes: vec![Process {
            name: "web".to_owned(),
            output: "app".to_owned(),
            web: true,
            addresses: Vec::new(),
        }],
        ..Facts::empty()
    }
}

fn on(files: &[(&str, &str)], options: &str) -> Ran {
    Harness::with_files(files).options(options).custom::<Cron>("register", &facts(), &[])
}

/// Name, expression, zone and command of each.
fn registered(ran: &Ran) -> Vec<(String, String, String, String)> {
    let outcome = ran.result.as_ref().unwrap();
    let one = |it: &windlass_sdk::custom::Schedule| {
        assert_eq!(it.argv[..2], ["/bin/sh", "-c"]);
        let zone = it.timezone.clone().unwrap_or_default();
        (it.name.clone(), it.cron.clone(), zone, it.argv[2].clone())
    };
    outcome.schedules.iter().map(one).collect()
}

fn row(name: &str, cron: &str, zone: &str, line: &str) -> (String, String, String, String) {
    (name.to_owned(), cron.to_owned(), zone.to_owned(), line.to_owned())
}

#[test]
fn a_crontab_is_registered_line_by_line_and_says_what_it_cannot() {
    let table = "# nightly\nMAILTO=ops@example.com\nAPI_URL=http://x\n0 3 * * *  node clean.js --all\n\
                 CRON_TZ=Europe/Vienna\n*/5\t9-17 * * mon-fri  date +\\%F && node clean.js --all\n\
                 @daily rake report\n@reboot node server.js\n5 4 * * *\n0 0 * * * date +%F\n";
    let ran = on(&[("crontab", table)], "{}");
    assert_eq!(
        registered(&ran),
        [
            row("node-clean-js-all", "0 3 * * *", "", "node clean.js --all"),
            row(
                "date-f-node-clean-js-all",
                "*/5 9-17 * * mon-fri",
                "Europe/Vienna",
                "date +%F && node clean.js --all"
            ),
            row("rake-report", "@daily", "Europe/Vienna", "rake report"),
        ]
    );
    let said: Vec<&str> = ran.log.iter().map(|(_, line)| line.as_str()).collect();
    for (line, why) in [
        ("line 3", "windlass env set"),
        ("line 8", "@reboot"),
        ("line 9", "no command"),
        ("line 10", "line break"),
    ] {
        assert!(said.iter().any(|it| it.contains(line) && it.contains(why)), "{line}: {said:?}");
    }
    let summary = &ran.result.as_ref().unwrap().summary;
    assert!(summary.starts_with("3 schedules registered, 4 left out"), "{summary}");
    assert_eq!(ran.annotations[0].tone, Tone::Warning);
}

#[test]
fn files_of_other_platforms_are_registered_as_they_mean_it() {
    let render = "services:\n- type: web\n  name: shop\n- type: cron\n  name: Nightly Clean\n  \
                  schedule: '0 3 * * *'\n  startCommand: bin/clean\n- type: cron\n  name: other\n  \
                  rootDir: jobs\n  schedule: '@daily'\n  startCommand: ./run\n";
    let app = r#"{"cron":[{"command":"rake a","schedule":"0 1 * * *"},{"command":"rake a","schedule":"0 2 * * *"},
                  {"command":"rake b"}]}"#;
    let railway = "[deploy]\ncronSchedule = '*/15 * * * *'\nstartCommand = 'npm run sync'\n";
    let files = [("render.yaml", render), ("app.json", app), ("railway.toml", railway)];
    let ran = on(&files, r#"{"timezone":"Europe/Vienna","process":"web"}"#);
    assert_eq!(
        registered(&ran),
        [
            row("nightly-clean", "0 3 * * *", "Europe/Vienna", "bin/clean"),
            row("railway", "*/15 * * * *", "Europe/Vienna", "npm run sync"),
            row("rake-a", "0 1 * * *", "Europe/Vienna", "rake a"),
            row("rake-a-2", "0 2 * * *", "Europe/Vienna", "rake a"),
        ]
    );
    let outcome = ran.result.as_ref().unwrap();
    assert!(outcome.schedules.iter().all(|it| it.process.as_deref() == Some("web")));
    let said = ran.log.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n");
    assert!(
        said.contains("other of render.yaml runs in jobs") && said.contains("entry 3"),
        "{said}"
    );
}

#[test]
fn requests_are_sent_only_where_it_is_said_to_whom() {
    let vercel = r#"{"crons":[{"path":"/api/it's?a=1","schedule":"0 5 * * *"}]}"#;
    let ran = on(&[("vercel.json", vercel)], "{}");
    assert!(registered(&ran).is_empty());
    let summary = &ran.result.as_ref().unwrap().summary;
    assert!(
        summary.contains("/api/it's?a=1 of vercel.json is a request and no command"),
        "{summary}"
    );

    let ran = on(&[("vercel.json", vercel)], r#"{"url":"http://web:3000/"}"#);
    let [(name, cron, _, line)] = &registered(&ran)[..] else { panic!("{ran:?}") };
    assert_eq!((name.as_str(), cron.as_str()), ("api-it-s-a-1", "0 5 * * *"));
    assert!(
        line.contains(r"curl -fsS") && line.contains(r"'http://web:3000/api/it'\''s?a=1'"),
        "{line}"
    );
    // The line is one for a shell, which finds the word that is meant.
    let script = line.replace("command -v curl", "true").replace("exec curl", "printf '%s\\n'");
    let ran = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(said.lines().last(), Some("http://web:3000/api/it's?a=1"));

    let refused = on(&[("vercel.json", vercel)], r#"{"url":"web:3000"}"#).result.unwrap_err();
    assert_eq!(refused.code, "cron.option-invalid");
}

#[test]
fn what_has_no_schedules_or_runs_nothing_is_skipped_and_a_broken_file_is_named() {
    let ran = on(&[("vercel.json", "{}"), ("app.json", r#"{"name":"x"}"#)], "{}");
    assert!(ran.result.unwrap().skipped);
    let site = Facts { processes: Vec::new(), ..facts() };
    let ran = Harness::with_files(&[("crontab", "@daily true\n")]);
    let outcome = ran.options("{}").custom::<Cron>("register", &site, &[]).result.unwrap();
    assert!(outcome.skipped && outcome.schedules.is_empty(), "{outcome:?}");
    let refused = on(&[("crontab", "# jobs\n0 25 * * * true\n")], "{}").result.unwrap_err();
    assert_eq!(refused.code, "cron.schedule-invalid");
    assert!(refused.message.contains("line 2 of crontab"), "{}", refused.message);
    let long = format!("@daily true\n@daily echo {}\n", "x".repeat(4_096));
    let many = "@daily true\n".repeat(51);
    for (table, place, says) in [
        (long.as_str(), "line 2 of crontab", "more than 4096 characters"),
        (many.as_str(), "line 51 of crontab", "more than the 50 schedules"),
    ] {
        let refused = on(&[("crontab", table)], "{}").result.unwrap_err();
        assert_eq!(refused.code, "cron.schedule-invalid");
        assert!(refused.message.starts_with(place), "{}", refused.message);
        assert!(refused.message.contains(says), "{}", refused.message);
    }
    let refused = on(&[("crontab", "@daily true\n")], r#"{"process":"job"}"#).result.unwrap_err();
    assert_eq!(refused.code, "cron.option-invalid");
    assert!(refused.message.contains(r#""job", but ["web"]"#), "{}", refused.message);
    let refused = on(&[("render.yaml", "services: [")], "{}").result.unwrap_err();
    assert_eq!(refused.code, "cron.file-invalid");
    assert!(refused.message.contains("render.yaml"), "{}", refused.message);
}
