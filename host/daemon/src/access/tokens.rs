//! Tokens: who a request is by; making, listing, rotating and revoking them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use subtle::ConstantTimeEq as _;
use windlass_model::access::{
    ApiToken, CreateToken, NewToken, RotateToken, TOKEN_PREFIX, TokenHash, TokenId, TokenScope,
    TokenState, TokenText, TokenView,
};
use windlass_model::{Failure, ProjectName, Timestamp};
use windlass_store::{Store, StoreError, Versioned};

use super::caller::Caller;
use super::throttle::Origin;
use super::{Access, file};
use crate::control::stored;
use crate::host::Host;

/// The name of the host's own token.
pub const ADMIN: &str = "admin";
/// Names that other actors have.
const RESERVED: [&str; 5] = [ADMIN, "api", "anonymous", "webhook", "windlass"];
/// Longest life of a token that ends, in seconds: ten years.
const LIFE_S_MAX: u64 = 10 * 366 * 24 * 3600;
/// Projects that one token may be limited to.
const PROJECTS_MAX: usize = 100;
/// How often the last use of a token is written down.
const USE_NOTED_EVERY_MS: i64 = 3600 * 1000;

/// A request that is nobody's.
#[derive(Debug)]
pub(crate) struct Denied {
    /// Why.
    pub(crate) failure: Failure,
    /// Whose token it was, where it was the right one and cannot be used any more.
    pub(crate) actor: Option<String>,
    /// Seconds to wait before the next try.
    pub(crate) retry_after_s: Option<u64>,
}

impl From<Failure> for Denied {
    fn from(failure: Failure) -> Self {
        Self { failure, actor: None, retry_after_s: None }
    }
}

/// When each token was last used, by this process.
#[derive(Default)]
pub(super) struct Uses(Mutex<HashMap<TokenId, i64>>);

impl Uses {
    /// Whether this use is to be written down.
    fn is_news(&self, token: &ApiToken, now: Timestamp) -> bool {
        let now_ms = now.as_millisecond();
        let is_old = |at_ms: i64| now_ms - at_ms >= USE_NOTED_EVERY_MS;
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = token.last_used_at.map(Timestamp::as_millisecond);
        let last = noted.get(&token.id).copied().max(stored);
        if last.is_some_and(|at_ms| !is_old(at_ms)) {
            return false;
        }
        noted.retain(|_, at_ms| !is_old(*at_ms));
        noted.insert(token.id.clone(), now_ms);
        true
    }
}

