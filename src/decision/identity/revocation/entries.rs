//! The entries of a revocation list, each of them read to its end.
//!
//! webpki reads a list and leaves its entries for later; x509-parser leaves out an entry's extensions that it
//! cannot read. Neither looks for what forbids the use of the *whole* list (RFC 5280 section 5.3), so every entry
//! is read here before the list is used: a critical extension that is unknown, or a certificateIssuer (the entry
//! then names another authority's certificate), an extension that stands twice, a reason that does not exist or
//! belongs in delta lists alone, a date that is none, bytes that nobody reads.
//!
//! webpki reads each entry beside this module, for it is strict about DER; what the two do not understand alike
//! is refused. A serial number may be negative or padded, as some authorities' are. A date may be of either form
//! (sections 4.1.2.5 and 5.1.2.4 bid users of lists to take both), for nothing is decided by it.

use std::collections::HashSet;

use webpki::{BorrowedCertRevocationList, BorrowedRevokedCert, RevocationReason};
use x509_parser::der_parser::asn1_rs::{Any, Tag};

use super::list::{ListError, minimal};
use super::outline::element;

/// Extensions of an entry: four are known.
const MOST_EXTENSIONS: usize = 16;

/// The serial numbers that a list names, read twice from the same bytes.
pub(super) fn serials(
    list: &BorrowedCertRevocationList<'_>,
    entries: &[u8],
) -> Result<HashSet<Box<[u8]>>, ListError> {
    let (mut rest, mut serials) = (entries, HashSet::new());
    for known in list {
        let known = known.map_err(|error| ListError::of(&error))?;
        let (after, entry) = element(rest).ok_or(ListError::Unreadable)?;
        judge(&entry, &known)?;
        // In one form, since certificates and lists pad differently.
        serials.insert(minimal(known.serial_number));
        rest = after;
    }
    if rest.is_empty() { Ok(serials) } else { Err(ListError::Unreadable) }
}

fn judge(entry: &Any<'_>, known: &BorrowedRevokedCert<'_>) -> Result<(), ListError> {
    let (after_serial, serial) = element(entry.data).ok_or(ListError::Unreadable)?;
    let (after_date, _) = element(after_serial).ok_or(ListError::Unreadable)?;
    // The two readers must stand at the same entry, or one of them skipped something.
    let is_same = serial.tag() == Tag::Integer && serial.data == known.serial_number;
    if !is_same || serial.data.is_empty() {
        return Err(ListError::Unreadable);
    }
    // Takes a certificate off a list before: in a list that stands for itself it says nothing.
    if known.reason_code == Some(RevocationReason::RemoveFromCrl) {
        return Err(ListError::Unsupported);
    }
    if after_date.is_empty() {
        return Ok(());
    }
    let (after, extensions) = element(after_date).ok_or(ListError::Unreadable)?;
    if !after.is_empty() {
        return Err(ListError::Unreadable);
    }
    judge_names(extensions.data)
}

/// Refuses an extension that stands twice: webpki looks only at those that it knows.
fn judge_names(extensions: &[u8]) -> Result<(), ListError> {
    // On the stack: this runs for each entry of a list.
    let (mut rest, mut seen) = (extensions, [&[][..]; MOST_EXTENSIONS]);
    for place in 0..=MOST_EXTENSIONS {
        if rest.is_empty() {
            return Ok(());
        }
        let (after, extension) = element(rest).ok_or(ListError::Unreadable)?;
        let (_, name) = element(extension.data).ok_or(ListError::Unreadable)?;
        // Only the places that are filled: the empty ones would equal an empty name.
        if seen.iter().take(place).any(|before| *before == name.data) {
            return Err(ListError::Twice);
        }
        *seen.get_mut(place).ok_or(ListError::Unreadable)? = name.data;
        rest = after;
    }
    Err(ListError::Unreadable)
}
