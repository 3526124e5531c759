//! What is to go, as a pure function of what there is.
//!
//! **Invariant: a name is chosen only when nothing needs it, nothing uses it, and everything that stands
//! on it was chosen before it.** The least recently used goes first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use windlass_model::{Digest, Timestamp};

use super::picture::{Archive, BaseUse, CacheMount, Class, Picture, Piece};

/// What one kind of thing may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rule {
    /// Above so many bytes that nothing needs, the least recently used goes.
    pub bytes_max: Option<u64>,
    /// What was not used for so long goes.
    pub unused_for: Option<Duration>,
}

impl Rule {
    /// Everything that nothing needs.
    pub const ALL: Self = Self { bytes_max: None, unused_for: Some(Duration::ZERO) };
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The present time.
    pub now: Timestamp,
    /// Of steps.
    pub steps: Rule,
    /// Of bases.
    pub bases: Rule,
    /// Of cache mounts.
    pub mounts: Rule,
    /// So many bytes are to become free, whatever the rules: steps go before cache mounts, and those before
    /// bases.
    pub free_bytes: u64,
}

impl Ask {
    /// Nothing is to go.
    pub fn nothing() -> Self {
        let (steps, bases, mounts) = (Rule::default(), Rule::default(), Rule::default());
        Self { now: Timestamp::now(), steps, bases, mounts, free_bytes: 0 }
    }

    /// Whether a cache mount may have to go by this.
    pub(super) fn may_take(&self, mount: &CacheMount) -> bool {
        let is_old = self.mounts.unused_for.is_some_and(|limit| self.age(mount.last_used) >= limit);
        is_old || self.mounts.bytes_max.is_some() || self.free_bytes > 0
    }

    fn age(&self, last_used: Timestamp) -> Duration {
        Duration::try_from(self.now.duration_since(last_used)).unwrap_or_default()
    }
}

/// What a victim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// A cached step.
    Step,
    /// A base.
    Base,
    /// The file of an assembled base.
    BaseArchive,
    /// A cache mount.
    Mount,
}

/// Why something goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Nobody used it for this long.
    Unused(Duration),
    /// Its kind takes more than it may.
    OverBudget {
        /// What it takes.
        bytes: u64,
        /// What it may take.
        bytes_max: u64,
    },
    /// Too little is free.
    LowOnSpace,
    /// It stands on this base, which goes.
    StandsOn(String),
}

/// Something that is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// What it is.
    pub what: What,
    /// Name for people; others may be called the same.
    pub name: String,
    /// The snapshot, or the file: no other of its kind has it.
    pub key: String,
    /// Records that go with it.
    pub records: Vec<Digest>,
    /// Bytes that its removal frees.
    pub bytes: u64,
    /// When it was used last.
    pub last_used: Timestamp,
    /// Why it goes.
    pub why: Why,
}

/// Which steps are meant.
pub(super) type Only<'a> = &'a dyn Fn(&Piece) -> bool;

/// Chooses.
pub(super) fn choose(picture: &Picture, in_use: &BTreeSet<String>, ask: &Ask) -> Vec<Victim> {
    choose_of(picture, in_use, ask, &|_| true)
}

/// Chooses, of the steps only those that are meant.
pub(super) fn choose_of(
    picture: &Picture,
    in_use: &BTreeSet<String>,
    ask: &Ask,
    only: Only<'_>,
) -> Vec<Victim> {
    let mut choice = Choice::of(picture, in_use, ask);
    let steps = picture.pieces.values().filter(|piece| piece.class == Class::Step);
    choice.pinned.extend(steps.filter(|step| !only(step)).map(|step| step.key.as_str()));
    choice.steps();
    choice.mounts();
    choice.bases();
    choice.victims
}

struct Choice<'a> {
    picture: &'a Picture,
    ask: &'a Ask,
    needed: BTreeSet<&'a str>,
    /// Needed or in use.
    pinned: BTreeSet<&'a str>,
    /// What stands on what.
    above: BTreeMap<&'a str, BTreeSet<&'a str>>,
    freed: u64,
    victims: Vec<Victim>,
}

