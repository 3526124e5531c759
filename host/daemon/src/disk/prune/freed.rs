//! What goes with an artifact: its static trees at once; its steps become cache, and go as such.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use windlass_build::disk::{Class, Picture, Victim};
use windlass_model::deployment::{Artifact, ArtifactKind};
use windlass_model::{Digest, Failure};

use crate::disk::measure::size;
use crate::host::Host;

/// What goes with one artifact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Freed {
    /// Bytes that are free at once.
    pub(super) bytes: u64,
    /// Bytes of its steps that stay as cache.
    cached_bytes: u64,
}

impl Freed {
    /// The reason, with what stays.
    pub(super) fn said(self, why: &str) -> String {
        match self.cached_bytes >> 20 {
            0 => why.to_owned(),
            mib => format!("{why}; {mib} MiB of its steps become cache (`--cache`)"),
        }
    }
}

/// What goes with each of these artifacts, which the picture does not have any more. What several of them
/// have counts with the first.
pub(super) async fn with(
    host: &Host,
    picture: &Picture,
    going: &[Artifact],
    victims: &[Victim],
) -> Result<BTreeMap<Digest, Freed>, Failure> {
    let mut freed = cached(picture, going, victims);
    let mut seen: BTreeSet<&Digest> = picture.artifacts.iter().flat_map(trees).collect();
    let mut dirs: Vec<(Digest, PathBuf)> = Vec::new();
    for artifact in going {
        for tree in trees(artifact).filter(|tree| seen.insert(*tree)) {
            dirs.push((artifact.digest.clone(), host.builder.static_tree_dir(tree)));
        }
    }
    let measured = tokio::task::spawn_blocking(move || {
        let measure = |(artifact, dir): (Digest, PathBuf)| (artifact, size(&dir).bytes);
        dirs.into_iter().map(measure).collect::<Vec<_>>()
    });
    let measured = measured.await.map_err(|e| {
        let fix = "try again; if it happens again, report it with the host's log";
        Failure::host("disk.interrupted", "measuring was cut off", e.to_string(), fix)
    })?;
    for (artifact, bytes) in measured {
        freed.entry(artifact).or_default().bytes += bytes;
    }
    Ok(freed)
}

fn trees(artifact: &Artifact) -> impl Iterator<Item = &Digest> {
    artifact.outputs.iter().filter_map(|output| match &output.kind {
        ArtifactKind::StaticTree { tree, .. } => Some(tree),
        ArtifactKind::Image { .. } => None,
    })
}

/// The steps that nothing needs any more and that do not go themselves.
fn cached(picture: &Picture, going: &[Artifact], victims: &[Victim]) -> BTreeMap<Digest, Freed> {
    let mut seen = picture.needed();
    seen.extend(victims.iter().map(|victim| victim.key.as_str()));
    let mut freed: BTreeMap<Digest, Freed> = BTreeMap::new();
    for artifact in going {
        let cached_bytes = artifact
            .outputs
            .iter()
            .filter_map(|output| picture.pieces.get(&output.snapshot))
            .flat_map(|top| picture.chain(&top.key))
            .filter(|piece| piece.class == Class::Step && seen.insert(&piece.key))
            .map(|piece| piece.bytes)
            .sum();
        freed.insert(artifact.digest.clone(), Freed { bytes: 0, cached_bytes });
    }
    freed
}

#[cfg(test)]
mod tests {
    use windlass_build::disk::Piece;
    use windlass_model::Timestamp;
    use windlass_model::deployment::ArtifactOutput;
    use windlass_model::plan::RunConfig;

    use super::*;

    const MIB: u64 = 1 << 20;

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

    #[test]
    fn steps_that_become_cache_count_once_and_those_that_others_need_never() {
        let mut picture = Picture::default();
        let pieces = [
            ("shared", None),
            ("deps", Some("shared")),
            ("old", Some("deps")),
            ("older", Some("deps")),
        ];
        for (key, parent) in pieces {
            let piece = Piece {
                key: key.to_owned(),
                parent: parent.map(str::to_owned),
                class: Class::Step,
                bytes: 2 * MIB,
                last_used: Timestamp::UNIX_EPOCH,
                labels: BTreeMap::new(),
            };
            picture.pieces.insert(key.to_owned(), piece);
        }
        picture.artifacts = vec![artifact("shared")];
        let freed = cached(&picture, &[artifact("old"), artifact("older")], &[]);
        let of = |name: &str| freed[&Digest::of(name.as_bytes())].said("asked for");
        assert_eq!(of("old"), "asked for; 4 MiB of its steps become cache (`--cache`)");
        assert_eq!(of("older"), "asked for; 2 MiB of its steps become cache (`--cache`)");
        assert_eq!(Freed::default().said("asked for"), "asked for");
    }
}
