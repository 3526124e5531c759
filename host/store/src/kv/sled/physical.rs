//! How keys and values lie in sled's tree: `d<key>` holds revision, length and the first part of the
//! value, `p<key>\0<n>` the parts behind it, `m` the last revision.

use std::ops::Bound;

use sled::{Batch, IVec, Tree};

use super::super::{Action, Entry, Page, Revision, Transaction};
use super::backend;
use crate::error::{Result, StoreError};

/// Bytes of a value in one of sled's items. 19 items of this size and the longest key stay under the
/// 128 KiB above which sled writes a page into a blob file.
pub(super) const PART_BYTES: usize = 6000;

const REVISION_KEY: &[u8] = b"m";
const HEAD_BYTES: usize = 12;

/// The last revision, 0 for an empty store.
pub(super) fn revision(tree: &Tree) -> Result<Revision> {
    let found = tree.get(REVISION_KEY).map_err(backend("reading"))?;
    let Some(found) = found else { return Ok(0) };
    let bytes = found.as_ref().try_into().map_err(|_| damaged("meta", "the last revision"))?;
    Ok(Revision::from_be_bytes(bytes))
}

/// The revision of a key.
pub(super) fn revision_of(tree: &Tree, key: &str) -> Result<Option<Revision>> {
    let head = tree.get(head_key(key)).map_err(backend("reading"))?;
    head.map(|head| Ok(parse_head(key, &head)?.revision)).transpose()
}

pub(super) fn get(tree: &Tree, key: &str) -> Result<Option<Entry>> {
    let head = tree.get(head_key(key)).map_err(backend("reading"))?;
    head.map(|head| assemble(tree, key, &head)).transpose()
}

pub(super) fn list(tree: &Tree, prefix: &str, page: &Page) -> Result<Vec<(String, Entry)>> {
    let mut from = Bound::Included(head_key(prefix));
    let mut to = Bound::Excluded(successor(head_key(prefix)));
    if let Some(after) = page.after.as_deref().map(head_key) {
        let inside = Bound::Excluded(after.clone());
        if page.reverse && after.as_slice() < bound_key(&to) {
            to = inside;
        } else if !page.reverse && after.as_slice() >= bound_key(&from) {
            from = inside;
        }
    }
    if bound_key(&from) >= bound_key(&to) {
        return Ok(Vec::new());
    }
    let limit = if page.limit == 0 { usize::MAX } else { page.limit };
    let items = tree.range((from, to));
    let read = |item: sled::Result<(IVec, IVec)>| {
        let (key, head) = item.map_err(backend("reading"))?;
        let key = String::from_utf8_lossy(&key[1..]).into_owned();
        let entry = assemble(tree, &key, &head)?;
        Ok((key, entry))
    };
    if page.reverse {
        items.rev().take(limit).map(read).collect()
    } else {
        items.take(limit).map(read).collect()
    }
}

/// The whole transaction as one batch, which sled applies completely or not at all.
pub(super) fn batch(tree: &Tree, transaction: &Transaction, revision: Revision) -> Result<Batch> {
    let mut batch = Batch::default();
    end_at(&mut batch, revision);
    for op in &transaction.ops {
        match &op.action {
            Action::Check => {}
            Action::Delete => set(tree, &mut batch, &op.key, None)?,
            Action::Put(value) => set(tree, &mut batch, &op.key, Some((value, revision)))?,
        }
    }
    Ok(batch)
}

/// Sets a key to an entry with the revision it has, or removes it.
pub(super) fn change(
    tree: &Tree,
    batch: &mut Batch,
    key: &str,
    entry: Option<&Entry>,
) -> Result<()> {
    set(tree, batch, key, entry.map(|entry| (entry.value.as_slice(), entry.revision)))
}

/// Sets the last revision.
pub(super) fn end_at(batch: &mut Batch, revision: Revision) {
    batch.insert(REVISION_KEY, revision.to_be_bytes().as_slice());
}

