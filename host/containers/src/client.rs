//! The gRPC channel to containerd and how its answers become our errors.
//!
//! **Invariant: every request carries the namespace; under a lease, the lease too.**

use std::path::{Path, PathBuf};

use containerd_client::tonic::metadata::{Ascii, MetadataValue};
use containerd_client::tonic::transport::Channel;
use containerd_client::tonic::{Code, Request, Status};
use containerd_client::types::v1::Status as TaskState;

use crate::error::{Result, RuntimeError};
use crate::runtime::Labels;

/// The snapshotter in use.
pub(crate) const SNAPSHOTTER: &str = "overlayfs";

/// Largest message that is accepted from containerd, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A connected containerd, in one namespace.
#[derive(Clone)]
pub(crate) struct Client {
    channel: Channel,
    namespace: MetadataValue<Ascii>,
    socket: PathBuf,
}

impl Client {
    /// Connects; the channel reconnects by itself afterwards.
    pub(crate) async fn connect(socket: &Path, namespace: &str) -> Result<Self> {
        let channel = containerd_client::connect(socket).await.map_err(|error| {
            RuntimeError::Unavailable { socket: socket.to_owned(), why: chain(&error) }
        })?;
        let namespace = namespace.parse().map_err(|_| RuntimeError::Invalid {
            what: "namespace",
            given: namespace.to_owned(),
            rule: "use ASCII letters, digits and hyphens",
        })?;
        Ok(Self { channel, namespace, socket: socket.to_owned() })
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A request in our namespace, under the lease if there is one.
    pub(crate) fn request<T>(&self, message: T, lease: Option<&str>) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        if let Some(Ok(lease)) = lease.map(str::parse) {
            request.metadata_mut().insert("containerd-lease", lease);
        }
        request
    }

    /// For `map_err` on calls about one named thing.
    pub(crate) fn refused(
        &self,
        operation: &'static str,
        name: impl Into<String>,
    ) -> impl FnOnce(Status) -> RuntimeError {
        let (name, socket) = (name.into(), self.socket.clone());
        move |status| match status.code() {
            Code::NotFound => RuntimeError::NotFound { what: "resource", name },
            _ if is_transport(&status) => {
                RuntimeError::Unavailable { socket, why: status.message().to_owned() }
            }
            _ => RuntimeError::Refused { operation, name, why: status.message().to_owned() },
        }
    }
}

/// Whether containerd was not reached at all, as opposed to having answered with an error.
pub(crate) fn is_transport(status: &Status) -> bool {
    status.code() == Code::Unavailable
        || std::error::Error::source(status).is_some()
        || status.message().contains("transport error")
}

/// An answer in which "already exists" or "not found" is a success.
pub(crate) trait Idempotent<T> {
    /// `None` when the thing exists already.
    fn unless_exists(self) -> Result<Option<T>, Status>;
    /// `None` when there is no such thing.
    fn unless_gone(self) -> Result<Option<T>, Status>;
}

impl<T> Idempotent<T> for Result<T, Status> {
    fn unless_exists(self) -> Result<Option<T>, Status> {
        none_if(self, Code::AlreadyExists)
    }

    fn unless_gone(self) -> Result<Option<T>, Status> {
        none_if(self, Code::NotFound)
    }
}

fn none_if<T>(answer: Result<T, Status>, code: Code) -> Result<Option<T>, Status> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(status) if status.code() == code => Ok(None),
        Err(status) => Err(status),
    }
}

/// containerd's filter for things with all of these labels; no labels match everything.
pub(crate) fn label_filter(labels: &Labels) -> Vec<String> {
    if labels.is_empty() {
        return Vec::new();
    }
    let parts: Vec<String> =
        labels.iter().map(|(key, value)| format!("labels.{key:?}=={value:?}")).collect();
    vec![parts.join(",")]
}

/// Labels as containerd's messages hold them.
pub(crate) fn to_wire(labels: &Labels) -> std::collections::HashMap<String, String> {
    labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The other way.
pub(crate) fn from_wire(labels: std::collections::HashMap<String, String>) -> Labels {
    labels.into_iter().collect()
}

/// A protobuf time as ours; the epoch when absent or out of range.
pub(crate) fn timestamp(at: Option<&prost_types::Timestamp>) -> windlass_model::Timestamp {
    at.and_then(|at| windlass_model::Timestamp::new(at.seconds, at.nanos).ok())
        .unwrap_or(windlass_model::Timestamp::UNIX_EPOCH)
}

/// The state of a process as the enum, unknown values as `Unknown`.
pub(crate) fn task_state(raw: i32) -> TaskState {
    TaskState::try_from(raw).unwrap_or(TaskState::Unknown)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
