//! Extended attributes of an entry, from the headers that stand before it.
//!
//! The reader of tars ends each record at the first line break, which the value of an attribute may have in it. Here a
//! record is as long as it says.

/// Headers and contents come in blocks.
pub(super) const BLOCK_BYTES: usize = 512;
/// How the records of attributes begin, as GNU tar and star write them.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// A name, and what it stands for.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// The extended attributes among these headers, which are one entry's, from their first block on. What cannot be read
/// of them is left out.
pub(super) fn attributes(mut heads: &[u8]) -> Vec<Pair<'_>> {
    let mut found = Vec::new();
    while let Some((block, rest)) = heads.split_first_chunk::<BLOCK_BYTES>() {
        let header = tar::Header::from_byte_slice(block);
        let bytes = header.entry_size().ok().and_then(|bytes| usize::try_from(bytes).ok());
        let Some((bytes, blocks)) =
            bytes.and_then(|bytes| Some((bytes, bytes.checked_next_multiple_of(BLOCK_BYTES)?)))
        else {
            break;
        };
        match header.entry_type() {
            tar::EntryType::XHeader => {
                let records = records(rest.get(..bytes).unwrap_or_default());
                found.extend(
                    records.filter_map(|(key, value)| Some((key.strip_prefix(ATTRIBUTE)?, value))),
                );
            }
            tar::EntryType::GNULongName | tar::EntryType::GNULongLink => {}
            // The entry itself.
            _ => break,
        }
        heads = rest.get(blocks..).unwrap_or_default();
    }
    found
}

/// The records of a header: `LENGTH KEY=VALUE\n`, with the length of all of it. They end where one is none.
fn records(mut text: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    std::iter::from_fn(move || {
        let space = text.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(text.get(..space)?).ok()?.parse().ok()?;
        let record = text.get(space + 1..length)?.strip_suffix(b"\n")?;
        text = text.get(length..)?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        Some((record.get(..equals)?, record.get(equals + 1..)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<(String, String)> {
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        records(text).map(|(key, value)| (text_of(key), text_of(value))).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn a_record_is_as_long_as_it_says() {
        let text = b"11 path=a/b\n10 a=1\n2=3\n8 empty=\n";
        assert!(read(text).is_empty(), "the first one's length is wrong");
        let text = b"12 path=a/b\n10 a=1\n2=\n9 empty=\n";
        let expected = [pair("path", "a/b"), pair("a", "1\n2="), pair("empty", "")];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn what_is_no_record_ends_them() {
        for text in [
            &b""[..],
            b"x",
            b" ",
            b"0 a=b\n",
            b"1 a=b\n",
            b"8 a=bc\n",
            b"99 a=b\n",
            b"6 a=b ",
            b"5 ab\n",
            b"-6 a=b\n",
            b"18446744073709551615 a=b\n",
            b"18446744073709551616 a=b\n",
        ] {
            assert!(read(text).is_empty(), "{:?}", String::from_utf8_lossy(text));
        }
        assert_eq!(read(b"6 a=b\nrest"), [pair("a", "b")]);
    }

    #[test]
    fn attributes_are_found_behind_long_names_and_before_the_entry_alone() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut long = tar::Header::new_gnu();
        long.set_entry_type(tar::EntryType::GNULongName);
        long.set_size(600);
        long.set_cksum();
        builder.append(&long, [b'x'; 600].as_slice()).unwrap();
        let records = [("mtime", &b"1"[..]), ("SCHILY.xattr.user.a", &b"1\n2"[..])];
        builder.append_pax_extensions(records).unwrap();
        let mut own = tar::Header::new_ustar();
        own.set_size(0);
        own.set_cksum();
        builder.append(&own, &b""[..]).unwrap();
        builder.append_pax_extensions([("SCHILY.xattr.user.next", &b"2"[..])]).unwrap();
        let heads = builder.into_inner().unwrap();
        let expected: Pair<'_> = (b"user.a", b"1\n2");
        assert_eq!(attributes(&heads), [expected]);
        for end in [0, 511, 512, 1_000, 2_048] {
            let cut = heads.get(..end).unwrap_or_default();
            assert!(attributes(cut).is_empty(), "of {end} bytes");
        }
    }
}