impl<'a> Choice<'a> {
    fn of(picture: &'a Picture, in_use: &BTreeSet<String>, ask: &'a Ask) -> Self {
        let needed = picture.needed();
        let used = picture.pieces.keys().map(String::as_str).filter(|key| in_use.contains(*key));
        let pinned = needed.iter().copied().chain(used).collect();
        let mut above: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for piece in picture.pieces.values() {
            if let Some(parent) = &piece.parent {
                above.entry(parent).or_default().insert(&piece.key);
            }
        }
        Self { picture, ask, needed, pinned, above, freed: 0, victims: Vec::new() }
    }

    fn has_above(&self, key: &str) -> bool {
        self.above.get(key).is_some_and(|above| !above.is_empty())
    }

    /// Why something goes that was used then, of a kind that takes this much now.
    fn why(&self, rule: Rule, last_used: Timestamp, total: u64) -> Option<Why> {
        let age = self.ask.age(last_used);
        if rule.unused_for.is_some_and(|limit| age >= limit) {
            return Some(Why::Unused(age));
        }
        if let Some(bytes_max) = rule.bytes_max.filter(|max| total > *max) {
            return Some(Why::OverBudget { bytes: total, bytes_max });
        }
        (self.freed < self.ask.free_bytes).then_some(Why::LowOnSpace)
    }

    fn take_step(&mut self, key: &'a str, why: Why) -> u64 {
        let Some(piece) = self.picture.pieces.get(key) else { return 0 };
        if let Some(parent) = &piece.parent
            && let Some(above) = self.above.get_mut(parent.as_str())
        {
            above.remove(key);
        }
        self.freed += piece.bytes;
        self.victims.push(Victim {
            what: What::Step,
            name: short(key),
            key: key.to_owned(),
            records: Vec::new(),
            bytes: piece.bytes,
            last_used: piece.last_used,
            why,
        });
        piece.bytes
    }

    fn is_free_step(&self, key: &str) -> bool {
        let step = self.picture.pieces.get(key).filter(|piece| piece.class == Class::Step);
        step.is_some() && !self.pinned.contains(key)
    }

    fn steps(&mut self) {
        let picture = self.picture;
        let unneeded = picture.pieces.values().filter(|piece| {
            piece.class == Class::Step && !self.needed.contains(piece.key.as_str())
        });
        let mut total: u64 = unneeded.map(|piece| piece.bytes).sum();
        let age = |key: &'a str| picture.pieces.get(key).map(|piece| piece.last_used);
        let leaf = |choice: &Self, key: &str| choice.is_free_step(key) && !choice.has_above(key);
        let keys = picture.pieces.keys().map(String::as_str).filter(|key| leaf(self, key));
        let mut oldest: BinaryHeap<_> = keys.map(|key| Reverse((age(key), key))).collect();
        while let Some(Reverse((last_used, key))) = oldest.pop() {
            let Some(why) = self.why(self.ask.steps, last_used.unwrap_or_default(), total) else {
                break;
            };
            total = total.saturating_sub(self.take_step(key, why));
            let parent = picture.pieces.get(key).and_then(|piece| piece.parent.as_deref());
            if let Some(parent) = parent.filter(|parent| leaf(self, parent)) {
                oldest.push(Reverse((age(parent), parent)));
            }
        }
    }

    fn mounts(&mut self) {
        let picture = self.picture;
        let mut mounts: Vec<&CacheMount> = picture.mounts.iter().collect();
        mounts.sort_by_key(|mount| mount.last_used);
        let mut total: u64 = mounts.iter().map(|mount| mount.bytes).sum();
        for mount in mounts {
            let Some(why) = self.why(self.ask.mounts, mount.last_used, total) else { break };
            total = total.saturating_sub(mount.bytes);
            self.freed += mount.bytes;
            self.victims.push(Victim {
                what: What::Mount,
                name: mount.name.clone(),
                key: mount.path.to_string_lossy().into_owned(),
                records: Vec::new(),
                bytes: mount.bytes,
                last_used: mount.last_used,
                why,
            });
        }
    }

    fn bases(&mut self) {
        let picture = self.picture;
        let layers = picture.pieces.values().filter(|piece| {
            piece.class == Class::Base && !self.needed.contains(piece.key.as_str())
        });
        let of_archives: u64 = picture.archives.iter().map(|archive| archive.bytes).sum();
        let mut total = layers.map(|piece| piece.bytes).sum::<u64>() + of_archives;
        let mut candidates: Vec<Candidate<'a>> =
            picture.bases.iter().map(Candidate::Base).collect();
        candidates.extend(picture.archives.iter().map(Candidate::Archive));
        candidates.sort_by_key(Candidate::last_used);
        for candidate in candidates {
            let Some(why) = self.why(self.ask.bases, candidate.last_used(), total) else { break };
            let freed = match candidate {
                Candidate::Base(base) => self.take_base(base, why),
                Candidate::Archive(archive) => self.take_archive(archive, why),
            };
            total = total.saturating_sub(freed);
        }
    }

