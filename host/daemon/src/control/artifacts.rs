//! Files that plugins attached to deployments.

use std::fs::File;

use windlass_model::stage::Attached;
use windlass_model::{Deployment, Failure};

use crate::host::Host;
use crate::pipeline::custom::is_file_name;
use crate::pipeline::custom::record::Folder;

/// The files, in the order in which they were attached.
pub fn list(host: &Host, of: &Deployment) -> Vec<Attached> {
    Folder::of(&host.config.data_dir, &of.id).attached()
}

/// One file, opened.
///
/// # Errors
/// `artifact.not-found`, `artifact.file-unreadable`.
pub fn open(
    host: &Host,
    of: &Deployment,
    plugin: &str,
    name: &str,
) -> Result<(Attached, File), Failure> {
    let folder = Folder::of(&host.config.data_dir, &of.id);
    let all = folder.attached();
    let found = all.iter().find(|one| one.plugin == plugin && one.name == name);
    let Some(attached) = found.filter(|one| is_file_name(&one.name)) else {
        let names: Vec<String> =
            all.iter().map(|one| format!("{} of {}", one.name, one.plugin)).collect();
        let why = match names.is_empty() {
            true => "no plugin attached anything to it".to_owned(),
            false => format!("what is attached to it: {}", names.join(", ")),
        };
        return Err(Failure::app(
            "artifact.not-found",
            format!("deployment #{} has no file {name:?} of the plugin {plugin}", of.number),
            why,
            format!("`windlass artifact list {}` shows them", of.number),
        ));
    };
    match File::open(folder.at(&format!("attached/{plugin}/{name}"))) {
        Ok(file) => Ok((attached.clone(), file)),
        Err(error) => Err(Failure::host(
            "artifact.file-unreadable",
            format!("the file {name} of deployment #{} cannot be read", of.number),
            error.to_string(),
            "check the disk and the permissions of `stages` in the data directory",
        )),
    }
}
