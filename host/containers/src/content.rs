//! The content store: blobs by digest.
//!
//! **Invariant: what is written is hashed here as it passes, and never committed under another digest.**

use std::sync::{Arc, Mutex, PoisonError};

use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::{
    DeleteContentRequest, Info, InfoRequest, ListContentRequest, ReadContentRequest, UpdateRequest,
    WriteAction, WriteContentRequest,
};
use containerd_client::tonic::transport::Channel;
use futures::Stream;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;
use windlass_model::Digest;

use crate::client::{Idempotent, MESSAGE_BYTES_MAX, from_wire, label_filter, to_wire};
use crate::engine::Engine;
use crate::error::{Result, RuntimeError};
use crate::runtime::{Blob, Labels, Reader};

/// Bytes of one message of an upload.
const CHUNK_BYTES: usize = 512 * 1024;

impl Engine {
    fn content(&self) -> ContentClient<Channel> {
        ContentClient::new(self.client().channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) async fn content_put(
        &self,
        body: Reader,
        expected: Option<&Digest>,
        labels: &Labels,
    ) -> Result<Blob> {
        if let Some(digest) = expected
            && self.content_info(digest).await?.is_some()
        {
            return self.content_relabel(digest, labels).await;
        }
        let progress = Arc::new(Mutex::new(Progress::default()));
        let reference = format!("windlass-{}", ulid::Ulid::new());
        let upload = Upload {
            body,
            hash: Sha256::new(),
            offset: 0,
            reference: reference.clone(),
            expected: expected.cloned(),
            labels: to_wire(labels),
            progress: Arc::clone(&progress),
            done: false,
        };
        let outcome = self.send_upload(upload.into_stream(), &reference).await;
        let (digest, bytes, error) = {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            (progress.digest.take(), progress.bytes, progress.error.take())
        };
        if let Some(error) = error {
            return Err(error);
        }
        let existed = outcome?;
        let Some(digest) = digest else {
            return Err(RuntimeError::Refused {
                operation: "write blob",
                name: reference,
                why: "the upload ended early".to_owned(),
            });
        };
        if existed {
            return self.content_relabel(&digest, labels).await;
        }
        Ok(Blob { digest, bytes, labels: labels.clone() })
    }

    /// Sends the chunks and reads the answers; whether the content was there already.
    async fn send_upload(
        &self,
        chunks: impl Stream<Item = WriteContentRequest> + Send + 'static,
        reference: &str,
    ) -> Result<bool> {
        let mut client = self.content();
        let refused = |status| self.client().refused("write blob", reference)(status);
        let Some(answers) =
            client.write(self.request(chunks)).await.unless_exists().map_err(refused)?
        else {
            return Ok(true);
        };
        let mut answers = answers.into_inner();
        loop {
            match answers.message().await.unless_exists().map_err(refused)? {
                None => return Ok(true),
                Some(None) => return Ok(false),
                Some(Some(_)) => {}
            }
        }
    }

    async fn content_relabel(&self, digest: &Digest, labels: &Labels) -> Result<Blob> {
        if !labels.is_empty() {
            self.content_label(digest, labels).await?;
        }
        self.content_info(digest)
            .await?
            .ok_or_else(|| RuntimeError::NotFound { what: "blob", name: digest.to_string() })
    }

    pub(crate) async fn content_info(&self, digest: &Digest) -> Result<Option<Blob>> {
        let request = InfoRequest { digest: digest.to_string() };
        let answer = self
            .content()
            .info(self.request(request))
            .await
            .unless_gone()
            .map_err(self.client().refused("look up", digest.as_str()))?;
        Ok(answer.and_then(|answer| answer.into_inner().info).and_then(to_blob))
    }

    pub(crate) async fn content_read(
        &self,
        digest: &Digest,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>> {
        let Some(blob) = self.content_info(digest).await? else {
            return Ok(None);
        };
        if blob.bytes > bytes_max {
            let name = digest.to_string();
            return Err(RuntimeError::TooLarge { name, bytes: blob.bytes, bytes_max });
        }
        let request = ReadContentRequest { digest: digest.to_string(), offset: 0, size: 0 };
        let refused = |status| self.client().refused("read blob", digest.as_str())(status);
        let answer = self.content().read(self.request(request)).await.map_err(refused)?;
        let mut chunks = answer.into_inner();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.message().await.map_err(refused)? {
            bytes.extend_from_slice(&chunk.data);
        }
        Ok(Some(bytes))
    }

    /// A blob as a stream, from this byte on.
    pub(crate) async fn content_open(
        &self,
        digest: &Digest,
        offset: u64,
    ) -> Result<Option<Reader>> {
        let Some(blob) = self.content_info(digest).await? else {
            return Ok(None);
        };
        if offset >= blob.bytes {
            return Ok(Some(Box::new(tokio::io::empty())));
        }
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let request = ReadContentRequest { digest: digest.to_string(), offset, size: 0 };
        let refused = |status| self.client().refused("read blob", digest.as_str())(status);
        let answer = self.content().read(self.request(request)).await.map_err(refused)?;
        let chunks = futures::stream::unfold(answer.into_inner(), |mut chunks| async move {
            match chunks.message().await {
                Ok(Some(chunk)) => Some((Ok(bytes::Bytes::from(chunk.data)), chunks)),
                Ok(None) => None,
                Err(status) => Some((Err(std::io::Error::other(status)), chunks)),
            }
        });
        Ok(Some(Box::new(tokio_util::io::StreamReader::new(Box::pin(chunks)))))
    }

    /// The OCI media type of a layer, by its first bytes.
    pub(crate) async fn media_type(&self, digest: &Digest) -> Result<&'static str> {
        let request = ReadContentRequest { digest: digest.to_string(), offset: 0, size: 4 };
        let refused = |status| self.client().refused("read blob", digest.as_str())(status);
        let answer = self.content().read(self.request(request)).await.map_err(refused)?;
        let first = answer.into_inner().message().await.map_err(refused)?.unwrap_or_default();
        Ok(match first.data.as_slice() {
            [0x1f, 0x8b, ..] => "application/vnd.oci.image.layer.v1.tar+gzip",
            [0x28, 0xb5, 0x2f, 0xfd, ..] => "application/vnd.oci.image.layer.v1.tar+zstd",
            _ => "application/vnd.oci.image.layer.v1.tar",
        })
    }

    pub(crate) async fn content_list(&self, labels: &Labels) -> Result<Vec<Blob>> {
        let request = ListContentRequest { filters: label_filter(labels) };
        let refused = |status| self.client().refused("list", "blobs")(status);
        let answer = self.content().list(self.request(request)).await.map_err(refused)?;
        let mut pages = answer.into_inner();
        let mut blobs = Vec::new();
        while let Some(page) = pages.message().await.map_err(refused)? {
            blobs.extend(page.info.into_iter().filter_map(to_blob));
        }
        Ok(blobs)
    }

    pub(crate) async fn content_label(&self, digest: &Digest, labels: &Labels) -> Result<()> {
        let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
        let info =
            Info { digest: digest.to_string(), labels: to_wire(labels), ..Default::default() };
        let request =
            UpdateRequest { info: Some(info), update_mask: Some(prost_types::FieldMask { paths }) };
        self.content()
            .update(self.request(request))
            .await
            .map_err(self.client().refused("label blob", digest.as_str()))?;
        Ok(())
    }

    pub(crate) async fn content_delete(&self, digest: &Digest) -> Result<()> {
        let request = DeleteContentRequest { digest: digest.to_string() };
        self.content()
            .delete(self.request(request))
            .await
            .unless_gone()
            .map_err(self.client().refused("delete blob", digest.as_str()))?;
        Ok(())
    }
}

fn to_blob(info: Info) -> Option<Blob> {
    Some(Blob {
        digest: info.digest.parse().ok()?,
        bytes: u64::try_from(info.size).unwrap_or_default(),
        labels: from_wire(info.labels),
    })
}

/// What the upload tells its starter.
#[derive(Default)]
struct Progress {
    digest: Option<Digest>,
    bytes: u64,
    error: Option<RuntimeError>,
}

/// An upload in progress: reads, hashes, sends, and commits only what was expected.
struct Upload {
    body: Reader,
    hash: Sha256,
    offset: i64,
    reference: String,
    expected: Option<Digest>,
    labels: std::collections::HashMap<String, String>,
    progress: Arc<Mutex<Progress>>,
    done: bool,
}

impl Upload {
    fn into_stream(self) -> impl Stream<Item = WriteContentRequest> + Send + 'static {
        futures::stream::unfold(self, |mut upload| async move {
            let message = upload.next().await?;
            Some((message, upload))
        })
    }