    /// Takes a base with the cached steps on it, unless something needs or uses one of them.
    fn take_base(&mut self, base: &'a BaseUse, why: Why) -> u64 {
        let top = base.snapshot.as_str();
        if self.pinned.contains(top) {
            return 0;
        }
        let covered = self.above.get(top).into_iter().flatten().any(|key| self.is_layer(key));
        let steps = if covered { Some(Vec::new()) } else { self.steps_on(top) };
        let Some(steps) = steps else { return 0 };
        let bytes = if covered { 0 } else { self.own_layers(base) };
        // What others keep as it is frees nothing: only its age is a reason.
        if covered && !matches!(why, Why::Unused(_)) {
            return 0;
        }
        let name = base.references.iter().cloned().collect::<Vec<_>>().join(", ");
        for step in steps {
            self.take_step(step, Why::StandsOn(name.clone()));
        }
        self.freed += bytes;
        self.victims.push(Victim {
            what: What::Base,
            name,
            key: top.to_owned(),
            records: base.records.clone(),
            bytes,
            last_used: base.last_used,
            why,
        });
        bytes
    }

    fn take_archive(&mut self, archive: &Archive, why: Why) -> u64 {
        self.freed += archive.bytes;
        let name = archive.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.victims.push(Victim {
            what: What::BaseArchive,
            name,
            key: archive.path.to_string_lossy().into_owned(),
            records: Vec::new(),
            bytes: archive.bytes,
            last_used: archive.last_used,
            why,
        });
        archive.bytes
    }

    fn is_layer(&self, key: &str) -> bool {
        self.picture.pieces.get(key).is_some_and(|piece| piece.class == Class::Base)
    }

    /// The steps on a base, topmost first; `None` when one of them has to stay.
    fn steps_on(&self, top: &'a str) -> Option<Vec<&'a str>> {
        let mut found = Vec::new();
        let mut next: Vec<&str> = self.above.get(top).into_iter().flatten().copied().collect();
        while let Some(key) = next.pop() {
            if !self.is_free_step(key) {
                return None;
            }
            found.push(key);
            next.extend(self.above.get(key).into_iter().flatten());
        }
        found.reverse();
        Some(found)
    }

    /// Bytes of the layers that go with this base, and marks them as gone.
    fn own_layers(&mut self, base: &'a BaseUse) -> u64 {
        let kept: BTreeSet<&str> = self
            .picture
            .bases
            .iter()
            .filter(|other| other.snapshot != base.snapshot)
            .filter(|other| !self.victims.iter().any(|victim| victim.key == other.snapshot))
            .map(|other| other.snapshot.as_str())
            .collect();
        let mut bytes = 0;
        for (n, piece) in self.picture.chain(&base.snapshot).enumerate() {
            let held =
                kept.contains(piece.key.as_str()) || self.pinned.contains(piece.key.as_str());
            let shared = n > 0 && self.has_above(&piece.key);
            if held || shared || piece.class != Class::Base {
                break;
            }
            bytes += piece.bytes;
            if let Some(parent) = &piece.parent
                && let Some(above) = self.above.get_mut(parent.as_str())
            {
                above.remove(piece.key.as_str());
            }
        }
        bytes
    }
}

enum Candidate<'a> {
    Base(&'a BaseUse),
    Archive(&'a Archive),
}

impl Candidate<'_> {
    fn last_used(&self) -> Timestamp {
        match self {
            Self::Base(base) => base.last_used,
            Self::Archive(archive) => archive.last_used,
        }
    }
}

/// The beginning of a step's key, as people see it: of what follows `step-`, without the boot that stands behind it
/// where the step was made again. Those two are called alike; their keys differ.
fn short(key: &str) -> String {
    let hex = key.split_once('-').map_or(key, |(_, hex)| hex);
    hex.chars().take_while(|c| *c != '-').take(12).collect()
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
