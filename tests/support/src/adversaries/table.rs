//! The table of adversaries.

use crate::mutate::{self, Dice};
use crate::sample;
use windlass_model::plugin::CallOutcome as Outcome;

use super::hearts::{Heart, transplant};
use super::texts::{self, holding, importing, manifest, parsed, random, starting};
use super::{Adversary, Damage, Ends, Kind, Made, Seen, bytes, damaged, laid};

const TIMED_OUT: Ends = Ends::Stopped(&[(Outcome::TimedOut, "plugin.timed-out")]);
const OUT_OF_MEMORY: Ends = Ends::Stopped(&[(Outcome::OutOfMemory, "plugin.out-of-memory")]);
const OVER_LIMIT: Ends = Ends::Stopped(&[(Outcome::OverLimit, "plugin.over-limit")]);
const TRAPPED: Ends = Ends::Stopped(&[(Outcome::Trapped, "plugin.trapped")]);
const REFUSED: Ends = Ends::Stopped(&[(Outcome::Refused, "test.refused")]);
const INVALID: Ends = Ends::Stopped(&[(Outcome::InvalidAnswer, "plugin.invalid-answer")]);

/// What never ends, in text.
const FOREVER: &str = "(loop $more (br $more)) (unreachable)";

/// All of them.
pub fn table() -> Vec<Adversary> {
    let parts = [time(), space(), answers(), words(), reaches(), plans(), worlds(), files()];
    parts.into_iter().flatten().chain(damage()).collect()
}

fn guest(kind: Kind, how: &'static str, ends: Ends) -> Adversary {
    Adversary::new(kind, how.replace('=', " "), Made::Guest(how), ends)
}

fn file(
    kind: Kind,
    name: &str,
    ends: Ends,
    bytes: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) -> Adversary {
    Adversary::new(kind, name, Made::File(Box::new(move |_| bytes())), ends)
}

fn heart(kind: Kind, name: &str, ends: Ends, heart: Heart) -> Adversary {
    let made = move |guest: &[u8]| transplant(guest, &heart);
    Adversary::new(kind, name, Made::File(Box::new(made)), ends)
}

/// Bodies of functions of a heart that has nothing else.
fn bodies(bodies: &'static [(&'static str, &'static str)]) -> Heart {
    Heart { bodies, ..Heart::default() }
}

/// What takes for ever, and what leaves without an answer.
fn time() -> Vec<Adversary> {
    const SLEEP: Heart = Heart {
        imports: &[
            (
                "wasi:clocks/monotonic-clock@",
                "subscribe-duration",
                "$after (param i64) (result i32)",
            ),
            ("wasi:io/poll@", "[method]pollable.block", "$block (param i32)"),
        ],
        holds: "(func $sleep (call $block (call $after (i64.const 3600000000000)))) (start $sleep)",
        bodies: &[],
    };
    vec![
        guest(Kind::LoopInCall, "detect=loop", TIMED_OUT).limit(of_cpu),
        guest(Kind::LoopInCall, "plan=loop", TIMED_OUT).limit(of_cpu),
        guest(Kind::LoopInCall, "policy=loop", TIMED_OUT).limit(of_cpu),
        heart(Kind::LoopInCall, "loop in realloc", TIMED_OUT, bodies(&[("cabi_realloc", FOREVER)]))
            .limit(of_cpu),
        file(Kind::LoopInStart, "loop in start", TIMED_OUT, || starting("", FOREVER)).limit(of_cpu),
        heart(
            Kind::LoopInPostReturn,
            "loop in post-return",
            TIMED_OUT,
            bodies(&[("post#detect", FOREVER)]),
        )
        .limit(of_cpu),
        guest(Kind::LoopInHostCall, "detect=ask-forever", TIMED_OUT).limit(of_cpu),
        guest(Kind::LoopInHostCall, "detect=log-forever", TIMED_OUT).limit(of_cpu),
        file(Kind::LoopInHostCall, "ask for ever in start", TIMED_OUT, texts::asking_for_ever)
            .limit(of_cpu),
        guest(Kind::LoopInHostCall, "detect=glob-bomb", Ends::Named)
            .lay(laid::long_names)
            .limit(of_wall),
        guest(Kind::LoopInHostCall, "detect=many-globs", Ends::Harmless(refused_globs)),
        guest(Kind::LoopInHostCall, "detect=many-images", Ends::Harmless(refused_images)),
        guest(Kind::Sleep, "detect=sleep-in-hostcall", TIMED_OUT).limit(of_wall),
        heart(Kind::Sleep, "sleep in start", TIMED_OUT, SLEEP).limit(of_wall),
        guest(Kind::Leave, "detect=exit", TRAPPED).says(&["exit"]),
        guest(Kind::Leave, "detect=trap", TRAPPED),
        guest(Kind::Leave, "plan=panic", TRAPPED),
        heart(
            Kind::Leave,
            "trap in post-return",
            TRAPPED,
            bodies(&[("post#detect", "(unreachable)")]),
        ),
    ]
}

