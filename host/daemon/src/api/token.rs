//! The API's token: made at first start, kept in a file that only its owner can read.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use subtle::ConstantTimeEq as _;
use windlass_model::Failure;

/// Name of the file in the data directory.
pub const TOKEN_FILE: &str = "token";

/// Bytes of randomness in a token.
const RANDOM_BYTES: usize = 32;

/// The token. It is never shown, only compared.
pub struct ApiToken(String);

impl ApiToken {
    /// Whether this is the token; takes the same time whatever the answer.
    pub fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// A token of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiToken([secret])")
    }
}

/// Reads the token of a data directory, or makes one.
///
/// # Errors
/// `serve.token-permissions` when others can read the file, `serve.token-file` when it cannot be read
/// or written or holds no token.
pub fn load_or_create_token(data_dir: &Path) -> Result<ApiToken, Failure> {
    let path = data_dir.join(TOKEN_FILE);
    let failed = |why: String| {
        Failure::host(
            "serve.token-file",
            format!("the API token {} cannot be used", path.display()),
            why,
            "check the file's owner and the disk, or delete the file to get a new token",
        )
    };
    match std::fs::metadata(&path) {
        Ok(meta) if meta.mode() & 0o077 != 0 => Err(Failure::host(
            "serve.token-permissions",
            format!("others can read the API token {}", path.display()),
            format!("its mode is {:04o}", meta.mode() & 0o7777),
            format!("chmod 600 {}", path.display()),
        )),
        Ok(_) => {
            let text = std::fs::read_to_string(&path).map_err(|e| failed(e.to_string()))?;
            match text.trim() {
                token if token.len() >= 16 => Ok(ApiToken::new(token)),
                _ => Err(failed("it holds no token".to_owned())),
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            create(data_dir, &path).map_err(|e| failed(e.to_string()))
        }
        Err(e) => Err(failed(e.to_string())),
    }
}

fn create(data_dir: &Path, path: &Path) -> std::io::Result<ApiToken> {
    let mut random = [0_u8; RANDOM_BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token = hex::encode(random);
    let partial = data_dir.join("token.partial");
    let _ = std::fs::remove_file(&partial);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    std::fs::rename(partial, path)?;
    Ok(ApiToken::new(token))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_token_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create_token(dir.path()).unwrap();
        let file = dir.path().join(TOKEN_FILE);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.trim().len(), 2 * RANDOM_BYTES);
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let again = load_or_create_token(dir.path()).unwrap();
        assert!(again.is(text.trim()) && !again.is("guess"));
        assert!(!format!("{again:?}").contains(text.trim()));
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create_token(dir.path()).unwrap();
        let file = dir.path().join(TOKEN_FILE);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let failure = load_or_create_token(dir.path()).unwrap_err();
        assert_eq!(failure.code, "serve.token-permissions");
    }
}
