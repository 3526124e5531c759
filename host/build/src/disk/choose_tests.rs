//! Tests of the choice, on pictures that are drawn by hand and at random.

use windlass_containers::Labels;
use windlass_model::deployment::{Artifact, ArtifactKind, ArtifactOutput};
use windlass_model::plan::RunConfig;

use super::*;

const DAY: u64 = 24 * 3600;

fn now() -> Timestamp {
    "2026-01-31T00:00:00Z".parse().unwrap()
}

fn days_ago(days: u64) -> Timestamp {
    now() - Duration::from_secs(days * DAY)
}

fn piece(key: &str, parent: Option<&str>, class: Class, bytes: u64, days: u64) -> Piece {
    let parent = parent.map(str::to_owned);
    let (key, last_used) = (key.to_owned(), days_ago(days));
    Piece { key, parent, class, bytes, last_used, labels: Labels::new() }
}

fn artifact(snapshot: &str) -> Artifact {
    let kind = ArtifactKind::Image { config: RunConfig::default() };
    Artifact {
        digest: Digest::of(snapshot.as_bytes()),
        outputs: vec![ArtifactOutput { name: "app".into(), snapshot: snapshot.into(), kind }],
        processes: vec![],
        bases: vec![],
        toolchains: vec![],
        plan: Digest::of(b"plan"),
    }
}

fn base(snapshot: &str, days: u64) -> BaseUse {
    BaseUse {
        references: BTreeSet::from([format!("example.org/{snapshot}:1")]),
        records: vec![Digest::of(snapshot.as_bytes())],
        snapshot: snapshot.to_owned(),
        last_used: days_ago(days),
    }
}

/// Two bases on one layer; on the first an old chain, a newer one and a deployed one.
fn picture() -> Picture {
    let pieces = [
        piece("image-0", None, Class::Base, 100, 40),
        piece("image-a", Some("image-0"), Class::Base, 50, 40),
        piece("image-b", Some("image-0"), Class::Base, 70, 40),
        piece("step-deps", Some("image-a"), Class::Step, 30, 1),
        piece("step-old", Some("step-deps"), Class::Step, 10, 20),
        piece("step-new", Some("step-deps"), Class::Step, 11, 2),
        piece("step-live", Some("step-deps"), Class::Step, 12, 30),
        piece("step-b", Some("image-b"), Class::Step, 13, 25),
    ];
    Picture {
        pieces: pieces.map(|piece| (piece.key.clone(), piece)).into(),
        bases: vec![base("image-a", 1), base("image-b", 25)],
        archives: vec![],
        mounts: vec![],
        artifacts: vec![artifact("step-live")],
        content_bytes: 0,
    }
}

fn ask() -> Ask {
    Ask { now: now(), ..Ask::nothing() }
}

fn unused(days: u64) -> Rule {
    Rule { bytes_max: None, unused_for: Some(Duration::from_secs(days * DAY)) }
}

fn at_most(bytes: u64) -> Rule {
    Rule { bytes_max: Some(bytes), unused_for: None }
}

fn keys(victims: &[Victim]) -> Vec<&str> {
    victims.iter().map(|victim| victim.key.as_str()).collect()
}

#[test]
fn nothing_goes_when_nothing_is_asked() {
    assert_eq!(choose(&picture(), &BTreeSet::new(), &ask()), []);
}

#[test]
fn the_least_recently_used_goes_first_and_what_an_artifact_needs_never() {
    let none = BTreeSet::new();
    let old = choose(&picture(), &none, &Ask { steps: unused(14), ..ask() });
    assert_eq!(keys(&old), ["step-b", "step-old"]);
    // 34 bytes of steps are not needed: deps and live are.
    let over = choose(&picture(), &none, &Ask { steps: at_most(21), ..ask() });
    assert_eq!(keys(&over), ["step-b"]);
    assert_eq!(over[0].why, Why::OverBudget { bytes: 34, bytes_max: 21 });
    let all = choose(&picture(), &none, &Ask { steps: at_most(0), bases: at_most(0), ..ask() });
    assert_eq!(keys(&all), ["step-b", "step-old", "step-new", "image-b"]);
    assert_eq!(all.iter().map(|victim| victim.bytes).sum::<u64>(), 13 + 10 + 11 + 70);
}