/// What computes comes to this.
fn of_cpu(limits: &mut windlass_model::limits::PluginLimits) {
    limits.cpu_ms = 1_000;
}

/// What waits comes to this.
fn of_wall(limits: &mut windlass_model::limits::PluginLimits) {
    (limits.cpu_ms, limits.wall_ms) = (20_000, 4_000);
}

fn refused_globs(seen: &Seen) {
    assert!(seen.log.iter().any(|line| line == "listed: false"), "{:?}", seen.log);
}

/// One call may look up a hundred.
fn refused_images(seen: &Seen) {
    let denied = seen.log.iter().find_map(|line| line.strip_prefix("denied: "));
    let denied: u32 = denied.unwrap_or_else(|| panic!("{:?}", seen.log)).parse().unwrap();
    assert!(denied >= 200, "{denied}");
}

/// What takes more than there is for one call.
#[expect(clippy::too_many_lines, reason = "a table")]
fn space() -> Vec<Adversary> {
    const GROW: &str = "(loop $more (drop (memory.grow (i32.const 16))) (br $more))";
    const TABLE: &str = "(table $t 1 funcref)";
    const GROW_TABLE: &str =
        "(loop $more (drop (table.grow $t (ref.null func) (i32.const 5000))) (br $more))";
    const HANDLES: Heart = Heart {
        imports: &[("wasi:cli/stdout@", "get-stdout", "$get (result i32)")],
        holds: "",
        bodies: &[("#detect", "(loop $more (drop (call $get)) (br $more)) (unreachable)")],
    };
    let too_large = Ends::Stopped(&[
        (Outcome::HostFailed, "plugin.not-loadable"),
        (Outcome::OutOfMemory, "plugin.out-of-memory"),
    ]);
    vec![
        guest(Kind::MemoryBomb, "detect=eat-memory", OUT_OF_MEMORY),
        guest(Kind::MemoryBomb, "policy=eat-memory", OUT_OF_MEMORY),
        file(Kind::MemoryBomb, "grow in start", OUT_OF_MEMORY, || starting("(memory 1)", GROW)),
        heart(
            Kind::MemoryBomb,
            "grow in post-return",
            OUT_OF_MEMORY,
            bodies(&[("post#detect", GROW)]),
        ),
        file(Kind::MemoryBomb, "born too large", too_large, || starting("(memory 4000)", "")),
        file(Kind::MemoryBomb, "many memories", Ends::NotLoadable, || {
            texts::many_instances(5, "(memory 1)")
        })
        .says(&["memories"]),
        file(Kind::MemoryBomb, "memory of 64 bits", Ends::NotLoadable, || {
            starting("(memory i64 1)", "")
        }),
        file(Kind::TableBomb, "grow a table", OVER_LIMIT, || starting(TABLE, GROW_TABLE))
            .says(&["table"]),
        file(Kind::TableBomb, "table born too large", Ends::NotLoadable, || {
            starting("(table 5000000 funcref)", "")
        })
        .says(&["table"]),
        file(Kind::TableBomb, "many tables", Ends::NotLoadable, || {
            starting(&TABLE.replace("$t", "").repeat(17), "")
        })
        .says(&["tables"]),
        file(Kind::InstanceBomb, "17 instances", Ends::NotLoadable, || {
            texts::many_instances(17, "")
        })
        .says(&["instances"]),
        file(Kind::InstanceBomb, "2000 instances", Ends::NotLoadable, || {
            texts::many_instances(2_000, "")
        })
        .says(&["instances"]),
        file(Kind::InstanceBomb, "components in components", Ends::NotLoadable, || {
            bytes::nested(&parsed("(component)"), 400, &parsed(&holding("")))
        }),
        heart(Kind::HandleBomb, "hoard handles", OVER_LIMIT, HANDLES).says(&["handles"]),
        guest(Kind::HandleBomb, "detect=hoard-handles", OVER_LIMIT).says(&["handles"]),
        guest(Kind::StackBomb, "detect=overflow-stack", TRAPPED),
        file(Kind::StackBomb, "overflow the stack in start", TRAPPED, || {
            starting("(func $deeper (call $deeper) (call $deeper))", "(call $deeper)")
        })
        .says(&["stack"]),
        file(Kind::HugeRandom, "all random bytes", OVER_LIMIT, || {
            random("get-random-bytes", "random", -1)
        })
        .says(&["random"]),
        file(Kind::HugeRandom, "60 MB of random bytes", OVER_LIMIT, || {
            random("get-random-bytes", "random", 60 << 20)
        })
        .says(&["random"]),
        file(Kind::HugeRandom, "insecure random bytes", OVER_LIMIT, || {
            random("get-insecure-random-bytes", "insecure", 1 << 40)
        })
        .says(&["random"]),
    ]
}

