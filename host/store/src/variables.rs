//! Variables of an environment, encrypted at rest, the secret ones write-only.

use serde::{Deserialize, Serialize};
use windlass_model::api::VariableView;
use windlass_model::variable::{Scope, Variable, VariableName};
use windlass_model::{EnvironmentName, ProjectName, Timestamp};

use crate::cipher::{Cipher, Sealed};
use crate::doc::encode;
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

/// Who asks for values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A build: scopes `build` and `both`.
    Build,
    /// Running and migrating: scopes `run` and `both`.
    Run,
    /// All of them, for masking logs.
    Any,
}

impl Phase {
    const fn takes(self, scope: Scope) -> bool {
        match self {
            Self::Build => scope.in_build(),
            Self::Run => scope.in_run(),
            Self::Any => true,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    scope: Scope,
    secret: bool,
    updated_at: Timestamp,
    sealed: Sealed,
}

impl Stored {
    /// A variable as it is stored under this key.
    pub(crate) fn seal(cipher: &Cipher, key: &str, variable: &Variable) -> Result<Self> {
        let sealed = cipher.seal(key, &variable.value)?;
        let (scope, secret) = (variable.scope, variable.secret);
        Ok(Self { scope, secret, updated_at: Timestamp::now(), sealed })
    }
}

impl Store {
    /// Sets variables: all of them or none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the environment; [`StoreError::TooLarge`] over
    /// `variable_value_bytes_max`; [`StoreError::TooMany`] over `variables_max`.
    pub async fn set_variables(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        variables: &[Variable],
    ) -> Result<()> {
        let _structure = self.inner.structure.lock().await;
        self.environment(project, environment)?;
        let prefix = keys::variables(project, environment);
        self.refuse_too_many_variables(&prefix, variables)?;
        let updated_at = Timestamp::now();
        let mut tx = Transaction::new();
        for Variable { name, value, scope, secret } in variables {
            let bytes = value.expose().len();
            let bytes_max = self.inner.limits.variable_value_bytes_max;
            if bytes > bytes_max {
                let what = format!("the value of {name}");
                return Err(StoreError::TooLarge { what, bytes, bytes_max });
            }
            let key = format!("{prefix}{name}");
            let sealed = self.inner.cipher.seal(&key, value)?;
            let stored = Stored { scope: *scope, secret: *secret, updated_at, sealed };
            tx = tx.put(&key, Expect::Any, encode(&key, &stored)?);
        }
        self.submit(tx).await.map(drop)
    }

    fn refuse_too_many_variables(&self, prefix: &str, new: &[Variable]) -> Result<()> {
        let present = self.inner.kv.list(prefix, &Page::all())?;
        let mut names: std::collections::BTreeSet<&str> =
            present.iter().filter_map(|(key, _)| key.strip_prefix(prefix)).collect();
        names.extend(new.iter().map(|variable| variable.name.as_str()));
        let count_max = self.inner.limits.variables_max;
        if names.len() > count_max {
            return Err(StoreError::TooMany { what: "variables".into(), count_max });
        }
        Ok(())
    }

    /// Removes variables; removing what is not set is no error. Returns how many were set.
    pub async fn unset_variables(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        names: &[VariableName],
    ) -> Result<usize> {
        self.environment(project, environment)?;
        let prefix = keys::variables(project, environment);
        let mut tx = Transaction::new().essential();
        let mut removed = 0;
        for name in names {
            let key = format!("{prefix}{name}");
            removed += usize::from(self.inner.kv.get(&key)?.is_some());
            tx = tx.delete(key, Expect::Any);
        }
        self.submit(tx).await?;
        Ok(removed)
    }

    /// The variables as they may be shown, by name: a secret one without its value.
    ///
    /// # Errors
    /// [`StoreError::KeyLost`], naming the first variable whose value cannot be decrypted.
    pub fn variables(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Vec<VariableView>> {
        let prefix = keys::variables(project, environment);
        let mut views = Vec::new();
        for (key, name, stored) in self.stored_variables(&prefix)? {
            let Stored { scope, secret, updated_at, .. } = stored;
            let value = if secret {
                None
            } else {
                let what = || format!("variable {name} of {project}/{environment}");
                Some(self.inner.cipher.open(&key, &stored.sealed, what)?.into_inner())
            };
            views.push(VariableView { name, value, scope, secret, updated_at });
        }
        Ok(views)
    }

    /// The variables with their values, secret ones too, for building, running and masking.
    ///
    /// # Errors
    /// [`StoreError::KeyLost`], naming the first variable whose value cannot be decrypted.
    pub fn variable_values(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        phase: Phase,
    ) -> Result<Vec<Variable>> {
        let prefix = keys::variables(project, environment);
        let mut values = Vec::new();
        for (key, name, stored) in self.stored_variables(&prefix)? {
            let Stored { scope, secret, sealed, .. } = stored;
            if phase.takes(scope) {
                let what = || format!("variable {name} of {project}/{environment}");
                let value = self.inner.cipher.open(&key, &sealed, what)?;
                values.push(Variable { name, value, scope, secret });
            }
        }
        Ok(values)
    }

    /// The variables under a prefix with their values; `is_one` tells their names from other keys.
    pub(crate) fn opened_variables(
        &self,
        prefix: &str,
        of: &str,
        is_one: impl Fn(&str) -> bool,
    ) -> Result<Vec<Variable>> {
        let mut values = Vec::new();
        for (key, _) in self.inner.kv.list(prefix, &Page::all())? {
            let name = key.strip_prefix(prefix).unwrap_or_default();
            if !is_one(name) {
                continue;
            }
            let Some(doc) = self.read::<Stored>(&key)? else { continue };
            let name: VariableName = name.parse().map_err(|e: windlass_model::id::InvalidId| {
                StoreError::Corrupt { what: key.clone(), why: e.to_string() }
            })?;
            let Stored { scope, secret, sealed, .. } = doc.value;
            let value =
                self.inner.cipher.open(&key, &sealed, || format!("variable {name} of {of}"))?;
            values.push(Variable { name, value, scope, secret });
        }
        Ok(values)
    }

    fn stored_variables(&self, prefix: &str) -> Result<Vec<(String, VariableName, Stored)>> {
        let docs = self.read_all::<Stored>(prefix, &Page::all())?;
        docs.into_iter()
            .map(|(key, doc)| {
                let name = key.strip_prefix(prefix).unwrap_or_default().parse();
                let name = name.map_err(|error: windlass_model::id::InvalidId| {
                    StoreError::Corrupt { what: key.clone(), why: error.to_string() }
                })?;
                Ok((key, name, doc.value))
            })
            .collect()
    }
}