#[test]
fn a_step_is_shown_by_the_beginning_of_its_hash_also_where_it_was_made_again() {
    let hash = "0123456789abcdef".repeat(4);
    assert_eq!(short(&format!("step-{hash}")), "0123456789ab");
    assert_eq!(short(&format!("step-{hash}-5e0c7a1b")), "0123456789ab");
    let other = "fedcba9876543210".repeat(4);
    assert_eq!(short(&format!("step-{other}-5e0c7a1b")), "fedcba987654");
    assert_eq!(short("step-old"), "old");
    assert_eq!(short("7"), "7");
}

#[test]
fn a_base_goes_with_the_steps_on_it_unless_one_of_them_is_used() {
    let only_bases = Ask { bases: unused(14), ..ask() };
    let gone = choose(&picture(), &BTreeSet::new(), &only_bases);
    assert_eq!(keys(&gone), ["step-b", "image-b"]);
    assert!(matches!(&gone[0].why, Why::StandsOn(base) if base.contains("image-b")));
    let in_use = BTreeSet::from(["step-b".to_owned()]);
    assert_eq!(choose(&picture(), &in_use, &only_bases), []);
    let in_use = BTreeSet::from(["image-b".to_owned()]);
    assert_eq!(choose(&picture(), &in_use, &only_bases), []);
}

#[test]
fn a_layer_of_two_bases_goes_with_the_last_of_them() {
    let mut picture = picture();
    picture.artifacts.clear();
    let gone = choose(&picture, &BTreeSet::new(), &Ask { bases: at_most(0), ..ask() });
    let bases: Vec<(&str, u64)> = gone
        .iter()
        .filter(|victim| victim.what == What::Base)
        .map(|victim| (victim.key.as_str(), victim.bytes))
        .collect();
    assert_eq!(bases, [("image-b", 70), ("image-a", 150)]);
}

#[test]
fn when_too_little_is_free_no_more_goes_than_is_needed() {
    let gone = choose(&picture(), &BTreeSet::new(), &Ask { free_bytes: 20, ..ask() });
    assert_eq!(keys(&gone), ["step-b", "step-old"]);
    assert!(gone.iter().all(|victim| victim.why == Why::LowOnSpace));
}

fn mount(name: &str, bytes: u64, days: u64) -> CacheMount {
    let (name, path) = (name.to_owned(), format!("/mounts/{name}").into());
    CacheMount { name, path, bytes, last_used: days_ago(days) }
}

#[test]
fn cache_mounts_go_after_the_steps_and_before_the_bases() {
    let mut picture = picture();
    picture.mounts = vec![mount("shop/npm", 40, 3), mount("blog/pip", 50, 30)];
    let none = BTreeSet::new();
    let chosen = |ask: Ask| -> Vec<String> {
        choose(&picture, &none, &ask).into_iter().map(|victim| victim.name).collect()
    };
    assert_eq!(chosen(Ask { mounts: unused(14), ..ask() }), ["blog/pip"]);
    assert_eq!(chosen(Ask { mounts: unused(0), ..ask() }), ["blog/pip", "shop/npm"]);
    assert_eq!(chosen(Ask { steps: Rule::ALL, bases: Rule::ALL, ..ask() }).len(), 4);
    // 34 bytes of steps are free, then the one that was used longest ago, and no base.
    assert_eq!(chosen(Ask { free_bytes: 35, ..ask() }), ["b", "old", "new", "blog/pip"]);
    let all = choose(&picture, &none, &Ask { free_bytes: 125, ..ask() });
    assert_eq!(all.last().map(|victim| victim.key.as_str()), Some("image-b"));
    assert_eq!(all.len(), 6);
    assert!(all.iter().all(|victim| victim.why == Why::LowOnSpace));
}