    async fn next(&mut self) -> Option<WriteContentRequest> {
        if self.done {
            return None;
        }
        match self.read_chunk().await {
            Ok(data) if data.is_empty() => {
                self.done = true;
                self.commit()
            }
            Ok(data) => {
                self.hash.update(&data);
                let offset = self.offset;
                self.offset += i64::try_from(data.len()).unwrap_or(i64::MAX);
                Some(self.message(WriteAction::Write, offset, data))
            }
            Err(source) => {
                self.fail(RuntimeError::Io {
                    operation: "read",
                    path: self.reference.clone().into(),
                    source,
                });
                None
            }
        }
    }

    async fn read_chunk(&mut self) -> std::io::Result<Vec<u8>> {
        let mut data = Vec::with_capacity(CHUNK_BYTES);
        let mut limited = (&mut self.body).take(CHUNK_BYTES as u64);
        limited.read_to_end(&mut data).await?;
        Ok(data)
    }

    fn commit(&mut self) -> Option<WriteContentRequest> {
        let digest = Digest::from_sha256(self.hash.finalize_reset().into());
        if let Some(expected) = self.expected.as_ref().filter(|expected| **expected != digest) {
            let (expected, got) = (expected.to_string(), digest.to_string());
            self.fail(RuntimeError::DigestMismatch { expected, got });
            return None;
        }
        let mut message = self.message(WriteAction::Commit, self.offset, Vec::new());
        message.expected = digest.to_string();
        message.total = self.offset;
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.bytes = u64::try_from(self.offset).unwrap_or_default();
        progress.digest = Some(digest);
        Some(message)
    }

    fn message(&self, action: WriteAction, offset: i64, data: Vec<u8>) -> WriteContentRequest {
        let labels = match action {
            WriteAction::Commit => self.labels.clone(),
            _ => std::collections::HashMap::new(),
        };
        WriteContentRequest {
            action: action as i32,
            r#ref: self.reference.clone(),
            total: 0,
            expected: String::new(),
            offset,
            data,
            labels,
        }
    }

    fn fail(&mut self, error: RuntimeError) {
        self.done = true;
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).error = Some(error);
    }
}