/// Every key, as a range lists them.
pub(super) fn keys(tree: &Tree) -> impl Iterator<Item = Result<String>> + use<> {
    tree.scan_prefix(b"d").keys().map(|key| {
        let key = key.map_err(backend("reading"))?;
        Ok(String::from_utf8_lossy(&key[1..]).into_owned())
    })
}

fn set(tree: &Tree, batch: &mut Batch, key: &str, value: Option<(&[u8], Revision)>) -> Result<()> {
    let parts = if let Some((value, revision)) = value {
        put(batch, key, value, revision);
        value.len().div_ceil(PART_BYTES)
    } else {
        batch.remove(head_key(key));
        0
    };
    for gone in parts.max(1)..old_parts(tree, key)? {
        batch.remove(part_key(key, gone));
    }
    Ok(())
}

fn put(batch: &mut Batch, key: &str, value: &[u8], revision: Revision) {
    let mut parts = value.chunks(PART_BYTES);
    let mut head = Vec::with_capacity(HEAD_BYTES + PART_BYTES.min(value.len()));
    head.extend_from_slice(&revision.to_be_bytes());
    // Values were checked against VALUE_BYTES_MAX, which is far below.
    head.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    head.extend_from_slice(parts.next().unwrap_or_default());
    batch.insert(head_key(key), head);
    for (n, part) in parts.enumerate() {
        let mut bytes = Vec::with_capacity(8 + part.len());
        bytes.extend_from_slice(&revision.to_be_bytes());
        bytes.extend_from_slice(part);
        batch.insert(part_key(key, n + 1), bytes);
    }
}

/// Parts that a key's present value has.
fn old_parts(tree: &Tree, key: &str) -> Result<usize> {
    let head = tree.get(head_key(key)).map_err(backend("reading"))?;
    let parts = |head: IVec| Ok(parse_head(key, &head)?.total.div_ceil(PART_BYTES));
    head.map_or(Ok(0), parts)
}

struct Head<'a> {
    revision: Revision,
    total: usize,
    first: &'a [u8],
}

fn parse_head<'a>(key: &str, bytes: &'a [u8]) -> Result<Head<'a>> {
    let parsed = || {
        let (revision, rest) = bytes.split_first_chunk::<8>()?;
        let (total, first) = rest.split_first_chunk::<4>()?;
        let total = usize::try_from(u32::from_be_bytes(*total)).ok()?;
        Some(Head { revision: Revision::from_be_bytes(*revision), total, first })
    };
    parsed().ok_or_else(|| damaged(key, "its head is too short"))
}

fn assemble(tree: &Tree, key: &str, head: &[u8]) -> Result<Entry> {
    let Head { revision, total, first } = parse_head(key, head)?;
    let mut value = Vec::with_capacity(total);
    value.extend_from_slice(first);
    for n in 1..total.div_ceil(PART_BYTES) {
        let part = tree.get(part_key(key, n)).map_err(backend("reading"))?;
        let part = part.ok_or_else(|| damaged(key, "a part of it is missing"))?;
        match part.split_first_chunk::<8>() {
            Some((of, bytes)) if Revision::from_be_bytes(*of) == revision => {
                value.extend_from_slice(bytes);
            }
            _ => return Err(damaged(key, "a part of it belongs to another revision")),
        }
    }
    if value.len() != total {
        return Err(damaged(key, "its length is wrong"));
    }
    Ok(Entry { revision, value })
}

fn head_key(key: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(b'd');
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

fn part_key(key: &str, n: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 6);
    bytes.push(b'p');
    bytes.extend_from_slice(key.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes());
    bytes
}

/// The first key behind every key with this prefix. No prefix ends in 0xff, because keys are UTF-8.
fn successor(mut prefix: Vec<u8>) -> Vec<u8> {
    if let Some(last) = prefix.last_mut() {
        *last = last.saturating_add(1);
    }
    prefix
}

fn bound_key(bound: &Bound<Vec<u8>>) -> &[u8] {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => key,
        Bound::Unbounded => &[],
    }
}

fn damaged(key: &str, why: &str) -> StoreError {
    StoreError::Corrupt { what: key.to_owned(), why: why.to_owned() }
}