/// A small generator, so that a failure names the seed that repeats it.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }
}

/// Trees of layers and steps, with artifacts and containers somewhere in them.
fn drawn(random: &mut Random) -> (Picture, BTreeSet<String>) {
    let mut picture = Picture::default();
    let mut keys: Vec<(String, Class)> = Vec::new();
    for n in 0..random.below(40) {
        let parent = (!keys.is_empty() && random.below(6) > 0)
            .then(|| keys[random.below(keys.len())].clone())
            .filter(|(_, class)| *class != Class::Writable);
        let class = match (&parent, random.below(10)) {
            (None | Some((_, Class::Base)), 0..=4) => Class::Base,
            (Some(_), 9) => Class::Writable,
            _ => Class::Step,
        };
        let key = format!("{n}");
        let parent = parent.as_ref().map(|(key, _)| key.as_str());
        let bytes = random.below(100) as u64;
        let one = piece(&key, parent, class, bytes, random.below(60) as u64);
        picture.pieces.insert(key.clone(), one);
        if class == Class::Base && random.below(2) == 0 {
            picture.bases.push(base(&key, random.below(60) as u64));
        }
        if class == Class::Step && random.below(6) == 0 {
            picture.artifacts.push(artifact(&key));
        }
        keys.push((key, class));
    }
    let in_use = keys.iter().filter(|_| random.below(10) == 0).map(|(key, _)| key.clone());
    let in_use = in_use.collect();
    (picture, in_use)
}

#[test]
fn whatever_is_there_only_what_is_free_goes_and_leaves_go_first() {
    let mut chosen = 0;
    for seed in 1..3000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (picture, in_use) = drawn(&mut random);
        let rule = |random: &mut Random| Rule {
            bytes_max: (random.below(2) == 0).then(|| random.below(800) as u64),
            unused_for: (random.below(2) == 0)
                .then(|| Duration::from_secs(random.below(60) as u64 * DAY)),
        };
        let (steps, bases) = (rule(&mut random), rule(&mut random));
        let free_bytes = if random.below(3) == 0 { random.below(500) as u64 } else { 0 };
        let ask = Ask { now: now(), steps, bases, mounts: Rule::default(), free_bytes };
        let victims = choose(&picture, &in_use, &ask);
        chosen += victims.len();
        check(seed, &picture, &in_use, &ask, &victims);
    }
    assert!(chosen > 1000, "the pictures test nothing: {chosen}");
}

fn check(seed: u64, picture: &Picture, in_use: &BTreeSet<String>, ask: &Ask, victims: &[Victim]) {
    let needed = picture.needed();
    let mut gone: BTreeSet<&str> = BTreeSet::new();
    for victim in victims {
        let key = victim.key.as_str();
        assert!(!needed.contains(key), "seed {seed}: {key} is needed");
        assert!(!in_use.contains(key), "seed {seed}: {key} is used");
        assert!(gone.insert(key), "seed {seed}: {key} goes twice");
        if victim.what == What::Step {
            let on_it = picture.pieces.values().filter(|p| p.parent.as_deref() == Some(key));
            let left: Vec<&Piece> = on_it.filter(|p| !gone.contains(p.key.as_str())).collect();
            assert!(left.is_empty(), "seed {seed}: {key} goes before {left:?}");
        }
    }
    let Some(bytes_max) = ask.steps.bytes_max else { return };
    // The budget is kept but for what is used, and for what that stands on.
    let mut used = needed;
    for key in in_use {
        used.extend(picture.chain(key).map(|piece| piece.key.as_str()));
    }
    let left = picture.pieces.values().filter(|piece| {
        let key = piece.key.as_str();
        piece.class == Class::Step && !used.contains(key) && !gone.contains(key)
    });
    let left: u64 = left.map(|piece| piece.bytes).sum();
    assert!(left <= bytes_max, "seed {seed}: {left} of {bytes_max}");
}