/// Answers that are too long, or none.
#[expect(clippy::too_many_lines, reason = "a table")]
fn answers() -> Vec<Adversary> {
    /// 4096 near misses whose reasons are all the same megabyte.
    const AMPLIFIED: &str = "(local $n i32)
        (loop $more
            (i32.store offset=12 (i32.add (i32.const 131072) (i32.mul (local.get $n) (i32.const 16)))
                (i32.const 196608))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 4096))))
        (i32.store offset=12 (i32.const 64) (i32.const 131072))
        (i32.store offset=16 (i32.const 64) (i32.const 4096))
        (i32.const 64)";
    const LONG_LIST: &str = "(i32.store offset=12 (i32.const 64) (i32.const 0xfffffff0))
        (i32.store offset=16 (i32.const 64) (i32.const 0xffffffff)) (i32.const 64)";
    const NO_TEXT: &str = "(i32.store8 (i32.const 64) (i32.const 1))
        (i32.store offset=4 (i32.const 64) (i32.const 256)) (i32.store offset=8 (i32.const 64) (i32.const 4))
        (i32.store (i32.const 256) (i32.const 0xfffefdfc)) (i32.const 64)";
    let long = Ends::Stopped(&[
        (Outcome::OverLimit, "plugin.over-limit"),
        (Outcome::OutOfMemory, "plugin.out-of-memory"),
    ]);
    vec![
        guest(Kind::HugeText, "detect=huge-answer", OVER_LIMIT)
            .limit(roomy)
            .says(&["bytes passed"]),
        guest(Kind::HugeList, "detect=endless-evidence", long),
        guest(Kind::HugeList, "plan=huge-plan", OVER_LIMIT).says(&["bytes passed"]),
        guest(Kind::HugeList, "detect=many-paths", OVER_LIMIT).limit(roomy).says(&["bytes passed"]),
        heart(Kind::HugeText, "one text many times", OVER_LIMIT, bodies(&[("#detect", AMPLIFIED)]))
            .says(&["bytes passed"]),
        guest(Kind::HugeText, "detect=refuse-at-length", REFUSED),
        guest(Kind::HugeText, "detect=refuse-with-a-long-code", INVALID).says(&["code"]),
        guest(Kind::HugeText, "detect=long-folder", INVALID).says(&["../../"]),
        heart(
            Kind::BrokenAnswer,
            "a list beyond its memory",
            TRAPPED,
            bodies(&[("#detect", LONG_LIST)]),
        ),
        heart(Kind::BrokenAnswer, "a text that is none", TRAPPED, bodies(&[("#detect", NO_TEXT)])),
        heart(
            Kind::BrokenAnswer,
            "an answer beyond its memory",
            TRAPPED,
            bodies(&[("#detect", "(i32.const -8)")]),
        ),
        heart(
            Kind::BrokenAnswer,
            "an answer out of line",
            TRAPPED,
            bodies(&[("#detect", "(i32.const 65)")]),
        ),
        heart(
            Kind::BrokenAnswer,
            "neither an answer nor an error",
            TRAPPED,
            bodies(&[("#detect", "(i32.store8 (i32.const 64) (i32.const 7)) (i32.const 64)")]),
        ),
        heart(
            Kind::BrokenAnswer,
            "arguments beyond its memory",
            TRAPPED,
            bodies(&[("cabi_realloc", "(i32.const -16)")]),
        ),
        heart(
            Kind::BrokenAnswer,
            "an error without a code",
            INVALID,
            bodies(&[("#detect", "(i32.store8 (i32.const 64) (i32.const 1)) (i32.const 64)")]),
        )
        .says(&["code"]),
        guest(Kind::BrokenAnswer, "detect=too-sure", INVALID).says(&["200"]),
        guest(Kind::BrokenAnswer, "detect=no-id", INVALID).says(&["id"]),
        guest(Kind::BrokenAnswer, "detect=wrong-folder", INVALID).says(&["../../etc"]),
        guest(Kind::BrokenAnswer, "detect=many-detections", INVALID).says(&["1000 detections"]),
        guest(Kind::BrokenAnswer, "detect=many-near-misses", INVALID).says(&["near misses"]),
    ]
}

