//! The key that variables and credentials are encrypted with at rest, and its replacement.

use std::ops::ControlFlow;
use std::sync::Arc;

use windlass_model::Failure;
use windlass_model::access::{KeyRotated, KeyView};
use windlass_store::RotationPoint;

use crate::control::stored;
use crate::failpoint;
use crate::host::Host;

/// How the key stands.
///
/// # Errors
/// The disk's.
pub fn show(host: &Host) -> Result<KeyView, Failure> {
    let state = host.store.key_state().map_err(stored)?;
    let name = |file: &std::path::PathBuf| {
        file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    };
    let old_files = state.old_files.iter().map(name).collect();
    Ok(KeyView { id: state.id, is_rotating: state.is_rotating, old_files })
}

/// Replaces the key and encrypts everything anew. Everything can be read at every moment; what a crash
/// cuts off, the next start goes on with.
///
/// # Errors
/// The store's or the disk's.
pub async fn rotate(host: &Host) -> Result<KeyRotated, Failure> {
    let report = host.store.rotate_key(&at).await.map_err(stored)?;
    tracing::info!(key = report.id, resealed = report.resealed, "the key at rest was replaced");
    let (resealed, unreadable) = (report.resealed, report.unreadable);
    Ok(KeyRotated { key: show(host)?, resealed, unreadable })
}

fn at(point: RotationPoint) -> ControlFlow<()> {
    failpoint::reached(match point {
        RotationPoint::Begun => "key:begun",
        RotationPoint::Batches(_) => "key:batch",
        RotationPoint::Resealed => "key:resealed",
        RotationPoint::Finished => "key:finished",
    });
    ControlFlow::Continue(())
}

/// Goes on with a replacement that was cut off, if one was.
pub(crate) async fn resume(host: Arc<Host>) {
    match host.store.key_state() {
        Ok(state) if state.is_rotating => {
            if let Err(failure) = rotate(&host).await {
                tracing::error!(%failure, "the key at rest is not replaced yet; a restart goes on");
            }
        }
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "the state of the key at rest is not known"),
    }
}
