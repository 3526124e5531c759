//! Disk: what cached steps, bases and cache mounts take, what of it may go, and its removal.
//!
//! **Invariants**
//! - What an artifact's record names is never chosen, and neither is anything that it stands on: a live,
//!   retained or pinned deployment has such a record. The same holds for what a container stands on.
//! - What a build that runs has looked up or made is never removed: the [`guard`] is asked once more, with
//!   look-ups held off, right before each removal. A cache mount's own lock says whether it is used.
//! - What others stand on goes after them, so a removal that is cut off leaves nothing broken: only less
//!   cache.
//! - Artifacts go by their own rules, see [`Removing`]: never one that a build has just made or that is pushed.
//!
//! Reading order: [`picture`] (what there is), [`choose`] (a pure function from that to what goes),
//! [`guard`], and the [`Pass`] that carries it out.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use windlass_containers::RuntimeError;
use windlass_model::{Digest, Failure};

use crate::artifact;
use crate::builder::{Builder, blocking, io_failure};
use crate::ops::caches;

pub(crate) mod choose;
pub(crate) mod free;
pub(crate) mod guard;
mod holds;
pub(crate) mod picture;

pub use choose::{Ask, Rule, Victim, What, Why};
pub(crate) use guard::Guard;
pub use guard::Mark;
pub(crate) use holds::Holds;
pub use holds::{Held, Removing};
pub(crate) use picture::Sizes;
pub use picture::{Archive, BaseUse, CacheMount, Class, Picture, Piece};

/// One look at the disk, and what is removed after it. While there is one, what builds use is remembered.
pub struct Pass {
    builder: Builder,
    picture: Picture,
    mark: Mark,
}

impl Builder {
    /// What there is; with `writable`, the writable snapshots are measured too, which takes a walk
    /// through each.
    ///
    /// # Errors
    /// What the runtime says.
    pub async fn picture(&self, writable: bool) -> Result<Picture, Failure> {
        let folders = (self.bases().archives(), caches::list(self.data_dir()));
        picture::read(&**self.runtime(), self.sizes(), folders, writable).await
    }

    /// A look at the disk that something may be removed after.
    ///
    /// # Errors
    /// What the runtime says.
    pub async fn prune_pass(&self) -> Result<Pass, Failure> {
        let mark = self.bases().guard().prune();
        let picture = self.picture(false).await?;
        Ok(Pass { builder: self.clone(), picture, mark })
    }

    /// While the answer lives, nothing is pruned that is looked up, pulled or made from now on: for whoever starts
    /// something in an image and has no build.
    pub fn mark(&self) -> Mark {
        self.bases().guard().build()
    }

    /// Has containerd collect what nothing keeps any more, and free its bytes.
    ///
    /// # Errors
    /// What the runtime says.
    pub async fn collect(&self) -> Result<(), Failure> {
        self.runtime().collect().await.map_err(failed)
    }
}

impl Pass {
    /// What was there.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// The same as if these artifacts were gone.
    pub fn without(&mut self, artifacts: &BTreeSet<Digest>) {
        self.picture.artifacts.retain(|artifact| !artifacts.contains(&artifact.digest));
    }

    /// Looks again which artifacts there are: of those that were to go, some may have stayed.
    ///
    /// # Errors
    /// What the runtime says.
    pub async fn look_at_artifacts(&mut self) -> Result<(), Failure> {
        self.picture.artifacts = artifact::all(&**self.builder.runtime()).await?;
        Ok(())
    }

    /// Measures the cache mounts that may go by this, which takes a walk through each, and leaves those out
    /// that a build uses now. Answers how many these are.
    ///
    /// # Errors
    /// When the walk is cut off.
    pub async fn measure_mounts(&mut self, ask: &Ask) -> Result<usize, Failure> {
        let (mut mounts, ask) = (std::mem::take(&mut self.picture.mounts), *ask);
        let all = mounts.len();
        self.picture.mounts = blocking(move || {
            mounts.retain(|mount| !ask.may_take(mount) || !caches::is_used(&mount.path));
            for mount in mounts.iter_mut().filter(|mount| ask.may_take(mount)) {
                mount.bytes = caches::disk_bytes(&mount.path);
            }
            mounts
        })
        .await?;
        Ok(all - self.picture.mounts.len())
    }