/// Memory enough to make what is then too long for the host.
fn roomy(limits: &mut windlass_model::limits::PluginLimits) {
    limits.memory_bytes_max = 512 << 20;
}

/// What floods people, or speaks to their terminals.
fn words() -> Vec<Adversary> {
    fn cut(seen: &Seen) {
        assert!(seen.report.log_bytes_dropped > 100_000, "{:?}", seen.report);
    }
    fn plain(seen: &Seen) {
        assert!(seen.texts.iter().any(|text| text.contains("Test guest") || text.contains("copy")));
    }
    let named =
        |json: &'static str| move || parsed(&holding("").replace(texts::MANIFEST, &manifest(json)));
    let spoken = r#"{"name":"odd","version":"1","summary":"\u001b[2Jgood","licence":"MIT"}"#;
    let called = r#"{"name":"odd\u001b[2J","version":"1","summary":"good","licence":"MIT"}"#;
    vec![
        guest(Kind::LogFlood, "detect=log-flood", Ends::Harmless(cut)),
        guest(Kind::LogFlood, "detect=stdout-flood", Ends::Harmless(cut)),
        guest(Kind::GiantLine, "detect=huge-stderr-line", Ends::Harmless(cut)),
        guest(Kind::LogFlood, "detect=empty-lines", Ends::Harmless(cut)),
        guest(Kind::LogFlood, "detect=many-fields", Ends::Harmless(cut)),
        guest(Kind::GiantLine, "detect=long-log-line", Ends::Harmless(cut)),
        guest(Kind::GiantLine, "detect=huge-log-line", OVER_LIMIT)
            .limit(roomy)
            .says(&["bytes passed"]),
        guest(Kind::EscapeCodes, "detect=escapes", Ends::Harmless(plain)),
        guest(Kind::EscapeCodes, "plan=spoken-name", Ends::Harmless(plain)),
        guest(Kind::EscapeCodes, "detect=refuse-with-escapes", REFUSED).says(&["refused"]),
        file(Kind::EscapeCodes, "escapes in a summary", Ends::NotLoadable, named(spoken))
            .says(&["summary", "control characters"]),
        file(Kind::EscapeCodes, "escapes in a name", Ends::NotLoadable, named(called))
            .says(&["name"]),
    ]
}

