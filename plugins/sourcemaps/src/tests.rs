//! The stages on real files: the commands are run by the shell of the machine, as they are in a container.

use std::io::Read as _;
use std::path::Path;

use serde_json::json;
use windlass_sdk::annotations::Tone;
use windlass_sdk::custom::{Facts, Hook, Input, Output, OutputKind, Process, State};
use windlass_sdk::exec::{ExecError, Exit, Reason};
use windlass_sdk::http::{HttpError, Reason as HttpReason};
use windlass_sdk::log::Level;
use windlass_sdk::testing::{Harness, Ran, answered, ended};

use super::SourceMaps;
use crate::collect::{COMMANDS_MAX, LIST, PART, PORTION_BYTES, READ};

const MARK: &str = "--windlass-01j00000000000000000000000--";
const FULL: &str = r#"{"version":3,"sources":["a.ts"],"sourcesContent":["x"],"mappings":"AAAA"}"#;
const BARE: &str = r#"{"version":3,"sources":["a.ts","b.ts"],"mappings":"AAAA"}"#;

/// A deployment with an image that a process runs from, another one that nothing runs from, and a static site.
fn facts() -> Facts {
    let output = |name: &str, kind| Output { name: name.to_owned(), kind };
    Facts {
        hook: Hook::AfterBuild,
        number: 42,
        commit: Some("4f2a9c1d0011".to_owned()),
        outputs: vec![
            output("web", OutputKind::Image),
            output("migrate", OutputKind::Image),
            output("site", OutputKind::StaticTree),
        ],
        processes: vec![Process {
            name: "web".to_owned(),
            output: "web".to_owned(),
            web: true,
            addresses: Vec::new(),
        }],
        urls: vec!["https://shop.example.com".to_owned()],
        ..Facts::empty()
    }
}

/// What the machine's shell makes of a script.
fn shell(script: &str, words: &[&str]) -> Exit {
    let ran = std::process::Command::new("/bin/sh").args(["-c", script, "sh"]).args(words).output();
    let ran = ran.unwrap();
    let code = u32::try_from(ran.status.code().unwrap()).unwrap();
    Exit {
        stderr_tail: ran.stderr,
        ..ended(code, std::str::from_utf8(&ran.stdout).unwrap()).unwrap()
    }
}

/// A harness whose commands were run on these files, all of them maps being read in one portion.
fn on(files: &[(&str, &str)]) -> Harness {
    let harness = Harness::with_files(files);
    let root = harness.folder().join("app").to_str().unwrap().to_owned();
    let listed = shell(LIST, &[&root]);
    let text = listed.stdout();
    let maps = text.lines().skip(1).map(|line| line.split('\t').nth(1).unwrap());
    let words: Vec<&str> = std::iter::once(MARK).chain(maps).collect();
    let read = shell(READ, &words);
    harness
        .options(&json!({ "folders": [root] }).to_string())
        .command(["/bin/sh", "-c", LIST], Ok(listed))
        .command(["/bin/sh", "-c", READ], Ok(read))
}

fn collect(harness: &Harness) -> Ran {
    harness.custom::<SourceMaps>("collect", &facts(), &[])
}

fn summary(ran: &Ran) -> &str {
    &ran.result.as_ref().unwrap().summary
}

/// The table of this name, with the folder of the test as `@`.
fn table(ran: &Ran, name: &str, root: &Path) -> String {
    let found = ran.artifacts.iter().find(|(artifact, _)| artifact.name == name);
    let text = String::from_utf8(found.unwrap().1.clone()).unwrap();
    text.replace(root.to_str().unwrap(), "@").replace("\r\n", "\n")
}

/// Names and texts of the files in the archive.
fn archive(ran: &Ran, root: &Path) -> Vec<(String, String)> {
    let found =
        ran.artifacts.iter().find(|(artifact, _)| artifact.name == "source-maps-42-4f2a9c1.tar");
    let (artifact, bytes) = found.unwrap();
    assert_eq!(artifact.media_type, "application/x-tar");
    let mut files = Vec::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.push((name.replace(root.to_str().unwrap(), ""), text));
    }
    files
}

