//! What the mounts of a command leave behind in the step's files: empty files and directories that are made for them
//! where there are none.
//!
//! **Invariant: what was there before stays, and so does what holds something.**

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use windlass_containers::generated_paths;
use windlass_containers::runtime::Access;
use windlass_model::Failure;

use super::OpContext;
use super::copy::mount;
use super::files::open;
use crate::builder::Session;
use crate::rooted::Root;

/// Paths that were not there before a command, each with those of its parents that were not.
pub(super) struct Stubs(BTreeSet<PathBuf>);

impl Stubs {
    /// Looks for the targets of a command's mounts, and for what every container is given.
    pub(super) async fn before(
        session: &Session,
        context: &OpContext<'_>,
        targets: &[String],
        has_network: bool,
    ) -> Result<Self, Failure> {
        // What is only looked at is mounted so: an older kernel syncs a whole file system after the other.
        let mounted = mount(session, context.active, Access::ReadOnly).await?;
        let root = open(mounted.path())?;
        let targets = targets.iter().map(String::as_str);
        Ok(Self::missing(&root, targets.chain(generated_paths(has_network).iter().copied())))
    }

    /// Removes what of them is there and empty.
    pub(super) async fn remove(
        &self,
        session: &Session,
        context: &OpContext<'_>,
    ) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mounted = mount(session, context.active, Access::ReadWrite).await?;
        self.remove_from(&open(mounted.path())?);
        Ok(())
    }

    fn missing<'a>(root: &Root, targets: impl Iterator<Item = &'a str>) -> Self {
        // Where nothing can be looked up, nothing can be mounted either: the container does not start.
        Self(targets.flat_map(|path| root.missing(Path::new(path)).unwrap_or_default()).collect())
    }

    fn remove_from(&self, root: &Root) {
        // A directory comes before what is in it.
        self.0.iter().rev().for_each(|path| root.remove_empty(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_for_mounts_goes_with_its_parents_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        let make_dir = |path: &str| std::fs::create_dir_all(at(path)).unwrap();
        let write = |path: &str, text: &str| std::fs::write(at(path), text).unwrap();
        make_dir("etc");
        make_dir("kept");
        write("etc/hosts", "");
        std::os::unix::fs::symlink("../run/resolve/stub", at("etc/resolv.conf")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let targets =
            ["/root/.cache/pip", "/root/.npm", "/kept/in", "/filled/in", "/file", "/written"];
        let generated = generated_paths(true).iter().copied();
        let stubs = Stubs::missing(&root, targets.into_iter().chain(generated));

        // As a runtime makes them, and what a command leaves beside and in two of them.
        for path in ["root/.cache/pip", "root/.npm", "kept/in", "filled/in", "run/resolve"] {
            make_dir(path);
        }
        for path in ["etc/hostname", "run/resolve/stub", "file", "filled/beside"] {
            write(path, "");
        }
        write("written", "by the command");
        stubs.remove_from(&root);
        for gone in ["root", "kept/in", "filled/in", "file", "etc/hostname", "run"] {
            assert!(!at(gone).exists(), "{gone} stayed");
        }
        for there in ["kept", "filled/beside", "written", "etc/hosts"] {
            assert!(at(there).exists(), "{there} went");
        }
        assert!(at("etc/resolv.conf").is_symlink());
    }

    #[test]
    fn of_files_without_anything_even_the_folder_of_settings_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let stubs = Stubs::missing(&root, generated_paths(false).iter().copied());
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        for name in ["hosts", "hostname"] {
            std::fs::write(dir.path().join("etc").join(name), "").unwrap();
        }
        stubs.remove_from(&root);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