/// What reaches for more than the source.
fn reaches() -> Vec<Adversary> {
    let mut all = vec![
        guest(Kind::PathEscape, "detect=paths", Ends::Harmless(laid::saw_the_inside))
            .lay(laid::ways_out),
        Adversary::new(
            Kind::SpecialFile,
            "paths beside a pipe and a device",
            Made::Guest("detect=paths"),
            Ends::Harmless(laid::saw_the_inside_in_batches),
        )
        .lay(laid::ways_out_and_special_files),
        guest(Kind::SourceChange, "detect=changes", Ends::Harmless(laid::changed_nothing))
            .lay(laid::ways_out),
        guest(Kind::HugeRead, "detect=huge-read", Ends::Harmless(laid::read_no_more_than_there_is)),
        guest(Kind::RenameRace, "detect=race", Ends::Harmless(laid::saw_no_outside))
            .lay(laid::a_door_that_is_exchanged),
        guest(
            Kind::Socket,
            "detect=sockets",
            Ends::Harmless(|seen| {
                assert_eq!(seen.evidence.len(), 8);
                for (socket, came) in &seen.evidence {
                    assert!(came.starts_with("denied"), "{socket}: {came}");
                }
            }),
        ),
        guest(
            Kind::Environment,
            "detect=environment",
            Ends::Harmless(|seen| {
                for (what, nothing) in
                    [("variables", ""), ("arguments", ""), ("input", "0"), ("root", "0")]
                {
                    assert_eq!(seen.evidence[what], nothing, "{what}");
                }
            }),
        ),
    ];
    const IMPORTS: [(&str, &[&str]); 9] = [
        ("windlass:exec/exec@1.0.0", &["windlass:exec/exec@1.0.0"]),
        ("windlass:http/http@1.0.0", &["windlass:http/http@1.0.0"]),
        ("windlass:host/admin@1.0.0", &["windlass:host/admin@1.0.0"]),
        (
            "wasi:http/outgoing-handler@0.2.0",
            &["wasi:http/outgoing-handler@0.2.0", "no plugin gets"],
        ),
        ("wasi:keyvalue/store@0.2.0", &["wasi:keyvalue/store@0.2.0", "no plugin gets"]),
        ("wasi:cli/root@0.2.0", &["wasi:cli/root@0.2.0"]),
        ("evil:host/root@1.0.0", &["evil:host/root@1.0.0", "no plugin gets"]),
        ("run", &["run", "no plugin gets"]),
        ("wasi:sockets/raw@0.2.0", &["wasi:sockets/raw@0.2.0"]),
    ];
    all.extend(IMPORTS.into_iter().map(|(import, says)| {
        let name = format!("import {import}");
        file(Kind::UngrantedImport, &name, Ends::NotLoadable, move || importing_used(import))
            .says(says)
    }));
    all.push(file(Kind::UngrantedImport, "import code", Ends::NotLoadable, || {
        parsed(&holding(r#"(import "code" (core module))"#))
    }));
    all
}

/// Imported with a function in it: of an empty one, nothing is asked.
fn importing_used(import: &str) -> Vec<u8> {
    if import.contains(':') {
        parsed(&holding(&format!(r#"(import {import:?} (instance (export "run" (func))))"#)))
    } else {
        importing(import)
    }
}

/// Plans and policies that must not be carried out.
fn plans() -> Vec<Adversary> {
    const PATHS: [(&str, &[&str]); 11] = [
        ("plan=copy-from-above", &["steps[0].ops[1]", "leaves its root"]),
        ("plan=copy-to-above", &["steps[0].ops[1]", "leaves its root"]),
        ("plan=copy-to-relative", &["steps[0].ops[1]", "not absolute"]),
        ("plan=write-above", &["steps[0].ops[1]", "leaves its root"]),
        ("plan=fetch-a-file", &["steps[0].ops[1]", "file:///etc/shadow"]),
        ("plan=bind-above", &["steps[0].ops[1]", "leaves its root"]),
        ("plan=mount-over-above", &["steps[0].ops[1]", "leaves its root"]),
        ("plan=cache-of-others", &["steps[0].ops[1]", "../other/cache"]),
        ("plan=secret-above", &["steps[0].ops[1]", "leaves its root"]),
        ("plan=cwd-above", &["steps[0]", "leaves its root"]),
        ("plan=root-above", &["outputs[0]", "leaves its root"]),
    ];
    const RIGHTS: [(&str, &[&str]); 6] = [
        ("plan=odd-mode", &["steps[0].ops[1]", "no mode"]),
        ("plan=secret-with-odd-mode", &["steps[0].ops[1]", "no mode"]),
        ("plan=lines-in-a-user", &["steps[0]", "no user"]),
        ("plan=lines-in-an-owner", &["steps[0].ops[1]", "no owner"]),
        ("plan=zero-in-a-word", &["steps[0].ops[1]", "zero byte"]),
        ("plan=zero-in-a-variable", &["steps[0]", "environment variable"]),
    ];
    const CYCLES: [(&str, &[&str]); 5] = [
        ("plan=cycle", &["steps[0]", "does not come before it"]),
        ("plan=own-base", &["steps[0]", "does not come before it"]),
        ("plan=own-files", &["steps[0].ops[1]", "does not come before it"]),
        ("plan=forward", &["steps[0]", "does not come before it"]),
        ("plan=same-ids", &["steps[1]", "used twice"]),
    ];
    const SIZES: [(&str, &[&str]); 8] = [
        ("plan=no-steps", &["outputs[0]", "does not come before it"]),
        ("plan=no-outputs", &["outputs", "at least one"]),
        ("plan=many-steps", &["steps", "more than"]),
        ("plan=many-ops", &["steps", "10000 operations"]),
        ("plan=many-outputs", &["outputs", "100 outputs"]),
        ("plan=many-processes", &["processes", "100 processes"]),
        ("plan=long-word", &["steps[0].ops[1]", "longer than"]),
        ("plan=long-name", &["steps[0]", "longer than"]),
    ];
    const POLICIES: [(&str, &[&str]); 7] = [
        ("policy=many-probes", &["5000 probes"]),
        ("policy=other-process", &["\"host\"", "not run"]),
        ("policy=request-in-a-path", &["path", "control characters"]),
        ("policy=request-in-a-header", &["no header"]),
        ("policy=address-for-a-path", &["slash"]),
        ("policy=endless-budget", &["budget"]),
        ("policy=no-pause", &["pauses"]),
    ];
    let of = |kind, rows: &'static [(&'static str, &'static [&'static str])]| {
        rows.iter().map(move |(how, says)| guest(kind, how, INVALID).says(says))
    };
    of(Kind::HostPathInPlan, &PATHS)
        .chain(of(Kind::RightsInPlan, &RIGHTS))
        .chain(of(Kind::CyclicPlan, &CYCLES))
        .chain(of(Kind::AbsurdPlan, &SIZES))
        .chain(of(Kind::BadPolicy, &POLICIES))
        .collect()
}

/// Components of other worlds and of other versions.
fn worlds() -> Vec<Adversary> {
    let exporting = |exports: &'static str| {
        move || {
            let manifest = texts::MANIFEST;
            parsed(&format!("(component {manifest} (instance $i) {exports})"))
        }
    };
    let run = r#"(export "wasi:cli/run@0.2.0" (instance $i))"#;
    let handler = r#"(export "wasi:http/incoming-handler@0.2.0" (instance $i))"#;
    let newer = r#"(export "windlass:detector/detector@9.0.0" (instance $i))"#;
    let nearly = r#"(export "windlass:detector/detector@1.0.0-evil" (instance $i))"#;
    let none = r#"(export "windlass:detector/detector" (instance $i))"#;
    let other = r#"(export "windlass:detector/admin@1.0.0" (instance $i))"#;
    let types = r#"(core module $evil (func (export "detect")))"#;
    let instance = "(core instance $evil (instantiate $evil))";
    let no = || Ends::NotLoadable;
    vec![
        file(Kind::WrongWorld, "a command", no(), exporting(run))
            .says(&["no stage", "wasi:cli/run"]),
        file(Kind::WrongWorld, "a web server", no(), exporting(handler)).says(&["no stage"]),
        file(Kind::WrongWorld, "nothing at all", no(), exporting("")).says(&["no stage"]),
        file(Kind::WrongWorld, "no such stage", no(), exporting(other))
            .says(&["windlass:detector/admin"]),
        file(Kind::WrongWorld, "many exports of long names", no(), || {
            let export = |n: usize| {
                format!(r#"(export "evil:{}{n}/x@1.0.0" (instance $i))"#, "a".repeat(1_000))
            };
            let exports: String = (0..500).map(export).collect();
            parsed(&format!("(component {} (instance $i) {exports})", texts::MANIFEST))
        })
        .says(&["no stage"]),
        file(Kind::WrongWorld, "a stage without functions", no(), || parsed(&holding("")))
            .says(&["windlass:detector/detector", "export `detect`"]),
        file(Kind::VersionLie, "a newer version", no(), exporting(newer))
            .says(&["@9.0.0", "@1.0.0"]),
        file(Kind::VersionLie, "nearly this version", no(), exporting(nearly))
            .says(&["@1.0.0-evil"]),
        file(Kind::VersionLie, "no version", no(), exporting(none)).says(&["offers"]),
        file(Kind::VersionLie, "functions of other types", no(), move || {
            texts::with_functions("", types, instance)
        })
        .says(&["windlass:detector/detector", "type mismatch"]),
        file(Kind::VersionLie, "an old import", no(), || importing_used("windlass:log/log@0.0.1"))
            .says(&["windlass:log/log@0.0.1"]),
        file(Kind::VersionLie, "WASI of the future", no(), || {
            importing_used("wasi:cli/stdout@9.9.9")
        })
        .says(&["wasi:cli/stdout@9.9.9"]),
    ]
}

/// What is no component's file.
fn files() -> Vec<Adversary> {
    let no = || Ends::NotLoadable;
    let odd = |name: &str, lay: fn(&std::path::Path)| {
        Adversary::new(Kind::OddFile, name, Made::Odd(lay), Ends::NotLoadable)
    };
    let with =
        |json: String| move || parsed(&holding("").replace(texts::MANIFEST, &manifest(&json)));
    let called =
        |name: &str| format!(r#"{{"name":"{name}","version":"1","summary":"s","licence":"MIT"}}"#);
    let pattern = r#"{"name":"odd","version":"1","summary":"s","licence":"MIT","failures":[{"code":"odd.x","title":"t","cause":"c","fix":"f","patterns":["(\\w{500}){500}"]}]}"#;
    let elf =
        || [b"\x7fELF\x02\x01\x01".as_slice(), &damaged::noise(sample::seed(), 4_096)].concat();
    let bad = |name: &str, json: String| {
        file(Kind::OddManifest, name, no(), with(json)).says(&["manifest"])
    };
    vec![
        file(Kind::NoComponent, "a core module", no(), || parsed("(module)")).says(&["core"]),
        file(Kind::NoComponent, "a core module with a manifest", no(), || {
            parsed(&format!("(module {})", texts::MANIFEST))
        })
        .says(&["core"]),
        file(Kind::NoComponent, "an empty file", no(), Vec::new),
        file(Kind::NoComponent, "a text", no(), || b"#!/bin/sh\nexec evil\n".to_vec())
            .says(&["not a WebAssembly component"]),
        file(Kind::NoComponent, "an archive", no(), || b"PK\x03\x04 and more".to_vec())
            .says(&["not a WebAssembly component"]),
        file(Kind::NoComponent, "a header alone", no(), || b"\0asm\x0d\0\x01\0".to_vec())
            .says(&["manifest"]),
        file(Kind::ForgedCode, "compiled code", no(), elf).says(&["compiled code"]),
        file(Kind::ForgedCode, "the beginning of compiled code", no(), || b"\x7fELF".to_vec())
            .says(&["compiled code"]),
        odd("a pipe", laid::pipe).says(&["cannot be read"]),
        odd("a folder", |path| std::fs::create_dir(path).unwrap()).says(&["cannot be read"]),
        odd("a link to nothing", |path| laid::link(path, "/nonexistent")).says(&["cannot be read"]),
        odd("a link to zeroes", |path| laid::link(path, "/dev/zero")).says(&["cannot be read"]),
        bad("a path for a name", called("../../etc")),
        bad("a long name", called(&"x".repeat(41))),
        bad("no manifest but a text", "evil".to_owned()),
        bad("a deep manifest", format!("{}{}", "[".repeat(2_000), "]".repeat(2_000))),
        bad("a huge manifest", called(&"x".repeat(300 << 10))),
        bad("a pattern that explodes", pattern.to_owned()),
        file(Kind::CompileBomb, "slow to compile", no(), || damaged::compile_bomb(8, 150_000))
            .limit(|limits| limits.compile_cpu_s = 2)
            .says(&["compiling"]),
    ]
}

/// Good files, damaged; and noise.
fn damage() -> Vec<Adversary> {
    let seed = sample::seed();
    let of_guest = |kind, name: String, ends, damage: Damage| {
        Adversary::new(kind, name, Made::File(damage), ends)
    };
    let cut = [1, 7, 8, 11, 400, 5_000].into_iter().map(move |at| {
        let cut = move |guest: &[u8]| guest[..at].to_vec();
        of_guest(Kind::Truncated, format!("cut after {at} bytes"), Ends::NotLoadable, Box::new(cut))
    });
    let short = [1, 20, 5_000].into_iter().map(move |from_end| {
        let cut = move |guest: &[u8]| guest[..guest.len() - from_end].to_vec();
        let name = format!("cut {from_end} bytes before its end");
        of_guest(Kind::Truncated, name, Ends::NotLoadable, Box::new(cut))
    });
    let noise = [0_usize, 1, 64, 100_000].into_iter().map(move |length| {
        let name = format!("{length} random bytes");
        file(Kind::RandomBytes, &name, Ends::NotLoadable, move || damaged::noise(seed, length))
    });
    let begun =
        file(Kind::RandomBytes, "random bytes behind a header", Ends::NotLoadable, move || {
            damaged::noise_with_a_header(seed)
        });
    let torn = (0..mutate::cases(20, 100)).map(move |place| {
        let damage = move |guest: &[u8]| {
            let small = transplant(guest, &Heart::default());
            mutate::bytes(if place % 4 == 0 { guest } else { &small }, &mut Dice::new(seed, place))
        };
        of_guest(Kind::Mutated, format!("mutant {place} of {seed}"), Ends::Named, Box::new(damage))
    });
    let mutants = (0..mutate::cases(20, 100)).map(move |place| damaged::small_mutant(seed, place));
    cut.chain(short).chain(noise).chain([begun]).chain(torn).chain(mutants).collect()
}
