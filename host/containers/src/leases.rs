//! Leases: what keeps half-made work from garbage collection until it is done or given up.

use std::time::Duration;

use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::{
    CreateRequest, DeleteRequest, ListRequest as ListLeasesRequest,
};
use tokio::sync::Mutex;
use windlass_model::Timestamp;

use crate::client::{Idempotent, label_filter, to_wire};
use crate::engine::Engine;
use crate::error::Result;
use crate::runtime::Labels;

/// The lease whose end has containerd collect: it does not take such a wish by itself. It is always the same, so that
/// the next wish ends what a killed host has left of one.
const COLLECTING: &str = "windlass-collect";
/// It ends by itself when nobody ends it.
const COLLECTING_FOR: Duration = Duration::from_secs(600);
/// One wish at a time: who ends the lease that somebody else has ended does not wait for the collection.
static ONE_WISH: Mutex<()> = Mutex::const_new(());
/// containerd's label with the time at which a lease ends by itself.
const LABEL_EXPIRES: &str = "containerd.io/gc.expire";

impl Engine {
    fn leases(&self) -> LeasesClient<containerd_client::tonic::transport::Channel> {
        LeasesClient::new(self.client().channel())
    }

    pub(crate) async fn lease_create(
        &self,
        name: &str,
        labels: &Labels,
        expires_in: Duration,
    ) -> Result<()> {
        let mut labels = to_wire(labels);
        labels.insert(LABEL_EXPIRES.to_owned(), (Timestamp::now() + expires_in).to_string());
        let request = CreateRequest { id: name.to_owned(), labels };
        self.leases()
            .create(self.request(request))
            .await
            .unless_exists()
            .map_err(self.client().refused("create lease", name))?;
        Ok(())
    }

    /// With `collects` it returns when what nothing keeps any more is gone.
    pub(crate) async fn lease_delete(&self, name: &str, collects: bool) -> Result<()> {
        let request = DeleteRequest { id: name.to_owned(), sync: collects };
        self.leases()
            .delete(self.request(request))
            .await
            .unless_gone()
            .map_err(self.client().refused("delete lease", name))?;
        Ok(())
    }

    pub(crate) async fn lease_collect(&self) -> Result<()> {
        let _one = ONE_WISH.lock().await;
        self.lease_create(COLLECTING, &Labels::new(), COLLECTING_FOR).await?;
        self.lease_delete(COLLECTING, true).await
    }

    pub(crate) async fn lease_list(&self, labels: &Labels) -> Result<Vec<String>> {
        let request = ListLeasesRequest { filters: label_filter(labels) };
        let answer = self
            .leases()
            .list(self.request(request))
            .await
            .map_err(self.client().refused("list", "leases"))?;
        let all = answer.into_inner().leases.into_iter().map(|lease| lease.id);
        // They keep nothing.
        Ok(all.filter(|id| id != COLLECTING).collect())
    }
}