impl Access {
    /// Whose token this is.
    ///
    /// # Errors
    /// `auth.token-missing`, `auth.token-mistyped`, `auth.token-wrong`, `auth.token-revoked`,
    /// `auth.token-expired`; `auth.too-many-failures`, without looking at the token.
    pub(crate) fn caller(
        &self,
        store: &Store,
        given: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Caller, Denied> {
        let given = given.ok_or_else(missing)?;
        let admin = self.admin();
        let token = TokenText::parse(given);
        let id = token.as_ref().ok().map(TokenText::id);
        let is_admin_id = id.is_some() && id == admin.id();
        let known = match id {
            Some(id) if !is_admin_id => store.token(id).map_err(stored)?,
            _ => None,
        };
        let tried = id.filter(|_| is_admin_id || known.is_some()).cloned();
        let (origin, now) = (Origin::new(address, tried), Instant::now());
        if let Some(wait) = self.failures.wait(&origin, now) {
            let seconds = wait.as_secs() + 1;
            return Err(Denied {
                retry_after_s: Some(seconds),
                ..too_many_failures(seconds).into()
            });
        }
        let failed = |failure: Failure| {
            self.failures.count(origin, now);
            Denied::from(failure)
        };
        if let Some(known) = known {
            let hash = &known.value.hash;
            let is_it = hash.as_bytes().ct_eq(TokenHash::of(given).as_bytes()).into();
            return if is_it { self.owner(store, known) } else { Err(failed(wrong())) };
        }
        if admin.is(given) {
            let (projects, token) = (Arc::default(), admin.id().cloned());
            let actor = ADMIN.to_owned();
            return Ok(Caller { actor, scope: TokenScope::Admin, projects, token });
        }
        Err(failed(match token {
            Err(why) if given.starts_with(TOKEN_PREFIX) => mistyped(why),
            _ => wrong(),
        }))
    }

    fn owner(&self, store: &Store, known: Versioned<ApiToken>) -> Result<Caller, Denied> {
        let now = Timestamp::now();
        let token = &known.value;
        let dead = match token.state(now) {
            TokenState::Active => None,
            TokenState::Revoked => Some(over(token, "revoked", token.revoked_at)),
            TokenState::Expired => Some(over(token, "expired", token.expires_at)),
        };
        if let Some(failure) = dead {
            let actor = Some(token.name.to_string());
            return Err(Denied { failure, actor, retry_after_s: None });
        }
        let caller = Caller {
            actor: token.name.to_string(),
            scope: token.scope,
            projects: token.projects.clone().into(),
            token: Some(token.id.clone()),
        };
        if self.uses.is_news(token, now) {
            note_use(store.clone(), known, now);
        }
        Ok(caller)
    }
}

/// Writes down that a token was used, in the background: at most once an hour for each.
fn note_use(store: Store, mut known: Versioned<ApiToken>, now: Timestamp) {
    known.value.last_used_at = Some(now);
    tokio::spawn(async move {
        // A change of the token meanwhile is more important.
        if let Err(error) = store.update_token(&known).await {
            tracing::debug!(%error, token = %known.value.id, "the use of a token was not noted");
        }
    });
}

/// Makes a token.
///
/// # Errors
/// `token.exists`, `token.name-reserved`, `token.expiry-invalid`, `token.too-many-projects`,
/// `store.too-many`.
pub async fn create(host: &Host, body: CreateToken, actor: &str) -> Result<NewToken, Failure> {
    if RESERVED.contains(&body.name.as_str()) {
        return Err(Failure::app(
            "token.name-reserved",
            format!("no token can be called {}", body.name),
            "Windlass itself acts under this name",
            "choose another name, for instance of the machine that will use it",
        ));
    }
    let now = Timestamp::now();
    let expires_at = body.expires_in_s.map(|s| end_of_life(now, s)).transpose()?;
    let text = file::generate(None)?;
    let token = ApiToken {
        id: text.id().clone(),
        name: body.name,
        scope: body.scope,
        projects: each_once(body.projects)?,
        hash: text.hash(),
        created_at: now,
        created_by: actor.to_owned(),
        rotated_at: None,
        expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    host.store.create_token(&token).await.map_err(|error| match error {
        StoreError::Exists { .. } => Failure::app(
            "token.exists",
            format!("there is a token {} already", token.name),
            "the actions of two could not be told apart",
            format!(
                "choose another name, or use `windlass token rotate {0}` or `windlass token revoke {0}`",
                token.name
            ),
        ),
        other => stored(other),
    })?;
    Ok(NewToken { text: text.text().expose().clone(), token: Some(token.view(now)) })
}

fn each_once(mut projects: Vec<ProjectName>) -> Result<Vec<ProjectName>, Failure> {
    projects.sort();
    projects.dedup();
    if projects.len() <= PROJECTS_MAX {
        return Ok(projects);
    }
    Err(Failure::app(
        "token.too-many-projects",
        "the token would be limited to too many projects",
        format!("{} were given; at most {PROJECTS_MAX} are possible", projects.len()),
        "make several tokens, or one that is not limited",
    ))
}

fn end_of_life(now: Timestamp, life_s: u64) -> Result<Timestamp, Failure> {
    let life = i64::try_from(life_s).ok().filter(|_| (1..=LIFE_S_MAX).contains(&life_s));
    let end = life.and_then(|s| now.checked_add(jiff::SignedDuration::from_secs(s)).ok());
    end.ok_or_else(|| {
        Failure::app(
            "token.expiry-invalid",
            format!("a token cannot end after {life_s} seconds"),
            format!("the time must be 1 to {LIFE_S_MAX} seconds (ten years)"),
            "give a time within that, or none for a token that does not end by itself",
        )
    })
}

/// All tokens, by name.
///
/// # Errors
/// The store's.
pub fn list(host: &Host) -> Result<Vec<TokenView>, Failure> {
    let now = Timestamp::now();
    let tokens = host.store.tokens().map_err(stored)?;
    Ok(tokens.iter().map(|token| token.view(now)).collect())
}

/// The token of this id or name; of several of a name the one that is not revoked, else the newest.
fn find(host: &Host, text: &str) -> Result<Versioned<ApiToken>, Failure> {
    let by_id = text.parse::<TokenId>().ok();
    let tokens = host.store.tokens().map_err(stored)?;
    let fits = |token: &&ApiToken| Some(&token.id) == by_id.as_ref() || token.name.as_str() == text;
    let best = |token: &&ApiToken| (token.revoked_at.is_none(), token.created_at);
    let id = tokens.iter().filter(fits).max_by_key(best).map(|token| &token.id);
    let found = id.map(|id| host.store.token(id)).transpose().map_err(stored)?.flatten();
    found.ok_or_else(|| {
        Failure::app(
            "token.not-found",
            format!("there is no token {text:?}"),
            "no token has this name or id",
            "`windlass token list` shows names and ids",
        )
    })
}

/// Takes a token back, at once and for good. One that is revoked already is no error.
///
/// # Errors
/// `token.not-found`; `token.cannot-revoke` for the host's own.
pub async fn revoke(host: &Host, text: &str) -> Result<TokenView, Failure> {
    if text == ADMIN {
        return Err(Failure::app(
            "token.cannot-revoke",
            "the host's own admin token cannot be revoked",
            "nobody could administer the host any more",
            "replace it: windlass token rotate admin",
        ));
    }
    loop {
        let mut found = find(host, text)?;
        let now = Timestamp::now();
        if found.value.revoked_at.is_none() {
            found.value.revoked_at = Some(now);
            match host.store.update_token(&found).await {
                Ok(_) => {}
                // Its use was noted meanwhile.
                Err(StoreError::Conflict { .. }) => continue,
                Err(error) => return Err(stored(error)),
            }
        }
        return Ok(found.value.view(now));
    }
}

/// Gives a token a new secret; the old one ends at once.
///
/// # Errors
/// `token.not-found`, `token.expiry-invalid`; `token.revoked` for one that was taken back.
pub async fn rotate(
    access: &Access,
    host: &Host,
    text: &str,
    body: RotateToken,
) -> Result<NewToken, Failure> {
    if text == ADMIN {
        let data_dir = host.config.data_dir.clone();
        let written = tokio::task::spawn_blocking(move || file::replace(&data_dir)).await;
        let token = written.map_err(|e| broken_off(&e))??;
        access.set_admin(file::AdminToken::new(token.text().expose()));
        return Ok(NewToken { text: token.text().expose().clone(), token: None });
    }
    loop {
        let mut found = find(host, text)?;
        let now = Timestamp::now();
        let token = &mut found.value;
        if token.revoked_at.is_some() {
            return Err(revoked_for_good(token));
        }
        token.expires_at = match (body.expires_in_s, token.expires_at) {
            (Some(s), _) => Some(end_of_life(now, s)?),
            (None, Some(end)) => {
                let begun = token.rotated_at.unwrap_or(token.created_at);
                let life_s = end.as_second() - begun.as_second();
                Some(end_of_life(now, u64::try_from(life_s).unwrap_or(1).max(1))?)
            }
            (None, None) => None,
        };
        // The id goes on: it names the token in the audit log.
        let text = file::generate(Some(token.id.clone()))?;
        (token.hash, token.rotated_at) = (text.hash(), Some(now));
        match host.store.update_token(&found).await {
            Ok(_) => {
                let view = found.value.view(now);
                return Ok(NewToken { text: text.text().expose().clone(), token: Some(view) });
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(stored(error)),
        }
    }
}

fn revoked_for_good(token: &ApiToken) -> Failure {
    Failure::app(
        "token.revoked",
        format!("the token {} was revoked", token.name),
        "what was taken back is not given out again",
        format!("make a new one: windlass token create {} --scope {}", token.name, token.scope),
    )
}

fn broken_off(error: &tokio::task::JoinError) -> Failure {
    Failure::host("internal.panic", "the token was not replaced", error.to_string(), "try it again")
}

fn missing() -> Failure {
    Failure::app(
        "auth.token-missing",
        "this request needs a token",
        "it has no header `Authorization: Bearer TOKEN`",
        "pass --token or WINDLASS_TOKEN; on the host itself it is in the file `token` of the data \
         directory, and `windlass token create` makes others",
    )
}

fn wrong() -> Failure {
    Failure::app(
        "auth.token-wrong",
        "the token is not this host's",
        "no token of this host is written like it",
        "compare it with the file `token` of the data directory, or ask who administers the host for \
         one (`windlass token create`)",
    )
}

fn mistyped(why: &str) -> Failure {
    Failure::app(
        "auth.token-mistyped",
        "the token is not written correctly",
        why,
        "copy it again, whole: it begins with wl_ and has 88 characters",
    )
}

fn over(token: &ApiToken, how: &str, when: Option<Timestamp>) -> Failure {
    let when = when.map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default();
    let fix = match how {
        "expired" => format!("renew it with an admin token: windlass token rotate {}", token.name),
        _ => format!(
            "make a new one with an admin token: windlass token create {} --scope {}",
            token.name, token.scope
        ),
    };
    let what = format!(
        "the token {} has {}",
        token.name,
        if how == "expired" { "expired" } else { "been revoked" }
    );
    Failure::app(format!("auth.token-{how}"), what, format!("since {when} it is of no use"), fix)
}

fn too_many_failures(seconds: u64) -> Failure {
    Failure::app(
        "auth.too-many-failures",
        "too many wrong tokens came from this address",
        format!("tokens from it are not looked at for the next {seconds} s"),
        "wait, and check the token before it is sent again",
    )
}
