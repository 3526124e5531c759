//! The durable state of one host: projects, environments, variables, domains, deployments, intents,
//! plans, addresses.
//!
//! **Invariants.** This is the only crate that names sled. What an awaited call acknowledged is on
//! disk, in a journal of our own; sled is the index of it. Reads do not wait for commits. Values of variables and tokens are encrypted
//! before they enter the key-value store. Logs and files are not kept here.
//!
//! Reading order: [`kv`] (the trait and what is durable when), `kv/sled` (the journal, and
//! the rules that keep sled in step with it), [`Store`] (everything typed), then a file for each kind of record.

pub mod kv;

mod addresses;
mod backup;
mod briefs;
mod cache;
mod change;
mod cipher;
mod cron;
mod deploy_keys;
mod deployments;
mod doc;
mod domains;
mod env_snapshots;
mod environments;
mod error;
mod idempotency;
mod identity;
mod intents;
mod keyfile;
mod keys;
mod lists;
mod lock;
mod pins;
mod plans;
mod plugin_accounts;
mod projects;
mod recovery;
mod registries;
mod rotation;
mod running;
mod services;
mod settings;
mod store;
mod structure;
mod tokens;
mod triggers;
mod variables;
mod webhooks;

pub use addresses::{InUse, StoreAddresses};
pub use backup::{BackupReport, restore_from, verify_backup};
pub use briefs::Brief;
pub use change::Change;
pub use deploy_keys::DeployKey;
pub use deployments::{DeploymentPage, HistoryFilter};
pub use doc::Versioned;
pub use error::{Result, StoreError};
pub use idempotency::{Created, Idempotency};
pub use identity::known_host_id;
pub use intents::IntentWatch;
pub use keyfile::{SealedKey, key_path, open_key, read_key, seal_key, write_key};
pub use kv::{Health, Revision};
pub use lists::ListFilter;
pub use recovery::{Found, PutBack};
pub use registries::RegistryLogin;
pub use rotation::{KeyState, RotationPoint, RotationReport};
pub use running::RunningWatch;
pub use store::{DeploymentEvent, DeploymentWatch, Store};
pub use variables::Phase;
pub use webhooks::HookWatch;
