//! Seeing what runs and working with it: logs by time, text and place, followed through restarts; a shell with
//! a real terminal, pipes, one-off commands; what instances use; events.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use windlass_model::Stream as LogStream;
use windlass_model::api::LogEntry;
use windlass_model::event::Event;
use windlass_model::session::RunView;
use windlass_model::stats::Stats;
use windlass_test_support::host::is_alive;
use windlass_test_support::{GitRepo, HostOptions, TestHost, wait_for};

const LONG: Duration = Duration::from_secs(60);

/// Prints a numbered line again and again, holds 50 MB, floods when asked.
const SERVER: &str = "
const ballast = Buffer.alloc(50 * 1024 * 1024, 1);
console.log('\\x1b[31mred\\x1b[0m and \\x1b]52;c;aGFjaw==\\x07clipboard\\x1b[2J');
let n = 0;
setInterval(() => console.log('tick ' + n++), 20);
const server = require('http').createServer((q, s) => {
  if (q.url === '/flood') for (let i = 0; i < 5000; i++) console.error('flood ' + i);
  s.end('ok ' + ballast.length);
});
server.listen(process.env.PORT, '0.0.0.0');
process.on('SIGTERM', () => { console.log('last words'); process.exit(0); });
";

const PACKAGE: &str = r#"{"name":"watched","version":"1.0.0","engines":{"node":"22"},
"scripts":{"start":"node server.js"},"dependencies":{}}"#;

const PROJECT: [&str; 2] = ["--project", "watched"];

fn deployed(options: HostOptions) -> (TestHost, GitRepo) {
    let host = TestHost::start_with(options);
    host.cli(&["project", "create", "watched"]).ok();
    host.cli(&["env", "set", "--project", "watched", "NOTE=the note"]).ok();
    let repo = GitRepo::of_files(&[("package.json", PACKAGE), ("server.js", SERVER)]);
    host.deploy_git("watched", &repo, &[]).live();
    (host, repo)
}

fn with_project<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&args[..1], &PROJECT, &args[1..]].concat()
}

