//! From what the crates say to what the command line prints.

use std::path::{Path, PathBuf};

use windlass_cli::roles::{Check, CheckState};
use windlass_containers::doctor;
use windlass_model::Failure;
use windlass_model::plugin::Manifest;
use windlass_model::plugin::account;
use windlass_model::plugin::lock::{self, Lock};
use windlass_proxy::ProxyError;

/// A part of the container engine.
pub(crate) fn check(check: doctor::Check) -> Check {
    let state = match check.state {
        doctor::State::Ok => CheckState::Ok,
        doctor::State::Warn => CheckState::Warning,
        doctor::State::Missing => CheckState::Missing,
    };
    let found = [check.version.unwrap_or_default(), check.in_force]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(", ");
    Check { name: check.name, state, found, fix: check.fix }
}

/// The bundled plugins.
pub(crate) fn plugins(folder: &Path) -> Check {
    let name = "plugins".to_owned();
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().map(|e| e.path()));
    let files: Vec<_> = entries
        .into_iter()
        .flatten()
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    let broken: Vec<String> = files
        .iter()
        .filter_map(|path| windlass_sandbox::inspect(path).err().map(|e| (path, e)))
        .map(|(path, error)| format!("{}: {error}", path.display()))
        .collect();
    let (state, found, fix) = if files.is_empty() {
        let fix = "put the plugins that came with Windlass there, or name their folder with --plugins-dir";
        (CheckState::Missing, format!("none in {}", folder.display()), fix)
    } else if broken.is_empty() {
        (CheckState::Ok, format!("{} in {}", files.len(), folder.display()), "")
    } else {
        (
            CheckState::Warning,
            broken.join("; "),
            "install the plugins that came with this Windlass again",
        )
    };
    Check { name, state, found, fix: fix.to_owned() }
}

/// The plugins that are switched off because they kept failing, by the file of a host's data directory.
pub(crate) fn switched_off(installed: &Path) -> Option<Check> {
    let text = std::fs::read(installed.join(account::OFF_FILE)).ok()?;
    let off = account::parse_off(&text).unwrap_or_default();
    let said: Vec<String> = off.iter().map(ToString::to_string).collect();
    let fixes: Vec<String> = off.iter().map(account::SwitchedOff::fix).collect();
    (!off.is_empty()).then(|| Check {
        name: "plugins switched off".to_owned(),
        state: CheckState::Warning,
        found: said.join("; "),
        fix: fixes.join("; "),
    })
}

/// The manifests of the plugins in these folders, installed ones in their active versions.
pub(crate) fn manifests(folders: &[PathBuf]) -> Vec<Manifest> {
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let mut files: Vec<PathBuf> = files.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    for folder in folders {
        let text = std::fs::read(folder.join(lock::FILE)).unwrap_or_default();
        let lock = Lock::parse(&text).unwrap_or_default();
        files.extend(lock.files_in_use().into_iter().map(|(file, _)| folder.join(file)));
    }
    files.sort();
    let read = files.iter().filter_map(|path| windlass_sandbox::inspect(path).ok());
    read.map(|inspected| inspected.info.manifest).collect()
}

/// Why the proxy could not start. Its messages say the cause, then the fix.
pub(crate) fn proxy_failure(error: &ProxyError) -> Failure {
    let code = match error {
        ProxyError::AlreadyRunning { .. } => "proxy.already-running",
        ProxyError::Bind { .. } => "proxy.bind",
        ProxyError::ControlSocket { .. } => "proxy.control-socket",
        ProxyError::TableFile { .. } => "proxy.table-file",
        ProxyError::TableVersion { .. } => "proxy.table-version",
    };
    let text = error.to_string();
    let (why, fix) = text.rsplit_once("; ").unwrap_or((&text, "see why"));
    Failure::host(code, "the proxy cannot start", why, fix)
}

#[cfg(test)]
mod tests {
    use windlass_model::DeploymentId;

    use super::*;

    #[test]
    fn a_proxy_s_error_is_taken_apart_into_cause_and_fix() {
        let error = ProxyError::AlreadyRunning { path: "/run/p.sock".into() };
        let failure = proxy_failure(&error);
        assert_eq!(failure.code, "proxy.already-running");
        assert_eq!(failure.why, "another proxy already runs on /run/p.sock");
        assert!(failure.fix.starts_with("stop it first"), "{}", failure.fix);
    }

    #[test]
    fn missing_and_broken_plugins_are_told_apart() {
        let nowhere = Path::new("/nonexistent/plugins");
        assert_eq!(plugins(nowhere).state, CheckState::Missing);
        let folder = std::env::temp_dir().join(format!("windlass-convert-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("bad.wasm"), b"no").unwrap();
        let check = plugins(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(check.state, CheckState::Warning);
        assert!(check.found.contains("bad.wasm"), "{}", check.found);
    }

    #[test]
    fn what_is_switched_off_is_a_warning_with_its_fix() {
        let folder = std::env::temp_dir().join(format!("windlass-off-{}", std::process::id()));
        assert!(switched_off(&folder).is_none());
        std::fs::create_dir_all(&folder).unwrap();
        let off = format!(
            r#"[{{"project": "shop", "plugin": "scan", "version": "1.2.0", "digest": "sha256:{}",
                 "stage": "builder", "function": "plan", "faults": 5, "code": "plugin.trapped",
                 "reason": "it trapped: unreachable", "at": "2026-01-02T03:04:05Z",
                 "environment": "production", "deployment": "{}", "number": 7}}]"#,
            "ab".repeat(32),
            DeploymentId::generate(),
        );
        std::fs::write(folder.join(account::OFF_FILE), off).unwrap();
        let check = switched_off(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        let check = check.unwrap();
        assert_eq!(check.state, CheckState::Warning);
        assert!(check.found.contains("scan 1.2.0") && check.found.contains("5 times"), "{check:?}");
        assert!(check.fix.contains("windlass plugin enable scan --project shop"), "{check:?}");
    }
}
