//! Webhooks, their secrets (encrypted), and each delivery with its verdict.
//!
//! **Invariant: a genuine delivery is stored together with what makes its repetition known**, in one
//! transaction. Those that were not genuine lie apart, with a limit of their own: a stranger can push
//! no genuine one out.

use serde::{Deserialize, Serialize};
use windlass_model::webhook::{Delivery, DeliveryId, Verdict, Webhook, WebhookId};
use windlass_model::{Digest, ProjectName, Secret, Timestamp};

use crate::cipher::Sealed;
use crate::doc::{Versioned, encode};
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction, Watch};
use crate::store::Store;

/// Keys deleted in one transaction.
const DELETE_BATCH: usize = 200;

#[derive(Debug, Serialize, Deserialize)]
struct Secrets {
    current: Sealed,
    #[serde(default)]
    previous: Option<Sealed>,
    #[serde(default)]
    previous_until: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredDelivery {
    #[serde(flatten)]
    delivery: Delivery,
    /// Keys under which its repetition is recognised.
    #[serde(default)]
    seen: Vec<String>,
}

impl Store {
    /// Stores a new webhook with its secret.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the project; [`StoreError::TooMany`] over `webhooks_max`.
    pub async fn create_webhook(&self, webhook: &Webhook, secret: &Secret<String>) -> Result<()> {
        let _structure = self.inner.structure.lock().await;
        self.project(&webhook.project)?;
        let count_max = self.inner.limits.webhooks_max;
        if self.webhooks(&webhook.project)?.len() >= count_max {
            return Err(StoreError::TooMany { what: "webhooks".into(), count_max });
        }
        let (key, secret_key) = (keys::webhook(&webhook.id), keys::webhook_secret(&webhook.id));
        let current = self.inner.cipher.seal(&secret_key, secret)?;
        let secrets = Secrets { current, previous: None, previous_until: None };
        let tx = Transaction::new().put(&key, Expect::Absent, encode(&key, webhook)?).put(
            &secret_key,
            Expect::Absent,
            encode(&secret_key, &secrets)?,
        );
        self.submit(tx).await.map(drop)
    }

    /// The webhook, if there is one.
    pub fn find_webhook(&self, id: &WebhookId) -> Result<Option<Versioned<Webhook>>> {
        self.read(&keys::webhook(id))
    }

    /// The webhook.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn webhook(&self, id: &WebhookId) -> Result<Versioned<Webhook>> {
        self.find_webhook(id)?.ok_or_else(|| StoreError::not_found(format!("webhook {id}")))
    }

    /// A project's webhooks, oldest first.
    pub fn webhooks(&self, project: &ProjectName) -> Result<Vec<Webhook>> {
        let docs = self.read_all::<Webhook>(keys::WEBHOOKS, &Page::all())?;
        let all = docs.into_iter().map(|(_, doc)| doc.value);
        Ok(all.filter(|webhook| webhook.project == *project).collect())
    }

    /// Changes a webhook.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it was changed since it was read.
    pub async fn update_webhook(&self, webhook: Versioned<Webhook>) -> Result<()> {
        let key = keys::webhook(&webhook.value.id);
        self.put(&key, webhook.expect(), &webhook.value).await.map(drop)
    }