fn entries(host: &TestHost, args: &[&str]) -> Vec<LogEntry> {
    let output = host.cli_json(&with_project(&[&["logs"], args].concat())).ok();
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn tick(entry: &LogEntry) -> Option<u64> {
    entry.line.text.strip_prefix("tick ")?.parse().ok()
}

fn ticks(entries: &[LogEntry]) -> Vec<u64> {
    entries.iter().filter_map(tick).collect()
}

/// A command that goes on while the test does; what it prints is collected.
struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn start(host: &TestHost, args: &[&str]) -> Self {
        let mut command = host.cli_command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (collect, out) = (Arc::clone(&lines), BufReader::new(child.stdout.take().unwrap()));
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).for_each(|line| collect.lock().unwrap().push(line));
        });
        Self { child, lines }
    }

    fn entries(&self) -> Vec<LogEntry> {
        let lines = self.lines.lock().unwrap();
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn logs_are_found_by_time_and_text_and_followed_through_a_restart_and_a_deployment() {
    let (mut host, repo) =
        deployed(HostOptions::default().limit("instance_log_lines_per_s_max", 1000));
    let follower =
        Running::start(&host, &with_project(&["logs", "-f", "--json", "--instance", "web.0"]));
    wait_for("the follower sees ticks", LONG, || match ticks(&follower.entries()).len() {
        0..20 => Err("too few".to_owned()),
        _ => Ok(()),
    });
    a_range_holds_every_line_of_it(&host);
    escapes_are_filtered(&host);
    what_is_dropped_is_counted(&host);

    host.kill9_serve();
    let before = ticks(&entries_of_file(&host)).last().copied().unwrap_or_default();
    host.restart();
    wait_for("the follower goes on", LONG, || {
        let seen = ticks(&follower.entries());
        if seen.last() > Some(&(before + 50)) { Ok(()) } else { Err(format!("{:?}", seen.last())) }
    });
    repo.write("other.txt", "another version");
    repo.commit("Another version");
    host.deploy_git("watched", &repo, &[]).live();
    wait_for("the follower sees the next deployment", LONG, || {
        let seen = follower.entries();
        let of_second = seen.iter().filter(|entry| entry.number == Some(2));
        if of_second.count() > 10 { Ok(()) } else { Err(format!("{:?}", seen.last())) }
    });
    nothing_was_lost_or_doubled(&follower.entries());
    a_dead_instance_keeps_its_log(&host);
    drop(follower);
    host.finish();
}

/// What is in the file itself, while no host runs.
fn entries_of_file(host: &TestHost) -> Vec<LogEntry> {
    let logs = std::fs::read_dir(host.data_dir().join("logs")).unwrap();
    let mut found = Vec::new();
    for deployment in logs.flatten() {
        let lines = windlass_containers::logs::read(&deployment.path().join("instances/web.0"));
        found.extend(lines.into_iter().map(|line| LogEntry {
            step: None,
            instance: None,
            number: None,
            line,
            dropped: None,
        }));
    }
    found
}

fn a_range_holds_every_line_of_it(host: &TestHost) {
    let all = entries(host, &["--instance", "web.0"]);
    let with_tick: Vec<&LogEntry> = all.iter().filter(|entry| tick(entry).is_some()).collect();
    let (from, to) = (with_tick[3], with_tick[with_tick.len() - 3]);
    let (since, until) = (from.line.at.to_string(), to.line.at.to_string());
    let range = entries(host, &["--since", &since, "--until", &until, "--process", "web"]);
    // Lines that were read at once have the same time.
    let within = with_tick.iter().filter(|entry| {
        let at = entry.line.at;
        from.line.at <= at && at <= to.line.at
    });
    let expected: Vec<u64> = within.filter_map(|entry| tick(entry)).collect();
    assert!(expected.len() >= with_tick.len() - 5, "{expected:?}");
    assert_eq!(ticks(&range), expected);
    let found = entries(host, &["--grep", "TICK 1[0-3]$", "--regex", "--ignore-case"]);
    assert_eq!(ticks(&found), [10, 11, 12, 13]);
    assert!(entries(host, &["--grep", "tick.1"]).is_empty(), "a text is no pattern");
    let last = entries(host, &["--grep", "tick 1", "--until", &until, "-n", "2"]);
    assert_eq!(last.len(), 2);
    let ago = entries(host, &["--since", "1h", "--step", "build"]);
    assert!(!ago.is_empty() && ago.iter().all(|entry| entry.step.is_some()));
    let bad = host.cli_json(&with_project(&["logs", "--since", "yesterday"])).failure();
    assert_eq!(bad.code, "logs.bad-time");
}

fn escapes_are_filtered(host: &TestHost) {
    let coloured = entries(host, &["--grep", "clipboard"]);
    assert_eq!(coloured[0].line.text, "red and clipboard");
    let path = "/v1/deployments/1/logs?project=watched&grep=clipboard&ansi=true";
    let answer: serde_json::Value = host.api("GET", path, None).json();
    let text = answer["items"][0]["text"].as_str().unwrap();
    assert_eq!(text, "\x1b[31mred\x1b[0m and clipboard\x1b[0m");
    let plain = host.cli(&with_project(&["logs", "1", "--grep", "clipboard"])).ok();
    assert!(!plain.stdout.contains('\x1b'), "{:?}", plain.stdout);
}

fn what_is_dropped_is_counted(host: &TestHost) {
    host.get("watched.localhost", "/flood");
    let sum = wait_for("the gap is said", LONG, || {
        let all = entries(host, &["--instance", "web.0"]);
        let kept = all.iter().filter(|entry| entry.line.text.starts_with("flood ")).count() as u64;
        let gaps = all.iter().filter_map(|entry| entry.dropped);
        let dropped: u64 = gaps.map(|gap| gap.lines).sum();
        // A flood may last longer than the second of its first gap.
        match dropped > 0 && kept + dropped >= 5000 {
            true => Ok((kept, dropped)),
            false => Err(format!("{kept} kept, {dropped} dropped")),
        }
    });
    // Ticks of the same second are among the dropped ones.
    assert!(sum.0 + sum.1 < 5200, "{sum:?}");
    let shown = host.cli(&with_project(&["logs", "--instance", "web.0"])).ok().stdout;
    assert!(shown.contains(" dropped here: more lines came in a second"), "the gap is shown");
}

fn nothing_was_lost_or_doubled(seen: &[LogEntry]) {
    for number in [1, 2] {
        let of_it: Vec<LogEntry> =
            seen.iter().filter(|entry| entry.number == Some(number)).cloned().collect();
        let seen = ticks(&of_it);
        assert!(seen.is_sorted() && seen.windows(2).all(|pair| pair[0] < pair[1]), "doubled");
        // The flood pushed some out, and gaps say so; from there on, through the restart, none is missing.
        let flood = of_it.iter().rposition(|entry| entry.dropped.is_some()).unwrap_or_default();
        let after = ticks(&of_it[flood..]);
        let span = after.last().unwrap() - after[0] + 1;
        assert!(after.len() > 10 && span == after.len() as u64, "#{number}: {after:?}");
    }
}

fn a_dead_instance_keeps_its_log(host: &TestHost) {
    wait_for("the first version retires", LONG, || {
        let last = entries(host, &["1", "--instance", "web.0", "--tail", "1"]);
        if last[0].line.text == "last words" { Ok(()) } else { Err(last[0].line.text.clone()) }
    });
    // What it wrote, what it wrote as an error, and what Windlass said of it.
    let last = assert_same_in_otlp(host, &["1", "--tail", "3"]);
    assert_eq!(last.last().unwrap().line.text, "last words");
    let errors = assert_same_in_otlp(host, &["1", "--grep", "flood ", "--tail", "2"]);
    assert!(errors.iter().all(|entry| entry.line.stream == LogStream::Stderr), "{errors:?}");
    let switched = assert_same_in_otlp(host, &["1", "--step", "switch", "--tail", "1"]);
    assert_eq!(switched[0].line.stream, LogStream::Host);
}

/// The lines that are asked for, which have to be the same in OTLP: time, text, stream, and a severity where
/// Windlass itself speaks.
fn assert_same_in_otlp(host: &TestHost, args: &[&str]) -> Vec<LogEntry> {
    let expected = entries(host, args);
    assert!(!expected.is_empty(), "{args:?}");
    let logs = with_project(&[&["logs"], args, &["--format", "otlp"]].concat());
    let output = host.cli(&logs).ok();
    let mut records = Vec::new();
    for line in output.stdout.lines() {
        let data: serde_json::Value = serde_json::from_str(line).unwrap();
        for resource in data["resourceLogs"].as_array().unwrap() {
            let of = &resource["resource"]["attributes"];
            assert_eq!(attribute(of, "service.name"), "watched");
            assert_eq!(attribute(of, "deployment.environment.name"), "production");
            records.extend(resource["scopeLogs"][0]["logRecords"].as_array().unwrap().clone());
        }
    }
    assert_eq!(records.len(), expected.len(), "{records:#?}");
    for (record, entry) in records.iter().zip(&expected) {
        let line = &entry.line;
        assert_eq!(record["timeUnixNano"], line.at.as_nanosecond().to_string(), "{record:#}");
        assert_eq!(record["body"]["stringValue"], line.text, "{record:#}");
        let (stream, severity) = match line.stream {
            LogStream::Stdout => ("stdout", None),
            LogStream::Stderr => ("stderr", None),
            LogStream::Host => ("host", Some((9, "INFO"))),
            LogStream::Plugin => ("plugin", Some((9, "INFO"))),
        };
        assert_eq!(attribute(&record["attributes"], "log.iostream"), stream, "{record:#}");
        let number = record.get("severityNumber").and_then(serde_json::Value::as_u64);
        let text = record.get("severityText").and_then(serde_json::Value::as_str);
        assert_eq!(number.zip(text), severity, "{record:#}");
    }
    expected
}

/// The text of an attribute, which has to be there.
fn attribute<'a>(attributes: &'a serde_json::Value, key: &str) -> &'a str {
    let all = attributes.as_array().unwrap();
    let found = all.iter().find(|it| it["key"] == key);
    found.unwrap_or_else(|| panic!("no {key} in {attributes:#}"))["value"]["stringValue"]
        .as_str()
        .unwrap()
}

