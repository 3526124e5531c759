//! API tokens: their records, never their text.

use windlass_model::access::{ApiToken, TokenId, TokenState};
use windlass_model::{ProjectName, Timestamp};

use crate::doc::{Versioned, encode};
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Revision, Transaction};
use crate::store::Store;

const DAY_MS: i64 = 24 * 3600 * 1000;

impl Store {
    /// Stores a new token. Those that ended long ago are forgotten with the same write.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when a token of this name is not revoked; [`StoreError::TooMany`] over
    /// `access.tokens_max`.
    pub async fn create_token(&self, token: &ApiToken) -> Result<()> {
        let _structure = self.inner.structure.lock().await;
        let now = Timestamp::now();
        let known = self.tokens()?;
        let (gone, kept): (Vec<_>, Vec<_>) =
            known.iter().partition(|other| self.is_long_over(other, now));
        if kept.iter().any(|other| other.name == token.name && other.revoked_at.is_none()) {
            return Err(StoreError::Exists { what: format!("token {}", token.name) });
        }
        let count_max = self.inner.limits.access.tokens_max;
        if kept.len() >= count_max {
            return Err(StoreError::TooMany { what: "tokens".into(), count_max });
        }
        let key = keys::api_token(&token.id);
        let bytes = encode(&key, token)?;
        let mut tx = Transaction::new().put(key, Expect::Absent, bytes);
        for other in gone {
            tx = tx.delete(keys::api_token(&other.id), Expect::Any);
        }
        self.submit(tx).await.map(drop)
    }

    fn is_long_over(&self, token: &ApiToken, now: Timestamp) -> bool {
        let ended = match token.state(now) {
            TokenState::Active => return false,
            TokenState::Expired => token.expires_at,
            TokenState::Revoked => token.revoked_at,
        };
        let keep_ms = i64::from(self.inner.limits.access.dead_tokens_keep_days) * DAY_MS;
        ended.is_some_and(|at| now.as_millisecond() - at.as_millisecond() > keep_ms)
    }

    /// The token of this id.
    pub fn token(&self, id: &TokenId) -> Result<Option<Versioned<ApiToken>>> {
        self.read(&keys::api_token(id))
    }

    /// All tokens, revoked and expired ones too, by name.
    pub fn tokens(&self) -> Result<Vec<ApiToken>> {
        let docs = self.read_all::<ApiToken>(keys::API_TOKENS, &Page::all())?;
        let mut tokens: Vec<ApiToken> = docs.into_iter().map(|(_, doc)| doc.value).collect();
        tokens.sort_by(|a, b| (&a.name, a.created_at).cmp(&(&b.name, b.created_at)));
        Ok(tokens)
    }

    /// Changes a token. A read-only store takes it too: a token must be revocable on a full disk.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it was changed since it was read.
    pub async fn update_token(&self, token: &Versioned<ApiToken>) -> Result<Revision> {
        let key = keys::api_token(&token.value.id);
        let bytes = encode(&key, &token.value)?;
        self.submit(Transaction::new().put(key, token.expect(), bytes).essential()).await
    }

    /// Takes a project from the tokens that are limited to it: one of the same name, made later, is
    /// another project. A token without projects would reach all of them, so the last one revokes it.
    pub(crate) async fn take_from_tokens(&self, project: &ProjectName) -> Result<()> {
        for token in self.tokens()? {
            while let Some(mut found) = self.token(&token.id)? {
                let token = &mut found.value;
                if !token.projects.contains(project) {
                    break;
                }
                if token.projects.len() > 1 {
                    token.projects.retain(|other| other != project);
                } else if token.revoked_at.is_none() {
                    token.revoked_at = Some(Timestamp::now());
                } else {
                    break;
                }
                match self.update_token(&found).await {
                    Ok(_) => break,
                    // Its use was noted meanwhile.
                    Err(StoreError::Conflict { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
