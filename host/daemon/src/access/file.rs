//! The host's own admin token: made at first start, kept in a file that only its owner can read.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq as _;
use windlass_model::Failure;
use windlass_model::access::{TOKEN_ID_BYTES, TOKEN_SECRET_BYTES, TokenHash, TokenId, TokenText};

/// Name of the file in the data directory.
pub const TOKEN_FILE: &str = "token";
/// Shortest text that counts as a token: people may write the file themselves.
const CHARS_MIN: usize = 16;

/// The admin token. Its text is never kept, only compared.
#[derive(Clone)]
pub struct AdminToken {
    hash: TokenHash,
    /// None for a text of another form.
    id: Option<TokenId>,
}

impl AdminToken {
    /// A token of this text.
    pub fn new(text: &str) -> Self {
        let id = TokenText::parse(text).ok().map(|token| token.id().clone());
        Self { hash: TokenHash::of(text), id }
    }

    /// Whether this is the token; takes the same time whatever the answer.
    pub fn is(&self, given: &str) -> bool {
        self.hash.as_bytes().ct_eq(TokenHash::of(given).as_bytes()).into()
    }

    /// Its public part, if it has one.
    pub fn id(&self) -> Option<&TokenId> {
        self.id.as_ref()
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken([secret])")
    }
}

/// A new token of the system's randomness; of this id, when one is given.
///
/// # Errors
/// `internal.randomness`.
pub(super) fn generate(id: Option<TokenId>) -> Result<TokenText, Failure> {
    let mut bytes = [0_u8; TOKEN_ID_BYTES + TOKEN_SECRET_BYTES];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    read.map_err(|e| {
        Failure::host(
            "internal.randomness",
            "no token could be made",
            format!("the system gave no randomness: {e}"),
            "check /dev/urandom",
        )
    })?;
    let (mut new_id, mut secret) = ([0; TOKEN_ID_BYTES], [0; TOKEN_SECRET_BYTES]);
    new_id.copy_from_slice(&bytes[..TOKEN_ID_BYTES]);
    secret.copy_from_slice(&bytes[TOKEN_ID_BYTES..]);
    Ok(TokenText::new(id.unwrap_or_else(|| TokenId::new(new_id)), secret))
}

/// Reads the token of a data directory, or makes one.
///
/// # Errors
/// `serve.token-permissions` when others can read the file, `serve.token-file` when it cannot be read
/// or written or holds no token.
pub fn load_or_create(data_dir: &Path) -> Result<AdminToken, Failure> {
    let path = data_dir.join(TOKEN_FILE);
    match std::fs::metadata(&path) {
        Ok(meta) if meta.mode() & 0o077 != 0 => Err(Failure::host(
            "serve.token-permissions",
            format!("others can read the API token {}", path.display()),
            format!("its mode is {:04o}", meta.mode() & 0o7777),
            format!("chmod 600 {}", path.display()),
        )),
        Ok(_) => {
            let text =
                std::fs::read_to_string(&path).map_err(|e| unusable(&path, e.to_string()))?;
            match text.trim() {
                token if token.len() >= CHARS_MIN => Ok(AdminToken::new(token)),
                _ => Err(unusable(&path, "it holds no token".to_owned())),
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            replace(data_dir).map(|token| AdminToken::new(token.text().expose()))
        }
        Err(e) => Err(unusable(&path, e.to_string())),
    }
}

/// Puts a new token into the file, durably, and returns it.
///
/// # Errors
/// `serve.token-file`.
pub(super) fn replace(data_dir: &Path) -> Result<TokenText, Failure> {
    let token = generate(None)?;
    let path = data_dir.join(TOKEN_FILE);
    write(&path, token.text().expose()).map_err(|e| unusable(&path, e.to_string()))?;
    Ok(token)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let partial: PathBuf = path.with_extension("partial");
    let _ = std::fs::remove_file(&partial);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&partial)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    std::fs::rename(partial, path)?;
    path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}

fn unusable(path: &Path, why: String) -> Failure {
    Failure::host(
        "serve.token-file",
        format!("the API token {} cannot be used", path.display()),
        why,
        "check the file's owner and the disk, or delete the file to get a new token",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_token_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path()).unwrap();
        let file = dir.path().join(TOKEN_FILE);
        let text = std::fs::read_to_string(&file).unwrap();
        let written = TokenText::parse(text.trim()).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let again = load_or_create(dir.path()).unwrap();
        assert!(again.is(text.trim()) && !again.is("guess"));
        assert_eq!(again.id(), Some(written.id()));
        assert!(!format!("{again:?}").contains(text.trim()));
        let other = replace(dir.path()).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let new = load_or_create(dir.path()).unwrap();
        assert!(new.is(other.text().expose()) && !new.is(text.trim()));
    }

    #[test]
    fn a_token_of_an_older_form_goes_on_working() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join(TOKEN_FILE), &"5f".repeat(32)).unwrap();
        let token = load_or_create(dir.path()).unwrap();
        assert!(token.is(&"5f".repeat(32)) && token.id().is_none());
        write(&dir.path().join(TOKEN_FILE), "short").unwrap();
        assert_eq!(load_or_create(dir.path()).unwrap_err().code, "serve.token-file");
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path()).unwrap();
        let file = dir.path().join(TOKEN_FILE);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let failure = load_or_create(dir.path()).unwrap_err();
        assert_eq!(failure.code, "serve.token-permissions");
    }
}