/// A terminal with a command in it.
pub(crate) struct Terminal {
    child: Child,
    master: std::fs::File,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    pub(crate) fn start(host: &TestHost, args: &[&str]) -> Self {
        let (mut master, mut slave) = (0, 0);
        let size = size(80, 24);
        // SAFETY: both descriptors are written before they are read, and owned below.
        let opened = unsafe {
            libc::openpty(
                &raw mut master,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null(),
                &raw const size,
            )
        };
        assert_eq!(opened, 0);
        // SAFETY: they were just opened and belong to nobody else.
        let (master, slave) =
            unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        let mut command = host.cli_command(args);
        command.env("TERM", "xterm");
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap());
        command.stderr(slave);
        // SAFETY: only calls that are allowed between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        drop(command);
        let master = std::fs::File::from(master);
        let (seen, mut out) = (Arc::<Mutex<String>>::default(), master.try_clone().unwrap());
        let collect = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut buffer) {
                collect.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self { child, master, seen }
    }

    fn type_line(&mut self, text: &str) {
        self.master.write_all(format!("{text}\r").as_bytes()).unwrap();
    }

    fn expect(&self, text: &str) {
        wait_for(&format!("the terminal shows {text:?}"), LONG, || {
            let seen = self.seen.lock().unwrap().clone();
            if seen.contains(text) { Ok(()) } else { Err(seen) }
        });
    }

    /// Whether it shows this by now.
    pub(crate) fn shows(&self, text: &str) -> bool {
        self.seen.lock().unwrap().contains(text)
    }

    /// Whether the command has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = size(columns, rows);
        // SAFETY: the descriptor is open and the structure is of the kind that is read.
        let done =
            unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(done, 0);
    }

    fn end(mut self) -> i32 {
        wait_for("the command ends", LONG, || {
            let status = self.child.try_wait().unwrap();
            status.and_then(|status| status.code()).ok_or_else(|| self.seen.lock().unwrap().clone())
        })
    }
}