#[test]
fn maps_of_an_image_are_kept_by_release_with_a_table_of_their_bundles() {
    let harness = on(&[
        ("app/public/a b.js", "x()\n//# sourceMappingURL=a%20b.js.map"),
        ("app/public/a b.js.map", FULL),
        ("app/public/c.css", "a{}\n/*# sourceMappingURL=other.css.map */\n"),
        ("app/public/c.css.map", BARE),
        ("app/dist/server.js", "y()"),
        ("app/dist/server.js.map", BARE),
        ("app/linker.map", "Memory Configuration"),
        ("app/node_modules/z/z.js.map", FULL),
        ("elsewhere/q.js.map", FULL),
    ]);
    let ran = collect(&harness);
    let root = harness.folder();
    assert_eq!(
        summary(&ran),
        "3 source maps of 42-4f2a9c1 with 187 bytes; 1 where browsers are sent to them: the stage `public` says \
         whether visitors can read them"
    );
    assert_eq!(
        table(&ran, "source-maps.csv", root),
        "output,map,bundle,bytes,named_by_bundle,sources,has_sources,kept\n\
         web,@/app/dist/server.js.map,@/app/dist/server.js,57,no,2,no,yes\n\
         web,@/app/public/a b.js.map,@/app/public/a b.js,73,yes,1,yes,yes\n\
         web,@/app/public/c.css.map,@/app/public/c.css,57,no,2,no,yes\n"
    );
    let (full, bare) = (FULL.to_owned(), BARE.to_owned());
    assert_eq!(
        archive(&ran, root),
        [
            ("web/app/dist/server.js.map".to_owned(), bare.clone()),
            ("web/app/public/a b.js.map".to_owned(), full),
            ("web/app/public/c.css.map".to_owned(), bare),
        ]
    );
    assert_eq!(
        (ran.annotations[0].name.as_str(), ran.annotations[0].tone),
        ("source-maps", Tone::Warning)
    );
    let outputs: serde_json::Value =
        serde_json::from_str(&ran.result.as_ref().unwrap().outputs_json).unwrap();
    assert_eq!(
        outputs,
        json!({ "release": "42-4f2a9c1", "maps": 3, "places": ["/a b.js.map", "/c.css.map"] })
    );
    // Only in the output that runs, and not into the log.
    assert!(ran.commands.iter().all(|it| it.quiet && it.variable_names.is_empty()));
    assert_eq!(ran.commands.len(), 2, "{:#?}", ran.commands);
}

