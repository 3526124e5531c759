//! Builds that are not deployed.

use std::sync::Arc;

use windlass_build::Pieces;
use windlass_model::{Deployment, Failure};

use super::images;
use crate::host::Host;

const NAME_CHARS_MAX: usize = 128;

/// Whether an artifact can be kept under this name; none is a name, too.
///
/// # Errors
/// `build.name-invalid`.
pub fn check_name(name: &str) -> Result<(), Failure> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:".contains(c);
    let edges = name.chars().next().is_none_or(|c| c.is_ascii_alphanumeric());
    if name.len() <= NAME_CHARS_MAX && name.chars().all(fits) && edges {
        return Ok(());
    }
    Err(Failure::app(
        "build.name-invalid",
        format!("{name:?} is no name for an image"),
        format!(
            "it has at most {NAME_CHARS_MAX} small letters, digits and the characters . _ - / : and \
             begins with a letter or digit"
        ),
        "give one like shop:1.2, or none: windlass build --output image",
    ))
}

/// The files of an output of a deployment's artifact, as a tar.
///
/// # Errors
/// `image.no-artifact`, `export.no-such-output`, `artifact.missing`.
pub async fn files(
    host: &Arc<Host>,
    deployment: &Deployment,
    output: Option<&str>,
) -> Result<Pieces, Failure> {
    let artifact = images::artifact(deployment)?;
    host.builder.files(artifact, output).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_plain() {
        for name in ["", "shop", "shop:1.2", "team/shop:next"] {
            check_name(name).unwrap();
        }
        for name in ["-x", "Shop", "a b", "ä", &"a".repeat(129)] {
            assert_eq!(check_name(name).unwrap_err().code, "build.name-invalid", "{name}");
        }
    }
}