fn size(columns: u16, rows: u16) -> libc::winsize {
    libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Processes of the machine with exactly this command line.
pub(crate) fn processes(argv: &[&str]) -> Vec<u32> {
    let wanted = argv.join("\0") + "\0";
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pid = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let is_it = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == wanted.as_bytes())
    };
    all.filter_map(pid).filter(is_it).collect()
}

/// A length of sleep that no other test has.
fn naps(n: u32) -> String {
    (1_000_000 + std::process::id() * 10 + n).to_string()
}

#[test]
fn a_person_works_with_what_runs_and_leaves_nothing() {
    let (mut host, _repo) = deployed(HostOptions::default());
    commands_get_input_and_give_their_exit_code(&host);
    a_terminal_is_a_terminal(&host);
    who_hangs_up_ends_the_whole_tree(&host);
    one_off_commands_have_variables_and_network(&host);
    a_detached_command_keeps_its_log(&host);
    stats_are_those_of_the_application(&host);
    events_tell_what_happened(&host);
    a_killed_host_leaves_no_command(&mut host);
    host.finish();
}

fn commands_get_input_and_give_their_exit_code(host: &TestHost) {
    let exec = |args: &[&str], input: &str| {
        host.cli_with_input(&[&["exec", "--project", "watched", "--"], args].concat(), input)
    };
    let echoed = exec(&["cat"], "from a pipe\n").ok();
    assert_eq!(echoed.stdout, "from a pipe\n");
    let both = exec(&["sh", "-c", "echo out; echo err >&2; exit 7"], "");
    assert_eq!((both.code, both.stdout.as_str(), both.stderr.as_str()), (7, "out\n", "err\n"));
    assert_eq!(exec(&["printenv", "NOTE"], "").ok().stdout, "the note\n");
    let much = exec(&["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"], "").ok();
    assert_eq!(much.stdout.len(), 3_000_000, "the end of the output is not cut off");
    let none = exec(&["no-such-program"], "");
    assert!(none.code != 0 && none.stderr.contains("session.not-started"), "{}", none.stderr);
    let args = ["--json", "exec", "--project", "watched", "--instance", "web.9", "--", "true"];
    assert_eq!(host.cli(&args).failure().code, "session.no-instance");
}

fn a_terminal_is_a_terminal(host: &TestHost) {
    let mut terminal = Terminal::start(host, &["exec", "--project", "watched"]);
    terminal.type_line("stty size; tty | cut -c1-8");
    terminal.expect("24 80");
    terminal.expect("/dev/pts");
    terminal.resize(100, 30);
    terminal.type_line("sleep 0.2; stty size");
    terminal.expect("30 100");
    terminal.type_line("echo ${TERM}; exit 5");
    terminal.expect("xterm");
    assert_eq!(terminal.end(), 5);
}

fn who_hangs_up_ends_the_whole_tree(host: &TestHost) {
    let (detached, plain) = (naps(1), naps(2));
    let script = format!("setsid sleep {detached} & sleep {plain}");
    let args = ["exec", "--project", "watched", "--", "sh", "-c", &script];
    let running = Running::start(host, &args);
    let sleeps = || [processes(&["sleep", &detached]), processes(&["sleep", &plain])].concat();
    wait_for("both sleep", LONG, || if sleeps().len() == 2 { Ok(()) } else { Err(String::new()) });
    drop(running);
    wait_for("nothing of it is left", LONG, || {
        if sleeps().is_empty() { Ok(()) } else { Err(format!("{:?}", sleeps())) }
    });
}