    /// Replaces a webhook's secret. The one before is accepted until `previous_until`, the one before
    /// that no more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn rotate_webhook(
        &self,
        id: &WebhookId,
        secret: &Secret<String>,
        previous_until: Timestamp,
    ) -> Result<Webhook> {
        let mut webhook = self.webhook(id)?;
        let (key, secret_key) = (keys::webhook(id), keys::webhook_secret(id));
        let old = self.read::<Secrets>(&secret_key)?;
        let old = old.ok_or_else(|| StoreError::not_found(format!("secret of webhook {id}")))?;
        let secrets = Secrets {
            current: self.inner.cipher.seal(&secret_key, secret)?,
            previous: Some(old.value.current.clone()),
            previous_until: Some(previous_until),
        };
        webhook.value.rotated_at = Some(Timestamp::now());
        webhook.value.previous_until = Some(previous_until);
        let tx = Transaction::new().put(&key, webhook.expect(), encode(&key, &webhook.value)?).put(
            &secret_key,
            old.expect(),
            encode(&secret_key, &secrets)?,
        );
        self.submit(tx).await?;
        Ok(webhook.value)
    }

    /// The secrets that are accepted now, newest first.
    ///
    /// # Errors
    /// [`StoreError::KeyLost`].
    pub fn webhook_secrets(&self, id: &WebhookId, now: Timestamp) -> Result<Vec<Secret<String>>> {
        let key = keys::webhook_secret(id);
        let Some(found) = self.read::<Secrets>(&key)? else {
            return Ok(Vec::new());
        };
        let Secrets { current, previous, previous_until } = found.value;
        let still = previous.filter(|_| previous_until.is_some_and(|until| now < until));
        std::iter::once(current)
            .chain(still)
            .map(|sealed| {
                self.inner.cipher.open(&key, &sealed, || format!("the secret of webhook {id}"))
            })
            .collect()
    }

    /// Stores the token for commit statuses, encrypted; `None` removes it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_status_token(
        &self,
        id: &WebhookId,
        token: Option<&Secret<String>>,
    ) -> Result<()> {
        self.webhook(id)?;
        let key = keys::status_token(id);
        let tx = match token {
            Some(token) => {
                let sealed = self.inner.cipher.seal(&key, token)?;
                Transaction::new().put(&key, Expect::Any, encode(&key, &sealed)?)
            }
            None => Transaction::new().delete(&key, Expect::Any).essential(),
        };
        self.submit(tx).await.map(drop)
    }

    /// The token for commit statuses, if the webhook has one of its own.
    ///
    /// # Errors
    /// [`StoreError::KeyLost`].
    pub fn status_token(&self, id: &WebhookId) -> Result<Option<Secret<String>>> {
        let key = keys::status_token(id);
        let Some(sealed) = self.read::<Sealed>(&key)? else {
            return Ok(None);
        };
        let what = || format!("the status token of webhook {id}");
        self.inner.cipher.open(&key, &sealed.value, what).map(Some)
    }

    /// Deletes a webhook with its secrets and deliveries. Deliveries come under it nowhere else, so it
    /// goes first: after a crash in between nobody finds what is left, and it is deleted by the next
    /// deletion of the same id.
    pub async fn delete_webhook(&self, id: &WebhookId) -> Result<()> {
        let tx = Transaction::new()
            .delete(keys::webhook(id), Expect::Any)
            .delete(keys::webhook_secret(id), Expect::Any)
            .delete(keys::status_token(id), Expect::Any)
            .essential();
        self.submit(tx).await?;
        for delivery in self.pending_deliveries()?.into_iter().filter(|one| one.webhook == *id) {
            let key = keys::pending_delivery(&delivery.id);
            self.submit(Transaction::new().delete(key, Expect::Any).essential()).await?;
        }
        for prefix in [keys::deliveries(id), keys::refused_deliveries(id), keys::seen(id)] {
            self.delete_prefix(&prefix).await?;
        }
        Ok(())
    }

    /// Deletes everything under a prefix, a batch at a time.
    pub(crate) async fn delete_prefix(&self, prefix: &str) -> Result<()> {
        loop {
            let page = Page { limit: DELETE_BATCH, ..Page::default() };
            let found = self.inner.kv.list(prefix, &page)?;
            if found.is_empty() {
                return Ok(());
            }
            let gone = found
                .into_iter()
                .fold(Transaction::new().essential(), |tx, (key, _)| tx.delete(key, Expect::Any));
            self.submit(gone).await?;
        }
    }

    /// Stores a genuine delivery, unless one of `marks` (the sender's id of it, its signature) was seen
    /// before: then nothing changes, and the answer is false. A pending one is put up for the work.
    pub async fn accept_delivery(&self, delivery: &Delivery, marks: &[&str]) -> Result<bool> {
        let seen: Vec<String> =
            marks.iter().map(|mark| keys::seen_mark(&delivery.webhook, &digest(mark))).collect();
        let stored = StoredDelivery { delivery: delivery.clone(), seen: seen.clone() };
        let key = keys::delivery(&delivery.webhook, &delivery.id);
        let mut tx = Transaction::new().put(&key, Expect::Absent, encode(&key, &stored)?);
        for mark in &seen {
            tx = tx.put(mark, Expect::Absent, encode(mark, &delivery.id)?);
        }
        if delivery.verdict == Verdict::Pending {
            let pending = keys::pending_delivery(&delivery.id);
            tx = tx.put(&pending, Expect::Any, encode(&pending, &delivery.webhook)?);
        }
        match self.submit(tx).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { what }) if seen.contains(&what) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps a delivery that was not genuine, and drops the oldest such ones over the limit.
    pub async fn refuse_delivery(&self, delivery: &Delivery) -> Result<()> {
        let prefix = keys::refused_deliveries(&delivery.webhook);
        let key = format!("{prefix}{}", delivery.id);
        let stored = StoredDelivery { delivery: delivery.clone(), seen: Vec::new() };
        let mut tx = Transaction::new().put(&key, Expect::Any, encode(&key, &stored)?);
        let present = self.inner.kv.list(&prefix, &Page::all())?;
        let over = (present.len() + 1).saturating_sub(self.inner.limits.webhook_refusals_max);
        for (old, _) in present.into_iter().take(over) {
            tx = tx.delete(old, Expect::Any);
        }
        self.submit(tx).await.map(drop)
    }

    /// Stores what became of a pending delivery; it is worked on no more.
    pub async fn settle_delivery(&self, delivery: &Delivery) -> Result<()> {
        let key = keys::delivery(&delivery.webhook, &delivery.id);
        let mut tx = Transaction::new()
            .delete(keys::pending_delivery(&delivery.id), Expect::Any)
            .essential();
        if let Some(found) = self.read::<StoredDelivery>(&key)? {
            let expect = found.expect();
            let stored = StoredDelivery { delivery: delivery.clone(), seen: found.value.seen };
            tx = tx.put(&key, expect, encode(&key, &stored)?);
        }
        self.submit(tx).await.map(drop)
    }

    /// Deliveries that wait for their work, oldest first.
    pub fn pending_deliveries(&self) -> Result<Vec<Delivery>> {
        let mut found = Vec::new();
        for (key, webhook) in self.read_all::<WebhookId>(keys::PENDING_DELIVERIES, &Page::all())? {
            let id = key.strip_prefix(keys::PENDING_DELIVERIES).unwrap_or_default();
            if let Ok(id) = id.parse::<DeliveryId>() {
                found.extend(self.delivery(&webhook.value, &id)?);
            }
        }
        Ok(found)
    }

    /// Tells when something was put up for the work.
    pub fn watch_pending_deliveries(&self) -> HookWatch {
        HookWatch(self.inner.kv.watch(keys::PENDING_DELIVERIES))
    }

    /// A delivery, genuine or not.
    pub fn delivery(&self, webhook: &WebhookId, id: &DeliveryId) -> Result<Option<Delivery>> {
        let genuine = self.read::<StoredDelivery>(&keys::delivery(webhook, id))?;
        let found = match genuine {
            Some(found) => Some(found),
            None => self.read(&format!("{}{id}", keys::refused_deliveries(webhook)))?,
        };
        Ok(found.map(|doc| doc.value.delivery))
    }

    /// A webhook's deliveries, genuine and not, newest first: at most `limit`, older than `before`.
    pub fn deliveries(
        &self,
        webhook: &WebhookId,
        before: Option<&DeliveryId>,
        limit: usize,
    ) -> Result<Vec<Delivery>> {
        let mut found = Vec::new();
        for prefix in [keys::deliveries(webhook), keys::refused_deliveries(webhook)] {
            let after = before.map(|before| format!("{prefix}{before}"));
            let page = Page { after, limit, reverse: true };
            let docs = self.read_all::<StoredDelivery>(&prefix, &page)?;
            found.extend(docs.into_iter().map(|(_, doc)| doc.value.delivery));
        }
        found.sort_by(|a, b| b.id.cmp(&a.id));
        found.truncate(limit);
        Ok(found)
    }

    /// Forgets genuine deliveries over the limits of number and age, with what made their repetition
    /// known. Pending ones stay.
    pub async fn prune_deliveries(&self, webhook: &WebhookId, now: Timestamp) -> Result<usize> {
        let limits = &self.inner.limits;
        let oldest_ms =
            now.as_millisecond() - i64::from(limits.webhook_delivery_days_max) * 24 * 3600 * 1000;
        let page = Page { reverse: true, ..Page::default() };
        let newest_first = self.inner.kv.list(&keys::deliveries(webhook), &page)?;
        let mut tx = Transaction::new().essential();
        let mut gone = 0;
        for (n, (key, entry)) in newest_first.iter().enumerate().rev().take(DELETE_BATCH) {
            let stored: Versioned<StoredDelivery> = crate::doc::decode(key, entry)?;
            let StoredDelivery { delivery, seen } = stored.value;
            let over = n >= limits.webhook_deliveries_max
                || delivery.received_at.as_millisecond() < oldest_ms;
            if !over {
                break;
            }
            if delivery.verdict != Verdict::Pending {
                tx = seen.iter().fold(tx, |tx, mark| tx.delete(mark, Expect::Any));
                tx = tx.delete(key, Expect::Any);
                gone += 1;
            }
        }
        if gone > 0 {
            self.submit(tx).await?;
        }
        Ok(gone)
    }
}

fn digest(mark: &str) -> Digest {
    Digest::of(mark.as_bytes())
}

/// Changes of what the background work around webhooks looks at.
#[derive(Debug)]
pub struct HookWatch(pub(crate) Watch);

impl HookWatch {
    /// Waits until something was stored or removed; `None` when the store is closed. Cancel-safe.
    pub async fn changed(&mut self) -> Option<()> {
        self.0.next().await.map(drop)
    }
}