#[test]
fn a_map_that_is_longer_than_a_portion_is_read_in_parts() {
    let portion = usize::try_from(PORTION_BYTES).unwrap();
    let long = format!(r#"{{"version":3,"sources":[],"mappings":"{}"}}"#, "A".repeat(portion));
    let harness = on(&[("app/long.js.map", &long)]);
    let path = harness.folder().join("app/long.js.map").to_str().unwrap().to_owned();
    let part = |from: usize, bytes: usize| {
        shell(PART, &[MARK, &path, &from.to_string(), &bytes.to_string()])
    };
    let (from, left) = (portion + 1, long.len() - portion);
    let begin = ["/bin/sh", "-c", PART, "sh", MARK, &path];
    let [a, b, c, d, e, f] = begin;
    let whole = harness
        .clone()
        .command([a, b, c, d, e, f, "1"], Ok(part(1, portion)))
        .command([a, b, c, d, e, f, &from.to_string()], Ok(part(from, left)));
    let ran = collect(&whole);
    assert!(
        summary(&ran).starts_with("1 source map of 42-4f2a9c1 with 1.9 MB"),
        "{:?}",
        ran.result
    );
    assert_eq!(archive(&ran, harness.folder())[0].1, long);
    // What a host gives back of too much has lost its beginning.
    let mut tail = part(1, portion);
    tail.stdout_tail.drain(..1_000);
    let error = collect(&harness.command([a, b, c, d, e, f], Ok(tail))).result.unwrap_err();
    assert_eq!(error.code, "sourcemaps.unreadable");
    assert!(error.hint.unwrap().contains("stages.exec_tail_bytes_max"));
}

#[test]
fn however_many_files_there_are_it_runs_no_more_commands_than_a_host_carries_out() {
    // None of them is a map, so none fills the archive; two of them are more than a portion.
    let lines: Vec<String> =
        (0..200).map(|number| format!("1000000\t/app/{number}.map\t\t\n")).collect();
    let listed = ended(0, &format!("maps:\n{}", lines.concat()));
    let with = |read| {
        let harness = Harness::with_files(&[]).command(["/bin/sh", "-c", LIST], listed.clone());
        collect(&harness.command(["/bin/sh", "-c", READ], read))
    };
    let ran = with(ended(0, &format!("\n{MARK}\nno\n{MARK}\n")));
    assert_eq!(ran.commands.len(), COMMANDS_MAX);
    let left_out = 200 - (COMMANDS_MAX - 1);
    let said = format!("0 source maps of 42-4f2a9c1 with 0 bytes; {left_out} source maps left out");
    assert!(summary(&ran).starts_with(&said), "{}", summary(&ran));
    let table = table(&ran, "source-maps.csv", Path::new("-"));
    assert_eq!(table.matches("no\n").count(), left_out, "{table}");

    // A host whose limits say less.
    let message = "a call may begin 1 commands, and has".to_owned();
    let ran = with(Err(ExecError { reason: Reason::OverLimit, message }));
    assert_eq!(ran.commands.len(), 2);
    assert!(summary(&ran).contains("200 source maps left out"), "{}", summary(&ran));
    assert!(ran.log.iter().any(|(_, line)| line.contains("a call may begin 1 commands")));
}

#[test]
fn a_secret_that_was_taken_out_of_a_map_does_not_move_its_neighbours() {
    let harness = on(&[("app/a.js.map", FULL), ("app/b.js.map", BARE)]);
    let mut masked = shell(
        READ,
        &[
            MARK,
            harness.folder().join("app/a.js.map").to_str().unwrap(),
            harness.folder().join("app/b.js.map").to_str().unwrap(),
        ],
    );
    masked.stdout_tail = masked.stdout().replace("\"a.ts\"", "\"[secret]\"").into_bytes();
    let other = Harness::with_files(&[]).options(&harness.context.options_json);
    let listed = shell(LIST, &[harness.folder().join("app").to_str().unwrap()]);
    let other = other
        .command(["/bin/sh", "-c", LIST], Ok(listed))
        .command(["/bin/sh", "-c", READ], Ok(masked));
    let texts: Vec<String> =
        archive(&collect(&other), harness.folder()).into_iter().map(|it| it.1).collect();
    assert_eq!(texts, [FULL.replace("a.ts", "[secret]"), BARE.replace("a.ts", "[secret]")]);
}

#[test]
fn what_cannot_be_read_is_said_and_fails_only_where_it_should() {
    let skipped = |harness: &Harness, why: &str| {
        let outcome = collect(harness).result.unwrap();
        assert!(outcome.skipped && outcome.summary.contains(why), "{outcome:?}");
    };
    skipped(&on(&[("app/a.js", "")]), "left no source map");
    skipped(&on(&[("app/a.map", "no")]), "no file with the ending .map is a source map");
    let answer = |answer: Result<Exit, ExecError>| {
        Harness::with_files(&[]).command(["/bin/sh", "-c", LIST], answer)
    };
    let error = |reason| Err(ExecError { reason, message: "m".to_owned() });
    skipped(&answer(error(Reason::NotStarted)), "has no /bin/sh");
    let lacking = Exit { stderr_tail: b"find\n".to_vec(), ..ended(69, "").unwrap() };
    skipped(&answer(Ok(lacking)), "the image of web has no program find");
    let only_site = Facts {
        outputs: facts()
            .outputs
            .into_iter()
            .filter(|it| it.kind == OutputKind::StaticTree)
            .collect(),
        ..facts()
    };
    let ran = Harness::with_files(&[]).custom::<SourceMaps>("collect", &only_site, &[]);
    assert!(
        summary(&ran).contains("no output of the build is an image") && ran.commands.is_empty()
    );

    let failed = |harness: &Harness| collect(harness).result.unwrap_err();
    let denied = failed(&answer(error(Reason::Denied)));
    assert_eq!((denied.code.as_str(), denied.retryable), ("sourcemaps.not-granted", false));
    assert!(failed(&answer(error(Reason::HostFailed))).retryable);
    let ended_badly = Exit { stderr_tail: b"sort: no space\n".to_vec(), ..ended(2, "").unwrap() };
    assert!(failed(&answer(Ok(ended_badly))).message.ends_with("ended with 2: sort: no space"));
    assert_eq!(
        failed(&answer(ended(0, "s\t/a"))).code,
        "sourcemaps.unreadable",
        "its beginning is missing"
    );
    let denied = failed(&on(&[("app/a.js.map", FULL)]).deny("artifacts"));
    assert_eq!(denied.code, "artifacts.failed");
}

const SHOP: &str = "https://shop.example.com";

fn live() -> Facts {
    Facts { hook: Hook::AfterSwitch, state: State::Live, ..facts() }
}

fn site(files: &[(&str, u16, &str)]) -> Harness {
    // The longest first: an answer is found by how its address begins.
    let mut files = files.to_vec();
    files.sort_by_key(|(path, ..)| std::cmp::Reverse(path.len()));
    files.iter().fold(Harness::with_files(&[]), |harness, (path, status, text)| {
        harness.request("GET", &format!("{SHOP}{path}"), answered(*status, *text))
    })
}

fn collected(maps: usize, places: &[&str]) -> Input {
    Input {
        name: "source-maps".to_owned(),
        plugin: "sourcemaps".to_owned(),
        stage: "collect".to_owned(),
        outputs_json: json!({ "release": "42-4f2a9c1", "maps": maps, "places": places })
            .to_string(),
    }
}

#[test]
fn maps_that_visitors_can_read_are_warned_of_and_those_of_a_site_are_kept() {
    let site = site(&[
        (
            "/",
            200,
            "<script src=/a.js></script><script src=\"b.js?v=1\"></script><link href=/c.css>\
                    <script src=d.js></script><script src=https://cdn.example.com/e.js></script>",
        ),
        ("/a.js", 200, "x()\n//# sourceMappingURL=a.js.map"),
        ("/a.js.map", 200, FULL),
        ("/b.js", 200, "y()"),
        ("/b.js.map", 200, BARE),
        ("/c.css", 200, "a{}\n/*# sourceMappingURL=data:application/json;base64,e30= */"),
        ("/d.js", 200, "z()"),
        ("/d.js.map", 200, "<!doctype html>every address is this page"),
    ]);
    let ran = site.custom::<SourceMaps>("public", &live(), &[collected(0, &[])]);
    assert_eq!(
        summary(&ran),
        "visitors can read 3 source maps, 1 with the source itself: /a.js.map"
    );
    assert_eq!(
        table(&ran, "public-source-maps.csv", Path::new("-")),
        "map,bundle,bytes,named_by_bundle,sources,has_sources\n/a.js.map,/a.js,73,yes,1,yes\n\
         /b.js.map,/b.js?v=1,57,no,2,no\ninline,/c.css,,yes,,\n"
    );
    assert_eq!(
        archive(&ran, Path::new("-")),
        [("a.js.map".to_owned(), FULL.to_owned()), ("b.js.map".to_owned(), BARE.to_owned())]
    );
    let note = &ran.annotations[0];
    assert_eq!((note.name.as_str(), note.tone), ("public-source-maps", Tone::Warning));
    assert!(ran.requests.iter().all(|it| it.url.starts_with(SHOP)), "{:#?}", ran.requests);
}

#[test]
fn maps_of_an_image_are_asked_for_where_they_would_lie_and_are_not_kept_twice() {
    let page = ("/", 200, "<script src=/a.js></script>");
    let site = |status| {
        site(&[page, ("/a.js", 200, "x()"), ("/a.js.map", 404, ""), ("/m/z.js.map", status, FULL)])
    };
    let ran = site(200).custom::<SourceMaps>("public", &live(), &[collected(2, &["/m/z.js.map"])]);
    assert_eq!(
        summary(&ran),
        "visitors can read 1 source map, 1 with the source itself: /m/z.js.map"
    );
    assert_eq!(ran.artifacts.len(), 1, "the table: the maps are kept already");
    let ran = site(403).custom::<SourceMaps>("public", &live(), &[collected(2, &["/m/z.js.map"])]);
    assert_eq!(summary(&ran), "visitors can read none of the source maps that were looked for");
    assert_eq!((ran.annotations[0].tone, ran.artifacts.len()), (Tone::Good, 0));
}

#[test]
fn a_page_is_looked_at_where_a_redirect_led() {
    let mut page = answered(200, "<script src=/a.js></script>").unwrap();
    page.url = "https://www.shop.example.com/start/".to_owned();
    let www = "https://www.shop.example.com";
    let site = Harness::with_files(&[])
        .request("GET", &format!("{SHOP}/"), Ok(page))
        .request("GET", &format!("{www}/a.js.map"), answered(200, FULL))
        .request("GET", &format!("{www}/a.js"), answered(200, "x()"));
    let ran = site.custom::<SourceMaps>("public", &live(), &[collected(1, &[])]);
    assert!(summary(&ran).starts_with("visitors can read 1 source map, "), "{:?}", ran.result);
}

#[test]
fn an_address_that_cannot_be_asked_is_tried_again_or_says_what_to_grant() {
    let run = |harness: &Harness, facts: &Facts| {
        harness.custom::<SourceMaps>("public", facts, &[collected(0, &[])]).result
    };
    let asked = |reason| {
        let error = Err(HttpError { reason, message: "m".to_owned() });
        run(&Harness::with_files(&[]).request("GET", SHOP, error), &live()).unwrap_err()
    };
    let denied = asked(HttpReason::Denied);
    assert_eq!((denied.code.as_str(), denied.retryable), ("sourcemaps.not-granted", false));
    assert!(denied.hint.unwrap().contains("\"private\": [\"shop.example.com\"]"));
    assert!(asked(HttpReason::TimedOut).retryable);
    assert!(run(&site(&[("/", 503, "")]), &live()).unwrap_err().retryable);
    let skipped = |harness: &Harness, facts: &Facts, why: &str| {
        let outcome = run(harness, facts).unwrap();
        assert!(outcome.skipped && outcome.summary.contains(why), "{outcome:?}");
    };
    skipped(&site(&[("/", 401, "")]), &live(), "set `pages`");
    skipped(&site(&[]), &Facts { urls: Vec::new(), ..live() }, "has no address");
    skipped(&site(&[]), &Facts { state: State::Failed, ..live() }, "not live");
    // Another address and other pages, as they are set.
    let set = Harness::with_files(&[])
        .options(r#"{"url":"http://127.0.0.1:8080","pages":["/app/"]}"#)
        .request("GET", "http://127.0.0.1:8080/app/", answered(200, ""));
    assert!(run(&set, &live()).unwrap().summary.contains("none of the source maps"));
}

#[test]
fn options_that_cannot_work_are_refused() {
    for bad in [
        r#"{"folders":["app"]}"#,
        r#"{"folders":["/"]}"#,
        r#"{"folders":["/app/../etc"]}"#,
        r#"{"pages":["//elsewhere"]}"#,
        r#"{"url":"shop.example.com"}"#,
    ] {
        let error = collect(&Harness::with_files(&[]).options(bad)).result.unwrap_err();
        assert_eq!(error.code, "sourcemaps.option-invalid", "{bad}");
    }
    let error = collect(&Harness::with_files(&[]).options(r#"{"paths":[]}"#)).result.unwrap_err();
    assert_eq!(error.code, "options.invalid");
}

#[test]
fn maps_of_static_sites_are_withheld_where_that_is_set_and_nothing_else_is() {
    let harness = on(&[("app/public/a.js.map", FULL)]);
    let root = harness.folder().join("app").to_str().unwrap().to_owned();
    let outcome = collect(&harness).result.unwrap();
    assert!(outcome.withheld.is_empty() && outcome.schedules.is_empty());

    let options = json!({ "folders": [root], "remove": true }).to_string();
    let outcome = collect(&harness.options(&options)).result.unwrap();
    let [withheld] = &outcome.withheld[..] else { panic!("{outcome:?}") };
    assert_eq!(withheld.output, "site");
    assert_eq!(withheld.paths, ["**/*.js.map", "**/*.mjs.map", "**/*.cjs.map", "**/*.css.map"]);
    let said = "source maps of site are not served; 1 source map of 42-4f2a9c1";
    assert!(outcome.summary.starts_with(said), "{}", outcome.summary);

    let only_site = Facts { outputs: facts().outputs.split_off(2), ..facts() };
    let harness = Harness::with_files(&[]).options(r#"{"remove":true}"#);
    let outcome = harness.custom::<SourceMaps>("collect", &only_site, &[]).result.unwrap();
    assert_eq!(
        (outcome.summary.as_str(), outcome.skipped),
        ("source maps of site are not served", false)
    );
    assert_eq!(outcome.withheld.len(), 1);

    let no_trees = Facts { outputs: vec![facts().outputs.remove(0)], ..facts() };
    let told = Harness::with_files(&[])
        .options(r#"{"remove":true}"#)
        .command(["/bin/sh", "-c", LIST], ended(0, "maps:\n"));
    let outcome = told.custom::<SourceMaps>("collect", &no_trees, &[]).result.unwrap();
    assert!(outcome.withheld.is_empty() && outcome.skipped, "{outcome:?}");
}

#[test]
fn where_remove_is_asked_for_an_image_it_is_said_that_images_stay_as_they_are() {
    let stay = "`remove` changes no image: source maps in web stay where they are";
    let warned = |ran: &Ran| {
        let line = format!("{stay}, and may be served; take them out in the build");
        ran.log.contains(&(Level::Warn, line))
    };
    let told = |options: &str| {
        let listed = ended(0, "maps:\n");
        Harness::with_files(&[]).options(options).command(["/bin/sh", "-c", LIST], listed)
    };
    let no_trees = Facts { outputs: vec![facts().outputs.remove(0)], ..facts() };
    for (facts, begins) in [
        (no_trees, "the build left no source map"),
        (facts(), "source maps of site are not served; "),
    ] {
        let ran = told(r#"{"remove":true}"#).custom::<SourceMaps>("collect", &facts, &[]);
        assert!(warned(&ran), "{:?}", ran.log);
        assert!(summary(&ran).starts_with(begins), "{}", summary(&ran));
        assert!(summary(&ran).ends_with(&format!("; {stay}")), "{}", summary(&ran));
        let ran = told("{}").custom::<SourceMaps>("collect", &facts, &[]);
        assert!(!warned(&ran) && !summary(&ran).contains("remove"), "nobody has asked for it");
    }

    let only_site = Facts { outputs: facts().outputs.split_off(2), ..facts() };
    let ran = told(r#"{"remove":true}"#).custom::<SourceMaps>("collect", &only_site, &[]);
    assert!(!warned(&ran), "there is no image");
}
