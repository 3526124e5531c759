//! A frame of the journal: one group of transactions, whole or not at all.
//!
//! `magic (8) | payload bytes (4) | first revision (8) | transactions (4) | SHA-256 (32) | payload`, numbers
//! big-endian. The sum covers the frame's place in the file too, so that bytes that only look like a
//! frame, inside a value or at another place, are none.

use sha2::{Digest as _, Sha256};

use super::super::{Action, Revision, Transaction};
use crate::error::{Result, StoreError};

const MAGIC: [u8; 8] = *b"\xffwlfrm1\n";
const NUMBERS_BYTES: usize = 16;
const SUM_BYTES: usize = 32;
/// Bytes before the payload.
pub(super) const HEAD_BYTES: usize = MAGIC.len() + NUMBERS_BYTES + SUM_BYTES;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// The group as a frame for this place in the file; the first transaction has revision `first`, each
/// following one the next.
pub(super) fn encode(offset: u64, first: Revision, group: &[&Transaction]) -> Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD_BYTES];
    for transaction in group {
        put_u32(&mut bytes, transaction.changes().count())?;
        for (key, value) in transaction.changes() {
            bytes.push(if value.is_some() { PUT } else { DELETE });
            put_bytes(&mut bytes, key.as_bytes())?;
            if let Some(value) = value {
                put_bytes(&mut bytes, value)?;
            }
        }
    }
    let mut head = MAGIC.to_vec();
    put_u32(&mut head, bytes.len() - HEAD_BYTES)?;
    head.extend_from_slice(&first.to_be_bytes());
    put_u32(&mut head, group.len())?;
    let sum = sum(offset, &head[MAGIC.len()..], &bytes[HEAD_BYTES..]);
    head.extend_from_slice(&sum);
    bytes[..HEAD_BYTES].copy_from_slice(&head);
    Ok(bytes)
}

/// A frame that was found whole.
pub(super) struct Frame<'a> {
    /// Revision of its first transaction.
    pub(super) first: Revision,
    /// Transactions in it.
    pub(super) count: u64,
    /// Its size in the file.
    pub(super) bytes: usize,
    payload: &'a [u8],
}

/// The frame at this place of a file, if there is a whole one.
pub(super) fn at(file: &[u8], offset: usize) -> Option<Frame<'_>> {
    let rest = file.get(offset..)?;
    let rest = rest.strip_prefix(MAGIC.as_slice())?;
    let (numbers, rest) = rest.split_at_checked(NUMBERS_BYTES)?;
    let mut input = Input(numbers);
    let length = input.u32()? as usize;
    let first = Revision::from_be_bytes(*input.take(8)?.first_chunk()?);
    let count = u64::from(input.u32()?);
    let (expected, rest) = rest.split_at_checked(SUM_BYTES)?;
    let payload = rest.get(..length)?;
    let whole = sum(offset as u64, numbers, payload) == expected;
    whole.then_some(Frame { first, count, bytes: HEAD_BYTES + length, payload })
}

/// Whether a whole frame begins anywhere behind this place.
pub(super) fn any_behind(file: &[u8], offset: usize) -> bool {
    let begins = |place: &usize| file[*place] == MAGIC[0] && at(file, *place).is_some();
    (offset + 1..file.len()).any(|place| begins(&place))
}

impl Frame<'_> {
    /// Revision of its last transaction.
    pub(super) fn last(&self) -> Revision {
        self.first + self.count.saturating_sub(1)
    }

    /// Calls back with the revision, key and value (`None`: removed) of each change; `None` when the
    /// payload is not what [`encode`] writes.
    pub(super) fn each_change(
        &self,
        each: &mut dyn FnMut(Revision, String, Option<Vec<u8>>),
    ) -> Option<()> {
        let mut input = Input(self.payload);
        for revision in (self.first..).take(usize::try_from(self.count).ok()?) {
            for _ in 0..input.u32()? {
                let kind = *input.take(1)?.first()?;
                let key = String::from_utf8(input.bytes()?.to_vec()).ok()?;
                let value = match kind {
                    PUT => Some(input.bytes()?.to_vec()),
                    DELETE => None,
                    _ => return None,
                };
                each(revision, key, value);
            }
        }
        input.0.is_empty().then_some(())
    }
}

fn sum(offset: u64, numbers: &[u8], payload: &[u8]) -> [u8; SUM_BYTES] {
    let sha = Sha256::new().chain_update(offset.to_be_bytes());
    sha.chain_update(numbers).chain_update(payload).finalize().into()
}

fn put_u32(bytes: &mut Vec<u8>, number: usize) -> Result<()> {
    let fits = u32::try_from(number).map_err(|_| StoreError::TooLarge {
        what: "one transaction".into(),
        bytes: number,
        bytes_max: u32::MAX as usize,
    })?;
    bytes.extend_from_slice(&fits.to_be_bytes());
    Ok(())
}

fn put_bytes(bytes: &mut Vec<u8>, part: &[u8]) -> Result<()> {
    put_u32(bytes, part.len())?;
    bytes.extend_from_slice(part);
    Ok(())
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(*self.take(4)?.first_chunk()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        self.take(length)
    }
}

impl Transaction {
    /// What it changes: keys with their new value, or `None` for removed.
    fn changes(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.ops.iter().filter_map(|op| match &op.action {
            Action::Put(value) => Some((op.key.as_str(), Some(value.as_slice()))),
            Action::Delete => Some((op.key.as_str(), None)),
            Action::Check => None,
        })
    }
}