    /// What is to go, what others stand on behind them. Cache mounts that were not measured count as
    /// nothing.
    pub fn choose(&self, ask: &Ask) -> Vec<Victim> {
        choose::choose(&self.picture, &self.guard().in_use(), ask)
    }

    /// The same, of steps only those that are meant; with how many of these a build uses now.
    pub fn choose_of(&self, ask: &Ask, only: &dyn Fn(&Piece) -> bool) -> (Vec<Victim>, usize) {
        let in_use = self.guard().in_use();
        let used = in_use.iter().filter_map(|key| self.picture.pieces.get(key));
        let used = used.filter(|piece| piece.class == Class::Step && only(piece)).count();
        (choose::choose_of(&self.picture, &in_use, ask, only), used)
    }

    /// Removes what was chosen, tells of each removal as it is done, and answers what was removed: what
    /// came into use meanwhile stays. Can be repeated, also after a crash.
    ///
    /// # Errors
    /// What the runtime or the file system says.
    pub async fn carry_out(
        &self,
        victims: Vec<Victim>,
        told: &(dyn Fn(&Victim) + Send + Sync),
    ) -> Result<Vec<Victim>, Failure> {
        // Nobody may begin to unpack an image on layers that are about to be collected.
        let is_base = |victim: &Victim| matches!(victim.what, What::Base | What::BaseArchive);
        let bases_wait = match victims.iter().any(is_base) {
            true => self.builder.bases().alone(),
            false => None,
        };
        let mut removed = Vec::new();
        let mut outcome = Ok(());
        for victim in victims {
            if is_base(&victim) && bases_wait.is_none() {
                continue;
            }
            match self.remove(&victim).await {
                Ok(true) => {
                    told(&victim);
                    removed.push(victim);
                }
                Ok(false) => {}
                Err(failure) => {
                    outcome = Err(failure);
                    break;
                }
            }
        }
        if !removed.is_empty() {
            self.builder.collect().await?;
        }
        outcome.map(|()| removed)
    }

    /// Removes one, unless something uses it or stands on it now.
    async fn remove(&self, victim: &Victim) -> Result<bool, Failure> {
        let _alone = match victim.what {
            // It has a lock of its own.
            What::Mount => None,
            What::Step | What::Base | What::BaseArchive => {
                let Some(alone) = self.guard().removal(&victim.key).await else { return Ok(false) };
                Some(alone)
            }
        };
        let runtime = self.builder.runtime();
        match victim.what {
            What::Step => match runtime.remove_snapshot(&victim.key).await {
                Ok(()) => Ok(true),
                // Something was built on it.
                Err(RuntimeError::Refused { .. }) => Ok(false),
                Err(error) => Err(failed(error)),
            },
            // Its layers are collected when nothing else keeps them.
            What::Base => {
                for record in &victim.records {
                    runtime.delete_blob(record).await.map_err(failed)?;
                }
                Ok(true)
            }
            What::BaseArchive => match std::fs::remove_file(&victim.key) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    let what = "An assembled base could not be removed";
                    Err(io_failure(what, victim.key.as_ref(), &e))
                }
                _ => Ok(true),
            },
            What::Mount => remove_mount(victim).await,
        }
    }

    fn guard(&self) -> &Arc<Guard> {
        self.mark.guard()
    }
}

/// Look-ups need not wait for the files of a cache to go.
async fn remove_mount(victim: &Victim) -> Result<bool, Failure> {
    let (path, last_used) = (PathBuf::from(&victim.key), victim.last_used);
    let removed = blocking(move || caches::remove_listed(&path, last_used)).await?;
    let what = "A cache mount could not be removed";
    removed.map_err(|e| io_failure(what, victim.key.as_ref(), &e))
}

fn failed(error: RuntimeError) -> Failure {
    error.failure("The disk could not be tidied")
}