fn one_off_commands_have_variables_and_network(host: &TestHost) {
    let run = |args: &[&str]| {
        host.cli_with_input(&[&["run", "--project", "watched", "--"], args].concat(), "typed\n")
    };
    let said = run(&["sh", "-c", "echo $NOTE; cat; exit 9"]);
    assert_eq!((said.code, said.stdout.as_str()), (9, "the note\ntyped\n"));
    let fetch = "fetch('http://web:3000/').then(a => a.text()).then(console.log)";
    assert!(run(&["node", "-e", fetch]).ok().stdout.starts_with("ok "));
    let mut terminal = Terminal::start(
        host,
        &["run", "--project", "watched", "--", "sh", "-c", "stty size; read x; exit $x"],
    );
    terminal.expect("24 80");
    terminal.type_line("6");
    assert_eq!(terminal.end(), 6);
    only_the_instance_is_left(host);
}

fn only_the_instance_is_left(host: &TestHost) {
    wait_for("only the instance is left", LONG, || {
        let containers = host.ctr(&["containers", "list", "-q"]);
        if containers.len() == 1 { Ok(()) } else { Err(format!("{containers:?}")) }
    });
}

fn a_detached_command_keeps_its_log(host: &TestHost) {
    let args =
        ["run", "--project", "watched", "--detach", "--", "sh", "-c", "echo in the back; exit 4"];
    let run: RunView = host.cli_json(&args).ok().json();
    wait_for("it ends", LONG, || {
        let runs: Vec<RunView> =
            host.cli_json(&["run", "--project", "watched", "--list"]).ok().json();
        if runs[0].exit_code == Some(4) { Ok(()) } else { Err(format!("{runs:?}")) }
    });
    let said = entries(host, &["1", "--instance", &run.name]);
    assert_eq!(said[0].line.text, "in the back");
    only_the_instance_is_left(host);
}

fn stats_are_those_of_the_application(host: &TestHost) {
    let stats: Stats = host.cli_json(&with_project(&["stats"])).ok().json();
    let [web] = &stats.instances[..] else { panic!("{stats:?}") };
    assert!(web.running && web.instance == "web.0" && web.number == 1, "{web:?}");
    assert!((50 << 20..250 << 20).contains(&web.memory_bytes), "{web:?}");
    assert_eq!(web.memory_limit_bytes, 512 << 20);
    assert!(web.pids >= 1 && web.cpu_total_ms > 0 && web.cpu_millis < 4000, "{web:?}");
    assert!(web.network_received_bytes > 0 && web.network_sent_bytes > 0, "{web:?}");
}

fn events_tell_what_happened(host: &TestHost) {
    let output = host.cli_json(&with_project(&["events"])).ok();
    let events: Vec<Event> =
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let has = |kind: &str| events.iter().any(|event| event.kind == kind);
    assert!(
        has("deployment.queued") && has("deployment.live") && has("step.succeeded"),
        "{events:?}"
    );
    assert!(has("session.exec") && has("session.run"), "{events:?}");
    assert!(events.windows(2).all(|pair| pair[0].id < pair[1].id));
}

fn a_killed_host_leaves_no_command(host: &mut TestHost) {
    let (one_off, inside) = (naps(3), naps(4));
    let run = Running::start(host, &["run", "--project", "watched", "--", "sleep", &one_off]);
    let exec = Running::start(host, &["exec", "--project", "watched", "--", "sleep", &inside]);
    let sleeps = || [processes(&["sleep", &one_off]), processes(&["sleep", &inside])].concat();
    let pids = wait_for("both run", LONG, || match sleeps() {
        pids if pids.len() == 2 => Ok(pids),
        pids => Err(format!("{pids:?}")),
    });
    host.kill9_serve();
    assert!(pids.iter().all(|pid| is_alive(*pid)), "the test proves something");
    host.restart();
    wait_for("the restarted host ends them", LONG, || {
        if sleeps().is_empty() { Ok(()) } else { Err(format!("{:?}", sleeps())) }
    });
    only_the_instance_is_left(host);
    drop((run, exec));
    assert_eq!(host.get("watched.localhost", "/").status, 200, "the instance goes on");
}
