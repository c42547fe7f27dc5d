//! What stands whole in a piece: where does it end? Text is read eight bytes at a time, for bodies are mostly text.

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
const BLANKS: u64 = u64::from_ne_bytes([b' '; 8]);

/// The bytes at the beginning, the first the lowest, and what comes after them. Strings are short: a search that
/// has to be called costs more than it saves.
pub(super) fn eight(rest: &[u8]) -> Option<(u64, &[u8])> {
    let (bytes, after) = rest.split_first_chunk()?;
    Some((u64::from_le_bytes(*bytes), after))
}

/// How many of eight bytes stand for themselves in a string, before the first that does not: a quote, a
/// backslash, a control character, a byte of a character of several.
#[inline]
pub(super) fn plain(eight: u64) -> u32 {
    let control = eight.wrapping_sub(BLANKS);
    let quote = (eight ^ QUOTES).wrapping_sub(ONES);
    let backslash = (eight ^ BACKSLASHES).wrapping_sub(ONES);
    // Marks are right up to the first. What is above may be wrong, for a byte borrows from the next.
    let marks = (control | quote | backslash | eight) & HIGHEST;
    marks.trailing_zeros() / 8
}

/// From the first byte on that does not stand for itself.
#[inline]
pub(super) fn after_plain(mut rest: &[u8]) -> &[u8] {
    while let Some((bytes, behind)) = eight(rest) {
        let plain = plain(bytes);
        if plain < 8 {
            return after(rest, plain);
        }
        rest = behind;
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..0x20 | 0x80..);
    let plain = rest.iter().take_while(is_plain).count();
    rest.get(plain..).unwrap_or_default()
}

/// The first of eight bytes, zero behind them.
#[inline]
pub(super) fn first(eight: u64, count: u32) -> u64 {
    if count < 8 { eight & !(u64::MAX << (8 * count)) } else { eight }
}

/// What comes after so many bytes.
#[inline]
pub(super) fn after(rest: &[u8], count: u32) -> &[u8] {
    usize::try_from(count).ok().and_then(|count| rest.get(count..)).unwrap_or_default()
}

/// After the escapes or the character of several bytes that stand at the beginning, if one does whole.
#[inline]
pub(super) fn after_sequence(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [b'\\', b'u', a, b, c, d, after @ ..] => {
            [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()).then_some(after)
        }
        [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..]
        // The well-formed sequences of RFC 3629 section 4.
        | [0xC2..=0xDF, 0x80..=0xBF, after @ ..]
        | [0xE0, 0xA0..=0xBF, 0x80..=0xBF, after @ ..]
        | [0xE1..=0xEC | 0xEE..=0xEF, 0x80..=0xBF, 0x80..=0xBF, after @ ..]
        | [0xED, 0x80..=0x9F, 0x80..=0xBF, after @ ..]
        | [0xF0, 0x90..=0xBF, 0x80..=0xBF, 0x80..=0xBF, after @ ..]
        | [0xF1..=0xF3, 0x80..=0xBF, 0x80..=0xBF, 0x80..=0xBF, after @ ..]
        | [0xF4, 0x80..=0x8F, 0x80..=0xBF, 0x80..=0xBF, after @ ..] => Some(after),
        _ => None,
    }
}

/// From the first byte on that is no blank.
#[inline]
pub(super) fn after_blanks(mut rest: &[u8]) -> &[u8] {
    // What indents is spaces, and many.
    while let Some((BLANKS, after)) = eight(rest) {
        rest = after;
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let blanks = rest.iter().position(|byte| !is_blank(byte)).unwrap_or(rest.len());
    rest.get(blanks..).unwrap_or_default()
}

/// After the number at the beginning, if it is one and what follows shows that all of it is here.
#[inline]
pub(super) fn after_number(rest: &[u8]) -> Option<&[u8]> {
    let whole = match rest.split_first()? {
        (b'0', after) => after,
        (b'1'..=b'9', after) => after_digits(after),
        (b'-', [b'0', after @ ..]) => after,
        (b'-', [b'1'..=b'9', after @ ..]) => after_digits(after),
        _ => return None,
    };
    // Nothing behind it: the number may go on in the next piece.
    match whole.first()? {
        b'.' | b'e' | b'E' => after_fraction(whole),
        _ => Some(whole),
    }
}

fn after_fraction(mut rest: &[u8]) -> Option<&[u8]> {
    if let [b'.', b'0'..=b'9', after @ ..] = rest {
        rest = after_digits(after);
    }
    if let [b'e' | b'E', b'0'..=b'9', after @ ..]
    | [b'e' | b'E', b'+' | b'-', b'0'..=b'9', after @ ..] = rest
    {
        rest = after_digits(after);
    }
    // What is cut or malformed is left to the reader of single bytes, which tells the two apart.
    (!matches!(rest, [] | [b'.' | b'e' | b'E', ..])).then_some(rest)
}

#[inline]
fn after_digits(mut rest: &[u8]) -> &[u8] {
    while let [b'0'..=b'9', after @ ..] = rest {
        rest = after;
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn eight_bytes_are_read_as_one_by_one(
            bytes in proptest::array::uniform8(prop_oneof![
                any::<u8>(),
                proptest::sample::select(b"\x00\x1F\x20!\"#[\\]\x7F\x80\x81\xA2\xDC\xFF".to_vec()),
                Just(b'a'),
                Just(b'a'),
            ])
        ) {
            let expected = bytes.iter().take_while(|byte| {
                (0x20..0x80).contains(*byte) && **byte != b'"' && **byte != b'\\'
            });
            let expected = expected.count();
            let (eight, _) = eight(&bytes).unwrap();
            prop_assert_eq!(usize::try_from(plain(eight)).unwrap(), expected);
            for end in 0..=8 {
                prop_assert_eq!(after_plain(&bytes[..end]).len(), end - expected.min(end));
            }
            let mut shortened = bytes;
            shortened[expected..].fill(0);
            prop_assert_eq!(first(eight, plain(eight)).to_le_bytes(), shortened);
        }
    }
}
